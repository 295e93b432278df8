import CLinux
import Glibc
import HTTP1
import SluiceABI

/// A request's body that somebody reads whole: gathered from the client, within its limit.
extension Worker {
    func gatherBody(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.lead.size > 0 { return gatherBehindLead(exchange) }
        if let action = gatherKept(exchange) { return action }
        if exchange.pointee.isRecovered { return gatherBehindRecovered(exchange) }
        guard let client = exchange.pointee.client, !exchange.pointee.toEndpoint.sourceEnded else {
            return exchange.pointee.gathersFirst ? firstMessageGathered(exchange) : bodyGathered(exchange, .empty)
        }
        if exchange.pointee.toEndpoint.source == .length, !exchange.pointee.isGRPC {
            let size = Int(exchange.pointee.toEndpoint.remaining)
            if client.pointee.input.count >= size {
                // All of it came with the head: it is used where it lies, and stays pinned there.
                let body = sluice_bytes(client.pointee.input.head.asImmutable, size)
                client.pointee.input.start &+= size
                client.pointee.floor = client.pointee.input.start
                bodyIsTaken(exchange)
                exchange.pointee.toEndpoint.bodyBytes = UInt64(size)
                return bodyGathered(exchange, body)
            }
            client.pointee.likesMediumBuffers = size <= BufferPool.medium / 2
            exchange.pointee.gathered = buffers.take(size)
        } else {
            exchange.pointee.gathered = buffers.take(BufferPool.medium)
        }
        guard !exchange.pointee.gathered.isAbsent else { return failWithoutMemory(exchange) }
        if !exchange.pointee.machine.replaysBody { exchange.pointee.progressAt = nowMs }
        armTimer(exchange)
        if exchange.pointee.expectsContinue, client.pointee.input.count == 0 {
            exchange.pointee.expectsContinue = false
            if client.pointee.isStream {
                sendContinue(exchange, to: client.asStream)
                return gatherMore(exchange)
            }
            let text: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
            let size = text.utf8CodeUnitCount
            let sent = send(client, text.utf8Start, size)
            if sent >= 0, sent < size {
                // The socket is full of answers to requests before this one. The rest goes in front of this one's: over
                // TLS a record that was begun must be the next one. A client goes on without it after a while.
                var rest = buffers.take(BufferPool.small)
                guard !rest.isAbsent else { return failWithoutMemory(exchange) }
                rest.append(text.utf8Start + sent, size - sent)
                client.pointee.writable = false
                exchange.pointee.toClient.staged = rest
            }
        }
        return gatherMore(exchange)
    }

    func gatherMore(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let client = exchange.pointee.client else { return .none }
        while true {
            if let action = moveIntoGathered(exchange, client) { return action }
            guard client.pointee.readable else { return .none }
            exchange.pointee.progressAt = nowMs
            if exchange.pointee.toEndpoint.source == .length, client.pointee.input.count == 0,
                !client.pointee.isStream
            {
                guard mayRead(client) else { return .none }
                // Straight into its place, and no byte of the next request with it.
                let space = Int(exchange.pointee.toEndpoint.remaining)
                switch read(client, exchange.pointee.gathered.tail, space) {
                case .bytes(let count):
                    exchange.pointee.gathered.end &+= count
                    exchange.pointee.toEndpoint.remaining &-= UInt64(count)
                    client.pointee.share.take(count, in: turn)
                    metrics.bytes(.client, received: UInt64(count), sent: 0)
                case .drained:
                    client.pointee.readable = false
                    return .none
                case .endOfStream, .broken: return exchange.pointee.machine.handle(.clientGone)
                }
                continue
            }
            guard makeRoomForBody(exchange, client) else { return failWithoutMemory(exchange) }
            switch receive(client) {
            case .bytes: break
            case .drained: return .none
            case .endOfStream where exchange.pointee.toEndpoint.source == .untilClose: return gatheredIsWhole(exchange)
            case .endOfStream, .broken: return exchange.pointee.machine.handle(.clientGone)
            }
        }
    }

