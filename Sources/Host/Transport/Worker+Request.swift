import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The request's way: from the client's socket to memory (gathered) or to the endpoint (streamed).
extension Worker {

    /// More of the request's body may be there.
    func takeBody(_ exchange: ExchangePointer) {
        switch exchange.pointee.machine.phase {
        case .gathering: perform(exchange, gatherMore(exchange))
        case .awaitingResponse, .responding, .gatheringResponse:
            if exchange.pointee.toEndpoint.begun, !exchange.pointee.toEndpoint.sourceEnded {
                perform(exchange, pumpRequest(exchange))
            } else {
                noticeClose(exchange)
            }
        case .tunnelling: perform(exchange, pumpTunnel(exchange))
        default: noticeClose(exchange)
        }
    }

    /// Nothing of the body is wanted at present; a pipelined request may wait in the socket. Only its end matters.
    private func noticeClose(_ exchange: ExchangePointer) {
        let flow = exchange.pointee.toEndpoint
        let ofThisRequest = flow.source == .length && !flow.sourceEnded ? flow.remaining : 0
        // The end of a stream is told by libnghttp2.
        guard let client = exchange.pointee.client, !client.pointee.isStream, client.pointee.peerFinished,
            UInt64(client.pointee.input.count) <= ofThisRequest, !exchange.pointee.machine.responseBegan
        else { return }
        var byte: UInt8 = 0
        if recv(client.pointee.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 0 {
            perform(exchange, exchange.pointee.machine.handle(.clientGone))
        }
    }

    // MARK: Streaming

    /// The request goes out on the exchange's connection.
    func sendRequest(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.probe != nil, let action = probeConnected(exchange) { return action }
        switch stageRequestHead(exchange) {
        case .staged: break
        case .withoutMemory: return failWithoutMemory(exchange)
        case .unsendable: return refuseRequest(exchange)
        }
        if let upstream = exchange.pointee.upstream, upstream.pointee.isStream,
            !submit(exchange, on: upstream.asCall)
        {
            upstream.asCall.pointee.isRefused = true
            return closedUnanswered(exchange, upstream)
        }
        exchange.pointee.holdsHead = mayHold(exchange)
        exchange.pointee.holdTimerRuns = false
        let action = pumpRequest(exchange)
        if exchange.pointee.machine.requestBodyEnded {
            // The whole of it was at hand.
            if exchange.pointee.awaitedSince != exchange.pointee.attemptAt, exchange.pointee.firstByteAt == 0 {
                exchange.pointee.awaitedSince = exchange.pointee.attemptAt
                armTimer(exchange)
            }
        } else if action == .none {
            if !exchange.pointee.machine.replaysBody { exchange.pointee.progressAt = nowMs }
            armTimer(exchange)
        }
        if action == .none, let hedging = exchange.pointee.pool?.pointee.hedging { planHedge(exchange, hedging) }
        return action
    }

    /// Sends what can be sent of the request, and reads on from the client as far as that makes sense.
    func pumpRequest(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let upstream = exchange.pointee.upstream, !upstream.pointee.connecting,
            exchange.pointee.toEndpoint.begun
        else { return .none }
        while true {
            let streams = exchange.pointee.passes && !exchange.pointee.toEndpoint.sourceEnded
            if streams, let client = exchange.pointee.client {
                if exchange.pointee.holdsHead, let action = hold(exchange, client, upstream) { return action }
                if let action = stageRequestBody(exchange, client) { return action }
                joinSmall(&exchange.pointee.toEndpoint, &client.pointee.input)
                noteTaken(exchange)
            } else if exchange.pointee.toEndpoint.hasPieces {
                var nothing = Buffer.none
                joinSmall(&exchange.pointee.toEndpoint, &nothing)
            }
            // `joinSmall` may have taken the last of the body.
            let input =
                streams && !exchange.pointee.toEndpoint.sourceEnded
                ? exchange.pointee.client.unsafelyUnwrapped.pointee.input : .none
            let count = collect(&exchange.pointee.toEndpoint, input)
            if count == 0 {
                if exchange.pointee.toEndpoint.sourceEnded || !exchange.pointee.passes {
                    if upstream.pointee.isStream {
                        giveTrailers(exchange, to: upstream.asCall)
                        endRequest(upstream.asCall)
                    }
                    buffers.give(exchange.pointee.toEndpoint.staged)
                    exchange.pointee.toEndpoint.staged = .none
                    // A message made here leaves a body that nobody asked for in the client's connection.
                    if exchange.pointee.machine.requestBodyEnded || !exchange.pointee.toEndpoint.sourceEnded {
                        return .none
                    }
                    // The deadline counts from the client's last byte, and not from its last repetition.
                    if !exchange.pointee.machine.replaysBody {
                        exchange.pointee.progressAt = nowMs
                        if exchange.pointee.firstByteAt == 0 { exchange.pointee.awaitedSince = now }
                    }
                    noteTaken(exchange)
                    _ = exchange.pointee.machine.handle(.requestBodyEnded)
                    armTimer(exchange)
                    if !exchange.pointee.machine.responseBegan, let hedging = exchange.pointee.pool?.pointee.hedging {
                        planHedge(exchange, hedging)
                    }
                    return .none
                }
                guard let client = exchange.pointee.client else { return .none }
                guard client.pointee.readable else { return .none }
                guard makeRoomForBody(exchange, client) else { return failWithoutMemory(exchange) }
                switch receive(client) {
                case .bytes:
                    exchange.pointee.progressAt = nowMs
                    if exchange.pointee.firstByteAt == 0 { exchange.pointee.awaitedSince = now }
                    // They are sent from where they lie, and not kept.
                    if exchange.pointee.lead.size > 0 { exchange.pointee.machine.repeatable = false }
                    continue
                case .drained: return .none
                case .endOfStream where exchange.pointee.toEndpoint.source == .untilClose:
                    takeTrailers(exchange)
                    let trailers = exchange.pointee.toEndpoint.trailers
                    stageClose(&exchange.pointee.toEndpoint, trailers: trailers)
                    noteTaken(exchange)
                    continue
                case .endOfStream, .broken: return exchange.pointee.machine.handle(.clientGone)
                }
            }
            guard upstream.pointee.writable else { return .none }
            let isStream = upstream.pointee.isStream
            let sent =
                isStream
                ? offer(upstream.asCall, count)
                : sendCollected(upstream.pointee.descriptor, upstream.pointee.tls, count)
            if sent.bytes < 0 {
                // It no longer reads. What it may have answered is still to be read; the end of that tells the rest.
                upstream.pointee.writable = false
                upstream.pointee.readable = true
                exchange.pointee.upstreamKeepsAlive = false
                return exchange.pointee.machine.phase == .awaitingResponse ? readResponseHead(exchange) : .none
            }
            // A call's are counted with the frames around them.
            if !isStream { metrics.bytes(.upstream, received: 0, sent: UInt64(sent.bytes)) }
            if sent.bytes < sent.wanted {
                upstream.pointee.writable = false
                if !isStream { upstream.pointee.drain.noteFull(upstream.pointee.descriptor) }
            }
            if streams, let client = exchange.pointee.client {
                consume(&exchange.pointee.toEndpoint, &client.pointee.input, sent.bytes)
                noteTaken(exchange)
            } else {
                var nothing = Buffer.none
                consume(&exchange.pointee.toEndpoint, &nothing, sent.bytes)
            }
        }
    }

    /// Takes chunked framing off the client's bytes and puts it on anew; shows new bytes to filters that want them.
    private func stageRequestBody(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>
    ) -> ExchangeMachine.Action? {
        let isDirect = exchange.pointee.toEndpoint.isDirect
        // What a refused call had taken goes first, and what is staged before it.
        if !isDirect, !exchange.pointee.toEndpoint.hasPieces {
            let fault = stageChunks(&exchange.pointee.toEndpoint, &client.pointee.input, fromClient: true)
            if let fault {
                exchange.pointee.machine.clientPersists = false
                metrics.parseFailed(.client, ParseErrorKind(fault))
                if exchange.pointee.machine.responseBegan { return .cut }
                let text = sluice_bytes(fault.message.utf8Start, fault.message.utf8CodeUnitCount)
                return fail(exchange, SLUICE_INVALID_ARGUMENT, UInt32(fault.status), text)
            }
        }
        // A length was looked at when the head came. A call may go on for ever: what bounds it are the windows, and
        // messages are for their reader to bound.
        if exchange.pointee.toEndpoint.source != .length, !exchange.pointee.isGRPC {
            let limit = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyBytes
            let unsent = isDirect ? client.pointee.input.count : 0
            if exchange.pointee.toEndpoint.bodyBytes &+ UInt64(unsent) > UInt64(limit) {
                return bodyTooLarge(exchange)
            }
        }
        return showChunk(exchange, SLUICE_SIDE_REQUEST, client.pointee.input)
    }

    /// Room for more of a body that streams, without touching the head that plugins may look at.
    func makeRoomForBody(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>
    ) -> Bool {
        if client.pointee.input.isAbsent {
            let expected = exchange.pointee.toEndpoint
            let isSmall = expected.source == .length && expected.remaining <= UInt64(BufferPool.small)
            client.pointee.input = buffers.take(isSmall ? BufferPool.small : BufferPool.medium)
            return !client.pointee.input.isAbsent
        }
        // What has gone out cannot be sent again once its place is used.
        if exchange.pointee.toEndpoint.bodyBytes > UInt64(exchange.pointee.lead.size) {
            exchange.pointee.machine.repeatable = false
        }
        if client.pointee.input.count == 0 {
            client.pointee.input.start = client.pointee.floor
            client.pointee.input.end = client.pointee.floor
        }
        let flow = exchange.pointee.toEndpoint
        let expected = flow.source == .length ? flow.remaining : UInt64.max
        // A head at the end of its buffer, behind others, would leave a window of few bytes, or none.
        let isSmall = client.pointee.input.capacity - client.pointee.floor < BufferPool.medium / 2
        if isSmall, expected > UInt64(client.pointee.input.space) {
            var larger = buffers.take(BufferPool.medium)
            guard !larger.isAbsent else { return client.pointee.input.space > 0 }
            larger.append(client.pointee.input.head, client.pointee.input.count)
            // The head stays where it is for as long as the exchange lasts.
            guard exchange.pointee.ownedBuffers.adopt(client.pointee.input) else {
                buffers.give(larger)
                return client.pointee.input.space > 0
            }
            client.pointee.input = larger
            client.pointee.floor = 0
            client.pointee.likesMediumBuffers = true
            return true
        }
        if client.pointee.input.space > 0 { return true }
        // Full of bytes that nobody has taken: the decoder wants a longer run (trailers). Compact behind the head.
        guard client.pointee.input.start > client.pointee.floor, let base = client.pointee.input.base else {
            return false
        }
        let count = client.pointee.input.count
        memmove(base + client.pointee.floor, client.pointee.input.head, count)
        client.pointee.input.start = client.pointee.floor
        client.pointee.input.end = client.pointee.floor + count
        return true
    }

    /// An answer goes out before the body was read. What has already arrived is thrown away, so that a kept-alive
    /// connection survives a small body that nobody wanted.
    func discardRequestBody(_ exchange: ExchangePointer) {
        guard let client = exchange.pointee.client, !exchange.pointee.machine.requestBodyEnded,
            exchange.pointee.machine.clientPersists, exchange.pointee.upstream == nil, !client.pointee.isStream
        else { return }
        if exchange.pointee.toEndpoint.source == .length {
            guard UInt64(client.pointee.input.count) >= exchange.pointee.toEndpoint.remaining else { return }
            client.pointee.input.start &+= Int(exchange.pointee.toEndpoint.remaining)
            client.pointee.floor = client.pointee.input.start
            exchange.pointee.toEndpoint.remaining = 0
            exchange.pointee.toEndpoint.sourceEnded = true
            _ = exchange.pointee.machine.handle(.requestBodyEnded)
        } else if exchange.pointee.toEndpoint.source == .chunked {
            while client.pointee.input.count > 0 {
                let step = exchange.pointee.toEndpoint.decoder.next(
                    client.pointee.input.head, count: client.pointee.input.count)
                client.pointee.input.start &+= step.consumed
                switch step.event {
                case .data: continue
                case .end:
                    client.pointee.floor = client.pointee.input.start
                    exchange.pointee.toEndpoint.sourceEnded = true
                    _ = exchange.pointee.machine.handle(.requestBodyEnded)
                    return
                case .needMore, .failed: return
                }
            }
        }
    }
}
