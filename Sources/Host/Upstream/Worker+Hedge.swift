import HTTP1
import Resilience
import SluiceABI

/// A second attempt on another endpoint beside one that is slow (hedging): the first answer is taken, the other attempt
/// is cancelled. An exchange shows one attempt, the one that something has happened to last, and has the other one put
/// aside; all that is known of attempts elsewhere is about the one shown.
extension Worker {
    /// The request has been sent, as far as it could be, or to its end: when a second attempt is due. A client's time
    /// for its body is none of the endpoint's.
    func planHedge(_ exchange: ExchangePointer, _ hedging: UnsafeMutablePointer<PoolHedging>) {
        guard !exchange.pointee.wasHedged, exchange.pointee.shadow == nil, exchange.pointee.probe == nil else { return }
        // Once in each pool that it comes to.
        if !exchange.pointee.raisesHedges {
            exchange.pointee.raisesHedges = true
            hedging.pointee.allowance.requestBegins(hedging.pointee.settings)
        }
        guard let delay = hedging.pointee.delay(now: now) else { return }
        exchange.pointee.hedgeAt = max(exchange.pointee.awaitedSince &+ delay, now)
        armTimer(exchange)
    }

    /// The time is there. Not every request can be hedged, nor may every one be.
    func hedge(_ exchange: ExchangePointer) {
        exchange.pointee.hedgeAt = 0
        armTimer(exchange)
        guard let pool = exchange.pointee.pool, let hedging = pool.pointee.hedging, pool.pointee.endpointCount > 1,
            mayHedge(exchange), let rival = allocate(exchange, RivalAttempt.self, 1)
        else { return }
        let id = PoolMetricsID(index: pool.pointee.shared.pointee.metrics)
        guard hedging.pointee.allowance.take() else { return metrics.hedgeRefused(pool: id) }
        guard hedging.pointee.begins() else { return metrics.hedgeRefused(pool: id) }
        guard pool.pointee.shared.pointee.state.budget.takeRetry(pool.pointee.retry.budget) else {
            hedging.pointee.ends()
            return metrics.hedgeRefused(pool: id)
        }
        exchange.pointee.holdsHedge = true
        exchange.pointee.rival = rival
        let action = exchange.pointee.machine.handle(.hedgeDue)
        guard action == .acquireHedge else {
            exchange.pointee.rival = nil
            return endHedge(exchange)
        }
        rival.initialize(to: RivalAttempt(exchange.pointee))
        perform(exchange, action)
    }

    /// The request may be sent twice and was sent once, whole; not a byte of an answer has come.
    private func mayHedge(_ exchange: ExchangePointer) -> Bool {
        let machine = exchange.pointee.machine
        let flow = exchange.pointee.toEndpoint
        return machine.phase == .awaitingResponse && machine.repeatable && exchange.pointee.attemptOpen
            && exchange.pointee.firstByteAt == 0 && flow.begun && flow.sourceEnded && !flow.hasPieces
            && flow.staged.count == 0 && flow.trailers.isAbsent && !exchange.pointee.asksUpgrade
            && !exchange.pointee.wasHedged
    }

