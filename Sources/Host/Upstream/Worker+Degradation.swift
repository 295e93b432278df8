import HTTP1
import SluiceABI

/// What answers in place of an error: the steps of the model's `fallback`, one after the other.
extension Worker {
    private static let fieldName: StaticString = "x-sluice-fallback"

    /// An error is about to be answered. Nil: there is no step left, or none that this exchange can take.
    func degrade(
        _ exchange: ExchangePointer, _ status: sluice_status
    ) -> ExchangeMachine.Action? {
        guard exchange.pointee.isDispatched, let fallback = exchange.pointee.fallback else { return nil }
        switch status {
        case SLUICE_UNAVAILABLE, SLUICE_RESOURCE_EXHAUSTED, SLUICE_DEADLINE_EXCEEDED: break
        // What is wrong with the request is wrong with it everywhere.
        default: return nil
        }
        guard !exchange.pointee.machine.responseBegan, exchange.pointee.machine.phase != .suspended else { return nil }
        // What there was of an answer is none, whoever gives another.
        forgetAnswer(exchange)
        guard let step = nextStep(fallback, exchange, status) else { return nil }
        return take(step, fallback, exchange, status)
    }

    /// A response came whose status is a failure, and no attempt is left.
    func degradeAnswer(
        _ exchange: ExchangePointer, _ call: sluice_status
    ) -> ExchangeMachine.Action? {
        guard let upstream = exchange.pointee.upstream, let fallback = exchange.pointee.fallback,
            let step = nextStep(fallback, exchange, SLUICE_UNAVAILABLE)
        else { return nil }
        discardAnswer(exchange, upstream, call)
        return take(step, fallback, exchange, SLUICE_UNAVAILABLE)
    }

    /// The next step that can be taken, with the chain behind it. That of a kept answer can be when there is one, which
    /// is in the exchange's response then.
    private func nextStep(
        _ fallback: UnsafePointer<FallbackChain>, _ exchange: ExchangePointer, _ status: sluice_status
    ) -> FallbackStep? {
        while Int(exchange.pointee.fallbackStep) < fallback.pointee.count {
            let step = fallback.pointee.steps[Int(exchange.pointee.fallbackStep)]
            exchange.pointee.fallbackStep &+= 1
            guard canTake(step, exchange, status) else { continue }
            if case .kept = step.kind, !findKept(fallback, exchange, status) { continue }
            return step
        }
        return nil
    }

    private func canTake(_ step: FallbackStep, _ exchange: ExchangePointer, _ status: sluice_status) -> Bool {
        switch step.kind {
        case .kept: return true
        // A call of gRPC has no body that could be fixed here: it is of the service's own types.
        case .response: return !exchange.pointee.isGRPC && exchange.pointee.client?.pointee.isRaw != true
        // With the deadline gone nobody else can answer in time either; an attempt's own time says nothing of others.
        case .pool(let index):
            let tables = exchange.pointee.generation.unsafelyUnwrapped
            return (status != SLUICE_DEADLINE_EXCEEDED || hasTimeLeft(exchange))
                && mayTakeRecovered(exchange, tables.pointee.pools + Int(index))
                && (!exchange.pointee.toEndpoint.begun || exchange.pointee.machine.repeatable)
        }
    }

    private func take(
        _ step: FallbackStep, _ fallback: UnsafePointer<FallbackChain>, _ exchange: ExchangePointer,
        _ error: sluice_status
    ) -> ExchangeMachine.Action? {
        guard setOwnField(exchange, sluice_field(name: sluice_bytes(Self.fieldName), value: step.name)) else {
            return failWithoutMemory(exchange)
        }
        metrics.degraded(pool: PoolMetricsID(index: fallback.pointee.metrics))
        switch step.kind {
        case .pool(let index): return divert(exchange, index)
        case .kept: return answerKept(exchange, fallback)
        case .response(let status):
            // It stands for the error: no model has answered.
            tellFilters(exchange, error)
            return answer(exchange, step, status)
        }
    }

    /// On with another pool, as if it had been routed there. Its model's filters are not run: the request has been
    /// through those of the model that it was routed to, which see what answers it, too.
    private func divert(_ exchange: ExchangePointer, _ index: UInt32) -> ExchangeMachine.Action? {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        guard exchange.pointee.machine.divert() else { return nil }
        rewind(exchange)
        // A message made for the pool that is left is none for this one. Pieces of the client's own stay.
        if !exchange.pointee.passes {
            exchange.pointee.toEndpoint.pieces = nil
            exchange.pointee.toEndpoint.pieceCount = 0
        }
        enter(exchange, tables.pointee.pools + Int(index))
        exchange.pointee.passes = false
        exchange.pointee.outgoing = nil
        exchange.pointee.avoided = nil
        exchange.pointee.raisesHedges = false
        shorten(exchange, to: tables.pointee.pools[Int(index)].timeoutNs)
        // An attempt's own time may have used up the timer.
        armTimer(exchange)
        return exchange.pointee.machine.handle(.modelFiltersPassed(payloadNeeded: dispatchNeedsPayload(exchange)))
    }

    /// The deadline is the request's as a whole, of which this pool's own time is no part but where it is the shorter.
    private func shorten(_ exchange: ExchangePointer, to timeout: UInt64) {
        let left = deadlineLeft(exchange)
        guard left > timeout, left < .max, let request = exchange.pointee.request else { return }
        // By as much as is too much: it counts from the last byte of the request, whatever it says.
        request.pointee.deadline_ns &-= left &- timeout
    }

