import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Answers that are made in the gateway, errors first of all, and the end of an exchange.
extension Worker {
    private static let json: StaticString = "application/json"

    // MARK: Errors

    /// Answers with an error in the shape of the client's protocol, or cuts the connection when an answer has begun.
    func fail(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: StaticString
    ) -> ExchangeMachine.Action {
        fail(exchange, status, httpStatus, sluice_bytes(message))
    }

    func fail(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: sluice_bytes,
        retryAfter: UInt32 = 0
    ) -> ExchangeMachine.Action {
        exchange.pointee.status = status
        endAttempt(exchange, failed: true)
        detachUpstream(exchange)
        leaveQueue(exchange)
        leaveBatchQueue(exchange)
        if exchange.pointee.batch != nil, exchange.pointee.client == nil {
            return failBatch(exchange, status, httpStatus, message)
        }
        if exchange.pointee.machine.responseBegan { return .cut }
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
        return sendDefaultError(exchange, httpStatus, message, retryAfter)
    }

    /// The shape of an error when no adapter has taken the request: `{"error": "…"}`.
    private func sendDefaultError(
        _ exchange: ExchangePointer, _ httpStatus: UInt32, _ message: sluice_bytes, _ retryAfter: UInt32
    ) -> ExchangeMachine.Action {
        let room = message.size * 6 + 32
        guard let memory = allocate(exchange, UInt8.self, room), let piece = allocate(exchange, sluice_bytes.self, 1),
            let field = allocate(exchange, sluice_field.self, 1)
        else {
            return cutWithoutAnswer(exchange)
        }
        var writer = ByteWriter(memory, capacity: room)
        writer.writeErrorObject(message)
        piece.initialize(to: writer.bytes)
        field.initialize(to: sluice_field(name: sluice_bytes("Content-Type"), value: sluice_bytes(Self.json)))
        var out = sluice_message()
        out.status = httpStatus
        out.fields = UnsafePointer(field)
        out.field_count = 1
        out.body = UnsafePointer(piece)
        out.body_count = 1
        return send(exchange, out, retryAfter: retryAfter)
    }

    private func cutWithoutAnswer(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        _ = exchange.pointee.machine.handle(.answering)
        return exchange.pointee.machine.handle(.bodyTimedOut(byClient: false))
    }

