import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The response's way: from the endpoint's socket to the client's, or to memory and through the adapters.
extension Worker {
    // MARK: Heads

    /// Serializes what goes to the endpoint, from the client's head as it is or from a plugin's message.
    func stageRequestHead(_ exchange: ExchangePointer) -> Bool {
        guard let out = exchange.pointee.outgoing, let head = exchange.pointee.head, let pool = exchange.pointee.pool
        else { return exchange.pointee.client == nil && stageMadeRequest(exchange) }
        guard exchange.pointee.passes else { return stageMadeRequest(exchange) }
        var capacity = max(BufferPool.small, head.pointee.headSize + 1_024)
        let message = exchange.pointee.message.unsafelyUnwrapped
        var framing = head.pointee.body
        var left = head.pointee.fields.hopByHop
        if message.pointee.body_state == UInt32(SLUICE_BODY_WHOLE) {
            framing = .length(message.pointee.body_size)
            exchange.pointee.toEndpoint.pieces = message.pointee.body
            exchange.pointee.toEndpoint.pieceCount = Int(message.pointee.body_count)
            exchange.pointee.toEndpoint.piecesAreCounted = true
            // The expectation was met when the body was gathered.
            let fields = head.pointee.fields
            if fields.expect >= 0 {
                for index in 0..<fields.count where fields[index].name.equalsIgnoringCase(sluice_bytes("Expect")) {
                    left.insert(index)
                }
            }
        }
        exchange.pointee.toEndpoint.sinkIsChunked = framing == .chunked
        exchange.pointee.toEndpoint.showsChunks = framing == .chunked && wantsChunks(exchange)
        exchange.pointee.askedHead =
            out.pointee.method.isEmpty ? exchange.pointee.methodIsHead : out.pointee.method == sluice_bytes("HEAD")
        noteReplay(exchange)
        while true {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return false }
            var writer = HeadWriter(base, capacity: buffer.capacity)
            let method = out.pointee.method.isEmpty ? head.pointee.method : out.pointee.method
            if out.pointee.target.isEmpty {
                writer.appendRequestLine(method: method, path: head.pointee.path, query: head.pointee.query)
            } else {
                let parts = splitTarget(out.pointee.target)
                writer.appendRequestLine(method: method, path: parts.path, query: parts.query)
            }
            if head.pointee.fields.host < 0 {
                let endpoint = pool.pointee.targets[Int(exchange.pointee.endpointIndex)]
                writer.appendField(
                    "Host", head.pointee.authority.isEmpty ? endpoint.pointee.authority : head.pointee.authority)
            }
            if exchange.pointee.edits == nil {
                writer.appendFields(head.pointee.fields, except: left)
            } else {
                writer.appendFields(
                    head.pointee.fields, except: maskEdited(exchange, head.pointee.fields, left, SLUICE_SIDE_REQUEST))
                appendEdits(exchange, SLUICE_SIDE_REQUEST, &writer)
            }
            // RFC 9110 §7.6.3: a gateway names itself in every request it sends on.
            writer.appendField("Via", sluice_bytes(exchange.pointee.minorVersion == 0 ? "1.0 sluice" : "1.1 sluice"))
            writer.appendFraming(framing)
            switch writer.finish() {
            case .written(let count):
                buffer.end = count
                exchange.pointee.toEndpoint.staged = buffer
                exchange.pointee.toEndpoint.begun = true
                return true
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 4
            default:
                buffers.give(buffer)
                return false
            }
        }
    }

    /// The same for a message that an adapter made.
    private func stageMadeRequest(_ exchange: ExchangePointer) -> Bool {
        guard let out = exchange.pointee.outgoing, let pool = exchange.pointee.pool else { return false }
        var size: UInt64 = 0
        for index in 0..<Int(out.pointee.body_count) { size &+= UInt64(out.pointee.body[index].size) }
        exchange.pointee.toEndpoint.pieces = out.pointee.body
        exchange.pointee.toEndpoint.pieceCount = Int(out.pointee.body_count)
        exchange.pointee.toEndpoint.piecesAreCounted = true
        exchange.pointee.toEndpoint.sinkIsChunked = false
        exchange.pointee.askedHead = out.pointee.method == sluice_bytes("HEAD")
        exchange.pointee.machine.repeatable = isIdempotent(exchange)
        var capacity = BufferPool.small
        while true {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return false }
            var writer = HeadWriter(base, capacity: buffer.capacity)
            let parts = splitTarget(out.pointee.target)
            let hasBody = out.pointee.body_count > 0
            let method = out.pointee.method.isEmpty ? sluice_bytes(hasBody ? "POST" : "GET") : out.pointee.method
            // RFC 9110 §8.6: a POST says so when it has no content.
            let saysLength = hasBody || method == sluice_bytes("POST")
            writer.appendRequestLine(method: method, path: parts.path, query: parts.query)
            let endpoint = pool.pointee.targets[Int(exchange.pointee.endpointIndex)]
            if !isEdited(exchange, sluice_bytes("Host"), SLUICE_SIDE_REQUEST) {
                writer.appendField("Host", endpoint.pointee.authority)
            }
            for index in 0..<Int(out.pointee.field_count)
            where !isEdited(exchange, out.pointee.fields[index].name, SLUICE_SIDE_REQUEST) {
                writer.appendField(out.pointee.fields[index])
            }
            appendEdits(exchange, SLUICE_SIDE_REQUEST, &writer)
            writer.appendField("Via", sluice_bytes("1.1 sluice"))
            if saysLength { writer.appendFraming(.length(size)) }
            switch writer.finish() {
            case .written(let count):
                buffer.end = count
                exchange.pointee.toEndpoint.staged = buffer
                exchange.pointee.toEndpoint.begun = true
                return true
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 16
            default:
                buffers.give(buffer)
                return false
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

    /// Whether the request may be sent a second time (RFC 9110 §9.2.2: a proxy may repeat what it knows to be idempotent,
    /// and asking a model for a prediction is).
    private func isIdempotent(_ exchange: ExchangePointer) -> Bool {
        guard let request = exchange.pointee.request else { return false }
        switch Int32(request.pointee.operation) {
        case SLUICE_OPERATION_INFER, SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY,
            SLUICE_OPERATION_EMBED:
            return true
        default: break
        }
        switch exchange.pointee.head?.pointee.methodKind {
        case .get, .head, .put, .delete, .options, .trace: return true
        default: return false
        }
    }

    /// Remembers where the body lies, when all of it is at hand and it could be sent again.
    private func noteReplay(_ exchange: ExchangePointer) {
        guard isIdempotent(exchange) else { return }
        let flow = exchange.pointee.toEndpoint
        if flow.sourceEnded, exchange.pointee.replaySize == 0 {
            exchange.pointee.machine.repeatable = true
        } else if flow.source == .length, let client = exchange.pointee.client,
            UInt64(client.pointee.input.count) >= flow.remaining
        {
            exchange.pointee.replayStart = client.pointee.input.start
            exchange.pointee.replaySize = flow.remaining
            exchange.pointee.machine.repeatable = true
        }
    }

    /// The response goes on to the client as it came: its head first.
    func forwardHead(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let head = responseScratch
        let framing = head.pointee.body
        exchange.pointee.progressAt = nowMs
        if draining { exchange.pointee.machine.clientPersists = false }
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
            writer.appendStatusLine(head.pointee.status, reason: head.pointee.reason)
            if exchange.pointee.edits == nil {
                writer.appendFields(head.pointee.fields, except: head.pointee.fields.hopByHop)
            } else {
                writer.appendFields(
                    head.pointee.fields,
                    except: maskEdited(exchange, head.pointee.fields, head.pointee.fields.hopByHop, SLUICE_SIDE_RESPONSE))
                appendEdits(exchange, SLUICE_SIDE_RESPONSE, &writer)
            }
            // Fields that filters put beside those of the endpoint.
            if let response = exchange.pointee.response {
                for index in 0..<Int(response.pointee.field_count) {
                    writer.appendField(response.pointee.fields[index])
                }
            }
            switch framing {
            case .length: writer.appendFraming(framing)
            case .chunked, .untilClose: if exchange.pointee.toClient.sinkIsChunked { writer.appendFraming(.chunked) }
            // An answer to HEAD, or a 304, says how long the content would be.
            case .none: if case .length = head.pointee.declared { writer.appendFraming(head.pointee.declared) }
            }
            if close {
                writer.appendConnection(close: true)
            } else if exchange.pointee.minorVersion == 0 {
                writer.appendConnection(close: false)
            }
            switch writer.finish() {
            case .written(let count):
                buffers.give(interimRest)
                buffer.end = offset + count
                exchange.pointee.toClient.staged = buffer
                exchange.pointee.toClient.begun = true
                return pumpFirst(exchange)
            case .doesNotFit where capacity < BufferPool.large:
                buffers.give(buffer)
                capacity *= 4
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
            let count = collect(exchange.pointee.toClient, open?.pointee.input ?? .none)
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
            let sent = sendCollected(client.pointee.descriptor, count)
            if sent.bytes < 0 { return exchange.pointee.machine.handle(.clientGone) }
            exchange.pointee.progressAt = nowMs
            metrics.bytes(.client, received: 0, sent: UInt64(sent.bytes))
            if sent.bytes < sent.wanted { client.pointee.writable = false }
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
            stageClose(&exchange.pointee.toClient)
            return nil
        case .endOfStream, .broken:
            exchange.pointee.status = SLUICE_UNAVAILABLE
            finishAttempt(exchange, .reset, SLUICE_UNAVAILABLE)
            detachUpstream(exchange)
            return exchange.pointee.machine.handle(.attemptFailed(.badResponse))
        }
    }

    private func makeRoomForBody(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ flow: BodyFlow) -> Bool {
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

    // MARK: Gathering

    /// Copies the response's head into the arena, where plugins see it.
    func keepResponseHead(_ exchange: ExchangePointer) -> Bool {
        let head = responseScratch
        let count = head.pointee.fields.count
        guard let fields = allocate(exchange, sluice_field.self, count),
            let message = allocate(exchange, sluice_message.self, 1)
        else { return false }
        for index in 0..<count {
            let field = head.pointee.fields[index]
            guard let name = copy(exchange, field.name), let value = copy(exchange, field.value) else { return false }
            (fields + index).initialize(to: sluice_field(name: name, value: value))
        }
        var value = sluice_message()
        value.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        value.status = UInt32(head.pointee.status)
        value.fields = UnsafePointer(fields)
        value.field_count = UInt32(truncatingIfNeeded: count)
        message.initialize(to: value)
        exchange.pointee.responseMessage = message
        return true
    }

    func gatherResponse(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let upstream = exchange.pointee.upstream else { return .none }
        let limit = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyBytes
        if exchange.pointee.gathered.isAbsent {
            var size = BufferPool.medium
            if exchange.pointee.toClient.source == .length {
                guard exchange.pointee.toClient.remaining <= UInt64(limit) else { return responseTooLarge(exchange) }
                size = Int(exchange.pointee.toClient.remaining)
            }
            exchange.pointee.gathered = buffers.take(max(size, 1))
            if exchange.pointee.gathered.isAbsent { return failWithoutMemory(exchange) }
        }
        while true {
            if let action = moveIntoGathered(exchange, upstream, limit) { return action }
            if exchange.pointee.toClient.sourceEnded { return responseGathered(exchange) }
            guard upstream.pointee.readable else { return .none }
            guard makeRoomForBody(upstream, exchange.pointee.toClient) else { return failWithoutMemory(exchange) }
            switch receive(upstream) {
            // The deadline goes on: nobody has seen a byte of this answer yet.
            case .bytes: break
            case .drained: return .none
            case .endOfStream where exchange.pointee.toClient.source == .untilClose:
                exchange.pointee.toClient.sourceEnded = true
            case .endOfStream, .broken: return badResponse(exchange)
            }
        }
    }

    private func moveIntoGathered(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ limit: Int
    ) -> ExchangeMachine.Action? {
        while upstream.pointee.input.count > 0, !exchange.pointee.toClient.sourceEnded {
            var offset = 0
            var count = upstream.pointee.input.count
            var consumed = count
            switch exchange.pointee.toClient.source {
            case .length:
                count = Int(min(UInt64(count), exchange.pointee.toClient.remaining))
                consumed = count
                exchange.pointee.toClient.remaining &-= UInt64(count)
                exchange.pointee.toClient.sourceEnded = exchange.pointee.toClient.remaining == 0
            case .chunked:
                let step = exchange.pointee.toClient.decoder.next(upstream.pointee.input.head, count: count)
                consumed = step.consumed
                count = 0
                switch step.event {
                case .data(let place, let size): (offset, count) = (place, size)
                case .needMore: if consumed == 0 { return nil }
                case .end: exchange.pointee.toClient.sourceEnded = true
                case .failed: return badResponse(exchange)
                }
            default: break
            }
            guard exchange.pointee.gathered.count + count <= limit else { return responseTooLarge(exchange) }
            guard grow(&exchange.pointee.gathered, by: count, limit: limit) else { return failWithoutMemory(exchange) }
            if count > 0 { exchange.pointee.gathered.append(upstream.pointee.input.head + offset, count) }
            upstream.pointee.input.start &+= consumed
        }
        return nil
    }

    private func responseTooLarge(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        fail(exchange, SLUICE_OUT_OF_RANGE, 502, "the endpoint's answer is larger than allowed")
    }

    private func responseGathered(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let gathered = exchange.pointee.gathered
        exchange.pointee.gathered = .none
        guard let message = exchange.pointee.responseMessage, let piece = allocate(exchange, sluice_bytes.self, 1),
            exchange.pointee.ownedBuffers.adopt(gathered)
        else {
            buffers.give(gathered)
            return failWithoutMemory(exchange)
        }
        piece.initialize(to: sluice_bytes(gathered.head.asImmutable, gathered.count))
        message.pointee.body_state = UInt32(gathered.count > 0 ? SLUICE_BODY_WHOLE : SLUICE_BODY_NONE)
        message.pointee.body = UnsafePointer(piece)
        message.pointee.body_count = gathered.count > 0 ? 1 : 0
        message.pointee.body_size = UInt64(gathered.count)
        endUpstream(exchange)
        return exchange.pointee.machine.handle(.responseGathered)
    }

    /// The endpoint's answer, whole, into unified form, and on to the client or to the members of a batch.
    func decodeResponse(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let pool = exchange.pointee.pool, let adapter = pool.pointee.adapter,
            let message = exchange.pointee.responseMessage, let response = freshResponse(exchange)
        else { return failWithoutMemory(exchange) }
        response.pointee.message = UnsafePointer(message)
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.decode_response.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, message, response)
        endCall(exchange, adapter.pointee.plugin, start)
        guard status == SLUICE_OK else { return failPlugin(exchange, status, adapter.pointee.plugin) }
        return answerUnified(exchange)
    }

    // MARK: Timers

    func expired(_ timer: UnsafeMutablePointer<TimerNode>) {
        guard let owner = timer.pointee.owner else { return }
        switch timer.pointee.kind {
        case TimerKind.client: clientTimerExpired(owner.assumingMemoryBound(to: ClientConnection.self))
        case TimerKind.exchange: exchangeTimerExpired(owner.assumingMemoryBound(to: Exchange.self))
        case TimerKind.upstream: upstreamTimerExpired(owner.assumingMemoryBound(to: UpstreamConnection.self))
        case TimerKind.batching: batchTimerExpired(owner)
        case TimerKind.accepting: resumeAccepting()
        default: pluginTimerExpired(owner)
        }
    }

    /// A body is on its way at present, so that its progress counts, not the deadline. One that waits for a plugin or a
    /// connection does not flow.
    private func bodyFlows(_ exchange: ExchangePointer) -> Bool {
        let machine = exchange.pointee.machine
        if machine.responseBegan { return true }
        if machine.requestBodyEnded { return false }
        switch machine.phase {
        case .gathering: return true
        case .awaitingResponse, .gatheringResponse: return exchange.pointee.passes
        default: return false
        }
    }

    /// When the exchange has taken too long, in milliseconds. While a body moves, only standing still counts; between
    /// the bodies it is the deadline, which counts from the last byte of the request.
    private func limitMs(_ exchange: ExchangePointer) -> UInt64 {
        if bodyFlows(exchange) {
            let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
            return exchange.pointee.progressAt &+ limits.bodyTimeoutMs
        }
        let deadline = exchange.pointee.request?.pointee.deadline_ns ?? exchange.pointee.receivedAt
        let limit = (deadline &+ 999_999) / 1_000_000
        let began = exchange.pointee.receivedAt / 1_000_000
        return exchange.pointee.progressAt > began
            ? max(limit, exchange.pointee.progressAt &+ (limit &- min(limit, began))) : limit
    }

    /// Starts the exchange's timer for the limit that applies now.
    func armTimer(_ exchange: ExchangePointer) { timers.start(exchange.timer, at: limitMs(exchange)) }

    private func exchangeTimerExpired(_ exchange: ExchangePointer) {
        let machine = exchange.pointee.machine
        let bodyFlows = bodyFlows(exchange)
        let limit = limitMs(exchange)
        if nowMs < limit {
            timers.start(exchange.timer, at: limit)
            return
        }
        if bodyFlows {
            // A client that does not read is as slow as one that does not send.
            metrics.timedOut(.body)
            // An endpoint that does not read, or a connection that is not to be had, holds the client's body up, too.
            let isClientAwaited = exchange.pointee.upstream?.pointee.writable ?? (machine.phase == .gathering)
            let byClient = !machine.requestBodyEnded && isClientAwaited
            perform(exchange, exchange.pointee.machine.handle(.bodyTimedOut(byClient: byClient)))
            return
        }
        metrics.timedOut(machine.phase == .queued ? .queue : .response)
        exchange.pointee.status = SLUICE_DEADLINE_EXCEEDED
        finishAttempt(exchange, .timeout, SLUICE_DEADLINE_EXCEEDED)
        perform(exchange, exchange.pointee.machine.handle(.deadlinePassed))
    }
}
