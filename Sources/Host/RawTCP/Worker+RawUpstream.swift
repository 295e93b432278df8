import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Endpoints over raw TCP. The pool's adapter makes the message that goes out, and tells where the answer ends. One
/// exchange at a time has the connection, which is kept and taken again as those of HTTP/1.1 are.
extension Worker {
    /// The message as the client sent it, or as the adapter has made or changed it.
    func stageMessage(_ exchange: ExchangePointer, _ out: UnsafeMutablePointer<sluice_message>) -> Bool {
        let isMade = !exchange.pointee.passes || out.pointee.body_state == UInt32(SLUICE_BODY_WHOLE)
        guard let message = isMade ? out : exchange.pointee.message, message.pointee.body_count > 0 else {
            return false
        }
        exchange.pointee.toEndpoint.pieces = message.pointee.body
        exchange.pointee.toEndpoint.pieceCount = Int(message.pointee.body_count)
        exchange.pointee.toEndpoint.piecesAreCounted = true
        exchange.pointee.toEndpoint.sinkIsChunked = false
        exchange.pointee.toEndpoint.begun = true
        exchange.pointee.machine.repeatable = isIdempotent(exchange)
        return true
    }

    /// What `readResponseHead` is for HTTP: until the answer has told its size.
    func readAnswer(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>,
        _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action {
        guard let adapter = pool.pointee.adapter else { return badResponse(exchange) }
        let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
        while true {
            if upstream.pointee.input.count > 0 {
                switch frame(adapter, upstream.pointee.input, limits) {
                case .size(let size): return answerArrived(exchange, size)
                case .tooLarge: return responseTooLarge(exchange)
                case .malformed:
                    metrics.parseFailed(.upstream, .framing)
                    return badResponse(exchange)
                case .needMore: break
                }
            }
            guard upstream.pointee.readable else { return .none }
            guard makeRoomForHead(upstream) else { return failWithoutMemory(exchange) }
            switch receive(upstream) {
            case .bytes: break
            case .drained: return .none
            case .endOfStream, .broken:
                if upstream.pointee.input.count > 0 { return badResponse(exchange) }
                return closedUnanswered(exchange, upstream)
            }
        }
    }

    private func answerArrived(_ exchange: ExchangePointer, _ size: Int) -> ExchangeMachine.Action {
        // One that a filter had suspended is looked at a second time, when it is no news.
        if exchange.pointee.firstByteAt == 0 {
            exchange.pointee.firstByteAt = clinux_monotonic_ns()
            if let hedging = exchange.pointee.pool?.pointee.hedging {
                hedging.pointee.histogram.record(exchange.pointee.firstByteAt &- exchange.pointee.awaitedSince)
            }
        }
        exchange.pointee.httpStatus = 200
        if exchange.pointee.rival != nil { settleHedge(exchange) }
        // What it answers is the adapter's to say: `decodeResponse` lets the connection live when that has been said.
        exchange.pointee.upstreamKeepsAlive = false
        exchange.pointee.toClient.setSource(.length(UInt64(size)))
        // Also that of a request which passed: an answer to another one must not reach this client.
        if !describeAnswer(exchange) { return failWithoutMemory(exchange) }
        return exchange.pointee.machine.handle(.responseHead(gather: true))
    }

    /// The endpoint's message for plugins: it has no head, and its body comes.
    private func describeAnswer(_ exchange: ExchangePointer) -> Bool {
        guard let message = allocate(exchange, sluice_message.self, 1) else { return false }
        var value = sluice_message()
        value.transport = UInt32(SLUICE_TRANSPORT_TCP)
        message.initialize(to: value)
        exchange.pointee.responseMessage = message
        return true
    }
}
