import Glibc
import HTTP1
import Resilience
import SluiceABI

/// Which endpoints of a pool may be picked, and what the outcome of an attempt says of its endpoint.
extension Worker {
    @inline(__always)
    func isEligible(_ index: UInt32) -> Bool { eligible[Int(index >> 6)] >> UInt64(index & 63) & 1 != 0 }

    func strike(_ index: UInt32) { eligible[Int(index >> 6)] &= ~(1 << UInt64(index & 63)) }

    /// How many endpoints may be picked, whatever is preferred.
    @inline(__always)
    func eligibleCount(_ pool: UnsafeMutablePointer<WorkerPool>) -> UInt32 {
        guard let policy = pool.pointee.policy else { return UInt32(truncatingIfNeeded: pool.pointee.endpointCount) }
        let epoch = pool.pointee.shared.pointee.state.epoch.pointee.load(ordering: .acquiring)
        if policy.pointee.epoch != epoch || now >= policy.pointee.until { makeMask(pool, policy, epoch) }
        return policy.pointee.count
    }

    /// Sets `eligible` to the endpoints that may be picked, and says how many they are.
    /// - Parameter anywhere: no zone is preferred and no endpoint held back. For an attempt after a failed one: what
    ///   counts is that it goes elsewhere.
    func markEligible(_ pool: UnsafeMutablePointer<WorkerPool>, anywhere: Bool) -> UInt32 {
        let total = pool.pointee.endpointCount
        let words = (total + 63) >> 6
        guard let policy = pool.pointee.policy else {
            var word = 0
            while word < words {
                let rest = total &- word &* 64
                eligible[word] = rest >= 64 ? .max : (1 << UInt64(rest)) &- 1
                word &+= 1
            }
            return UInt32(truncatingIfNeeded: total)
        }
        let epoch = pool.pointee.shared.pointee.state.epoch.pointee.load(ordering: .acquiring)
        if policy.pointee.epoch != epoch || now >= policy.pointee.until { makeMask(pool, policy, epoch) }
        if policy.pointee.prefers, !anywhere { return markPreferred(pool, policy) }
        var word = 0
        while word < words {
            eligible[word] = policy.pointee.mask[word]
            word &+= 1
        }
        return policy.pointee.count
    }

    /// A walk over all members; only after something has changed, or while something is about to.
    @inline(never)
    private func makeMask(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>, _ epoch: UInt64
    ) {
        let total = pool.pointee.endpointCount
        var healthy = 0
        var known = 0
        for index in 0..<total {
            let member = policy.pointee.members[index].pointee
            if member.isAwaited { continue }
            known += 1
            if !member.isDown, member.ejectedUntil <= now { healthy += 1 }
        }
        let panics = isPanic(healthy: healthy, total: known, threshold: policy.pointee.panicPercent)
        for word in 0..<(total + 63) >> 6 { policy.pointee.mask[word] = 0 }
        var until = UInt64.max
        policy.pointee.count = 0
        mark(policy, total, awaited: false, panics: panics, &until)
        // Better an endpoint that nobody has asked yet than none.
        if policy.pointee.count == 0, known < total { mark(policy, total, awaited: true, panics: panics, &until) }
        policy.pointee.masks &+= 1
        policy.pointee.epoch = epoch
        policy.pointee.until = min(until, weighPreferences(pool, policy))
    }

    /// Adds those to the mask that may be picked, of those whose first check is awaited or of the others.
    private func mark(
        _ policy: UnsafeMutablePointer<PoolPolicy>, _ total: Int, awaited: Bool, panics: Bool, _ until: inout UInt64
    ) {
        for index in 0..<total {
            let member = policy.pointee.members[index].pointee
            guard member.isAwaited == awaited else { continue }
            let outlook = member.outlook(
                now: now, breaker: policy.pointee.breaksEndpoints ? policy.pointee.breaker : nil, panics: panics)
            until = min(until, outlook.until)
            guard outlook.mayBePicked else { continue }
            policy.pointee.mask[index >> 6] |= 1 << UInt64(index & 63)
            policy.pointee.count &+= 1
        }
    }

    // MARK: Breakers

    /// Whether the breaker of an endpoint lets the exchange's attempt through. In `ticket` is what it is to be told.
    func admits(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ index: UInt32
    ) -> Bool {
        guard let policy = pool.pointee.policy, policy.pointee.breaksEndpoints, let settings = policy.pointee.breaker
        else { return true }
        let member = policy.pointee.members[Int(index)]
        switch CircuitBreaker(member.pointee.breaker, settings).admits(now: now, random: nextRandom()) {
        case .closed(let ticket), .probe(let ticket):
            exchange.pointee.ticket = ticket
            exchange.pointee.ticketMember = member
            return true
        case .refused: return false
        }
    }

