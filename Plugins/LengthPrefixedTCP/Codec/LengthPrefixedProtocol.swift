import SluiceABI
import SluiceJSON

/// A protocol of tensors over raw TCP: messages to unified requests and responses, and back. Pure: it sees memory only.
/// Docs/adapters.md has its format.
public struct LengthPrefixedProtocol: MessageCodec, Sendable {
    /// Of an error's text; the host keeps no longer ones.
    private static let maximumTextSize = 1024

    /// Of the message toward an endpoint, and so of its answer. Ids of clients do not go there: two clients choose the
    /// same one, and many none at all, so that an answer that came too late to its request would pass for the next's.
    private let sentID: UInt64

    /// - Parameter sentID: no other request's on the same connection.
    public init(sentID: UInt64 = 0) { self.sentID = sentID }

    // MARK: - Client to gateway

    /// What the header tells. The message is whole, and its tensors are not looked at.
    public func decodeHead(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee else { return }
        var reader = MessageReader(message.wholeBody)
        let header = try MessageHeader.read(&reader)
        request.model = header.model
        request.version = header.modelVersion
        request.id = try text(of: header.id, arena)
        switch header.kind {
        case .inferRequest:
            guard !header.model.isEmpty else { throw CodecFailure("the request names no model") }
            request.operation = UInt32(SLUICE_OPERATION_INFER)
        case .readyRequest:
            request.operation = UInt32(
                header.model.isEmpty ? SLUICE_OPERATION_SERVER_READY : SLUICE_OPERATION_MODEL_READY)
            try reader.expectEnd()
        default:
            throw CodecFailure("the message is an answer, and a request is expected")
        }
        guard header.status == 0 else {
            throw CodecFailure("a request has a status", expected: 0, found: Int64(header.status))
        }
    }

    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee else { return }
        var reader = MessageReader(message.wholeBody)
        let header = try MessageHeader.read(&reader)
        request.payload = sluice_payload()
        guard header.kind == .inferRequest else { return }
        try TensorList.readOutputs(&reader, into: &request.payload, arena: arena)
        try TensorList.read(&reader, into: &request.payload, arena: arena)
        request.payload.flags = UInt32(SLUICE_PAYLOAD_FLAG_BINARY | SLUICE_PAYLOAD_FLAG_COLUMNS)
    }

    private func text(of id: UInt64, _ arena: ExchangeArena) throws(CodecFailure) -> sluice_bytes {
        guard id != 0 else { return sluice_bytes() }
        let text = try arena.allocate(UInt8.self, count: DecimalText.maximumIntegerSize)
        return sluice_bytes(data: text, size: DecimalText.write(id, to: text))
    }

    // MARK: - Gateway to client

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        switch Int32(bitPattern: response.operation) {
        case SLUICE_OPERATION_INFER where response.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS):
            let header = answer(.inferAnswer, response, request)
            var writer = try MessageWriter(
                arena: arena, capacity: header.writtenSize + TensorList.writtenSize(response.payload),
                tensors: Int(response.payload.tensor_count))
            try header.write(&writer)
            try TensorList.write(response.payload, wanted: request.payload, &writer)
            try writer.finish(into: &message)
        case SLUICE_OPERATION_MODEL_READY, SLUICE_OPERATION_SERVER_READY, SLUICE_OPERATION_SERVER_LIVE:
            let header = answer(.readyAnswer, response, request)
            var writer = try MessageWriter(arena: arena, capacity: header.writtenSize + 1, tensors: 0)
            try header.write(&writer)
            writer.uint8(response.ready == 0 ? 0 : 1)
            try writer.finish(into: &message)
        default:
            throw CodecFailure(
                "the answer has no form in the length-prefixed protocol", status: SLUICE_UNIMPLEMENTED)
        }
    }

    private func answer(
        _ kind: MessageKind, _ response: sluice_response, _ request: sluice_request
    ) -> MessageHeader {
        var header = MessageHeader(kind)
        header.id = receivedID(request)
        header.model = response.model.isEmpty ? request.model : response.model
        header.modelVersion = response.version
        return header
    }

    /// As the client has it, also when its message cannot be read to the end.
    private func receivedID(_ request: sluice_request) -> UInt64 {
        request.message.map { MessageHeader.id(of: $0.pointee.wholeBody) } ?? 0
    }

    public func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        var header = MessageHeader(.errorAnswer)
        header.id = receivedID(request)
        header.status = error.status < 0 && error.status >= -16 ? UInt16(-error.status) : 2
        let text = UTF8Sequence.prefix(
            try UTF8Sequence.repaired(error.message, arena: arena), limit: Self.maximumTextSize)
        var writer = try MessageWriter(arena: arena, capacity: header.writtenSize + 2 + text.size, tensors: 0)
        try header.write(&writer)
        try writer.text(text)
        try writer.finish(into: &message)
        message.status = error.http_status
    }

    // MARK: - Gateway to endpoint

    /// - Returns: SLUICE_OK or SLUICE_NEED_BODY as `encode_request` has them. No message passes: it goes out under an
    ///   id of its own.
    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard message.transport == UInt32(SLUICE_TRANSPORT_TCP) else {
            throw CodecFailure(
                "the protocol needs raw TCP, which is for endpoints of tcp:// only, unlike",
                status: SLUICE_UNIMPLEMENTED, subject: target.authority)
        }
        if target.same_protocol != 0, let received = request.message?.pointee {
            try readdress(received.wholeBody, target, into: &message, arena: arena)
            return SLUICE_OK
        }
        var header = MessageHeader(.inferRequest)
        header.id = sentID
        header.model = target.model
        header.modelVersion = target.version
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            guard
                try request.payload.hasTensors(
                    orFail: "the request has no tensors and no form in the length-prefixed protocol")
            else { return SLUICE_NEED_BODY }
            try request.payload.requireAnswerInMessage()
            var writer = try MessageWriter(
                arena: arena, capacity: header.writtenSize + TensorList.writtenSize(request.payload),
                tensors: Int(request.payload.tensor_count))
            try header.write(&writer)
            try TensorList.writeOutputs(request.payload, &writer)
            try TensorList.write(request.payload, wanted: sluice_payload(), &writer)
            try writer.finish(into: &message)
        case SLUICE_OPERATION_MODEL_READY:
            header.kind = .readyRequest
            var writer = try MessageWriter(arena: arena, capacity: header.writtenSize, tensors: 0)
            try header.write(&writer)
            try writer.finish(into: &message)
        default:
            throw CodecFailure(
                "the operation has no form in the length-prefixed protocol", status: SLUICE_UNIMPLEMENTED)
        }
        return SLUICE_OK
    }

    /// The client's message under another id, and under other names where the endpoint's are other ones; what follows
    /// the header goes on as it came.
    private func readdress(
        _ received: sluice_bytes, _ target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        var reader = MessageReader(received)
        var header = try MessageHeader.read(&reader)
        header.id = sentID
        if target.renamed != 0 {
            header.model = target.model
            header.modelVersion = target.version
        }
        var writer = try MessageWriter(arena: arena, capacity: header.writtenSize, tensors: 1)
        try header.write(&writer)
        writer.reference(received.slice(received.size - reader.left, reader.left))
        try writer.finish(into: &message)
    }

    // MARK: - Endpoint to gateway

    /// Reads a backend's answer. One that is an error is returned as the backend's own words.
    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        response.operation = request.operation
        do throws(CodecFailure) {
            var reader = MessageReader(message.wholeBody)
            let header = try MessageHeader.read(&reader)
            guard header.id == sentID else {
                throw CodecFailure("the answer has another id than the request")
            }
            guard header.kind != .errorAnswer else {
                let text = try reader.text("the error's text is cut off or no UTF-8")
                try reader.expectEnd()
                let status = (1...16).contains(header.status) ? -sluice_status(header.status) : SLUICE_UNKNOWN
                // That there is one tells the host that the answer was read, so that the connection goes on. Which one
                // the client gets follows from the error: this protocol has none.
                response.http_status = 200
                return BackendRefusal(
                    status: status, text: text.isEmpty ? .literal("the backend refused the request") : text)
            }
            guard header.status == 0 else {
                throw CodecFailure("a good answer has a status", expected: 0, found: Int64(header.status))
            }
            switch (Int32(bitPattern: request.operation), header.kind) {
            case (SLUICE_OPERATION_INFER, .inferAnswer):
                response.payload = sluice_payload()
                try TensorList.read(&reader, into: &response.payload, arena: arena)
                response.takeNames(model: header.model, version: header.modelVersion)
            case (SLUICE_OPERATION_MODEL_READY, .readyAnswer):
                let ready = try reader.uint8()
                guard ready <= 1 else { throw CodecFailure("ready is neither 0 nor 1", found: Int64(ready)) }
                try reader.expectEnd()
                response.ready = UInt32(ready)
            default:
                throw CodecFailure("the answer is of another kind than the request")
            }
            return nil
        } catch {
            throw error.ofBackend(&response)
        }
    }
}
