import HTTP1
import SluiceABI

/// Requests that may be sent a second time, and how.
extension Worker {
    /// Whether the request may be sent a second time (RFC 9110 §9.2.2: a proxy may repeat what it knows to be
    /// idempotent, and asking a model for a prediction is).
    func isIdempotent(_ exchange: ExchangePointer) -> Bool {
        // A check is about the endpoint it goes to: another one cannot answer it.
        guard let request = exchange.pointee.request, exchange.pointee.probe == nil else { return false }
        switch Int32(request.pointee.operation) {
        case SLUICE_OPERATION_INFER, SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY,
            SLUICE_OPERATION_EMBED, SLUICE_OPERATION_CHAT, SLUICE_OPERATION_COMPLETION:
            return true
        default: break
        }
        switch exchange.pointee.head?.pointee.methodKind {
        case .get, .head, .put, .delete, .options, .trace: return true
        default: return false
        }
    }

    /// Remembers where the body lies, when all of it is at hand and it could be sent again.
    func noteReplay(_ exchange: ExchangePointer) {
        // What was true of an earlier attempt, or was made true for the one resend after it, says nothing of this one.
        exchange.pointee.machine.repeatable = false
        exchange.pointee.isUntouched = false
        guard isIdempotent(exchange) else { return }
        let flow = exchange.pointee.toEndpoint
        if exchange.pointee.lead.size > 0, !flow.sourceEnded {
            // The first message of a call stays with the exchange. Of what follows, mostly the end alone, nothing was
            // taken yet; `pumpRequest` takes the word back when something is.
            exchange.pointee.machine.repeatable =
                exchange.pointee.client?.pointee.input.count == 0
                && flow.bodyBytes == UInt64(exchange.pointee.lead.size)
        } else if flow.sourceEnded, exchange.pointee.replaySize == 0 {
            exchange.pointee.machine.repeatable = true
        } else if flow.source == .length, let client = exchange.pointee.client,
            UInt64(client.pointee.input.count) >= flow.remaining
        {
            exchange.pointee.replayStart = client.pointee.input.start
            exchange.pointee.replaySize = flow.remaining
            exchange.pointee.machine.repeatable = true
            if exchange.pointee.toEndpoint.kept != nil { giveUpKept(&exchange.pointee.toEndpoint) }
        } else if flow.bodyBytes == 0, !flow.sourceEnded, !flow.hasPieces {
            // It begins to stream, and is as whole as ever until something of it is taken: an endpoint that answers
            // before, which is what a client waits for that has said `Expect: 100-continue`, has had none of it.
            exchange.pointee.isUntouched = true
            exchange.pointee.machine.repeatable = true
            keepBody(exchange)
        }
    }

    /// Back to the request's first byte, for a second attempt.
    func rewind(_ exchange: ExchangePointer) {
        buffers.give(exchange.pointee.toEndpoint.staged)
        exchange.pointee.toEndpoint.staged = .none
        exchange.pointee.toEndpoint.begun = false
        exchange.pointee.toEndpoint.pieceIndex = 0
        exchange.pointee.toEndpoint.pieceOffset = 0
        if let kept = exchange.pointee.toEndpoint.kept, kept.pointee.isWhole { sendKept(exchange, kept) }
        guard let client = exchange.pointee.client, exchange.pointee.replaySize > 0 else { return }
        client.pointee.input.start = exchange.pointee.replayStart
        exchange.pointee.toEndpoint.remaining = exchange.pointee.replaySize
        exchange.pointee.toEndpoint.sourceEnded = false
        exchange.pointee.toEndpoint.bodyBytes = 0
        // All of it was at hand at the first attempt, and shown to filters then.
        exchange.pointee.toEndpoint.inspected = Int(exchange.pointee.replaySize)
        exchange.pointee.machine.rewindBody()
    }
}