    /// A connection to another endpoint that has one to spare; the present attempt is put aside.
    func acquireHedge(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let pool = exchange.pointee.pool, let first = exchange.pointee.endpoint else { return .none }
        exchange.pointee.upstream = nil
        exchange.pointee.attemptOpen = false
        exchange.pointee.ticket = .none
        exchange.pointee.isHedge = true
        // The buffers of the flow that was put aside are its own.
        exchange.pointee.toEndpoint.staged = .none
        rewind(exchange)
        // It takes a place only where nobody waits for one.
        exchange.pointee.holdsCredit = false
        guard passesGate(exchange, pool, eligibleCount(pool), fresh: false), let index = chooseForHedge(exchange, first)
        else {
            dropShown(exchange)
            return exchange.pointee.machine.handle(.hedgeUnavailable)
        }
        let attempts = exchange.pointee.machine.attempts
        let action = take(exchange, pool, index, fresh: false)
        if exchange.pointee.machine.attempts > attempts {
            exchange.pointee.wasHedged = true
            metrics.hedged(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
        }
        return action
    }

    /// Another endpoint than the first attempt's, with a place to spare; nil: there is none.
    private func chooseForHedge(
        _ exchange: ExchangePointer, _ first: UnsafeMutablePointer<Endpoint>
    ) -> UInt32? {
        guard let pool = exchange.pointee.pool else { return nil }
        var count = markEligible(pool, anywhere: true)
        if count > 0 { count = strike(first, pool, count) }
        while let index = choose(exchange, pool, count) {
            if !isFull(pool, index) { return index }
            if exchange.pointee.ticket != .none { withdraw(exchange) }
            strike(index)
            count = countEligible(pool)
        }
        return nil
    }

    private func countEligible(_ pool: UnsafeMutablePointer<WorkerPool>) -> UInt32 {
        var count = 0
        for word in 0..<(pool.pointee.endpointCount + 63) >> 6 { count += eligible[word].nonzeroBitCount }
        return UInt32(count)
    }

    private func strike(
        _ endpoint: UnsafeMutablePointer<Endpoint>, _ pool: UnsafeMutablePointer<WorkerPool>, _ count: UInt32
    ) -> UInt32 {
        for index in 0..<pool.pointee.endpointCount where pool.pointee.targets[index] == endpoint {
            guard isEligible(UInt32(index)) else { break }
            strike(UInt32(index))
            return count &- 1
        }
        return count
    }

    // MARK: Two attempts

    /// Something has happened to one of an exchange's connections: from here on it is about that attempt.
    @inline(__always)
    func face(_ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        if exchange.pointee.rival != nil, exchange.pointee.upstream != upstream { swapAttempts(exchange) }
    }

    func swapAttempts(_ exchange: ExchangePointer) {
        guard let rival = exchange.pointee.rival else { return }
        _ = exchange.pointee.machine.handle(.otherAttempt)
        rival.pointee.trade(with: &exchange.pointee)
    }

    /// The attempt that is shown has failed, and was accounted for; the other one goes on alone.
    func otherGoesOn(
        _ exchange: ExchangePointer, _ failure: ExchangeMachine.Failure
    ) -> ExchangeMachine.Action {
        let action = exchange.pointee.machine.handle(.attemptFailed(failure))
        dropShown(exchange)
        armTimer(exchange)
        return action
    }

    /// Forgets the attempt that is shown, whose connection is given back, and shows the other one.
    private func dropShown(_ exchange: ExchangePointer) {
        guard let rival = exchange.pointee.rival else { return }
        if exchange.pointee.ticket != .none { withdraw(exchange) }
        leaveGate(exchange)
        buffers.give(exchange.pointee.toEndpoint.staged)
        exchange.pointee.toEndpoint.staged = .none
        // What it had not sent of the body is in the way of the client's next request.
        if !exchange.pointee.toEndpoint.sourceEnded { passBody(exchange) }
        rival.pointee.trade(with: &exchange.pointee)
        exchange.pointee.rival = nil
        endHedge(exchange)
    }

    /// The whole body was at hand: all of it has been taken from the client.
    private func passBody(_ exchange: ExchangePointer) {
        if let client = exchange.pointee.client, exchange.pointee.replaySize > 0 {
            client.pointee.input.start = exchange.pointee.replayStart + Int(exchange.pointee.replaySize)
        }
        _ = exchange.pointee.machine.handle(.requestBodyEnded)
    }

    /// The attempt that is shown is answered, or nobody wants an answer any more: the other one is cancelled.
    func settleHedge(_ exchange: ExchangePointer) {
        guard let rival = exchange.pointee.rival else { return }
        let status = exchange.pointee.httpStatus
        swapAttempts(exchange)
        exchange.pointee.httpStatus = 0
        // The first took at least as long: without it the slow ones would be missing from what is known of the pool. A
        // second attempt that loses was only begun late: its short life is no latency.
        if exchange.pointee.attemptOpen, !exchange.pointee.isHedge, let pool = exchange.pointee.pool {
            let latency = now &- exchange.pointee.awaitedSince
            pool.pointee.hedging?.pointee.histogram.record(latency)
            noteOutpaced(exchange, pool, latency)
        }
        finishAttempt(exchange, .cancelled, SLUICE_CANCELLED)
        detachUpstream(exchange)
        if exchange.pointee.ticket != .none { withdraw(exchange) }
        buffers.give(exchange.pointee.toEndpoint.staged)
        exchange.pointee.toEndpoint.staged = .none
        if !exchange.pointee.toEndpoint.sourceEnded { passBody(exchange) }
        swapAttempts(exchange)
        _ = exchange.pointee.machine.handle(.hedgeSettled)
        rival.pointee.upstream = nil
        exchange.pointee.rival = nil
        exchange.pointee.httpStatus = status
        if exchange.pointee.isHedge, status != 0, let pool = exchange.pointee.pool {
            metrics.hedgeWon(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
        }
        endHedge(exchange)
    }

    /// An endpoint for which others answer before it does shows no answers any more by which it could be found out.
    private func noteOutpaced(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ latency: UInt64
    ) {
        guard let policy = pool.pointee.policy, policy.pointee.outlierThreshold != nil,
            let index = presentIndex(exchange)
        else { return }
        OutlierCounter(policy.pointee.members[Int(index)].pointee.outlier).recordOutpaced(after: latency)
    }

    private func endHedge(_ exchange: ExchangePointer) {
        guard exchange.pointee.holdsHedge, let pool = exchange.pointee.pool else { return }
        exchange.pointee.holdsHedge = false
        pool.pointee.shared.pointee.state.budget.retryEnds()
        pool.pointee.hedging?.pointee.ends()
    }
}