    /// Leaves the pool that could not answer for another. What was read of its answer is forgotten already.
    private func enter(_ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>) {
        if exchange.pointee.client != nil { countRetries(exchange) }
        leavePool(exchange)
        let request = exchange.pointee.request.unsafelyUnwrapped
        exchange.pointee.pool = pool
        exchange.pointee.status = SLUICE_OK
        exchange.pointee.httpStatus = 0
        request.pointee.model_id = pool.pointee.model
    }

    private func answer(
        _ exchange: ExchangePointer, _ step: FallbackStep, _ status: UInt16
    ) -> ExchangeMachine.Action? {
        guard let field = allocate(exchange, sluice_field.self, 1), let piece = allocate(exchange, sluice_bytes.self, 1)
        else { return nil }
        leavePool(exchange)
        field.initialize(to: sluice_field(name: sluice_bytes("Content-Type"), value: step.contentType))
        piece.initialize(to: step.body)
        var out = sluice_message()
        out.status = UInt32(status)
        out.fields = UnsafePointer(field)
        out.field_count = 1
        out.body = UnsafePointer(piece)
        out.body_count = 1
        exchange.pointee.status = SLUICE_OK
        return send(exchange, out)
    }

    // MARK: Kept answers

    /// Asks the filters that the request has been through, the gateway's and then its model's, for an answer that one
    /// of them has kept.
    private func findKept(
        _ fallback: UnsafePointer<FallbackChain>, _ exchange: ExchangePointer, _ status: sluice_status
    ) -> Bool {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        // The answer is to be of the model that was asked, also when another one could not answer meanwhile. What the
        // exchange holds of its present pool it holds until the answer is taken.
        let present = exchange.pointee.pool
        let pool = tables.pointee.pools + Int(fallback.pointee.pool)
        exchange.pointee.pool = pool
        defer { exchange.pointee.pool = present }
        return askForKept(tables.pointee.filters, exchange, status)
            || askForKept(modelFilters(exchange), exchange, status)
    }

    private func askForKept(_ chain: FilterChain, _ exchange: ExchangePointer, _ status: sluice_status) -> Bool {
        let request = exchange.pointee.request.unsafelyUnwrapped
        for position in 0..<chain.count {
            let filter = chain.links + position
            guard let function = filter.pointee.onFailure else { continue }
            guard let answer = freshResponse(exchange) else { return false }
            let start = beginCall(exchange)
            let verdict = function(filter.pointee.instance, exchange.handle, request, status, answer)
            endCall(exchange, filter.pointee.plugin, start)
            if verdict == SLUICE_ANSWER {
                exchange.pointee.answeredBy = filter.pointee.plugin
                return true
            }
            // The error that is answered is the one that was there before.
            if verdict != SLUICE_OK { metrics.pluginFailed(plugin: PluginMetricsID(index: filter.pointee.plugin)) }
        }
        return false
    }

    private func answerKept(
        _ exchange: ExchangePointer, _ fallback: UnsafePointer<FallbackChain>
    ) -> ExchangeMachine.Action {
        let pool = exchange.pointee.generation.unsafelyUnwrapped.pointee.pools + Int(fallback.pointee.pool)
        enter(exchange, pool)
        // Nothing may be left of the deadline, and its timer is used up: a filter that suspends the answer has as long
        // for it as the model has, and no longer.
        if !hasTimeLeft(exchange) { exchange.pointee.request?.pointee.deadline_ns = now &+ pool.pointee.timeoutNs }
        armTimer(exchange)
        return answerUnified(exchange)
    }

    /// The error that follows is nobody's fault whom another pool could stand in for: a filter has refused the answer,
    /// the gateway has no memory for the request, its configuration goes, or it is what the endpoint has answered. Of a
    /// batch it is so for all members.
    func answersErrors(_ exchange: ExchangePointer) {
        exchange.pointee.fallback = nil
        exchange.pointee.batch?.pointee.answersErrors = true
    }

    /// An endpoint's error was read whole. Where the policy takes its status for a failure, fallbacks were asked before
    /// it was read, or are to be by a batch's members; any other one is an answer, which is passed on.
    func answersUnlisted(_ exchange: ExchangePointer, http: UInt32) {
        guard http >= 400, let pool = exchange.pointee.pool,
            !pool.pointee.retry.failures.holds(http: UInt16(clamping: http))
        else { return }
        answersErrors(exchange)
    }

    /// The same of the status that a call ended with.
    func answersUnlisted(_ exchange: ExchangePointer, call: sluice_status) {
        guard let pool = exchange.pointee.pool, !pool.pointee.retry.failures.holds(call: call) else { return }
        answersErrors(exchange)
    }

    // MARK: Pools

    /// The exchange is the pool's from now on. Once more after its payload was asked for, which changes nothing.
    func enterPool(_ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>) {
        if !exchange.pointee.isDispatched {
            exchange.pointee.isDispatched = true
            exchange.pointee.fallback = exchange.pointee.client == nil ? nil : pool.pointee.fallback
        }
        // A copy is never tried again, and is no request that others could be tried again beside.
        if exchange.pointee.shadow == nil { enterBudget(exchange, pool) }
    }

    /// The exchange has nothing more to do with its pool.
    @inline(__always)
    func leavePool(_ exchange: ExchangePointer) {
        if exchange.pointee.isBudgeted { leaveBudget(exchange) }
        if exchange.pointee.ticket != .none || exchange.pointee.modelTicket != .none { cancelTickets(exchange) }
    }
}
