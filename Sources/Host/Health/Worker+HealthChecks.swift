import CLinux
import Glibc
import HTTP1
import Resilience
import SluiceABI

/// Active health: the home worker of a pool asks its endpoints. A check is an exchange without a client, so that it
/// goes the way of requests: TLS, HTTP/2, timeouts and the pool's adapter are those of the traffic.
extension Worker {
    /// A generation came into force here.
    func startHealth(_ tables: UnsafeMutablePointer<WorkerGeneration>) {
        for index in 0..<tables.pointee.poolCount {
            let pool = tables.pointee.pools + index
            guard pool.pointee.shared.pointee.homeWorker == self.index else { continue }
            startComparing(pool)
            matchProbes(pool)
        }
    }

    /// The pool has other endpoints now.
    func checkAgain(_ pool: UnsafeMutablePointer<WorkerPool>) {
        // In a generation that is in force no more, and in a worker that leaves, no checks begin.
        guard pool.pointee.shared.pointee.homeWorker == index, !draining, pool.pointee.generation == generation
        else { return }
        matchProbes(pool)
    }

    /// Makes the checks those of the endpoints that the pool has now: who stays goes on as before, who left is asked no
    /// more, who came is asked within an interval, and at once where that is awaited.
    private func matchProbes(_ pool: UnsafeMutablePointer<WorkerPool>) {
        let count = pool.pointee.endpointCount
        let members = pool.pointee.endpointMembers
        guard let duties = pool.pointee.policy?.pointee.duties, let plan = duties.pointee.check else {
            // No check has anything to say any more.
            for index in 0..<count { revive(pool, members[index], pool.pointee.targets[index]) }
            return
        }
        var positions: [UnsafeMutablePointer<Endpoint>: Int] = [:]
        for position in 0..<count { positions[pool.pointee.targets[position]] = position }
        var link = duties.pointee.firstProbe
        duties.pointee.firstProbe = nil
        var leaving: [UnsafeMutablePointer<Probe>] = []
        while let probe = link {
            link = probe.pointee.next
            if let position = positions.removeValue(forKey: probe.pointee.endpoint) {
                probe.pointee.index = UInt32(position)
                keep(probe, duties)
            } else {
                leaving.append(probe)
            }
        }
        end(leaving)
        for position in positions.values.sorted() {
            let probe = UnsafeMutablePointer<Probe>.allocate(capacity: 1)
            probe.initialize(
                to: Probe(
                    duties: duties, endpoint: pool.pointee.targets[position], member: members[position],
                    index: UInt32(position)))
            keep(probe, duties)
            probe.pointee.timer.kind = TimerKind.probe
            probe.pointee.timer.owner = UnsafeMutableRawPointer(probe)
            let member = probe.pointee.member
            // What checks said of it before it left is forgotten: one success brings it in, as any other that comes.
            if member.pointee.isAwaited { forget(pool, member, probe.pointee.endpoint) }
            // Who is down serves nobody either: one that comes to a pool that had none is not to wait an interval.
            let first = HealthState.firstCheck(
                now: now, random: nextRandom(), isAwaited: member.pointee.isAwaited || member.pointee.isDown,
                plan.settings)
            timers.start(probe.timer, at: first / 1_000_000 + 1)
        }
    }

    private func keep(_ probe: UnsafeMutablePointer<Probe>, _ duties: UnsafeMutablePointer<HealthDuties>) {
        probe.pointee.next = duties.pointee.firstProbe
        duties.pointee.firstProbe = probe
    }

    /// Checks that are under way end, and say nothing.
    private func end(_ probes: [UnsafeMutablePointer<Probe>]) {
        guard !probes.isEmpty else { return }
        for probe in probes { timers.stop(probe.timer) }
        let ending = Set(probes)
        for exchange in exchangesUnderWay {
            guard let probe = exchange.pointee.probe, ending.contains(probe) else { continue }
            exchange.pointee.probe = nil
            perform(exchange, exchange.pointee.machine.handle(.clientGone))
        }
        for probe in probes { probe.deallocate() }
    }

    private func revive(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ member: UnsafeMutablePointer<PoolMember>,
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) {
        guard member.pointee.isDown || member.pointee.isAwaited else { return }
        member.pointee.endAwaiting()
        forget(pool, member, endpoint)
    }

