import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Answers that are made in the gateway, errors first of all, and the end of an exchange.
extension Worker {
    static let json: StaticString = "application/json"

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
        if exchange.pointee.probe != nil {
            exchange.pointee.probeResult = exchange.pointee.response?.pointee.ready == 1 ? .succeeded : .failed
            return .finish(keepAlive: false)
        }
        if let pair = exchange.pointee.shadow { return shadowAnswered(exchange, pair) }
        guard let adapter = exchange.pointee.adapter, let response = exchange.pointee.response else {
            return fail(exchange, SLUICE_INTERNAL, 500, "an answer was made for a request without a protocol")
        }
        if let action = runResponseFilters(exchange, suspending: .answerSuspended) { return action }
        var out = sluice_message()
        if exchange.pointee.isGRPC { out.transport = UInt32(SLUICE_TRANSPORT_GRPC) }
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.encode.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, response, &out)
        endCall(exchange, adapter.pointee.plugin, start)
        readClock()
        guard status == SLUICE_OK else { return failPlugin(exchange, status, adapter.pointee.plugin) }
        if out.status == 0 { out.status = response.pointee.http_status == 0 ? 200 : response.pointee.http_status }
        if exchange.pointee.isGRPC, out.transport == UInt32(SLUICE_TRANSPORT_GRPC) { return sendMessage(exchange, out) }
        return send(exchange, out)
    }

    /// The filters' second turn, last link first: those of the model, then the gateway's. Nil when all have passed;
    /// after a suspension it goes on with the filter that asked for it.
    func runResponseFilters(
        _ exchange: ExchangePointer, suspending: ExchangeMachine.Event
    ) -> ExchangeMachine.Action? {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let own = tables.pointee.filters
        let ofModel = modelFilters(exchange)
        let begins = exchange.pointee.answerLink == Exchange.allLinks
        if begins { exchange.pointee.editsBeforeAnswer = Int8(exchange.pointee.edits?.pointee.count ?? 0) }
        var position = begins ? own.count &+ ofModel.count : Int(exchange.pointee.answerLink)
        while position > 0, let response = exchange.pointee.response {
            let ofOwn = position <= own.count
            let filter = ofOwn ? own.links + (position &- 1) : ofModel.links + (position &- own.count &- 1)
            guard let function = filter.pointee.table.pointee.on_response else {
                position &-= 1
                continue
            }
            guard exchange.pointee.isResumed || mayBorrow(filter) else {
                // Nobody else may give the answer that it has not seen.
                answersErrors(exchange)
                return failHeld(exchange)
            }
            let asked = Int(exchange.pointee.askedLinks)
            // One of the model's that stands in the gateway's chain, too, was asked there.
            exchange.pointee.isUnasked = asked >= 0 && position > asked && !filter.pointee.isRepeated
            let before = (response.pointee.http_status, response.pointee.fields, response.pointee.field_count)
            let start = beginCall(exchange)
            let status = function(
                filter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, response)
            endCall(exchange, filter.pointee.plugin, start)
            exchange.pointee.isResumed = false
            let http = response.pointee.http_status
            if before != (http, response.pointee.fields, response.pointee.field_count) {
                exchange.pointee.answeredBy = filter.pointee.plugin
            }
            switch status {
            case SLUICE_OK where exchange.pointee.gathersAnswer:
                // The same filter is called again when the answer is whole.
                exchange.pointee.gathersAnswer = false
                exchange.pointee.answerLink = Int16(truncatingIfNeeded: position)
                return exchange.pointee.machine.handle(.responseHead(gather: true))
            case SLUICE_OK: position &-= 1
            case SLUICE_PENDING:
                // It will ask again, if it still wants to.
                exchange.pointee.gathersAnswer = false
                exchange.pointee.answerLink = Int16(truncatingIfNeeded: position)
                return suspend(exchange, filter, suspending)
            default:
                answersErrors(exchange)
                // The error is the filter's own, and so is what was set for it.
                exchange.pointee.editsBeforeAnswer = Exchange.keepsEdits
                // What stood there is the status of the answer whose place the error takes.
                return failPlugin(exchange, status, filter.pointee.plugin, http: http == before.0 ? 0 : http)
            }
        }
        exchange.pointee.answerLink = Exchange.allLinks
        return nil
    }

    // MARK: Sending

    /// Sends a whole message made here. Its memory is the exchange's.
    func send(
        _ exchange: ExchangePointer, _ message: sluice_message, retryAfter: UInt32 = 0
    ) -> ExchangeMachine.Action {
        discardRequestBody(exchange)
        if isLast(exchange) { exchange.pointee.machine.clientPersists = false }
        // RFC 9110 §15: statuses end at 599. An interim one is no answer: the client would wait for more.
        let isFinal = message.status >= 200 && message.status <= 599
        let status = isFinal ? UInt16(message.status) : 0
        exchange.pointee.httpStatus = status
        if let client = exchange.pointee.client, client.pointee.isRaw { return sendRaw(exchange, message) }
        guard isFinal else { return refuseStatus(exchange, message.status) }
        var out = message
        // RFC 9110 §15.3.6: there is no content with 205, which says so by a length of 0.
        if status == 205 { out.body_count = 0 }
        var size: UInt64 = 0
        for index in 0..<Int(out.body_count) { size &+= UInt64(out.body[index].size) }
        // RFC 9110 §8.6: no length beside 204; one beside 304 would be that of content that nobody has told us of.
        // The status of a call that failed is all that there is.
        let hasBody = status != 204 && status != 304 && !(exchange.pointee.isGRPC && size == 0)
        // Whoever made the error may have said it better.
        let saysWhen = retryAfter > 0 && !isEdited(exchange, sluice_bytes("Retry-After"), SLUICE_SIDE_RESPONSE)
        if let client = exchange.pointee.client, client.pointee.isStream {
            let after = saysWhen ? decimal(exchange, retryAfter) : .empty
            let action = send(exchange, out, status, size, hasBody: hasBody, retryAfter: after, to: client.asStream)
            return action ?? refuseMalformed(exchange)
        }
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
            for index in 0..<Int(out.field_count)
            where !isEdited(exchange, out.fields[index].name, SLUICE_SIDE_RESPONSE) {
                writer.appendField(out.fields[index])
            }
            appendEdits(exchange, SLUICE_SIDE_RESPONSE, &writer)
            if saysWhen {
                writer.appendField("Retry-After", decimal(exchange, retryAfter))
            }
            if lacksDate(exchange, out) { writer.appendLine(date.line(at: now)) }
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
                beginAnswer(exchange, status)
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
                return refuseMalformed(exchange)
            }
        }
        return cutWithoutAnswer(exchange)
    }

    func decimal(_ exchange: ExchangePointer, _ number: UInt32) -> sluice_bytes {
        guard let memory = allocate(exchange, UInt8.self, 16) else { return sluice_bytes("1") }
        var writer = ByteWriter(memory, capacity: 16)
        writer.write(decimal: UInt64(number))
        return writer.bytes
    }
}
