import HTTP1
import SluiceABI

/// Why there is no answer of an endpoint, or no whole one, as far as that is known.
enum AnswerFault: Equatable {
    /// The connection ended.
    case connectionLost
    /// The endpoint has not accepted the handshake of TLS, which for us was over: a connect that failed late.
    case notAdmitted
    /// What came was none of its protocol.
    case malformed
    /// More fields in a head or a trailer section than `limits.header_count`.
    case tooManyFields
    /// A head or a trailer section of more bytes than `limits.header_bytes`.
    case tooLarge
    /// Its body stood still for longer than it may.
    case stoodStill
    /// RST_STREAM came with this code (RFC 9113 §7).
    case reset(code: UInt32)

    /// Of an endpoint that speaks HTTP/1.1.
    init(_ fault: ParseFault) {
        switch fault {
        case .tooManyFields: self = .tooManyFields
        case .headTooLarge, .trailersTooLarge: self = .tooLarge
        default: self = .malformed
        }
    }
}

/// Attempts that ended without an answer, or within one, and what the client is told of them.
extension Worker {
    private static let tooManyFields: StaticString =
        "the endpoint's answer has more fields than `limits.header_count` allows"
    private static let tooLarge: StaticString =
        "the fields of the endpoint's answer have more bytes than `limits.header_bytes` allows"

    /// The connection, or its call, ended before a byte of the response.
    func closedUnanswered(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action {
        let fault = answerFault(of: upstream)
        switch fault {
        case .malformed, .tooManyFields, .tooLarge: return badResponse(exchange, fault)
        case .notAdmitted: return notAdmitted(exchange)
        case .connectionLost, .stoodStill, .reset: break
        }
        let refused = upstream.pointee.isStream && upstream.asCall.pointee.isRefused
        // One of many calls on a connection that was alive: what has ended it is the endpoint's doing.
        let isAlive = upstream.pointee.isStream && !refused && upstream.asCall.pointee.wasHeard
        if isAlive { exchange.pointee.machine.connectionWasAlive() }
        exchange.pointee.answerFault = fault
        finishAttempt(exchange, upstream.pointee.reused && !isAlive ? .stale : .reset, SLUICE_UNAVAILABLE)
        if refused, exchange.pointee.rival == nil {
            exchange.pointee.machine.repeatable = recoverRefused(exchange, upstream.asCall)
        }
        detachUpstream(exchange)
        // Not a byte of the request went out: any request may be sent again.
        if exchange.pointee.holdsHead { exchange.pointee.machine.repeatable = true }
        return attemptFailed(exchange, refused ? .refused : .closedBeforeResponse)
    }

    /// Nothing was processed; but of a body that is not at hand any more something may have gone out.
    private func notAdmitted(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.machine.repeatable || exchange.pointee.holdsHead || exchange.pointee.rival != nil {
            return connectFailed(exchange)
        }
        finishAttempt(exchange, .connectFailed, SLUICE_UNAVAILABLE)
        detachUpstream(exchange)
        return exchange.pointee.machine.handle(.attemptFailed(.connectFailed))
    }

    func badResponse(_ exchange: ExchangePointer, _ fault: AnswerFault = .malformed) -> ExchangeMachine.Action {
        exchange.pointee.answerFault = fault
        finishAttempt(exchange, .badResponse, SLUICE_UNAVAILABLE)
        detachUpstream(exchange)
        forgetAnswer(exchange)
        return attemptFailed(exchange, .badResponse)
    }

    /// What has ended the connection, or one call on it, from which no more is to come.
    func answerFault(of upstream: UnsafeMutablePointer<UpstreamConnection>) -> AnswerFault {
        if upstream.pointee.isStream { return upstream.asCall.pointee.fault }
        return upstream.pointee.tls?.pointee.isRejected == true ? .notAdmitted : .connectionLost
    }

    /// No attempt is left. `begun`: something of an answer had come.
    func failAttempts(_ exchange: ExchangePointer, begun: Bool) -> ExchangeMachine.Action {
        let fault = exchange.pointee.answerFault
        let text: sluice_bytes
        switch fault {
        case .connectionLost, .stoodStill, .notAdmitted:
            text =
                begun
                ? sluice_bytes("the endpoint closed the connection within its answer")
                : sluice_bytes("the endpoint closed the connection unanswered")
        case .malformed: text = sluice_bytes(protocolFault(exchange))
        case .tooManyFields: text = sluice_bytes(Self.tooManyFields)
        case .tooLarge: text = sluice_bytes(Self.tooLarge)
        case .reset(let code): text = resetText(exchange, code)
        }
        // Whatever code an endpoint ended the call with, another pool may do better.
        return fail(exchange, status(of: fault, exchange), 502, text, degradesAs: SLUICE_UNAVAILABLE)
    }

    /// How a call ends that has no whole answer; anything but a call only counts it.
    func status(of fault: AnswerFault, _ exchange: ExchangePointer) -> sluice_status {
        switch fault {
        case .connectionLost, .stoodStill, .notAdmitted, .malformed: SLUICE_UNAVAILABLE
        // It will be as large again.
        case .tooManyFields, .tooLarge: SLUICE_RESOURCE_EXHAUSTED
        case .reset(let code): goesAsCall(exchange) ? GRPCStatus.status(ofReset: code) : SLUICE_UNAVAILABLE
        }
    }

    /// What a call is told whose answer had begun.
    func faultWithinCall(_ exchange: ExchangePointer) -> sluice_bytes {
        if exchange.pointee.status == SLUICE_DEADLINE_EXCEEDED {
            return sluice_bytes("the call took longer than its deadline")
        }
        return switch exchange.pointee.answerFault {
        case .connectionLost, .notAdmitted, .malformed: sluice_bytes("the call broke off")
        case .stoodStill: sluice_bytes("the call stood still for longer than it may")
        case .tooManyFields: sluice_bytes(Self.tooManyFields)
        case .tooLarge: sluice_bytes(Self.tooLarge)
        case .reset(let code): resetText(exchange, code)
        }
    }

    private func resetText(_ exchange: ExchangePointer, _ code: UInt32) -> sluice_bytes {
        let room = 64
        guard let memory = allocate(exchange, UInt8.self, room) else { return sluice_bytes("the endpoint reset it") }
        var writer = ByteWriter(memory, capacity: room)
        writer.write("the endpoint reset the ")
        writer.write(goesAsCall(exchange) ? "call" : "stream")
        writer.write(" (code ")
        writer.write(decimal: UInt64(code))
        writer.write(")")
        return writer.bytes
    }

    private func protocolFault(_ exchange: ExchangePointer) -> StaticString {
        guard let pool = exchange.pointee.pool else { return "the endpoint's answer was not valid" }
        if pool.pointee.isRaw { return "the endpoint's answer was no message of its protocol" }
        return pool.pointee.speaksHTTP2
            ? "the endpoint's answer was no valid HTTP/2" : "the endpoint's answer was no valid HTTP/1.1"
    }
}
