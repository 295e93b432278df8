import CLinux
import Glibc
import HTTP1
import SluiceABI

/// What a timer means when it has expired, and which limit an exchange is under.
extension Worker {
    /// Not inlined: the loop would check the listeners' array for exclusivity each turn.
    @inline(never)
    func expired(_ timer: UnsafeMutablePointer<TimerNode>) {
        guard let owner = timer.pointee.owner else { return }
        switch timer.pointee.kind {
        case TimerKind.client: clientTimerExpired(owner.assumingMemoryBound(to: ClientConnection.self))
        case TimerKind.exchange: exchangeTimerExpired(owner.assumingMemoryBound(to: Exchange.self))
        case TimerKind.upstream: upstreamTimerExpired(owner.assumingMemoryBound(to: UpstreamConnection.self))
        case TimerKind.batching: batchTimerExpired(owner)
        case TimerKind.accepting: resumeAccepting()
        case TimerKind.probe: probeDue(owner)
        case TimerKind.outliers: compareEndpoints(owner)
        case TimerKind.poolRoom: roomTimerExpired(owner)
        default: pluginTimerExpired(owner)
        }
    }

    /// A body is on its way at present, so that its progress counts, not the deadline. One that waits for a plugin or a
    /// connection does not flow.
    func bodyFlows(_ exchange: ExchangePointer) -> Bool {
        // Read in its place: a copy of the machine costs more than all that is asked of it.
        if exchange.pointee.machine.responseBegan { return true }
        // While a second attempt is sent all of the body is at hand.
        if exchange.pointee.machine.requestBodyEnded || exchange.pointee.machine.replaysBody
            || exchange.pointee.rival != nil
        {
            return false
        }
        switch exchange.pointee.machine.phase {
        case .gathering: return true
        case .awaitingResponse, .gatheringResponse: return exchange.pointee.passes
        default: return false
        }
    }

    /// When the exchange has taken too long, in milliseconds. While a body moves, only standing still counts; between
    /// the bodies it is the deadline, which counts from the last byte of the request.
    private func limitMs(_ exchange: ExchangePointer) -> UInt64 {
        // A call's own deadline holds whatever moves (grpc.io/docs/guides/deadlines).
        let limit = stepLimitMs(exchange)
        return exchange.pointee.callDeadline == .max ? limit : min(limit, exchange.pointee.callDeadline / 1_000_000)
    }

    private func stepLimitMs(_ exchange: ExchangePointer) -> UInt64 {
        if bodyFlows(exchange) {
            let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
            if exchange.pointee.isTunnel { return exchange.pointee.progressAt &+ limits.tunnelTimeoutMs }
            // Streams of messages stand still between two of them, and so do those of events: servers that keep one
            // open send a comment every 15 seconds (HTML Living Standard §9.2.7). A client has to read all the same.
            let mayPause =
                exchange.pointee.isGRPC
                || exchange.pointee.answersEvents && exchange.pointee.machine.responseBegan
                    && isEndpointAwaited(exchange)
            return exchange.pointee.progressAt
                &+ (mayPause ? max(limits.bodyTimeoutMs, limits.idleTimeoutMs) : limits.bodyTimeoutMs)
        }
        let deadline = deadlineMs(exchange)
        if exchange.pointee.machine.phase == .backingOff {
            return min(deadline, (exchange.pointee.retryAt &+ 999_999) / 1_000_000)
        }
        return min(deadline, tryLimitMs(exchange))
    }

    /// The request may go on: neither its deadline nor its client's has come, and it is not its body that is late.
    func hasTimeLeft(_ exchange: ExchangePointer) -> Bool {
        !bodyFlows(exchange) && nowMs < min(deadlineMs(exchange), exchange.pointee.callDeadline / 1_000_000)
    }

    /// What is left of the request's deadline, nanoseconds; 0 when that has come.
    func deadlineLeft(_ exchange: ExchangePointer) -> UInt64 {
        let deadline = deadlineNs(exchange)
        return deadline == .max ? .max : deadline &- min(deadline, now)
    }

    /// The request's deadline, nanoseconds of the monotonic clock; `.max`: none.
    func deadlineNs(_ exchange: ExchangePointer) -> UInt64 {
        let deadline = deadlineMs(exchange).multipliedReportingOverflow(by: 1_000_000)
        return deadline.overflow ? .max : deadline.partialValue
    }

    private func deadlineMs(_ exchange: ExchangePointer) -> UInt64 {
        let deadline = exchange.pointee.request?.pointee.deadline_ns ?? exchange.pointee.receivedAt
        let limit = (deadline &+ 999_999) / 1_000_000
        let began = exchange.pointee.receivedAt / 1_000_000
        return exchange.pointee.progressAt > began
            ? max(limit, exchange.pointee.progressAt &+ (limit &- min(limit, began))) : limit
    }

    /// When the attempt under way has used up its own time, which is for the head of its answer, from the last byte of
    /// the request on; none that waits for one, or none limited: never.
    private func tryLimitMs(_ exchange: ExchangePointer) -> UInt64 {
        guard !exchange.pointee.machine.responseBegan, let perTry = exchange.pointee.pool?.pointee.retry.perTryNs,
            perTry > 0
        else { return .max }
        let waits = exchange.pointee.attemptOpen && exchange.pointee.firstByteAt == 0
        var began = waits ? exchange.pointee.awaitedSince : .max
        if let rival = exchange.pointee.rival, rival.pointee.attemptOpen, rival.pointee.firstByteAt == 0 {
            began = min(began, rival.pointee.awaitedSince)
        }
        return began == .max ? .max : (began &+ perTry &+ 999_999) / 1_000_000
    }

