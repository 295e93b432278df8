import Resilience

/// A request's way: arrival, queue, attempts, retries, its one end.
extension Simulation {
    func arrives(tenant: Int) {
        // After the trouble a light load is enough, and must find all well in the end.
        let gap = now < scenario.calm ? scenario.tenants[tenant].gap : UInt64(scenario.tenants.count) * 25 * millisecond
        if !isOver { schedule(.arrival, tenant, after: random.below(2 * gap) + 1) }
        // Some come in bursts.
        let burst = now < scenario.calm && random.oneIn(12) ? 1 + random.below(10) : 1
        for _ in 0..<burst {
            // One that is too short makes an endpoint fail that is well: not after the trouble.
            let isHurried = now < scenario.calm && !random.oneIn(4)
            let deadline = isHurried ? now + random.of(2 * millisecond...300 * millisecond) : UInt64.max
            begin(
                RequestModel(
                    tenant: tenant, priority: UInt8(random.below(10)), deadline: deadline, began: now,
                    isRepeatable: !random.oneIn(3)))
        }
    }

    func sampleArrives(_ sample: Int) {
        checkRecovery()
        begin(
            RequestModel(
                tenant: sample % scenario.tenants.count, priority: 0, deadline: .max, began: now, isRepeatable: true,
                isSample: true))
    }

    private func begin(_ request: RequestModel) {
        let index = requests.count
        requests.append(request)
        count(.requests)
        budget.requestBegins()
        if let hedge = scenario.hedge { hedges.requestBegins(hedge) }
        activeRequests += 1
        if now < scenario.calm && random.oneIn(8) {
            schedule(.clientLeaves, index, after: random.below(60 * millisecond))
        }
        let pressure = LoadShedder.pressure(
            queued: queue.count, capacity: queue.capacity, longestWait: queue.longestWait(now: now), scenario.shedder)
        let isAdmitted = LoadShedder.admits(
            priority: request.priority, pressure: pressure, random: random.next(), scenario.shedder)
        guard isAdmitted else {
            if request.priority == 0 { violated("priority 0 was shed") }
            return end(index, .shed)
        }
        enqueue(index)
        pump()
    }

    // MARK: - Queue

    func enqueue(_ index: Int) {
        let tenant = scenario.tenants[requests[index].tenant]
        let entry = AdmissionEntry(
            token: UInt64(index), worker: UInt32(index % 4), priority: requests[index].priority, tenant: tenant.hash,
            weight: tenant.weight, deadline: requests[index].deadline, waitingSince: requests[index].began)
        let push = queue.push(entry, now: now)
        switch push {
        case .refused:
            checkRefused(entry)
            return end(index, .refused)
        case .queued(let handle): requests[index].handle = handle
        case .displaced(let handle, let other, let isExpired):
            requests[index].handle = handle
            checkDropped(other, isExpired: isExpired, by: entry)
            leavesQueue(Int(other.token))
            end(Int(other.token), isExpired ? .expired : .dropped)
        }
        requests[index].state = .waiting
        requests[index].joined = now
        waiting.append(index)
        if requests[index].deadline != .max {
            // A timer of the gateway fires at a millisecond, not before.
            let time = (max(now, requests[index].deadline) / millisecond + 1) * millisecond
            events.add(Event(time: time, kind: .queueDeadline, subject: index))
        }
    }

    /// What is too late leaves, whether there is room or not.
    func expire() {
        while let entry = queue.takeExpired(now: now) { expires(entry) }
    }

    private func expires(_ entry: AdmissionEntry) {
        if entry.deadline > now { violated("request \(entry.token) expired before its deadline") }
        leavesQueue(Int(entry.token))
        end(Int(entry.token), .expired)
    }

    /// What has room goes.
    func pump() {
        while inFlight < limit.limit {
            markTop()
            switch queue.take(now: now) {
            case .empty:
                if !waiting.isEmpty { violated("the queue is empty, but \(waiting.count) wait") }
                return
            case .expired(let entry): expires(entry)
            case .next(let entry):
                let index = Int(entry.token)
                checkOrder(entry)
                leavesQueue(index)
                served += 1
                servedOf[requests[index].tenant] += 1
                dispatch(index)
            }
        }
    }

    func leavesQueue(_ index: Int) {
        guard let place = waiting.firstIndex(of: index), requests[index].state == .waiting else {
            return violated("request \(index) left the queue without being in it")
        }
        waiting.remove(at: place)
        requests[index].state = .new
        requests[index].servedAtTop = nil
    }

    // MARK: - Attempts

    private func dispatch(_ index: Int) {
        guard requests[index].deadline > now else { return violated("request \(index) went out after its deadline") }
        var tried: UInt64 = 0
        while let chosen = pick(avoiding: requests[index].endpoint, tried: tried) {
            let endpoint = endpoints[chosen]
            switch breaker(endpoint).admits(now: now, random: random.next()) {
            case .refused:
                count(.probeRefused)
                checkRefusal(endpoint)
                tried |= 1 << UInt64(chosen)
                continue
            case .closed(let ticket):
                if endpoint.isOpen { violated("a request went to endpoint \(chosen), whose breaker is open") }
                requests[index].ticket = ticket
            case .probe(let ticket):
                checkProbe(endpoint, ticket)
                requests[index].ticket = ticket
            }
            return startAttempt(index, chosen)
        }
        end(index, .noEndpoint)
    }