    /// Nothing is known of the endpoint's health.
    private func forget(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ member: UnsafeMutablePointer<PoolMember>,
        _ endpoint: UnsafeMutablePointer<Endpoint>
    ) {
        member.pointee.health.pointee = HealthState(HealthSettings())
        if member.pointee.isDown {
            member.pointee.isDown = false
            // Where another pool still checks it, its next check that says something else will be told.
            endpoint.pointee.setHealthy(true)
        }
        availabilityChanged(pool.pointee.shared)
    }

    /// It is in force no more, or the worker leaves: checks that are under way end, and say nothing.
    func stopHealth(_ tables: UnsafeMutablePointer<WorkerGeneration>) {
        for index in 0..<tables.pointee.poolCount {
            guard let duties = tables.pointee.pools[index].policy?.pointee.duties else { continue }
            timers.stop(duties.timer)
            var probes: [UnsafeMutablePointer<Probe>] = []
            while let probe = duties.pointee.firstProbe {
                duties.pointee.firstProbe = probe.pointee.next
                probes.append(probe)
            }
            end(probes)
        }
    }

    // MARK: One check

    func probeDue(_ owner: UnsafeMutableRawPointer) {
        let probe = owner.assumingMemoryBound(to: Probe.self)
        let duties = probe.pointee.duties
        guard !probe.pointee.isRunning, !draining, let plan = duties.pointee.check else { return }
        let pool = duties.pointee.pool
        guard let exchange = beginOwnExchange(pool) else {
            askLater(probe, plan)
            return
        }
        probe.pointee.isRunning = true
        exchange.pointee.probe = probe
        guard describeProbe(exchange, plan) else {
            exchange.pointee.probeResult = .notMade
            return perform(exchange, .finish(keepAlive: false))
        }
        armTimer(exchange)
        // Past the pipeline: there is no client's request that it could do anything with.
        _ = exchange.pointee.machine.handle(.modelFiltersPassed(payloadNeeded: false))
        perform(exchange, beginProbe(exchange, pool, plan, probe))
    }

    private func describeProbe(_ exchange: ExchangePointer, _ plan: HealthCheckPlan) -> Bool {
        guard
            describeOwnRequest(
                exchange, SLUICE_OPERATION_MODEL_READY, namesVersion: false, deadline: now &+ plan.timeoutNs),
            let out = allocate(exchange, sluice_message.self, 1), let body = allocate(exchange, sluice_bytes.self, 1)
        else { return false }
        body.initialize(to: plan.message)
        var check = sluice_message()
        check.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        check.method = sluice_bytes("GET")
        check.target = plan.path
        if plan.kind == .grpc {
            check.transport = UInt32(SLUICE_TRANSPORT_GRPC)
            check.method = sluice_bytes("POST")
            check.target = sluice_bytes("/grpc.health.v1.Health/Check")
            check.body = UnsafePointer(body)
            check.body_count = 1
            check.body_state = UInt32(SLUICE_BODY_WHOLE)
        }
        out.initialize(to: check)
        exchange.pointee.outgoing = out
        return true
    }

    private func beginProbe(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ plan: HealthCheckPlan,
        _ probe: UnsafeMutablePointer<Probe>
    ) -> ExchangeMachine.Action {
        if plan.kind == .ready, let action = encodeRequest(exchange, pool) {
            if exchange.pointee.probeResult != .notMade { exchange.pointee.probeResult = .unanswerable }
            return action
        }
        let (target, index) = (probe.pointee.endpoint, probe.pointee.index)
        let endpoint = workerEndpoint(target)
        if target.pointee.speaksHTTP2, plan.kind != .tcp {
            return takeCall(exchange, pool, endpoint, index)
        }
        // Over a connection of its own: whether one can be had is what is asked, too.
        return connect(exchange, pool, endpoint, index)
    }

    /// The connection stands. Nil: there is something to ask.
    func probeConnected(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        guard let probe = exchange.pointee.probe, probe.pointee.duties.pointee.check?.kind == .tcp else { return nil }
        exchange.pointee.probeResult = .succeeded
        return .finish(keepAlive: false)
    }