    /// The same in nanoseconds, for whoever is to give up no earlier than we do.
    func limitNs(_ exchange: ExchangePointer) -> UInt64 {
        let limit = limitMs(exchange).multipliedReportingOverflow(by: 1_000_000)
        return limit.overflow ? .max : limit.partialValue
    }

    /// Starts the exchange's timer for the limit that applies now. One that is due before stays as it is, and is
    /// started anew when it finds itself too early: nearly all requests are over by then.
    func armTimer(_ exchange: ExchangePointer) {
        let due = min(limitMs(exchange), hedgeMs(exchange), lookMs(exchange))
        if exchange.timer.pointee.isRunning, exchange.timer.pointee.deadline <= due { return }
        timers.start(exchange.timer, at: due)
    }

    private func hedgeMs(_ exchange: ExchangePointer) -> UInt64 {
        exchange.pointee.hedgeAt == 0 ? .max : (exchange.pointee.hedgeAt &+ 999_999) / 1_000_000
    }

    private func exchangeTimerExpired(_ exchange: ExchangePointer) {
        let machine = exchange.pointee.machine
        let bodyFlows = bodyFlows(exchange)
        if bodyFlows { noteUnseenProgress(exchange) }
        let limit = limitMs(exchange)
        if nowMs < limit {
            if hedgeMs(exchange) <= nowMs { return hedge(exchange) }
            armTimer(exchange)
            return
        }
        if exchange.pointee.callDeadline / 1_000_000 <= nowMs {
            countTimeout(exchange, .deadline)
            exchange.pointee.status = SLUICE_DEADLINE_EXCEEDED
            attemptTookTooLong(exchange)
            perform(exchange, machine.responseBegan ? .cut : .failDeadline)
            return
        }
        if exchange.pointee.isTunnel {
            metrics.timedOut(.idle)
            exchange.pointee.status = SLUICE_DEADLINE_EXCEEDED
            perform(exchange, .endTunnel)
            return
        }
        if bodyFlows {
            // A client that does not read is as slow as one that does not send.
            metrics.timedOut(.body)
            exchange.pointee.answerFault = .stoodStill
            // An endpoint that does not read, or a connection that is not to be had, holds the client's body up, too.
            let isClientAwaited = exchange.pointee.upstream?.pointee.writable ?? (machine.phase == .gathering)
            let byClient = !machine.requestBodyEnded && isClientAwaited
            if isEndpointAwaited(exchange) { finishAttempt(exchange, .timeout, SLUICE_DEADLINE_EXCEEDED) }
            perform(exchange, exchange.pointee.machine.handle(.bodyTimedOut(byClient: byClient)))
            return
        }
        if machine.phase == .backingOff, nowMs < deadlineMs(exchange) {
            // The wait took the timer, and what follows may wait for ever: on an endpoint, or in the queue.
            let action = exchange.pointee.machine.handle(.retryDue)
            armTimer(exchange)
            perform(exchange, action)
            return
        }
        if nowMs < deadlineMs(exchange), tryLimitMs(exchange) <= nowMs {
            metrics.timedOut(.attempt)
            if let rival = exchange.pointee.rival, rival.pointee.attemptOpen, rival.pointee.firstByteAt == 0,
                !exchange.pointee.attemptOpen || exchange.pointee.firstByteAt != 0
                    || rival.pointee.awaitedSince < exchange.pointee.awaitedSince
            {
                swapAttempts(exchange)
            }
            finishAttempt(exchange, .timeout, SLUICE_DEADLINE_EXCEEDED)
            detachUpstream(exchange)
            perform(exchange, attemptFailed(exchange, .tryTimedOut))
            return
        }
        countTimeout(exchange, machine.phase == .queued ? .queue : .response)
        exchange.pointee.status = SLUICE_DEADLINE_EXCEEDED
        attemptTookTooLong(exchange)
        perform(exchange, exchange.pointee.machine.handle(.deadlinePassed))
    }

    /// A request's limit in time was reached. Those of a batch are its members', each of which counts its own.
    func countTimeout(_ exchange: ExchangePointer, _ kind: TimeoutKind) {
        if exchange.pointee.batch == nil { metrics.timedOut(kind) }
    }

    /// The deadline has come in the middle of an attempt. One whose answer a filter holds took no longer than it may.
    private func attemptTookTooLong(_ exchange: ExchangePointer) {
        if exchange.pointee.machine.phase == .suspended { return endAttempt(exchange) }
        if exchange.pointee.rival != nil {
            // Of two attempts it is the first that had the time; the second one was only begun late.
            if exchange.pointee.isHedge { swapAttempts(exchange) }
            settleHedge(exchange)
        }
        finishAttempt(exchange, .timeout, SLUICE_DEADLINE_EXCEEDED)
    }

    /// A body stands still, and it is the endpoint that neither takes nor gives. A client that could take more, and has
    /// sent all that it had to, or as much as the endpoint wants, waits as we do.
    private func isEndpointAwaited(_ exchange: ExchangePointer) -> Bool {
        guard let upstream = exchange.pointee.upstream else { return false }
        let takesNothing = !upstream.pointee.writable
        guard exchange.pointee.machine.responseBegan else { return takesNothing }
        guard exchange.pointee.client?.pointee.writable == true else { return false }
        return takesNothing || exchange.pointee.machine.requestBodyEnded
    }
}
