import Resilience

/// Which endpoints may be asked, and which is.
extension Simulation {
    func check(_ index: Int) {
        let endpoint = endpoints[index]
        let succeeded = endpoint.check(at: now, &random)
        let wasHealthy = endpoint.health.isHealthy
        let wasKnown = endpoint.health.isKnown
        endpoint.checksAgainst = succeeded == wasHealthy ? 0 : endpoint.checksAgainst + 1
        let change = endpoint.health.record(succeeded: succeeded, now: now, scenario.health)
        checkHealth(index, change, wasHealthy: wasHealthy, wasKnown: wasKnown)
        if change != .none { endpoint.checksAgainst = 0 }
        if change == .becameUnhealthy { count(.unhealthy) }
        if change == .becameHealthy { endpoint.since = now }
        let next = endpoint.health.nextCheck(now: now, random: random.next(), scenario.health)
        if !isOver { events.add(Event(time: next, kind: .check, subject: index)) }
    }

    func outlierInterval() {
        let changes = detector.evaluate(endpoints.map(\.outlier.totals), now: now, random: &random)
        apply(changes)
        if !isOver { schedule(.outlierInterval, 0, after: scenario.outlier.interval) }
    }

    func apply(_ changes: [OutlierChange]) {
        for change in changes {
            switch change {
            case .ejected(let host, _, let until):
                count(.ejected)
                if until <= now { violated("endpoint \(host) is ejected until before now") }
                events.add(Event(time: until, kind: .outlierReturn, subject: host))
            case .returned(let host):
                endpoints[host].outlier.forgetFailuresInARow()
                endpoints[host].since = now
            }
        }
    }

    func apply(_ change: CircuitBreakerChange, to endpoint: EndpointModel) {
        switch change {
        case .none: break
        case .opened:
            count(.opened)
            // From half open it is for longer.
            endpoint.streak = endpoint.isOpen ? endpoint.streak + 1 : 0
            endpoint.isOpen = true
            endpoint.openedAt = now
            endpoint.life += 1
        case .closed:
            count(.closed)
            if !endpoint.isOpen { violated("a closed breaker was closed") }
            endpoint.isOpen = false
            endpoint.life += 1
        }
    }

    /// An endpoint that may be asked, by the scenario's way of balancing; not `last` where there is another, and none
    /// of `tried`. Nil when there is none.
    func pick(avoiding last: Int, tried: UInt64) -> Int? {
        let usable = endpoints.indices.filter { endpoints[$0].health.isHealthy && !detector.hosts[$0].isEjected }
        let panics = isPanic(healthy: usable.count, total: endpoints.count, threshold: Double(scenario.panicThreshold))
        if panics { count(.panics) }
        // Some choose by what they knew a moment ago: the breaker itself has the last word.
        let isLate = random.oneIn(8)
        var eligible = (panics ? Array(endpoints.indices) : usable).filter { index in
            let wouldAdmit = breaker(endpoints[index]).wouldAdmit(now: now)
            if !wouldAdmit { checkRefusal(endpoints[index]) }
            return tried & 1 << UInt64(index) == 0 && (isLate || wouldAdmit)
        }
        if eligible.count > 1 { eligible.removeAll { $0 == last } }
        guard !eligible.isEmpty else { return nil }
        turn += 1
        switch scenario.balancing {
        case .roundRobin: return eligible[turn % eligible.count]
        case .random: return eligible[random.below(eligible.count)]
        case .leastRequest: return eligible.min { load($0) < load($1) }
        case .twoChoices:
            let (first, second) = (eligible[random.below(eligible.count)], eligible[random.below(eligible.count)])
            return load(first) <= load(second) ? first : second
        }
    }

    /// Requests under way for its weight.
    private func load(_ index: Int) -> Double {
        let factor = SlowStart.factor(now: now, since: endpoints[index].since, scenario.slowStart)
        if factor < scenario.slowStart.minimumFactor || factor > 1 {
            violated("endpoint \(index) has a weight of \(factor)")
        }
        return Double(endpoints[index].inFlight + 1) / factor
    }
}
