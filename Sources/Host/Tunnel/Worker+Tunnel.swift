import CLinux
import Glibc
import HTTP1
import SluiceABI

/// An exchange that has become a tunnel: bytes go both ways as they come, each end is carried to the other side on its
/// own, and nothing is read that the other side has not made room for.
///
/// A tunnel holds one 64 KiB buffer in each direction while bytes are on their way, and none while it is silent.
extension Worker {
    /// Goes as far as both sockets allow.
    func pumpTunnel(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let client = exchange.pointee.client, let upstream = exchange.pointee.upstream else { return .cut }
        if let action = pumpToEndpoint(exchange, client, upstream) { return action }
        if let action = pumpToClient(exchange, client, upstream) { return action }
        guard exchange.pointee.toEndpoint.sinkEnded, exchange.pointee.toClient.sinkEnded else { return .none }
        return exchange.pointee.machine.handle(.tunnelEnded)
    }

    /// A client's connection has ended in both directions. True when it is a tunnel's, which still has to carry what
    /// the client said last, and its end.
    func endsTunnel(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        guard let exchange = client.pointee.exchange, exchange.pointee.isTunnel else { return false }
        client.pointee.peerFinished = true
        client.pointee.readable = true
        perform(exchange, pumpTunnel(exchange))
        return true
    }

    /// Both sides are done, or nothing moved for too long, or the tunnel's configuration has had its time: an orderly
    /// end of both connections. What is spoken in a tunnel says itself where it ends.
    func endTunnel(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        finishAttempt(exchange, .success, SLUICE_OK)
        if exchange.pointee.status != SLUICE_OK { cancelFilters(exchange) }
        report(exchange)
        dispose(exchange)
        guard let client else { return }
        client.pointee.exchange = nil
        client.pointee.floor = 0
        beginLingering(client)
    }

    private func pumpToEndpoint(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>,
        _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action? {
        while !exchange.pointee.toEndpoint.sinkEnded {
            if let action = showChunk(exchange, SLUICE_SIDE_REQUEST, client.pointee.input) { return action }
            let count = collect(&exchange.pointee.toEndpoint, client.pointee.input)
            if count > 0 {
                guard upstream.pointee.writable else { return nil }
                let sent = sendCollected(upstream.pointee.descriptor, upstream.pointee.tls, count)
                if sent.bytes < 0 {
                    // It takes nothing any more. What it said before that is still to be read, and then its end.
                    upstream.pointee.readable = true
                    exchange.pointee.toEndpoint.sinkEnded = true
                    return nil
                }
                metrics.bytes(.upstream, received: 0, sent: UInt64(sent.bytes))
                if sent.bytes < sent.wanted {
                    upstream.pointee.writable = false
                    upstream.pointee.drain.noteFull(upstream.pointee.descriptor)
                }
                consume(&exchange.pointee.toEndpoint, &client.pointee.input, sent.bytes)
                exchange.pointee.progressAt = nowMs
                continue
            }
            if exchange.pointee.toEndpoint.sourceEnded {
                upstream.pointee.tls?.sayGoodbye()
                _ = shutdown(upstream.pointee.descriptor, Int32(SHUT_WR))
                exchange.pointee.toEndpoint.sinkEnded = true
                break
            }
            guard client.pointee.readable else { break }
            guard makeRoomForBody(exchange, client) else { return .cut }
            switch receive(client) {
            case .bytes: exchange.pointee.progressAt = nowMs
            case .drained: break
            case .endOfStream: exchange.pointee.toEndpoint.sourceEnded = true
            case .broken: return exchange.pointee.machine.handle(.clientGone)
            }
        }
        if client.pointee.input.count == 0 {
            buffers.give(client.pointee.input)
            client.pointee.input = .none
        }
        return nil
    }

    private func pumpToClient(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>,
        _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action? {
        while !exchange.pointee.toClient.sinkEnded {
            if let action = showChunk(exchange, SLUICE_SIDE_RESPONSE, upstream.pointee.input) { return action }
            let count = collect(&exchange.pointee.toClient, upstream.pointee.input)
            if count > 0 {
                guard client.pointee.writable else { return nil }
                let sent = sendCollected(client.pointee.descriptor, client.pointee.tls, count)
                if sent.bytes < 0 { return exchange.pointee.machine.handle(.clientGone) }
                metrics.bytes(.client, received: 0, sent: UInt64(sent.bytes))
                if sent.bytes < sent.wanted {
                    client.pointee.writable = false
                    client.pointee.drain.noteFull(client.pointee.descriptor)
                }
                consume(&exchange.pointee.toClient, &upstream.pointee.input, sent.bytes)
                exchange.pointee.progressAt = nowMs
                continue
            }
            if exchange.pointee.toClient.sourceEnded {
                client.pointee.tls?.sayGoodbye()
                _ = shutdown(client.pointee.descriptor, Int32(SHUT_WR))
                exchange.pointee.toClient.sinkEnded = true
                break
            }
            guard upstream.pointee.readable else { break }
            guard makeRoomForBody(upstream, exchange.pointee.toClient) else { return .cut }
            switch receive(upstream) {
            case .bytes: exchange.pointee.progressAt = nowMs
            case .drained: break
            case .endOfStream: exchange.pointee.toClient.sourceEnded = true
            case .broken where upstream.pointee.tls?.pointee.isTruncated == true:
                // All that was read has gone to the client's socket, where a reset would destroy it. That it may not be
                // all, the client hears as we did: its connection ends without TLS's own end.
                exchange.pointee.status = SLUICE_UNAVAILABLE
                finishAttempt(exchange, .reset, SLUICE_UNAVAILABLE)
                client.pointee.tls?.pointee.isWriteBroken = true
                return exchange.pointee.machine.handle(.tunnelEnded)
            case .broken:
                exchange.pointee.status = SLUICE_UNAVAILABLE
                finishAttempt(exchange, .reset, SLUICE_UNAVAILABLE)
                return exchange.pointee.machine.handle(.attemptFailed(.badResponse))
            }
        }
        if upstream.pointee.input.count == 0 {
            buffers.give(upstream.pointee.input)
            upstream.pointee.input = .none
        }
        if exchange.pointee.toClient.staged.count == 0 {
            buffers.give(exchange.pointee.toClient.staged)
            exchange.pointee.toClient.staged = .none
        }
        return nil
    }
}
