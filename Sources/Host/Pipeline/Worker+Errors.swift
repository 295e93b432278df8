import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Errors on their way to a client: in the shape of its protocol where an adapter has taken the request.
extension Worker {
    /// Answers with an error in the shape of the client's protocol, or cuts the connection when an answer has begun.
    func fail(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: StaticString
    ) -> ExchangeMachine.Action {
        fail(exchange, status, httpStatus, sluice_bytes(message))
    }

    /// `degradesAs`: what the model's fallback is asked to stand in for, where that is not `status`.
    func fail(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: sluice_bytes,
        retryAfter: UInt32 = 0, degradesAs: sluice_status? = nil
    ) -> ExchangeMachine.Action {
        exchange.pointee.status = status
        forgetEdits(exchange)
        // Whoever suspended the exchange is not asked again; nor does anybody else answer for it.
        let isSuspended = exchange.pointee.machine.phase == .suspended
        // Of a copy or a batch's request they have seen nothing.
        if isSuspended, exchange.pointee.client != nil {
            tellFilters(exchange, status)
            cancelFilters(exchange)
        }
        if exchange.pointee.rival != nil { settleHedge(exchange) }
        endAttempt(exchange)
        detachUpstream(exchange)
        leaveQueue(exchange)
        leaveBatchQueue(exchange)
        // Nobody waits for the answer.
        if exchange.pointee.probe != nil || exchange.pointee.shadow != nil { return .finish(keepAlive: false) }
        if exchange.pointee.batch != nil, exchange.pointee.client == nil {
            return failBatch(exchange, status, httpStatus, message, retryAfter: retryAfter)
        }
        if let action = degrade(exchange, degradesAs ?? status) { return action }
        if exchange.pointee.machine.responseBegan { return .cut }
        // No step of a fallback has given this answer.
        removeOwnField(exchange)
        if !isSuspended { tellFilters(exchange, status) }
        if exchange.pointee.isGRPC { return sendStatus(exchange, status, httpStatus, message) }
        var error = sluice_error()
        error.status = status
        error.http_status = httpStatus
        error.message = message
        error.retry_after_s = retryAfter
        var out = sluice_message()
        out.status = httpStatus
        if let adapter = exchange.pointee.adapter, let request = exchange.pointee.request {
            let start = beginCall(exchange)
            let verdict = adapter.pointee.table.pointee.encode_error.unsafelyUnwrapped(
                adapter.pointee.instance, exchange.handle, request, &error, &out)
            endCall(exchange, adapter.pointee.plugin, start)
            if verdict == SLUICE_OK { return send(exchange, out, retryAfter: retryAfter) }
            metrics.pluginFailed(plugin: PluginMetricsID(index: adapter.pointee.plugin))
        }
        // Nobody else knows the protocol.
        if exchange.pointee.client?.pointee.isRaw == true { return cutWithoutAnswer(exchange) }
        return sendDefaultError(exchange, httpStatus, message, retryAfter)
    }

    /// The shape of an error when no adapter has taken the request: `{"error": "…"}`. `extra` is one more field.
    func sendDefaultError(
        _ exchange: ExchangePointer, _ httpStatus: UInt32, _ message: sluice_bytes, _ retryAfter: UInt32,
        _ extra: sluice_field? = nil
    ) -> ExchangeMachine.Action {
        let room = message.size * 6 + 32
        guard let memory = allocate(exchange, UInt8.self, room), let piece = allocate(exchange, sluice_bytes.self, 1),
            let fields = allocate(exchange, sluice_field.self, 2)
        else {
            return cutWithoutAnswer(exchange)
        }
        var writer = ByteWriter(memory, capacity: room)
        writer.writeErrorObject(message)
        piece.initialize(to: writer.bytes)
        fields.initialize(to: sluice_field(name: sluice_bytes("Content-Type"), value: sluice_bytes(Self.json)))
        if let extra { (fields + 1).initialize(to: extra) }
        var out = sluice_message()
        out.status = httpStatus
        out.fields = UnsafePointer(fields)
        out.field_count = extra == nil ? 1 : 2
        out.body = UnsafePointer(piece)
        out.body_count = 1
        return send(exchange, out, retryAfter: retryAfter)
    }

    func cutWithoutAnswer(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        _ = exchange.pointee.machine.handle(.answering)
        return exchange.pointee.machine.handle(.bodyTimedOut(byClient: false))
    }

