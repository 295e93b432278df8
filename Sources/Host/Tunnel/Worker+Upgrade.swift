import CLinux
import Glibc
import HTTP1
import SluiceABI

/// From a request of HTTP/1.1 to a tunnel: the client asks to speak WebSocket, an adapter allows it, the endpoint
/// agrees (RFC 9110 §7.8, RFC 6455 §4).
extension Worker {
    /// An adapter has said SLUICE_OPERATION_UPGRADE of a message that passes. Nil to go on: with the endpoint being
    /// asked to switch, or without, when the client's request is none that it could agree to.
    func allowUpgrade(_ exchange: ExchangePointer, _ speaksHTTP2: Bool) -> ExchangeMachine.Action? {
        guard let head = exchange.pointee.head, head.pointee.upgrade == .websocket, head.pointee.methodKind == .get,
            head.pointee.body == .none || head.pointee.body == .length(0),
            let client = exchange.pointee.client, !client.pointee.isStream
        else { return nil }
        guard !speaksHTTP2 else {
            return fail(
                exchange, SLUICE_UNIMPLEMENTED, 501,
                "the model's endpoints speak HTTP/2, which cannot carry an upgrade to WebSocket")
        }
        // Whoever has to see an answer whole before it goes out cannot be shown one that has no end.
        guard filterNeeds(exchange) & UInt32(SLUICE_FILTER_RESPONSE_BODY) == 0 else {
            return fail(
                exchange, SLUICE_UNIMPLEMENTED, 501,
                "a filter reads this model's answers whole, and a WebSocket cannot be read that way")
        }
        exchange.pointee.asksUpgrade = true
        // Whatever the answer: what the client sends without waiting for it was meant for the other protocol, and must
        // never be read as a request.
        exchange.pointee.machine.clientPersists = false
        return nil
    }

    /// Whether a client that gets 426 may be told that it has to ask for WebSocket: it has named it already, by
    /// HTTP/1.1, and an adapter allows it, so that its next request can succeed.
    func mayUpgrade(_ exchange: ExchangePointer) -> Bool {
        exchange.pointee.minorVersion == 1
            && exchange.pointee.request?.pointee.operation == UInt32(SLUICE_OPERATION_UPGRADE)
    }

    /// The endpoint's 101 is in `responseScratch`. Only what it was asked for is accepted, and only when it was asked.
    func protocolSwitched(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action {
        let head = responseScratch
        guard head.pointee.upgrade == .websocket, exchange.pointee.toEndpoint.staged.count == 0 else {
            metrics.parseFailed(.upstream, .other)
            return badResponse(exchange)
        }
        noteAnswer(exchange, head)
        answerBegins(exchange)
        upstream.pointee.input.start &+= head.pointee.headSize
        if let action = showHead(exchange) {
            keepHeadIfSuspended(exchange, upstream)
            return action
        }
        return exchange.pointee.machine.handle(.switched)
    }

    /// Tells the client of the switch, and lets bytes flow.
    func beginTunnel(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let client = exchange.pointee.client else { return .cut }
        if let action = stageSwitch(exchange) { return action }
        guard keepHeadAside(exchange, client) else { return .cut }
        exchange.pointee.sentStatus = 101
        exchange.pointee.isTunnel = true
        metrics.tunnelOpened()
        exchange.pointee.toEndpoint.setSource(.untilClose)
        exchange.pointee.toClient.setSource(.untilClose)
        exchange.pointee.toClient.sinkIsChunked = false
        exchange.pointee.toEndpoint.sinkIsChunked = false
        exchange.pointee.progressAt = nowMs
        armTimer(exchange)
        return pumpTunnel(exchange)
    }

    /// The head of the 101 as it goes to the client, behind what is left of an interim response. Filters change its
    /// fields and not its status: the endpoint has switched. An action when it cannot go.
    private func stageSwitch(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        let head = responseScratch
        let interimRest = exchange.pointee.toClient.staged
        var capacity = max(BufferPool.small, head.pointee.headSize + interimRest.count + 1_024)
        while capacity <= BufferPool.large {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return .cut }
            if interimRest.count > 0 { buffer.append(interimRest.head, interimRest.count) }
            let offset = buffer.count
            var writer = HeadWriter(base + offset, capacity: buffer.capacity - offset)
            writer.appendStatusLine(101)
            let fields = head.pointee.fields
            if exchange.pointee.edits == nil {
                writer.appendFields(fields, except: fields.hopByHop)
            } else {
                let left = maskEdited(exchange, fields, fields.hopByHop, SLUICE_SIDE_RESPONSE)
                writer.appendFields(fields, except: left)
                appendEdits(exchange, SLUICE_SIDE_RESPONSE, &writer)
            }
            // Fields that filters put beside those of the endpoint.
            if let response = shownResponse(exchange) {
                for index in 0..<Int(response.pointee.field_count) {
                    writer.appendField(response.pointee.fields[index])
                }
            }
            writer.appendUpgradeToWebSocket()
            let outcome = writer.finish()
            if case .written(let count) = outcome {
                buffers.give(interimRest)
                buffer.end = offset + count
                exchange.pointee.toClient.staged = buffer
                return nil
            }
            buffers.give(buffer)
            guard outcome == .doesNotFit else { return refuseMalformed(exchange) }
            capacity *= 4
        }
        return .cut
    }

    /// Plugins may look at the request's head until the tunnel ends, so its buffer stays as it is. What the client has
    /// sent behind the head belongs to the tunnel.
    private func keepHeadAside(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>
    ) -> Bool {
        let held = client.pointee.input
        guard !held.isAbsent else { return true }
        var early = Buffer.none
        if held.count > 0 {
            early = buffers.take(max(BufferPool.medium, held.count))
            guard !early.isAbsent else { return false }
            early.append(held.head, held.count)
        }
        guard exchange.pointee.ownedBuffers.adopt(held) else {
            buffers.give(early)
            return false
        }
        client.pointee.input = early
        client.pointee.floor = 0
        return true
    }
}