    /// The head of an answer is there. Nil: what counts comes behind it.
    func probeAnswered(_ exchange: ExchangePointer, status: UInt16) -> ExchangeMachine.Action? {
        guard let probe = exchange.pointee.probe, probe.pointee.duties.pointee.check?.kind == .http else { return nil }
        exchange.pointee.probeResult = (200..<400).contains(status) ? .succeeded : .failed
        return .finish(keepAlive: false)
    }

    /// The whole answer is there. Nil: the pool's adapter is to say what it means.
    func probeGathered(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        guard let probe = exchange.pointee.probe, probe.pointee.duties.pointee.check?.kind == .grpc else { return nil }
        guard let message = exchange.pointee.responseMessage else { return .finish(keepAlive: false) }
        // Whatever it says is wrong has been said by ending the exchange.
        if let action = readCallResponse(exchange, message) { return action }
        let body = message.pointee.body_count > 0 ? message.pointee.body[0] : .empty
        exchange.pointee.probeResult = HealthMessage.isServing(body) ? .succeeded : .failed
        return .finish(keepAlive: false)
    }

    /// The exchange of a check has ended, one way or another.
    func probeEnded(_ exchange: ExchangePointer, _ probe: UnsafeMutablePointer<Probe>) {
        exchange.pointee.probe = nil
        probe.pointee.isRunning = false
        let duties = probe.pointee.duties
        guard let plan = duties.pointee.check else { return }
        let pool = duties.pointee.pool
        guard pool.pointee.generation == generation else { return }
        let member = probe.pointee.member.pointee
        switch exchange.pointee.probeResult {
        case .unanswerable: return unanswerable(probe, pool, plan)
        case .notMade:
            if !draining { askLater(probe, plan) }
            return
        case .failed, .succeeded: break
        }
        let succeeded = exchange.pointee.probeResult == .succeeded
        metrics.checked(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics), succeeded: succeeded)
        let change = member.health.pointee.record(succeeded: succeeded, now: now, plan.settings)
        if succeeded, member.isAwaited {
            member.endAwaiting()
            member.warmingSince = now
            availabilityChanged(pool.pointee.shared)
        }
        if change != .none {
            member.endAwaiting()
            let endpoint = probe.pointee.endpoint
            let isHealthy = change == .becameHealthy
            member.isDown = !isHealthy
            if isHealthy { member.warmingSince = now }
            endpoint.pointee.setHealthy(isHealthy)
            availabilityChanged(pool.pointee.shared)
            tell(pool, endpoint.pointee.text, isHealthy ? "endpoint is healthy" : "endpoint is unhealthy")
            healthChanged(pool)
        }
        guard !draining else { return }
        let next = member.health.pointee.nextCheck(
            now: now, random: nextRandom(), isAwaited: member.isAwaited, plan.settings)
        timers.start(probe.timer, at: next / 1_000_000 + 1)
    }
}

extension Worker {
    /// The gateway has no room to ask now, which is no word on the endpoint: it is asked when one check's time has
    /// passed, in which what others hold may have come free.
    private func askLater(_ probe: UnsafeMutablePointer<Probe>, _ plan: HealthCheckPlan) {
        timers.start(probe.timer, at: nowMs &+ max(plan.timeoutNs / 1_000_000, 1))
    }

    /// The pool's protocol has no such question: nothing is known of the endpoint, which takes requests as without
    /// checks. Said once for a generation.
    private func unanswerable(
        _ probe: UnsafeMutablePointer<Probe>, _ pool: UnsafeMutablePointer<WorkerPool>, _ plan: HealthCheckPlan
    ) {
        let duties = probe.pointee.duties
        if !duties.pointee.isToldUnanswerable {
            duties.pointee.isToldUnanswerable = true
            tell(pool, nil, "no health check of type ready: the protocol of the endpoints has no such question")
        }
        // Another check may have put it out, before a reload.
        revive(pool, probe.pointee.member, probe.pointee.endpoint)
        // Whether it is so is the adapter's to say, and it may say otherwise of a later request.
        if !draining { timers.start(probe.timer, at: nowMs &+ max(plan.settings.interval / 1_000_000, 1_000)) }
    }
}

extension UnsafeMutablePointer<Probe> {
    /// The probe's timer: its first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}

extension UnsafeMutablePointer<HealthDuties> {
    /// The duties' timer: their first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}