    /// Moves what was received to the gathered body; an action when that is whole, or broken.
    func moveIntoGathered(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>
    ) -> ExchangeMachine.Action? {
        let limit = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyBytes
        while true {
            if exchange.pointee.toEndpoint.source == .length {
                let count = Int(min(UInt64(client.pointee.input.count), exchange.pointee.toEndpoint.remaining))
                if count > 0 {
                    guard grow(&exchange.pointee.gathered, by: count, limit: limit) else {
                        return failWithoutMemory(exchange)
                    }
                    exchange.pointee.gathered.append(client.pointee.input.head, count)
                    client.pointee.input.start &+= count
                    exchange.pointee.toEndpoint.remaining &-= UInt64(count)
                }
                return exchange.pointee.toEndpoint.remaining == 0 ? gatheredIsWhole(exchange) : nil
            }
            guard client.pointee.input.count > 0 else { return nil }
            if exchange.pointee.toEndpoint.source == .untilClose {
                let count = client.pointee.input.count
                guard grow(&exchange.pointee.gathered, by: count, limit: limit) else {
                    return failWithoutMemory(exchange)
                }
                exchange.pointee.gathered.append(client.pointee.input.head, count)
                client.pointee.input.start &+= count
                if exchange.pointee.isGRPC, saysTooMuch(exchange, limit) { return bodyTooLarge(exchange) }
                // What has come behind the first message is not of it, and no more than a window.
                if exchange.pointee.gathersFirst, hasFirstMessage(exchange) { return firstMessageGathered(exchange) }
                guard exchange.pointee.gathered.count <= limit else { return bodyTooLarge(exchange) }
                continue
            }
            let step = exchange.pointee.toEndpoint.decoder.next(
                client.pointee.input.head, count: client.pointee.input.count)
            switch step.event {
            case .data(let offset, let count):
                guard exchange.pointee.gathered.count + count <= limit else { return bodyTooLarge(exchange) }
                guard grow(&exchange.pointee.gathered, by: count, limit: limit) else {
                    return failWithoutMemory(exchange)
                }
                exchange.pointee.gathered.append(client.pointee.input.head + offset, count)
                client.pointee.input.start &+= step.consumed
            case .needMore:
                client.pointee.input.start &+= step.consumed
                return nil
            case .end:
                client.pointee.input.start &+= step.consumed
                return gatheredIsWhole(exchange)
            case .failed(let fault):
                return malformedBody(exchange, fault)
            }
        }
    }

    /// Doubles a gathered body's buffer until `count` more bytes fit.
    func grow(_ buffer: inout Buffer, by count: Int, limit: Int) -> Bool {
        if buffer.space >= count { return true }
        var larger = buffers.take(min(max(buffer.capacity * 2, buffer.end + count), max(limit, buffer.end + count)))
        guard !larger.isAbsent else { return false }
        larger.append(buffer.head, buffer.count)
        buffers.give(buffer)
        buffer = larger
        return true
    }

    func gatheredIsWhole(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        bodyIsTaken(exchange)
        if !exchange.pointee.machine.replaysBody { exchange.pointee.progressAt = nowMs }
        if exchange.pointee.gathersFirst {
            takeTrailers(exchange)
            return firstMessageGathered(exchange)
        }
        exchange.pointee.toEndpoint.bodyBytes = UInt64(exchange.pointee.gathered.count)
        let gathered = exchange.pointee.gathered
        exchange.pointee.gathered = .none
        if !exchange.pointee.ownedBuffers.adopt(gathered) {
            buffers.give(gathered)
            return failWithoutMemory(exchange)
        }
        return bodyGathered(exchange, sluice_bytes(gathered.head.asImmutable, gathered.count))
    }

    /// From here on the body is in memory, and sent from there. It may have streamed toward another pool before: where
    /// it lay in the client's input then is the next request's place.
    private func bodyIsTaken(_ exchange: ExchangePointer) {
        exchange.pointee.toEndpoint.sourceEnded = true
        exchange.pointee.toEndpoint.remaining = 0
        exchange.pointee.replaySize = 0
    }