    /// The attempt that was let through is not made.
    func withdraw(_ exchange: ExchangePointer) {
        guard exchange.pointee.ticket != .none, let pool = exchange.pointee.pool, let policy = pool.pointee.policy,
            let settings = policy.pointee.breaker, let member = exchange.pointee.ticketMember
        else { return }
        cancel(CircuitBreaker(member.pointee.breaker, settings), exchange.pointee.ticket, pool)
        exchange.pointee.ticket = .none
    }

    /// A probe's place that is given back is told: who comes in the same turn finds it.
    private func cancel(
        _ breaker: CircuitBreaker, _ ticket: CircuitBreakerTicket, _ pool: UnsafeMutablePointer<WorkerPool>
    ) {
        breaker.cancel(ticket)
        guard ticket.isProbe else { return }
        availabilityChanged(pool.pointee.shared)
    }

    /// The breaker of the model as a whole, where there is one and it has not let the exchange through yet.
    @inline(__always)
    private func modelBreaker(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> CircuitBreaker? {
        guard let policy = pool.pointee.policy, policy.pointee.breaksModel, let settings = policy.pointee.breaker,
            exchange.pointee.modelTicket == .none
        else { return nil }
        return CircuitBreaker(pool.pointee.shared.pointee.state.breaker, settings)
    }

    /// Asks the model's breaker. Nil: the exchange may go on.
    func admitsModel(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action? {
        guard let breaker = modelBreaker(exchange, pool) else { return nil }
        switch breaker.admits(now: now, random: nextRandom()) {
        case .closed(let ticket), .probe(let ticket):
            exchange.pointee.modelTicket = ticket
            return nil
        case .refused: return refuseForModel(exchange, breaker)
        }
    }

    private func refuseForModel(_ exchange: ExchangePointer, _ breaker: CircuitBreaker) -> ExchangeMachine.Action {
        metrics.rejected(.breakerOpen)
        // While probes are under way nobody knows how long it takes.
        var wait: UInt64 = 1
        if case .open(let remaining) = breaker.state(now: now) { wait = max(remaining, 1) }
        return fail(
            exchange, SLUICE_UNAVAILABLE, 503, sluice_bytes("the model's circuit breaker is open"),
            retryAfter: UInt32(clamping: (wait &+ 999_999_999) / 1_000_000_000))
    }

    /// The exchange is about to wait for a place, which is for nothing where the model's breaker lets nobody through.
    /// Nil: it may.
    func refusesWaiting(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action? {
        guard let breaker = modelBreaker(exchange, pool) else { return nil }
        return breaker.wouldAdmit(now: now) ? nil : refuseForModel(exchange, breaker)
    }

    /// What was let through and of which nothing was said, since the exchange ends or leaves the pool.
    func cancelTickets(_ exchange: ExchangePointer) {
        withdraw(exchange)
        guard exchange.pointee.modelTicket != .none, let pool = exchange.pointee.pool, let policy = pool.pointee.policy,
            let settings = policy.pointee.breaker
        else { return }
        CircuitBreaker(pool.pointee.shared.pointee.state.breaker, settings).cancel(exchange.pointee.modelTicket)
        exchange.pointee.modelTicket = .none
    }

    // MARK: The end of an attempt

    /// Tells breakers and detector of an attempt on endpoint `index`; nil: it has left the pool, where nobody needs to
    /// know. Not inlined: pools without either pass it by.
    @inline(never)
    func judge(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ policy: UnsafeMutablePointer<PoolPolicy>, _ outcome: AttemptOutcome, _ index: UInt32?, _ firstByte: UInt64
    ) {
        let call = callStatus(exchange)
        let http = exchange.pointee.httpStatus
        let shared = pool.pointee.shared
        let member = index.map { policy.pointee.members[Int($0)].pointee }
        let failed = policy.pointee.breakerFailures.judge(outcome, http: http, call: call)
        settleTickets(exchange, pool, policy, failed)
        if let threshold = policy.pointee.outlierThreshold, let member, let endpoint = exchange.pointee.endpoint,
            let failed = policy.pointee.outlierFailures.judge(outcome, http: http, call: call),
            OutlierCounter(member.outlier).record(failed: failed, latency: firstByte, threshold: threshold)
        {
            peers[shared.pointee.homeWorker].mailbox.send(
                .failedInARow, value: endpoint.pointee.id, pointer: UnsafeMutableRawPointer(shared))
        }
    }

    /// The answer to a probe has begun. It may go on for hours, as streams do, which is longer than a probe has its
    /// place, and what the breaker waits to hear is said.
    func probeIsAnswered(_ exchange: ExchangePointer) {
        guard let pool = exchange.pointee.pool, let policy = pool.pointee.policy else { return }
        let http = exchange.pointee.httpStatus
        let failed = policy.pointee.breakerFailures.judge(.success, http: http, call: SLUICE_OK)
        settleTickets(exchange, pool, policy, failed)
    }

    /// A piece of an answer over HTTP/2 came. The head of a call's says nothing of how it goes; a message does.
    func messageCame(_ call: UnsafeMutablePointer<HTTP2Call>) {
        guard let exchange = call.pointee.upstream.exchange, exchange.pointee.isBreakerProbe,
            exchange.pointee.machine.responseBegan
        else { return }
        probeIsAnswered(exchange)
    }

    /// Tells breakers of the attempt that is shown: once for each ticket.
    private func settleTickets(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ policy: UnsafeMutablePointer<PoolPolicy>, _ failed: Bool?
    ) {
        guard let settings = policy.pointee.breaker else { return }
        if let member = exchange.pointee.ticketMember, let endpoint = exchange.pointee.endpoint {
            let breaker = CircuitBreaker(member.pointee.breaker, settings)
            settle(breaker, exchange.pointee.ticket, failed, pool, (member, endpoint.pointee.text))
        }
        exchange.pointee.ticket = .none
        // Of two attempts the last one says how the model does.
        guard policy.pointee.breaksModel, exchange.pointee.rival == nil else { return }
        let breaker = CircuitBreaker(pool.pointee.shared.pointee.state.breaker, settings)
        settle(breaker, exchange.pointee.modelTicket, failed, pool, nil)
        exchange.pointee.modelTicket = .none
    }

    /// `guarded`: the endpoint that the breaker guards; nil: it guards the model.
    private func settle(
        _ breaker: CircuitBreaker, _ ticket: CircuitBreakerTicket, _ failed: Bool?,
        _ pool: UnsafeMutablePointer<WorkerPool>,
        _ guarded: (member: UnsafeMutablePointer<PoolMember>, text: sluice_bytes)?
    ) {
        guard ticket != .none else { return }
        guard let failed else { return cancel(breaker, ticket, pool) }
        let change = breaker.record(failed: failed, ticket, now: now, random: nextRandom())
        if change == .none, !ticket.isProbe { return }
        availabilityChanged(pool.pointee.shared)
        switch change {
        case .none: break
        case .opened:
            metrics.breakerOpened(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
            tell(pool, guarded?.text, "circuit breaker opened")
        case .closed:
            guarded?.member.pointee.warmingSince = now
            tell(pool, guarded?.text, "circuit breaker closed")
        }
    }

    /// How a call of gRPC ended, as far as that is known; `SLUICE_OK` for all else.
    private func callStatus(_ exchange: ExchangePointer) -> sluice_status {
        if exchange.pointee.passes {
            guard exchange.pointee.isGRPC else { return SLUICE_OK }
            // Of an answer that is read here nobody has noted how it ended.
            guard exchange.pointee.status == SLUICE_OK, exchange.pointee.responseMessage != nil else {
                return exchange.pointee.status
            }
            return endpointStatus(exchange)?.status ?? SLUICE_OK
        }
        guard exchange.pointee.outgoing?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC) else { return SLUICE_OK }
        return endpointStatus(exchange)?.status ?? SLUICE_OK
    }

    // MARK: Log

    /// One line for the operator: what happened to an endpoint of a pool, or to the pool.
    func tell(_ pool: UnsafeMutablePointer<WorkerPool>, _ endpoint: sluice_bytes?, _ what: StaticString) {
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)) else { return }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1_024) { room in
            guard let base = room.baseAddress else { return }
            var writer = ByteWriter(base, capacity: room.count)
            writer.write(what)
            writer.write(": model ")
            let (model, version) = (pool.pointee.modelName, pool.pointee.versionName)
            writer.write(json: sluice_bytes(data: model.data, size: min(model.size, 100)))
            writer.write(" version ")
            writer.write(json: sluice_bytes(data: version.data, size: min(version.size, 100)))
            if let endpoint {
                writer.write(", endpoint ")
                writer.write(json: sluice_bytes(data: endpoint.data, size: min(endpoint.size, 200)))
            }
            HostLog.write(
                UInt32(SLUICE_LOG_WARNING),
                source: UnsafeRawBufferPointer(start: ("sluice" as StaticString).utf8Start, count: 6),
                message: UnsafeRawBufferPointer(start: base, count: writer.count))
        }
    }
}