    func failWithoutMemory(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.memory)
        return fail(
            exchange, SLUICE_RESOURCE_EXHAUSTED, 503, sluice_bytes("the request needs more memory than it may use"),
            retryAfter: 1)
    }

    /// A plugin returned an error, with or without a reason.
    func failPlugin(
        _ exchange: ExchangePointer, _ status: sluice_status, _ plugin: Int32
    ) -> ExchangeMachine.Action {
        let known = status < 0 && status >= -16
        if !known { metrics.pluginFailed(plugin: PluginMetricsID(index: plugin)) }
        let code = known ? status : SLUICE_INTERNAL
        var message = sluice_bytes("the request was refused")
        if failureSize > 0, let kept = copy(exchange, sluice_bytes(failure, failureSize)) {
            message = kept
        } else if code == SLUICE_INTERNAL {
            message = sluice_bytes("a plugin failed on this request")
        }
        failureSize = 0
        let http = exchange.pointee.response?.pointee.http_status ?? 0
        let mapped = http >= 400 && http <= 599 ? http : Self.httpStatus(of: code)
        return fail(exchange, code, mapped, message, retryAfter: mapped == 503 || mapped == 429 ? 1 : 0)
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

    private func sentence(
        _ exchange: ExchangePointer, _ before: StaticString, _ name: sluice_bytes, _ after: StaticString
    ) -> sluice_bytes {
        let shown = sluice_bytes(data: name.data, size: min(name.size, 256))
        let room = before.utf8CodeUnitCount + shown.size + after.utf8CodeUnitCount
        guard let memory = allocate(exchange, UInt8.self, room) else { return sluice_bytes("not known") }
        var writer = ByteWriter(memory, capacity: room)
        writer.write(before)
        writer.write(shown)
        writer.write(after)
        return writer.bytes
    }

    // MARK: Answers of the gateway itself

    /// Operations about the server, which no backend is asked for.
    func answerForGateway(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let response = freshResponse(exchange) else { return failWithoutMemory(exchange) }
        response.pointee.ready = 1
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let operation = Int32(response.pointee.operation)
        if operation == SLUICE_OPERATION_SERVER_METADATA || operation == SLUICE_OPERATION_MODEL_LIST {
            let count = tables.pointee.modelCount
            guard let metadata = allocate(exchange, sluice_metadata.self, 1),
                let names = allocate(exchange, sluice_bytes.self, count)
            else { return failWithoutMemory(exchange) }
            var value = sluice_metadata()
            value.name = sluice_bytes("sluice")
            value.version = sluice_bytes(SluiceVersion.bytes)
            if operation == SLUICE_OPERATION_MODEL_LIST {
                for index in 0..<count { (names + index).initialize(to: tables.pointee.models[index].name) }
                value.versions = UnsafePointer(names)
                value.version_count = UInt32(count)
            }
            metadata.initialize(to: value)
            response.pointee.metadata = UnsafePointer(metadata)
        }
        return answerUnified(exchange)
    }

    /// Encodes `exchange.response` in the client's protocol and sends it.
    func answerUnified(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.batch != nil, exchange.pointee.client == nil { return splitBatch(exchange) }
        guard let adapter = exchange.pointee.adapter, let response = exchange.pointee.response else {
            return fail(exchange, SLUICE_INTERNAL, 500, "an answer was made for a request without a protocol")
        }
        if let action = runResponseFilters(exchange) { return action }
        var out = sluice_message()
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.encode.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, response, &out)
        endCall(exchange, adapter.pointee.plugin, start)
        guard status == SLUICE_OK else { return failPlugin(exchange, status, adapter.pointee.plugin) }
        if out.status == 0 { out.status = response.pointee.http_status == 0 ? 200 : response.pointee.http_status }
        return send(exchange, out)
    }

    /// The filters' second turn, last link first: those of the model, then the gateway's.
    func runResponseFilters(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        if let pool = exchange.pointee.pool {
            let chain = tables.pointee.models[Int(pool.pointee.model)].filters
            if let action = runResponseChain(exchange, chain) { return action }
        }
        return runResponseChain(exchange, tables.pointee.filters)
    }

    private func runResponseChain(_ exchange: ExchangePointer, _ chain: FilterChain) -> ExchangeMachine.Action? {
        var position = chain.count
        while position > 0 {
            position &-= 1
            let filter = chain.links + position
            guard let function = filter.pointee.table.pointee.on_response, let response = exchange.pointee.response
            else { continue }
            let start = beginCall(exchange)
            let status = function(
                filter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, response)
            endCall(exchange, filter.pointee.plugin, start)
            if status < 0 { return failPlugin(exchange, status, filter.pointee.plugin) }
        }
        return nil
    }

    // MARK: Sending

    /// Sends a whole message made here. Its memory is the exchange's.
    func send(
        _ exchange: ExchangePointer, _ out: sluice_message, retryAfter: UInt32 = 0
    ) -> ExchangeMachine.Action {
        discardRequestBody(exchange)
        if draining { exchange.pointee.machine.clientPersists = false }
        var size: UInt64 = 0
        for index in 0..<Int(out.body_count) { size &+= UInt64(out.body[index].size) }
        // A plugin cannot answer with an interim status: the client would wait for more. What is out of range is
        // refused by the writer.
        let status = out.status < 200 ? 0 : UInt16(clamping: out.status)
        // RFC 9110 §8.6: no length beside 204; one beside 304 would be that of content that nobody has told us of.
        let hasBody = status != 204 && status != 304
        exchange.pointee.httpStatus = status
        let close = !exchange.pointee.machine.clientPersists || !exchange.pointee.machine.requestBodyEnded
        // The rest of an interim response that the client has not taken yet goes first.
        let interimRest = exchange.pointee.toClient.staged
        var capacity = max(BufferPool.small, interimRest.count + 2_048)
        while capacity <= BufferPool.large {
            var buffer = buffers.take(capacity)
            guard let base = buffer.base else { return cutWithoutAnswer(exchange) }
            if interimRest.count > 0 { buffer.append(interimRest.head, interimRest.count) }
            let offset = buffer.count
            var writer = HeadWriter(base + offset, capacity: buffer.capacity - offset)
            writer.appendStatusLine(status)
            for index in 0..<Int(out.field_count) where !isEdited(exchange, out.fields[index].name, SLUICE_SIDE_RESPONSE) {
                writer.appendField(out.fields[index])
            }
            appendEdits(exchange, SLUICE_SIDE_RESPONSE, &writer)
            if retryAfter > 0 {
                writer.appendField("Retry-After", retryAfterText(exchange, retryAfter))
            }
            writer.appendField("Date", date.text(at: now))
            if hasBody { writer.appendFraming(.length(size)) }
            if close {
                writer.appendConnection(close: true)
            } else if exchange.pointee.minorVersion == 0 {
                writer.appendConnection(close: false)
            }
            switch writer.finish() {
            case .written(let count):
                buffers.give(interimRest)
                buffer.end = offset + count
                _ = exchange.pointee.machine.handle(.answering)
                exchange.pointee.progressAt = nowMs
                exchange.pointee.toClient.staged = buffer
                exchange.pointee.toClient.begun = true
                exchange.pointee.toClient.source = .none
                exchange.pointee.toClient.sourceEnded = true
                if hasBody, !exchange.pointee.methodIsHead {
                    exchange.pointee.toClient.pieces = out.body
                    exchange.pointee.toClient.pieceCount = Int(out.body_count)
                }
                return pumpFirst(exchange)
            case .doesNotFit:
                buffers.give(buffer)
                capacity *= 16
            case .malformed:
                buffers.give(buffer)
                if exchange.pointee.adapter != nil, exchange.pointee.status != SLUICE_INTERNAL {
                    exchange.pointee.status = SLUICE_INTERNAL
                    exchange.pointee.edits = nil
                    return sendDefaultError(
                        exchange, 500, sluice_bytes("a plugin made a header field that is not valid"), 0)
                }
                return cutWithoutAnswer(exchange)
            }
        }
        return cutWithoutAnswer(exchange)
    }

    private func retryAfterText(_ exchange: ExchangePointer, _ seconds: UInt32) -> sluice_bytes {
        guard let memory = allocate(exchange, UInt8.self, 16) else { return sluice_bytes("1") }
        var writer = ByteWriter(memory, capacity: 16)
        writer.write(decimal: UInt64(seconds))
        return writer.bytes
    }

    // MARK: The end

    func finish(_ exchange: ExchangePointer, keepAlive: Bool) {
        let client = exchange.pointee.client
        let ended = exchange.pointee.machine.requestBodyEnded
        report(exchange)
        dispose(exchange)
        if let client { release(client, keepAlive: keepAlive, requestEnded: ended) }
    }

    /// The client left: whatever was under way for it stops.
    func abandon(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        exchange.pointee.status = SLUICE_CANCELLED
        endAttempt(exchange, failed: false)
        cancelFilters(exchange)
        report(exchange)
        dispose(exchange)
        if let client {
            client.pointee.exchange = nil
            close(client)
        }
    }

    /// The answer cannot be completed. A reset, not an orderly end: a client must not take a part for the whole, which
    /// it would for a body that ends with the connection (RFC 9112 §8).
    func cut(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        if exchange.pointee.status == SLUICE_OK { exchange.pointee.status = SLUICE_UNAVAILABLE }
        endAttempt(exchange, failed: true)
        cancelFilters(exchange)
        report(exchange)
        dispose(exchange)
        if let client {
            client.pointee.exchange = nil
            var reset = linger(l_onoff: 1, l_linger: 0)
            _ = setsockopt(
                client.pointee.descriptor, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
            close(client)
        }
    }

    private func cancelFilters(_ exchange: ExchangePointer) {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        cancel(exchange, tables.pointee.filters)
        if let pool = exchange.pointee.pool {
            cancel(exchange, tables.pointee.models[Int(pool.pointee.model)].filters)
        }
    }

    private func cancel(_ exchange: ExchangePointer, _ chain: FilterChain) {
        for position in 0..<chain.count {
            let filter = chain.links + position
            filter.pointee.table.pointee.on_cancel?(filter.pointee.instance, exchange.handle)
        }
    }

    /// Tells metrics and observers.
    private func report(_ exchange: ExchangePointer) {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        guard exchange.pointee.client != nil else { return }
        let finished = exchange.pointee.timesCalls || tables.pointee.observerCount > 0 ? clinux_monotonic_ns() : now
        if finished &- exchange.pointee.receivedAt >= tables.pointee.limits.slowNs {
            logSlow(exchange, finished &- exchange.pointee.receivedAt)
        }
        let firstByte = exchange.pointee.firstByteAt
        let pool = exchange.pointee.pool
        metrics.requestFinished(
            pool: pool.map { PoolMetricsID(index: $0.pointee.shared.pointee.metrics) } ?? .none,
            adapter: exchange.pointee.adapter.map { PluginMetricsID(index: $0.pointee.plugin) } ?? .other,
            status: Int(exchange.pointee.httpStatus), durationNs: finished &- exchange.pointee.receivedAt,
            firstByteNs: firstByte == 0 ? 0 : firstByte &- exchange.pointee.attemptAt,
            requestBytes: exchange.pointee.toEndpoint.bodyBytes, responseBytes: exchange.pointee.toClient.bodyBytes)
        if tables.pointee.observerCount > 0 { observe(exchange, tables, finished) }
    }

    /// `slow_request_ms`: one line, without field values or the query, which may hold secrets.
    private func logSlow(_ exchange: ExchangePointer, _ duration: UInt64) {
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)), let message = exchange.pointee.message,
            let memory = allocate(exchange, UInt8.self, 1_024)
        else { return }
        var writer = ByteWriter(memory, capacity: 1_024)
        writer.write("slow request: ")
        writer.write(decimal: duration / 1_000_000)
        writer.write(" ms, status ")
        writer.write(decimal: UInt64(exchange.pointee.httpStatus))
        if let pool = exchange.pointee.pool {
            writer.write(", model ")
            writer.write(json: pool.pointee.modelName)
            writer.write("/")
            writer.write(json: pool.pointee.versionName)
        }
        writer.write(", ")
        writer.write(json: message.pointee.method)
        writer.write(" ")
        writer.write(json: sluice_bytes(data: message.pointee.path.data, size: min(message.pointee.path.size, 256)))
        HostLog.write(
            UInt32(SLUICE_LOG_WARNING),
            source: UnsafeRawBufferPointer(start: ("sluice" as StaticString).utf8Start, count: 6),
            message: UnsafeRawBufferPointer(start: memory, count: writer.count))
    }

    private func observe(
        _ exchange: ExchangePointer, _ tables: UnsafeMutablePointer<WorkerGeneration>, _ finished: UInt64
    ) {
        guard let request = exchange.pointee.request, let message = exchange.pointee.message else { return }
        var summary = sluice_summary()
        summary.model = request.pointee.model
        if let pool = exchange.pointee.pool {
            summary.model = pool.pointee.modelName
            summary.version = pool.pointee.versionName
            if exchange.pointee.machine.attempts > 0, Int(exchange.pointee.endpointIndex) < pool.pointee.endpointCount {
                summary.endpoint = pool.pointee.endpoints[Int(exchange.pointee.endpointIndex)].address
            }
        }
        summary.tenant = request.pointee.tenant
        summary.adapter = exchange.pointee.adapter?.pointee.name ?? .empty
        summary.method = message.pointee.method
        summary.path = message.pointee.path
        summary.peer = peerText(exchange)
        summary.operation = request.pointee.operation
        summary.status = exchange.pointee.status
        summary.http_status = UInt32(exchange.pointee.httpStatus)
        summary.attempts = UInt32(exchange.pointee.machine.attempts)
        summary.batch_rows = exchange.pointee.batchRows
        summary.request_bytes = exchange.pointee.toEndpoint.bodyBytes
        summary.response_bytes = exchange.pointee.toClient.bodyBytes
        summary.duration_ns = finished &- exchange.pointee.receivedAt
        summary.started_wall_ns = clinux_wall_ns() &- summary.duration_ns
        summary.queued_ns = exchange.pointee.queuedFor
        if exchange.pointee.firstByteAt != 0 {
            summary.first_byte_ns = exchange.pointee.firstByteAt &- exchange.pointee.attemptAt
        }
        for index in 0..<tables.pointee.observerCount {
            let observer = tables.pointee.observers + index
            let start = beginCall(exchange)
            observer.pointee.table.pointee.on_finish.unsafelyUnwrapped(observer.pointee.instance, &summary)
            endCall(exchange, observer.pointee.plugin, start)
        }
    }

    /// The client's address as text, in the arena.
    func peerText(_ exchange: ExchangePointer) -> sluice_bytes {
        guard let client = exchange.pointee.client, let text = allocate(exchange, UInt8.self, 64) else { return .empty }
        var address = SocketAddress()
        withUnsafeMutableBytes(of: &address.storage) { destination in
            withUnsafeBytes(of: client.pointee.peer) { destination.copyMemory(from: $0) }
        }
        address.length = socklen_t(client.pointee.peerLength)
        return sluice_bytes(text, address.write(to: text))
    }

    /// Gives back all that an exchange holds.
    private func dispose(_ exchange: ExchangePointer) {
        timers.stop(exchange.timer)
        detachUpstream(exchange)
        leaveQueue(exchange)
        leaveBatch(exchange)
        buffers.give(exchange.pointee.toEndpoint.staged)
        buffers.give(exchange.pointee.toClient.staged)
        buffers.give(exchange.pointee.gathered)
        exchange.pointee.ownedBuffers.release(to: &buffers)
        releaseCounted(exchange)
        exchange.pointee.arena.release(to: &buffers)
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        exchanges.give(exchange)
        tables.pointee.exchanges &-= 1
        if tables.pointee.retired, tables.pointee.exchanges == 0 { retire(tables) }
    }
}
