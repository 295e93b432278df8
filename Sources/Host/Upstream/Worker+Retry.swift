import CLinux
import Glibc
import HTTP1
import Resilience
import SluiceABI

/// Attempts that failed before a byte of their answer went to the client: whether another one follows, and when.
extension Worker {
    /// Reports the failure to the exchange's machine. Where there is to be another attempt, the request stands at its
    /// first byte again.
    func attemptFailed(
        _ exchange: ExchangePointer, _ failure: ExchangeMachine.Failure
    ) -> ExchangeMachine.Action {
        if exchange.pointee.rival != nil { return otherGoesOn(exchange, failure) }
        if plan(exchange, failure, retryAfter: 0) { exchange.pointee.machine.grantRetry() }
        let action = exchange.pointee.machine.handle(.attemptFailed(failure))
        if action == .acquireFreshConnection || action == .backOff { rewind(exchange) }
        return action
    }

    /// Whether policy, deadline and budget have room for another attempt; if so, when it is due. `retryAfter`: what the
    /// endpoint asked for, nanoseconds.
    private func plan(
        _ exchange: ExchangePointer, _ failure: ExchangeMachine.Failure, retryAfter: UInt64
    ) -> Bool {
        let machine = exchange.pointee.machine
        guard let pool = exchange.pointee.pool, pool.pointee.retry.policy.attempts > 1, exchange.pointee.isBudgeted,
            machine.mayRetry(after: failure)
        else { return false }
        let callDeadline = exchange.pointee.callDeadline
        let callLeft = callDeadline == .max ? .max : callDeadline &- min(callDeadline, now)
        let failed = FailedAttempt(
            attempt: UInt32(machine.countedAttempts &- exchange.pointee.attemptsElsewhere),
            outcome: outcome(of: failure, isRepeatable: machine.repeatable), isRepeatable: machine.repeatable,
            nothingSent: failure == .connectFailed, deadlineLeft: min(deadlineLeft(exchange), callLeft),
            retryAfter: retryAfter)
        guard case .retry(let delay) = RetryPolicy.decide(failed, pool.pointee.retry.policy, random: nextRandom())
        else {
            return false
        }
        let budget = pool.pointee.shared.pointee.state.budget
        guard exchange.pointee.holdsRetry || budget.takeRetry(pool.pointee.retry.budget) else {
            metrics.retryRefused(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
            return false
        }
        exchange.pointee.holdsRetry = true
        exchange.pointee.retryAt = now &+ delay
        return true
    }

    private func outcome(of failure: ExchangeMachine.Failure, isRepeatable: Bool) -> Resilience.AttemptOutcome {
        switch failure {
        case .connectFailed: .connectFailed
        case .closedBeforeResponse: .connectionLost
        // The endpoint has not looked at it, but what was sent of its body may be gone.
        case .refused: isRepeatable ? .refusedUnprocessed : .connectionLost
        case .badResponse: .malformedAnswer
        case .tryTimedOut: .timedOut
        case .retryableStatus: .listedStatus
        }
    }

    /// The exchange is no request under way of its pool any more, for the budget: it has ended, or goes to another.
    func leaveBudget(_ exchange: ExchangePointer) {
        guard exchange.pointee.isBudgeted, let pool = exchange.pointee.pool else { return }
        exchange.pointee.isBudgeted = false
        if exchange.pointee.holdsRetry { endRetry(exchange) }
        pool.pointee.shared.pointee.state.budget.requestEnds()
    }

    /// The last of the exchange's attempts has its answer, or there is none more.
    func endRetry(_ exchange: ExchangePointer) {
        exchange.pointee.holdsRetry = false
        exchange.pointee.pool?.pointee.shared.pointee.state.budget.retryEnds()
    }

    func enterBudget(_ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>) {
        guard pool.pointee.retry.policy.attempts > 1 || pool.pointee.hedging != nil, !exchange.pointee.isBudgeted else {
            return
        }
        exchange.pointee.isBudgeted = true
        exchange.pointee.attemptsElsewhere = exchange.pointee.machine.countedAttempts
        pool.pointee.shared.pointee.state.budget.requestBegins()
    }

    /// The wait before the next attempt begins; it may be none.
    func backOff(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard exchange.pointee.retryAt > now else { return exchange.pointee.machine.handle(.retryDue) }
        armTimer(exchange)
        return .none
    }

    // MARK: Answers that another attempt may better

    /// The head of a response with a status from 400, or of a call that failed, is in `responseScratch`, and nothing of
    /// it was shown to anybody. Nil: it is the answer.
    @inline(never)
    func retryAnswer(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>, call: sluice_status
    ) -> ExchangeMachine.Action? {
        guard let pool = exchange.pointee.pool else { return nil }
        let status = exchange.pointee.httpStatus
        let failures = pool.pointee.retry.failures
        guard call < 0 ? failures.holds(call: call) : failures.holds(http: status) else { return nil }
        if exchange.pointee.rival != nil {
            // Another attempt is under way already.
            discardAnswer(exchange, upstream, call)
            return otherGoesOn(exchange, .retryableStatus)
        }
        guard plan(exchange, .retryableStatus, retryAfter: retryAfter(status)) else {
            return degradeAnswer(exchange, call)
        }
        discardAnswer(exchange, upstream, call)
        return tryAgain(exchange)
    }

    /// The same for the answer to a call that the gateway made, whose status came behind it.
    func retryGathered(_ exchange: ExchangePointer, _ status: sluice_status) -> ExchangeMachine.Action? {
        guard let pool = exchange.pointee.pool, pool.pointee.retry.failures.holds(call: status),
            plan(exchange, .retryableStatus, retryAfter: 0)
        else { return nil }
        // A hundred attempts may each have had an answer: this one's is the last that the exchange took.
        if exchange.pointee.responseMessage?.pointee.body_count ?? 0 > 0 {
            buffers.give(exchange.pointee.ownedBuffers.removeLast())
        }
        forgetAnswer(exchange)
        return tryAgain(exchange)
    }

    private func tryAgain(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        exchange.pointee.machine.grantRetry()
        let action = exchange.pointee.machine.handle(.attemptFailed(.retryableStatus))
        if action == .backOff { rewind(exchange) }
        return action
    }

    /// Of a small answer that has come whole the connection is kept.
    func discardAnswer(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ call: sluice_status
    ) {
        exchange.pointee.status = call
        let flow = exchange.pointee.toClient
        if !upstream.pointee.isStream, flow.source == .length || flow.sourceEnded,
            UInt64(upstream.pointee.input.count) >= flow.remaining || flow.sourceEnded
        {
            if !flow.sourceEnded { upstream.pointee.input.start &+= Int(flow.remaining) }
            exchange.pointee.toClient.remaining = 0
            exchange.pointee.toClient.sourceEnded = true
            endUpstream(exchange)
        } else {
            finishAttempt(exchange, .serverError, SLUICE_OK)
            detachUpstream(exchange)
        }
        exchange.pointee.status = SLUICE_OK
        exchange.pointee.httpStatus = 0
        forgetAnswer(exchange)
    }

    /// What was read of an answer that nobody is to see.
    func forgetAnswer(_ exchange: ExchangePointer) {
        exchange.pointee.toClient.setSource(.none)
        exchange.pointee.toClient.decoder = ChunkedDecoder()
        buffers.give(exchange.pointee.toClient.trailers)
        exchange.pointee.toClient.trailers = .none
        buffers.give(exchange.pointee.gathered)
        exchange.pointee.gathered = .none
        exchange.pointee.responseMessage = nil
        exchange.pointee.firstByteAt = 0
        exchange.pointee.toClient.digest?.pointee = BodyDigest()
        exchange.pointee.answerLink = Exchange.allLinks
        forgetEdits(exchange)
    }

    /// What the response asks for, nanoseconds from now (RFC 9110 §10.2.3); 0: nothing that can be read.
    private func retryAfter(_ status: UInt16) -> UInt64 {
        guard status == 503 || status == 429 else { return 0 }
        let fields = responseScratch.pointee.fields
        let name = sluice_bytes("Retry-After")
        for index in 0..<fields.count where fields[index].name.equalsIgnoringCase(name) {
            return RetryAfter.delay(fields[index].value, wall: clinux_wall_ns())
        }
        return 0
    }

    /// Not for secrets: spreads waits and probes (Vigna, "An experimental exploration of Marsaglia's xorshift
    /// generators, scrambled", 2016).
    func nextRandom() -> UInt64 {
        var state = random
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        random = state
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
