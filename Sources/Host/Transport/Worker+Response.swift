import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The response's way: from the endpoint's socket to the client's, or to memory and through the adapters.
extension Worker {
    // MARK: Heads

    /// Serializes what goes to the endpoint, from the client's head as it is or from a plugin's message.
    func stageRequestHead(_ exchange: ExchangePointer) -> StagedRequest {
        guard let out = exchange.pointee.outgoing, let pool = exchange.pointee.pool else { return .unsendable }
        if pool.pointee.isRaw { return stageMessage(exchange, out) ? .staged : .unsendable }
        // A batch has no head of a client, nor has a message of raw TCP.
        guard let head = exchange.pointee.head else { return stageMadeRequest(exchange) }
        guard exchange.pointee.passes else { return stageMadeRequest(exchange) }
        var capacity = max(BufferPool.small, head.pointee.headSize + 1_024)
        let message = exchange.pointee.message.unsafelyUnwrapped
        var framing = head.pointee.body
        var left = head.pointee.fields.hopByHop
        if message.pointee.body_state == UInt32(SLUICE_BODY_WHOLE) {
            guard let whole = layOutWhole(exchange, out, message, except: &left) else { return .withoutMemory }
            framing = whole
            leaveExpectation(head.pointee.fields, to: &left)
        } else if let kept = exchange.pointee.toEndpoint.kept, kept.pointee.isWhole {
            framing = .length(UInt64(kept.pointee.bytes.count))
            leaveExpectation(head.pointee.fields, to: &left)
        }
        if exchange.pointee.asksUpgrade { framing = .none }
        if exchange.pointee.lead.size > 0, !sendFirst(exchange, exchange.pointee.lead) { return .withoutMemory }
        // A stream's end is no end of a connection: toward the endpoint such a body is chunked.
        if framing == .untilClose { framing = .chunked }
        if framing == .chunked, exchange.pointee.upstream?.pointee.isStream == true { framing = .untilClose }
        exchange.pointee.toEndpoint.sinkIsChunked = framing == .chunked
        let source = exchange.pointee.toEndpoint.source
        exchange.pointee.toEndpoint.showsChunks =
            source != .none && !exchange.pointee.toEndpoint.isDirect && wantsChunks(exchange)
        exchange.pointee.askedHead =
            out.pointee.method.isEmpty ? exchange.pointee.methodIsHead : out.pointee.method.isHEAD
        noteReplay(exchange)
        if exchange.pointee.upstream?.pointee.isStream == true { expectTrailers(exchange) }
        if exchange.pointee.isGRPC { leaveCallFields(exchange, head.pointee.fields, to: &left) }
        while true {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return .withoutMemory }
            var writer = HeadWriter(base, capacity: buffer.capacity)
            let method = out.pointee.method.isEmpty ? head.pointee.method : out.pointee.method
            if out.pointee.target.isEmpty {
                writer.appendRequestLine(method: method, path: head.pointee.path, query: head.pointee.query)
            } else {
                let parts = splitTarget(out.pointee.target)
                writer.appendRequestLine(method: method, path: parts.path, query: parts.query)
            }
            if head.pointee.fields.host < 0, !isEdited(exchange, sluice_bytes("Host"), SLUICE_SIDE_REQUEST) {
                let authority = exchange.pointee.endpoint?.pointee.authority ?? .empty
                writer.appendField("Host", head.pointee.authority.isEmpty ? authority : head.pointee.authority)
            }
            if exchange.pointee.edits == nil {
                writer.appendFields(head.pointee.fields, except: left)
            } else {
                writer.appendFields(
                    head.pointee.fields, except: maskEdited(exchange, head.pointee.fields, left, SLUICE_SIDE_REQUEST))
                appendEdits(exchange, SLUICE_SIDE_REQUEST, &writer)
            }
            if exchange.pointee.isGRPC { appendTimeout(exchange, exchange.pointee.callDeadline, &writer) }
            // RFC 9110 §7.6.3: a gateway names itself in every request it sends on.
            writer.appendField("Via", receivedProtocol(exchange))
            if exchange.pointee.asksUpgrade { writer.appendUpgradeToWebSocket() }
            writer.appendFraming(framing)
            switch writer.finish() {
            case .written(let count):
                buffer.end = count
                exchange.pointee.toEndpoint.staged = buffer
                exchange.pointee.toEndpoint.begun = true
                return .staged
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 4
            default:
                buffers.give(buffer)
                return .unsendable
            }
        }
    }

    /// Toward an endpoint that speaks HTTP/2 trailers go whatever frames the body: so a stream's body is over with the
    /// stream, and not with the last byte of its length, which libnghttp2 compares with what comes.
    private func expectTrailers(_ exchange: ExchangePointer) {
        exchange.pointee.toEndpoint.keepsTrailers = true
        guard exchange.pointee.client?.pointee.isStream == true, exchange.pointee.toEndpoint.source == .length,
            !exchange.pointee.toEndpoint.sourceEnded, exchange.pointee.replaySize == 0
        else { return }
        exchange.pointee.toEndpoint.setSource(.untilClose)
    }

    /// Bytes of the body that were gathered go before those that stream.
    func sendFirst(_ exchange: ExchangePointer, _ bytes: sluice_bytes) -> Bool {
        guard let piece = allocate(exchange, sluice_bytes.self, 1) else { return false }
        piece.initialize(to: bytes)
        exchange.pointee.toEndpoint.pieces = UnsafePointer(piece)
        exchange.pointee.toEndpoint.pieceCount = 1
        exchange.pointee.toEndpoint.piecesAreCounted = true
        return true
    }

    private func receivedProtocol(_ exchange: ExchangePointer) -> sluice_bytes {
        if exchange.pointee.client?.pointee.isStream == true { return sluice_bytes("2.0 sluice") }
        return sluice_bytes(exchange.pointee.minorVersion == 0 ? "1.0 sluice" : "1.1 sluice")
    }

    /// The same for a message that an adapter made.
    private func stageMadeRequest(_ exchange: ExchangePointer) -> StagedRequest {
        guard let out = exchange.pointee.outgoing else { return .unsendable }
        var size: UInt64 = 0
        for index in 0..<Int(out.pointee.body_count) { size &+= UInt64(out.pointee.body[index].size) }
        exchange.pointee.toEndpoint.pieces = out.pointee.body
        exchange.pointee.toEndpoint.pieceCount = Int(out.pointee.body_count)
        let isCall = out.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        if isCall {
            guard let framed = framed(exchange, out.pointee.body, Int(out.pointee.body_count)) else {
                return .withoutMemory
            }
            exchange.pointee.toEndpoint.pieces = framed.pieces
            exchange.pointee.toEndpoint.pieceCount = framed.count
            size = framed.size
        }
        exchange.pointee.toEndpoint.piecesAreCounted = true
        exchange.pointee.toEndpoint.sinkIsChunked = false
        exchange.pointee.askedHead = out.pointee.method.isHEAD
        exchange.pointee.machine.repeatable = isIdempotent(exchange)
        var capacity = BufferPool.small
        if isCall, exchange.pointee.upstream?.pointee.isStream != true { return .unsendable }
        while true {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return .withoutMemory }
            var writer = HeadWriter(base, capacity: buffer.capacity)
            let parts = splitTarget(out.pointee.target)
            let hasBody = isCall || out.pointee.body_count > 0
            let method = out.pointee.method.isEmpty ? sluice_bytes(hasBody ? "POST" : "GET") : out.pointee.method
            // RFC 9110 §8.6: a POST says so when it has no content.
            let saysLength = hasBody || method == sluice_bytes("POST")
            writer.appendRequestLine(method: method, path: parts.path, query: parts.query)
            if let endpoint = exchange.pointee.endpoint, !isEdited(exchange, sluice_bytes("Host"), SLUICE_SIDE_REQUEST)
            {
                writer.appendField("Host", endpoint.pointee.authority)
            }
            // That of the endpoint is the only Host (RFC 9112 §3.2), but for one that a plugin has set.
            for index in 0..<Int(out.pointee.field_count)
            where !isEdited(exchange, out.pointee.fields[index].name, SLUICE_SIDE_REQUEST)
                && !out.pointee.fields[index].name.equalsIgnoringCase(sluice_bytes("Host"))
            {
                writer.appendField(out.pointee.fields[index])
            }
            appendEdits(exchange, SLUICE_SIDE_REQUEST, &writer)
            writer.appendField("Via", sluice_bytes("1.1 sluice"))
            if isCall {
                writer.appendField("content-type", sluice_bytes("application/grpc"))
                writer.appendField("te", sluice_bytes("trailers"))
                // The request's, not the attempt's: an endpoint that is the first to say that the attempt's time is up
                // would have its answer passed on, where another attempt is due.
                appendTimeout(exchange, min(deadlineNs(exchange), exchange.pointee.callDeadline), &writer)
            } else if saysLength {
                writer.appendFraming(.length(size))
            }
            switch writer.finish() {
            case .written(let count):
                buffer.end = count
                exchange.pointee.toEndpoint.staged = buffer
                exchange.pointee.toEndpoint.begun = true
                return .staged
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 16
            default:
                buffers.give(buffer)
                return .unsendable
            }
        }
    }

    private func splitTarget(_ target: sluice_bytes) -> (path: sluice_bytes, query: sluice_bytes) {
        guard let data = target.data, let mark = memchr(data, Int32(UInt8(ascii: "?")), target.size) else {
            return (target, .empty)
        }
        let offset = mark - UnsafeMutableRawPointer(mutating: data)
        return (sluice_bytes(data, offset), sluice_bytes(data + offset + 1, target.size - offset - 1))
    }

    /// The response goes on to the client as it came: its head first.
    func forwardHead(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let head = responseScratch
        let shown = shownResponse(exchange)
        if let shown, let action = changeStatus(exchange, shown) { return action }
        let framing = head.pointee.body
        exchange.pointee.progressAt = nowMs
        if let client = exchange.pointee.client, client.pointee.isStream {
            return forwardHead(exchange, to: client.asStream)
        }
        // RFC 9112 §9.6: an answer that is the last one says so. One that came before the end of its request is, even
        // if that end comes meanwhile: a client that has its answer may not send all of its body.
        if !exchange.pointee.machine.requestBodyEnded || isLast(exchange) {
            exchange.pointee.machine.clientPersists = false
        }
        exchange.pointee.toClient.sinkIsChunked =
            exchange.pointee.minorVersion == 1 && (framing == .chunked || framing == .untilClose)
        if framing == .chunked || framing == .untilClose {
            exchange.pointee.toClient.showsChunks = wantsChunks(exchange)
        }
        if exchange.pointee.minorVersion == 0, framing == .chunked || framing == .untilClose {
            exchange.pointee.machine.clientPersists = false
        }
        let close = !exchange.pointee.machine.clientPersists
        let interimRest = exchange.pointee.toClient.staged
        var capacity = max(BufferPool.small, head.pointee.headSize + interimRest.count + 1_024)
        while true {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return .cut }
            if interimRest.count > 0 { buffer.append(interimRest.head, interimRest.count) }
            let offset = buffer.count
            var writer = HeadWriter(base + offset, capacity: buffer.capacity - offset)
            if exchange.pointee.upstream?.pointee.isStream == true {
                // HTTP/2 has no reason phrase, and some readers of HTTP/1.1 want one.
                writer.appendStatusLine(head.pointee.status)
            } else {
                writer.appendStatusLine(head.pointee.status, reason: head.pointee.reason)
            }
            if exchange.pointee.edits == nil {
                writer.appendFields(head.pointee.fields, except: head.pointee.fields.hopByHop)
            } else {
                writer.appendFields(
                    head.pointee.fields,
                    except: maskEdited(
                        exchange, head.pointee.fields, head.pointee.fields.hopByHop, SLUICE_SIDE_RESPONSE))
                appendEdits(exchange, SLUICE_SIDE_RESPONSE, &writer)
            }
            // Fields that filters put beside those of the endpoint.
            if let shown {
                for index in 0..<Int(shown.pointee.field_count) { writer.appendField(shown.pointee.fields[index]) }
            }
            if lacksDate(exchange, isReceived: head.pointee.fields.date >= 0) {
                writer.appendLine(date.line(at: now))
            }
            switch framing {
            case .length: writer.appendFraming(framing)
            case .chunked, .untilClose: if exchange.pointee.toClient.sinkIsChunked { writer.appendFraming(.chunked) }
            // An answer to HEAD, or a 304, says how long the content would be.
            case .none: if case .length = head.pointee.declared { writer.appendFraming(head.pointee.declared) }
            }
            if close {
                // A connection on which WebSocket was asked for in vain ends with the answer.
                if ResponseHead.demandsWebSocket(head), mayUpgrade(exchange) {
                    writer.appendUpgradeToWebSocket(close: true)
                } else {
                    writer.appendConnection(close: true)
                }
            } else if exchange.pointee.minorVersion == 0 {
                writer.appendConnection(close: false)
            }
            switch writer.finish() {
            case .written(let count):
                buffers.give(interimRest)
                buffer.end = offset + count
                exchange.pointee.toClient.staged = buffer
                beginPassedAnswer(exchange)
                return pumpFirst(exchange)
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 4
            case .malformed:
                buffers.give(buffer)
                return refuseMalformed(exchange)
            default:
                buffers.give(buffer)
                return .cut
            }
        }
    }

    // MARK: Streaming

    /// The first turn of a response; mostly the last one, too. If not, it is now the body's limit that counts.
    func pumpFirst(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let action = pumpResponseOnce(exchange)
        if action == .none { armTimer(exchange) }
        return action
    }

    func pumpResponse(_ exchange: ExchangePointer) { perform(exchange, pumpResponseOnce(exchange)) }

    /// Sends what can be sent of the response, and reads on from the endpoint only when all of that is out: what the
    /// client does not take stays with the endpoint.
    func pumpResponseOnce(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let client = exchange.pointee.client, exchange.pointee.toClient.begun else { return .none }
        while true {
            let upstream = exchange.pointee.upstream
            if !exchange.pointee.toClient.sourceEnded, let upstream {
                if !exchange.pointee.toClient.isDirect {
                    if let fault = stageChunks(&exchange.pointee.toClient, &upstream.pointee.input) {
                        metrics.parseFailed(.upstream, ParseErrorKind(fault))
                        finishAttempt(exchange, .badResponse, SLUICE_UNAVAILABLE)
                        return .cut
                    }
                }
                if let action = showChunk(exchange, SLUICE_SIDE_RESPONSE, upstream.pointee.input) { return action }
                joinSmall(&exchange.pointee.toClient, &upstream.pointee.input)
                // The endpoint has done its work: its connection need not wait for a slow client.
                if exchange.pointee.toClient.sourceEnded { endUpstream(exchange) }
            } else if exchange.pointee.toClient.hasPieces {
                var nothing = Buffer.none
                joinSmall(&exchange.pointee.toClient, &nothing)
            }
            let open = exchange.pointee.upstream
            let count = collect(&exchange.pointee.toClient, open?.pointee.input ?? .none)
            if count == 0 {
                if exchange.pointee.toClient.sourceEnded {
                    endUpstream(exchange)
                    return exchange.pointee.machine.handle(.responseSent)
                }
                guard let open, open.pointee.readable else { return .none }
                if let action = readResponseBody(exchange, open) { return action }
                continue
            }
            guard client.pointee.writable else { return .none }
            let isStream = client.pointee.isStream
            let sent =
                isStream
                ? offer(client.asStream, count) : sendCollected(client.pointee.descriptor, client.pointee.tls, count)
            if sent.bytes < 0 { return exchange.pointee.machine.handle(.clientGone) }
            exchange.pointee.progressAt = nowMs
            // A stream's are counted with the frames around them.
            if !isStream { metrics.bytes(.client, received: 0, sent: UInt64(sent.bytes)) }
            if sent.bytes < sent.wanted {
                client.pointee.writable = false
                if !isStream { client.pointee.drain.noteFull(client.pointee.descriptor) }
            }
            if let open {
                consume(&exchange.pointee.toClient, &open.pointee.input, sent.bytes)
                if exchange.pointee.toClient.sourceEnded { endUpstream(exchange) }
            } else {
                var nothing = Buffer.none
                consume(&exchange.pointee.toClient, &nothing, sent.bytes)
            }
        }
    }

    /// Nil to go on; an action when the connection has ended, or has nothing at present.
    private func readResponseBody(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action? {
        guard makeRoomForBody(upstream, exchange.pointee.toClient) else { return .cut }
        switch receive(upstream) {
        case .bytes:
            exchange.pointee.progressAt = nowMs
            return nil
        case .drained: return ExchangeMachine.Action.none
        case .endOfStream where exchange.pointee.toClient.source == .untilClose:
            if upstream.pointee.isStream, exchange.pointee.toClient.keepsTrailers {
                swap(&exchange.pointee.toClient.trailers, &upstream.asCall.pointee.trailers)
                if exchange.pointee.isGRPC { noteTrailers(exchange) }
            }
            stageClose(
                &exchange.pointee.toClient,
                trailers: upstream.pointee.isStream ? upstream.asCall.pointee.trailers : .none)
            return nil
        case .endOfStream, .broken:
            exchange.pointee.answerFault = answerFault(of: upstream)
            exchange.pointee.status = status(of: exchange.pointee.answerFault, exchange)
            finishAttempt(exchange, .reset, SLUICE_UNAVAILABLE)
            detachUpstream(exchange)
            return attemptFailed(exchange, .badResponse)
        }
    }

    func makeRoomForBody(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ flow: BodyFlow) -> Bool {
        if upstream.pointee.input.count == 0 {
            upstream.pointee.input.start = 0
            upstream.pointee.input.end = 0
            let expected = flow.source == .length ? flow.remaining : UInt64.max
            if upstream.pointee.input.capacity < BufferPool.medium, expected > UInt64(BufferPool.small) {
                let larger = buffers.take(BufferPool.medium)
                if !larger.isAbsent {
                    buffers.give(upstream.pointee.input)
                    upstream.pointee.input = larger
                }
            }
            return !upstream.pointee.input.isAbsent
        }
        if upstream.pointee.input.space > 0 { return true }
        guard upstream.pointee.input.start > 0, let base = upstream.pointee.input.base else { return false }
        let count = upstream.pointee.input.count
        memmove(base, upstream.pointee.input.head, count)
        upstream.pointee.input.start = 0
        upstream.pointee.input.end = count
        return true
    }
}
