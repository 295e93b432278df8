import Resilience

/// What must hold, by accounts that share nothing with the machines but their settings.
extension Simulation {
    func violated(_ what: String) {
        if report.violation == nil { report.violation = "at \(now) ns: \(what)" }
    }

    /// After every event.
    func checkAccounts() {
        if queue.count != waiting.count { violated("the queue has \(queue.count) requests, \(waiting.count) wait") }
        if queue.count > queue.capacity { violated("the queue has more than it holds") }
        for index in waiting where requests[index].deadline < now && now - requests[index].deadline > millisecond {
            violated("request \(index) waits after its deadline")
        }
        if inFlight < 0 || endpoints.contains(where: { $0.inFlight < 0 }) { violated("less than nothing is under way") }
        let (requests, retries) = budget.underWay
        if requests != activeRequests || retries != activeRetries {
            violated("the budget counts \(requests) and \(retries), not \(activeRequests) and \(activeRetries)")
        }
        let ejected = detector.hosts.count { $0.isEjected }
        let share = Int(scenario.outlier.maximumEjectedShare * Double(endpoints.count))
        if ejected != detector.ejected { violated("\(ejected) are ejected, \(detector.ejected) counted") }
        if ejected > max(share, 1) || ejected == endpoints.count {
            violated("\(ejected) of \(endpoints.count) endpoints are ejected")
        }
        let least = Int(max(scenario.limit.minimum, 1))
        if limit.limit < least || limit.limit > Int(scenario.limit.maximum) {
            violated("the limit is \(limit.limit)")
        }
    }

    // MARK: - Order in the queue

    private func level(_ index: Int) -> Int {
        // What it had gained before it came, as after a failed attempt, it keeps.
        let request = requests[index]
        let gained = (request.joined - request.began) / scenario.admission.ageing
        let since = (now - request.joined) / scenario.admission.ageing
        return max(0, Int(request.priority) - Int(gained) - Int(since))
    }

    /// For those who have come to level 0: what has been served so far.
    func markTop() {
        for index in waiting where requests[index].servedAtTop == nil && level(index) == 0 {
            requests[index].servedAtTop = (served, servedOf[requests[index].tenant])
        }
    }

    /// `entry` is about to be served; it is still among those who wait.
    func checkOrder(_ entry: AdmissionEntry) {
        let index = Int(entry.token)
        let own = level(index)
        if own < Int(entry.priority) { count(.aged) }
        for other in waiting where other != index {
            let otherLevel = level(other)
            if otherLevel < own {
                violated("request \(index) of level \(own) goes before \(other) of level \(otherLevel)")
            }
            if otherLevel == own && requests[other].tenant == requests[index].tenant
                && requests[other].began < requests[index].began
            {
                violated("request \(index) goes before \(other) of its tenant, which has waited longer")
            }
        }
        checkStarvation()
    }

    /// Nobody at level 0 has seen more of the others go than its share allows, see `AdmissionQueue`.
    private func checkStarvation() {
        let weights = scenario.tenants.reduce(0) { $0 + Int($1.weight) }
        for index in waiting {
            guard let top = requests[index].servedAtTop else { continue }
            let tenant = requests[index].tenant
            let weight = Int(scenario.tenants[tenant].weight)
            let own = servedOf[tenant] - top.own
            let others = served - top.all - own
            // A request's cost is rounded down by up to a millionth.
            let bound = Double(own + 1) * Double(weights - weight) / Double(weight) + Double(scenario.tenants.count - 1)
            if Double(others) > bound * 1.0001 {
                violated("request \(index) starves: \(others) of others and \(own) of its tenant went before it")
            }
        }
    }

    func checkRefused(_ entry: AdmissionEntry) {
        if waiting.count < queue.capacity { violated("request \(entry.token) was refused, though there was room") }
        let lowest = waiting.map { requests[$0].priority }.max() ?? 0
        switch scenario.admission.fullPolicy {
        case .reject: break
        case .dropOldest: if lowest >= entry.priority { violated("refused, though an older one could have gone") }
        case .dropLowest: if lowest > entry.priority { violated("refused, though a lower one could have gone") }
        }
    }

    func checkDropped(_ other: AdmissionEntry, isExpired: Bool, by entry: AdmissionEntry) {
        if waiting.count < queue.capacity { violated("request \(other.token) was dropped, though there was room") }
        if isExpired {
            if other.deadline > now { violated("request \(other.token) was dropped as expired before its deadline") }
        } else if scenario.admission.fullPolicy == .reject || other.priority < entry.priority {
            violated("request \(other.token) was dropped for one of a lower priority")
        }
    }

    // MARK: - Breakers

    /// How long a breaker that opened is open at least.
    private func timeOpen(_ endpoint: EndpointModel) -> UInt64 {
        let settings = scenario.breaker
        var time = Double(settings.resetTimeout)
        for _ in 0..<endpoint.streak { time = min(time * settings.resetGrowth, Double(settings.resetCap)) }
        return UInt64(time)
    }