    func bodyGathered(_ exchange: ExchangePointer, _ body: sluice_bytes) -> ExchangeMachine.Action {
        var body = body
        do throws(CodingRefusal) {
            if exchange.pointee.isGRPC {
                exchange.pointee.framed = body
                body = try unframe(exchange, body, alone: true)
            } else {
                body = try undoCoding(exchange, body)
            }
        } catch {
            return fail(exchange, error.status, error.httpStatus, error.message)
        }
        let message = exchange.pointee.message.unsafelyUnwrapped
        if message.pointee.body_state == UInt32(SLUICE_BODY_STREAMING) || body.size > 0,
            !setBody(exchange, message, body)
        {
            return failWithoutMemory(exchange)
        }
        let action = exchange.pointee.machine.handle(.bodyGathered)
        armTimer(exchange)
        return action
    }

    /// `body`, whose memory is the exchange's, is all of the message's that plugins see. False without memory.
    func setBody(
        _ exchange: ExchangePointer, _ message: UnsafeMutablePointer<sluice_message>, _ body: sluice_bytes
    ) -> Bool {
        guard let piece = allocate(exchange, sluice_bytes.self, 1) else { return false }
        piece.initialize(to: body)
        message.pointee.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.pointee.body = UnsafePointer(piece)
        message.pointee.body_count = body.size > 0 ? 1 : 0
        message.pointee.body_size = UInt64(body.size)
        return true
    }

    /// A body that was gathered goes on, as it came or as the adapter has changed it: its pieces, and how it is framed.
    /// Nil without memory.
    func layOutWhole(
        _ exchange: ExchangePointer, _ out: UnsafeMutablePointer<sluice_message>,
        _ message: UnsafeMutablePointer<sluice_message>, except left: inout FieldMask
    ) -> BodyFraming? {
        let (isCall, received) = (exchange.pointee.isGRPC, exchange.pointee.framed)
        let isChanged = out.pointee.body_state == UInt32(SLUICE_BODY_WHOLE)
        // Plugins saw the message in it, or what it inflates to.
        if !isChanged, isCall || received.size > 0 {
            guard sendFirst(exchange, received) else { return nil }
            return isCall ? .untilClose : .length(UInt64(received.size))
        }
        if isCall {
            // A message need not be compressed where `grpc-encoding` stands (grpc/doc/compression.md).
            guard let made = framed(exchange, out.pointee.body, Int(out.pointee.body_count)) else { return nil }
            exchange.pointee.toEndpoint.pieces = made.pieces
            exchange.pointee.toEndpoint.pieceCount = made.count
            exchange.pointee.toEndpoint.piecesAreCounted = true
            return .untilClose
        }
        // What somebody made of a compressed body is no longer compressed.
        if received.size > 0, let fields = exchange.pointee.head?.pointee.fields, let index = codingField(fields) {
            left.insert(index)
        }
        let body = isChanged ? UnsafePointer(out) : UnsafePointer(message)
        var size: UInt64 = 0
        for index in 0..<Int(body.pointee.body_count) { size &+= UInt64(body.pointee.body[index].size) }
        exchange.pointee.toEndpoint.pieces = body.pointee.body
        exchange.pointee.toEndpoint.pieceCount = Int(body.pointee.body_count)
        exchange.pointee.toEndpoint.piecesAreCounted = true
        return .length(size)
    }

    @inline(never)
    func bodyTooLarge(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.bodyTooLarge)
        // It is everywhere, and its beginning may be gone.
        answersErrors(exchange)
        return fail(exchange, SLUICE_RESOURCE_EXHAUSTED, 413, "the request's body is larger than allowed")
    }

    func malformedBody(_ exchange: ExchangePointer, _ fault: ParseFault) -> ExchangeMachine.Action {
        metrics.parseFailed(.client, ParseErrorKind(fault))
        exchange.pointee.machine.clientPersists = false
        let text = sluice_bytes(fault.message.utf8Start, fault.message.utf8CodeUnitCount)
        return fail(exchange, SLUICE_INVALID_ARGUMENT, UInt32(fault.status), text)
    }
}