    private func startAttempt(_ index: Int, _ chosen: Int) {
        requests[index].state = .running
        requests[index].attempts += 1
        requests[index].serials += 1
        requests[index].serial = requests[index].serials
        requests[index].endpoint = chosen
        requests[index].attemptBegan = now
        requests[index].life = endpoints[chosen].life
        if requests[index].attempts > scenario.retry.attempts { violated("request \(index) has too many attempts") }
        let endpoint = endpoints[chosen]
        let (outcome, time) = endpoint.attempt(at: now, &random)
        endpoint.inFlight += 1
        inFlight += 1
        let allowed = min(scenario.attemptTimeout, requests[index].deadline - now)
        requests[index].outcome = time <= allowed ? outcome : .timedOut
        schedule(.attemptEnds, index, after: min(time, allowed), serial: requests[index].serial)
        planHedge(index)
    }

    func attemptEnds(_ index: Int, _ serial: UInt32) {
        guard requests[index].state == .running, face(index, serial) else { return }
        let outcome = requests[index].outcome
        let endpoint = endpoints[requests[index].endpoint]
        let time = now - requests[index].attemptBegan
        let failed = outcome != .answered
        releaseAttempt(index)
        let breakerFailed = failed && outcome != .rateLimited
        let change = breaker(endpoint).record(
            failed: breakerFailed, requests[index].ticket, now: now, random: random.next())
        checkRecorded(requests[index], failed: breakerFailed, change)
        apply(change, to: endpoint)
        if endpoint.outlier.record(
            failed: failed, latency: time, threshold: scenario.outlier.consecutiveFailures),
            let ejection = detector.failedInARow(requests[index].endpoint, now: now, random: random.next())
        {
            apply([ejection])
        }
        let wasFull = UInt32(inFlight + 1)
        let isDrop = outcome == .timedOut || outcome == .rateLimited
        if limit.record(time: time, inFlight: wasFull, dropped: isDrop, now: now, random: random.next()) {
            count(.limitMoved)
        }
        if outcome != .connectFailed && outcome != .refusedUnprocessed { requests[index].mayHaveBegun = true }
        if !failed {
            if let rival = requests[index].rival, rival.attemptBegan < requests[index].attemptBegan {
                count(.hedgesWon)
            }
            cancelRival(index)
            end(index, .answered)
        } else if !otherGoesOn(index) {
            retry(index, outcome)
        }
        pump()
    }

    /// Room for another.
    private func releaseAttempt(_ index: Int) {
        endpoints[requests[index].endpoint].inFlight -= 1
        inFlight -= 1
        let ticket = requests[index].ticket
        endpoints[requests[index].endpoint].probes.removeAll { $0.ticket == ticket }
        endRetry(index)
    }

    // MARK: - Retries

    private func retry(_ index: Int, _ outcome: AttemptOutcome) {
        let deadline = requests[index].deadline
        let failed = FailedAttempt(
            attempt: requests[index].attempts, outcome: outcome, isRepeatable: requests[index].isRepeatable,
            nothingSent: !requests[index].mayHaveBegun, deadlineLeft: deadline == .max ? .max : deadline - now,
            retryAfter: outcome == .listedStatus && random.oneIn(2) ? random.below(80 * millisecond) : 0)
        guard case .retry(let delay) = RetryPolicy.decide(failed, scenario.retry, random: random.next()) else {
            return end(index, .failed)
        }
        checkRetry(index, delay)
        guard budget.takeRetry(scenario.budget) else {
            count(.budgetEmpty)
            return end(index, .failed)
        }
        checkBudget()
        activeRetries += 1
        count(.retries)
        requests[index].holdsRetry = true
        requests[index].state = .backingOff
        requests[index].serials += 1
        requests[index].serial = requests[index].serials
        schedule(.retry, index, after: delay, serial: requests[index].serial)
    }

    func retryIsDue(_ index: Int, _ serial: UInt32) {
        guard requests[index].state == .backingOff, requests[index].serial == serial else { return }
        enqueue(index)
        pump()
    }

    private func endRetry(_ index: Int) {
        guard requests[index].holdsRetry else { return }
        requests[index].holdsRetry = false
        activeRetries -= 1
        budget.retryEnds()
    }

    // MARK: - Ends

    func clientLeaves(_ index: Int) {
        switch requests[index].state {
        case .ended: return
        case .waiting:
            if queue.remove(requests[index].handle)?.token != UInt64(index) {
                violated("request \(index) waits, but its handle does not find it")
            }
            leavesQueue(index)
        case .running:
            let endpoint = endpoints[requests[index].endpoint]
            let ticket = requests[index].ticket
            // Sometimes nobody tells the breaker: a probe that is lost must not hold its place for ever.
            if ticket.isProbe && random.oneIn(2) {
                count(.lostProbes)
                endpoint.inFlight -= 1
                inFlight -= 1
                endRetry(index)
            } else {
                releaseAttempt(index)
                breaker(endpoint).cancel(ticket)
            }
            cancelRival(index)
        case .new, .backingOff: break
        }
        end(index, .clientLeft)
        pump()
    }

    func end(_ index: Int, _ ending: RequestModel.Ending) {
        if let first = requests[index].ending {
            return violated("request \(index) got \(first) and then \(ending)")
        }
        if requests[index].state == .waiting { violated("request \(index) ends but is still queued") }
        if requests[index].rival != nil { violated("request \(index) ends but another attempt could answer it") }
        endRetry(index)
        requests[index].ending = ending
        requests[index].state = .ended
        activeRequests -= 1
        budget.requestEnds()
        note(UInt64(index) << 8 ^ UInt64(ending.rawValue))
        let happening: SimulationReport.Happening =
            switch ending {
            case .answered: .answered
            case .failed: .failed
            case .expired: .expired
            case .refused: .refused
            case .shed: .shed
            case .dropped: .dropped
            case .noEndpoint: .noEndpoint
            case .clientLeft: .clientLeft
            }
        count(happening)
    }
}