    func checkProbe(_ endpoint: EndpointModel, _ ticket: CircuitBreakerTicket) {
        count(.probes)
        if !endpoint.isOpen { violated("a probe, though the breaker is closed") }
        if now < endpoint.openedAt + timeOpen(endpoint) { violated("a probe, though the breaker has just opened") }
        endpoint.probes.removeAll { now >= $0.began + scenario.breaker.probeTimeout }
        endpoint.probes.append((ticket, now))
        if endpoint.probes.count > Int(scenario.breaker.halfOpenProbes) {
            violated("\(endpoint.probes.count) probes are under way, \(scenario.breaker.halfOpenProbes) may be")
        }
    }

    /// Results of a former life change nothing, and those of this one what the threshold says.
    func checkRecorded(_ request: RequestModel, failed: Bool, _ change: CircuitBreakerChange) {
        let endpoint = endpoints[request.endpoint]
        if request.life != endpoint.life {
            if change != .none { violated("a late result has \(change) a breaker") }
            return
        }
        guard !endpoint.isOpen else { return endpoint.failuresInARow = 0 }
        endpoint.failuresInARow = failed ? endpoint.failuresInARow + 1 : 0
        let threshold = scenario.breaker.failureThreshold
        let isTooMany = threshold > 0 && endpoint.failuresInARow >= threshold
        if isTooMany && change != .opened { violated("\(endpoint.failuresInARow) failures did not open a breaker") }
        if change == .opened {
            if !isTooMany && scenario.breaker.failurePercent == 0 {
                violated("\(endpoint.failuresInARow) failures opened a breaker")
            }
            endpoint.failuresInARow = 0
        }
    }

    /// A breaker may refuse while it is open and while all its probes are under way. What it rounds times up by is two
    /// ticks of 2²⁰ ns at most.
    func checkRefusal(_ endpoint: EndpointModel) {
        let slack: UInt64 = 2 << 20
        if !endpoint.isOpen { return violated("a closed breaker refuses") }
        let time = timeOpen(endpoint)
        let longest = time + UInt64(Double(time) * scenario.breaker.jitter) + slack
        if now < endpoint.openedAt + longest { return }
        let held = endpoint.probes.count { now < $0.began + scenario.breaker.probeTimeout + slack }
        if held < Int(scenario.breaker.halfOpenProbes) { violated("a breaker refuses though it has room for a probe") }
    }

    // MARK: - Retries

    /// Before the retry is counted.
    func checkBudget() {
        let allowed = max(Int(scenario.budget.minimum), activeRequests * Int(scenario.budget.percent) / 100)
        if activeRetries >= allowed { violated("a retry beside \(activeRetries), \(allowed) are allowed") }
    }

    func checkRetry(_ index: Int, _ delay: UInt64) {
        let request = requests[index]
        if request.mayHaveBegun && !request.isRepeatable { violated("request \(index) may not be repeated") }
        if request.attempts >= scenario.retry.attempts { violated("request \(index) has no attempt left") }
        if request.deadline != .max && now + delay > request.deadline { violated("a retry after the deadline") }
        let most = scenario.retry.backoff.cap + scenario.retry.retryAfterCap
        if delay > most { violated("a retry waits \(delay) ns, \(most) are the most") }
    }

    // MARK: - Health

    func checkHealth(_ index: Int, _ change: HealthChange, wasHealthy: Bool, wasKnown: Bool) {
        let against = endpoints[index].checksAgainst
        switch change {
        case .becameUnhealthy:
            if !wasHealthy || against != scenario.health.unhealthyAfter {
                violated("endpoint \(index) is unhealthy after \(against) failures")
            }
        case .becameHealthy:
            let most = scenario.health.healthyAfter * 8
            if wasHealthy || wasKnown && against < scenario.health.healthyAfter || against > most {
                violated("endpoint \(index) is healthy after \(against) successes")
            }
        case .none:
            if wasHealthy && against >= scenario.health.unhealthyAfter {
                violated("endpoint \(index) is healthy after \(against) failures")
            }
        }
    }

    // MARK: - Recovery and the end

    /// All has been well for so long that nothing may be out any more.
    func checkRecovery() {
        for (index, endpoint) in endpoints.enumerated() {
            if !endpoint.health.isHealthy { violated("endpoint \(index) is still unhealthy") }
            if detector.hosts[index].isEjected { violated("endpoint \(index) is still ejected") }
            // One that nobody asked is not closed, but it must be ready.
            if !breaker(endpoint).wouldAdmit(now: now) && endpoint.probes.isEmpty {
                violated("endpoint \(index)'s breaker still refuses")
            }
        }
    }

    func checkEnd() {
        for (index, request) in requests.enumerated() {
            guard let ending = request.ending else { return violated("request \(index) never ended") }
            if request.isSample && ending != .answered { violated("request \(index), after recovery, was \(ending)") }
        }
        if hedgesInFlight != 0 { violated("a hedge is left at the end") }
        if !queue.isEmpty || inFlight != 0 || activeRequests != 0 || activeRetries != 0 {
            violated("something is left at the end")
        }
    }
}
