import Resilience

/// A second attempt beside a slow one: which requests get it, and that one of the two answers.
extension Simulation {
    /// The other one of two attempts of a request.
    struct Rival {
        var serial: UInt32
        var endpoint: Int
        var attemptBegan: UInt64
        var outcome: AttemptOutcome
        var ticket: CircuitBreakerTicket
        var life: Int
    }

    func planHedge(_ index: Int) {
        guard let delay = scenario.hedge?.delay else { return }
        schedule(.hedgeDue, index, after: delay, serial: requests[index].serial)
    }

    func hedgeIsDue(_ index: Int, _ serial: UInt32) {
        guard requests[index].state == .running, requests[index].serial == serial, requests[index].isRepeatable,
            !requests[index].wasHedged, requests[index].rival == nil, let settings = scenario.hedge,
            requests[index].deadline > now
        else { return }
        guard hedges.take() else { return count(.hedgeRefused) }
        guard hedgesInFlight < Int(settings.inFlightAtMost), budget.takeRetry(scenario.budget) else {
            return count(.hedgeRefused)
        }
        checkBudget()
        activeRetries += 1
        hedgesInFlight += 1
        requests[index].wasHedged = true
        let first = requests[index].endpoint
        var tried: UInt64 = 1 << UInt64(first)
        while let chosen = pick(avoiding: first, tried: tried) {
            if chosen == first { violated("request \(index) is hedged on its own endpoint") }
            let endpoint = endpoints[chosen]
            let ticket: CircuitBreakerTicket
            switch breaker(endpoint).admits(now: now, random: random.next()) {
            case .refused:
                count(.probeRefused)
                checkRefusal(endpoint)
                tried |= 1 << UInt64(chosen)
                continue
            case .closed(let admitted):
                if endpoint.isOpen { violated("a hedge went to endpoint \(chosen), whose breaker is open") }
                ticket = admitted
            case .probe(let admitted):
                checkProbe(endpoint, admitted)
                ticket = admitted
            }
            return startHedge(index, chosen, ticket)
        }
        // Nobody waits for a hedge.
        endHedge()
    }

    private func startHedge(_ index: Int, _ chosen: Int, _ ticket: CircuitBreakerTicket) {
        let endpoint = endpoints[chosen]
        let (outcome, time) = endpoint.attempt(at: now, &random)
        endpoint.inFlight += 1
        inFlight += 1
        count(.hedges)
        hedgesMade += 1
        let allowed = min(scenario.attemptTimeout, requests[index].deadline - now)
        requests[index].serials += 1
        requests[index].rival = Rival(
            serial: requests[index].serials, endpoint: chosen, attemptBegan: now,
            outcome: time <= allowed ? outcome : .timedOut, ticket: ticket, life: endpoint.life)
        schedule(.attemptEnds, index, after: min(time, allowed), serial: requests[index].serials)
        if let settings = scenario.hedge, Double(hedgesMade) > Double(report[.requests]) * settings.share + 0.001 {
            violated("\(hedgesMade) hedges of \(report[.requests]) requests")
        }
    }

    /// Whether an attempt that ends is one of the request's; from here on it is the one that the request shows.
    func face(_ index: Int, _ serial: UInt32) -> Bool {
        if requests[index].serial == serial { return true }
        guard let rival = requests[index].rival, rival.serial == serial else { return false }
        let shown = requests[index].shown
        requests[index].show(rival)
        requests[index].rival = shown
        return true
    }

    /// The attempt that the request shows has failed: the other one goes on alone. False: there is none.
    func otherGoesOn(_ index: Int) -> Bool {
        guard let rival = requests[index].rival else { return false }
        requests[index].show(rival)
        requests[index].rival = nil
        endHedge()
        return true
    }

    /// The request is over: an attempt that is still under way is given up.
    func cancelRival(_ index: Int) {
        guard let rival = requests[index].rival else { return }
        requests[index].rival = nil
        let endpoint = endpoints[rival.endpoint]
        endpoint.inFlight -= 1
        inFlight -= 1
        endpoint.probes.removeAll { $0.ticket == rival.ticket }
        breaker(endpoint).cancel(rival.ticket)
        endHedge()
    }

    private func endHedge() {
        activeRetries -= 1
        hedgesInFlight -= 1
        budget.retryEnds()
    }
}

extension RequestModel {
    fileprivate var shown: Simulation.Rival {
        Simulation.Rival(
            serial: serial, endpoint: endpoint, attemptBegan: attemptBegan, outcome: outcome, ticket: ticket,
            life: life)
    }

    fileprivate mutating func show(_ attempt: Simulation.Rival) {
        serial = attempt.serial
        endpoint = attempt.endpoint
        attemptBegan = attempt.attemptBegan
        outcome = attempt.outcome
        ticket = attempt.ticket
        life = attempt.life
    }
}
