import CLinux
import Glibc
import HTTP1
import SluiceABI

/// A response that somebody reads whole: gathered, decoded by the adapter of its pool, and answered from.
extension Worker {
    /// Copies the response's head into the arena, where plugins see it, without the fields that end here (RFC 9110
    /// §7.6.1): whoever answers from it, now or out of a cache, must not pass them on. Content-Length, which the host
    /// writes anew as well, stays: it tells a filter how large the body is that is to come.
    func keepResponseHead(_ exchange: ExchangePointer) -> Bool {
        let head = responseScratch
        let count = head.pointee.fields.count
        guard let fields = allocate(exchange, sluice_field.self, count),
            let message = allocate(exchange, sluice_message.self, 1)
        else { return false }
        let hopByHop = head.pointee.fields.hopByHop
        let length = Int(head.pointee.fields.contentLength)
        var kept = 0
        for index in 0..<count where !hopByHop.contains(index) || index == length {
            let field = head.pointee.fields[index]
            guard let name = copy(exchange, field.name), let value = copy(exchange, field.value) else { return false }
            (fields + kept).initialize(to: sluice_field(name: name, value: value))
            kept &+= 1
        }
        var value = sluice_message()
        value.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        value.status = UInt32(head.pointee.status)
        value.fields = UnsafePointer(fields)
        value.field_count = UInt32(truncatingIfNeeded: kept)
        message.initialize(to: value)
        exchange.pointee.responseMessage = message
        return true
    }

    func gatherResponse(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let upstream = exchange.pointee.upstream else { return .none }
        let limit = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyBytes
        if exchange.pointee.gathered.isAbsent {
            var size = BufferPool.medium
            let announced = exchange.pointee.toClient.announced
            if announced != .max {
                guard announced <= UInt64(limit) else { return responseTooLarge(exchange) }
                size = Int(announced)
            }
            // Of the answer to a copy nothing is kept.
            if exchange.pointee.shadow != nil { size = BufferPool.small }
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
                if upstream.pointee.isStream {
                    swap(&exchange.pointee.toClient.trailers, &upstream.asCall.pointee.trailers)
                }
            case .endOfStream, .broken: return badResponse(exchange, answerFault(of: upstream))
            }
        }
    }

    func moveIntoGathered(
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
                case .failed(let fault): return badResponse(exchange, AnswerFault(fault))
                }
            default: break
            }
            if let digest = exchange.pointee.toClient.digest, count > 0 {
                digest.pointee.update(upstream.pointee.input.head + offset, count)
            }
            if exchange.pointee.shadow == nil {
                guard exchange.pointee.gathered.count + count <= limit else { return responseTooLarge(exchange) }
                guard grow(&exchange.pointee.gathered, by: count, limit: limit) else {
                    return failWithoutMemory(exchange)
                }
                if count > 0 { exchange.pointee.gathered.append(upstream.pointee.input.head + offset, count) }
            }
            upstream.pointee.input.start &+= consumed
        }
        return nil
    }

    func responseTooLarge(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if let batch = exchange.pointee.batch, batch.pointee.members.count > 1 {
            // The endpoint has answered all that it was asked, and each answer may be within the limit.
            batch.pointee.isTooLarge = true
        } else {
            finishAttempt(exchange, .badResponse, SLUICE_RESOURCE_EXHAUSTED)
        }
        return fail(exchange, SLUICE_RESOURCE_EXHAUSTED, 502, "the endpoint's answer is larger than allowed")
    }

    func responseGathered(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let gathered = exchange.pointee.gathered
        exchange.pointee.gathered = .none
        guard let message = exchange.pointee.responseMessage, let piece = allocate(exchange, sluice_bytes.self, 1),
            gathered.count == 0 || exchange.pointee.ownedBuffers.adopt(gathered)
        else {
            buffers.give(gathered)
            return failWithoutMemory(exchange)
        }
        // One attempt after another may be answered without a word: the exchange keeps what there is to read.
        if gathered.count == 0 { buffers.give(gathered) }
        piece.initialize(to: gathered.count > 0 ? sluice_bytes(gathered.head.asImmutable, gathered.count) : .empty)
        message.pointee.body_state = UInt32(gathered.count > 0 ? SLUICE_BODY_WHOLE : SLUICE_BODY_NONE)
        message.pointee.body = UnsafePointer(piece)
        message.pointee.body_count = gathered.count > 0 ? 1 : 0
        message.pointee.body_size = UInt64(gathered.count)
        // Over raw TCP the connection lives on when the adapter has found that this is the answer to what was asked.
        if exchange.pointee.pool?.pointee.isRaw != true { endUpstream(exchange) }
        return exchange.pointee.machine.handle(.responseGathered)
    }

    /// The endpoint's answer, whole, into unified form, and on to the client or to the members of a batch.
    func decodeResponse(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.probe != nil, let action = probeGathered(exchange) { return action }
        if let pair = exchange.pointee.shadow {
            endUpstream(exchange)
            return shadowAnswered(exchange, pair)
        }
        guard let pool = exchange.pointee.pool, let adapter = pool.pointee.adapter,
            let message = exchange.pointee.responseMessage, let response = freshResponse(exchange)
        else { return failWithoutMemory(exchange) }
        let isCall =
            exchange.pointee.passes
            ? exchange.pointee.isGRPC
            : exchange.pointee.outgoing?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        if isCall, let action = readCallResponse(exchange, message) { return action }
        response.pointee.message = UnsafePointer(message)
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.decode_response.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, exchange.pointee.request.unsafelyUnwrapped, message, response)
        endCall(exchange, adapter.pointee.plugin, start)
        readClock()
        exchange.pointee.answeredBy = adapter.pointee.plugin
        if exchange.pointee.upstream != nil { rawAnswerRead(exchange, status, response) }
        guard status == SLUICE_OK else {
            answersUnlisted(exchange, http: message.pointee.status)
            return failPlugin(
                exchange, status, adapter.pointee.plugin, http: response.pointee.http_status, answer: message.pointee)
        }
        if let action = showGathered(exchange) { return action }
        return answerUnified(exchange)
    }

    /// An answer that is none to this request leaves nobody to say what comes next on its connection. One that is the
    /// endpoint's own error, which an adapter tells by `http_status`, is an answer as good as others.
    private func rawAnswerRead(
        _ exchange: ExchangePointer, _ status: sluice_status, _ response: UnsafeMutablePointer<sluice_response>
    ) {
        let told = response.pointee.http_status
        // The balancer is told of the attempt, and its call takes the place of this one's reason.
        let reason = failureSize > 0 ? copy(exchange, sluice_bytes(failure, failureSize)) : nil
        if status == SLUICE_OK || told != 0 && told != 502 {
            exchange.pointee.upstreamKeepsAlive = true
        } else {
            metrics.parseFailed(.upstream, .body)
            finishAttempt(exchange, .badResponse, SLUICE_UNAVAILABLE)
        }
        endUpstream(exchange)
        guard let reason, let text = reason.data else { return }
        failure.update(from: text, count: reason.size)
        failureSize = reason.size
    }
}