    func failWithoutMemory(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.memory)
        answersErrors(exchange)
        // Later it may be the endpoint's answer that is too large.
        if exchange.pointee.probe != nil, exchange.pointee.upstream == nil { exchange.pointee.probeResult = .notMade }
        exchange.pointee.batch?.pointee.isTooLarge = true
        return fail(
            exchange, SLUICE_RESOURCE_EXHAUSTED, 503, sluice_bytes("the request needs more memory than it may use"),
            retryAfter: 1)
    }

    /// The gateway itself has no socket, or no memory for one: no attempt was made, and nothing is said of an endpoint.
    func failWithoutSocket(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.memory)
        if exchange.pointee.probe != nil { exchange.pointee.probeResult = .notMade }
        if exchange.pointee.rival != nil { return otherGoesOn(exchange, .connectFailed) }
        return fail(
            exchange, SLUICE_RESOURCE_EXHAUSTED, 503, sluice_bytes("the gateway has no socket left"), retryAfter: 1)
    }

    /// A plugin returned an error, with or without a reason.
    /// - Parameters:
    ///   - http: the status of HTTP that the plugin itself has put into the response, where it was given one: 400 to
    ///     599 goes before the code's.
    ///   - answer: the endpoint's, if it is what the plugin read the error from.
    func failPlugin(
        _ exchange: ExchangePointer, _ status: sluice_status, _ plugin: Int32, http: UInt32 = 0,
        answer: sluice_message? = nil
    ) -> ExchangeMachine.Action {
        if status == SLUICE_RESOURCE_EXHAUSTED, exchange.pointee.arena.wasRefused {
            // It is not the plugin's to say what that means: for a batch, that it is too large.
            failureSize = 0
            return failWithoutMemory(exchange)
        }
        let known = status < 0 && status >= -16
        if !known { metrics.pluginFailed(plugin: PluginMetricsID(index: plugin)) }
        let code = known ? status : SLUICE_INTERNAL
        var message = sluice_bytes("the request was refused")
        if failureSize > 0, let kept = copy(exchange, sluice_bytes(failure, failureSize)) {
            message = kept
        } else if let answer, answer.status >= 300 {
            message = sentence(exchange, "the endpoint answered ", decimal(exchange, answer.status), "")
        } else if code == SLUICE_INTERNAL {
            message = sluice_bytes("a plugin failed on this request")
        }
        failureSize = 0
        let mapped = http >= 400 && http <= 599 ? http : Self.httpStatus(of: code)
        return fail(exchange, code, mapped, message, retryAfter: retryAfter(mapped, answer))
    }

    /// Seconds that a client is told to wait with an error that says "not now": as many as the endpoint's answer that
    /// is behind it, or one. 0 with others.
    func retryAfter(_ httpStatus: UInt32, _ answer: sluice_message?) -> UInt32 {
        guard httpStatus == 503 || httpStatus == 429 else { return 0 }
        return RetryAfter.seconds(answer, wall: clinux_wall_ns(), floor: 1)
    }

    /// Canonical codes to HTTP, as google.rpc.Code documents them.
    static func httpStatus(of status: sluice_status) -> UInt32 {
        switch status {
        case SLUICE_CANCELLED: 499
        case SLUICE_INVALID_ARGUMENT, SLUICE_FAILED_PRECONDITION, SLUICE_OUT_OF_RANGE: 400
        case SLUICE_DEADLINE_EXCEEDED: 504
        case SLUICE_NOT_FOUND: 404
        case SLUICE_ALREADY_EXISTS, SLUICE_ABORTED: 409
        case SLUICE_PERMISSION_DENIED: 403
        case SLUICE_UNAUTHENTICATED: 401
        case SLUICE_RESOURCE_EXHAUSTED: 429
        case SLUICE_UNIMPLEMENTED: 501
        case SLUICE_UNAVAILABLE: 503
        default: 500
        }
    }

    func failUnknownModel(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.unknownModel)
        let request = exchange.pointee.request.unsafelyUnwrapped
        return fail(
            exchange, SLUICE_NOT_FOUND, 404,
            sentence(exchange, "model \"", request.pointee.model, "\" is not known"))
    }

    func failUnknownVersion(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.unknownModel)
        let request = exchange.pointee.request.unsafelyUnwrapped
        if request.pointee.version.isEmpty {
            return fail(
                exchange, SLUICE_NOT_FOUND, 404,
                sentence(exchange, "model \"", request.pointee.model, "\" has several versions: ask for one"))
        }
        return fail(
            exchange, SLUICE_NOT_FOUND, 404,
            sentence(exchange, "version \"", request.pointee.version, "\" of the model is not known"))
    }

    func sentence(
        _ exchange: ExchangePointer, _ before: StaticString, _ name: sluice_bytes, _ after: StaticString
    ) -> sluice_bytes {
        let shown = name.cut(atMost: 256)
        let room = before.utf8CodeUnitCount + shown.size + after.utf8CodeUnitCount
        guard let memory = allocate(exchange, UInt8.self, room) else { return sluice_bytes("not known") }
        var writer = ByteWriter(memory, capacity: room)
        writer.write(before)
        writer.write(shown)
        writer.write(after)
        return writer.bytes
    }
}
