import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// The Open Inference Protocol over gRPC. Messages come and go without gRPC's prefix.
extension OpenInferenceProtocol {
    // MARK: - Client to gateway

    /// Stage HEAD of a call. The model is named in the message: it is asked for, and only peeked at when it is there.
    ///
    /// - Parameter method: index of the route, counted from the first one of gRPC.
    /// - Returns: SLUICE_OK, SLUICE_NEED_BODY or SLUICE_DECLINE.
    public func decodeCall(
        _ method: Int, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard let method = InferenceMethod(rawValue: method) else { return SLUICE_DECLINE }
        request.operation = UInt32(method.operation)
        switch method {
        case .serverLive, .serverReady, .serverMetadata: return SLUICE_OK
        case .other:
            // No model, no pool: unless the operator named one, another adapter may know where such calls go.
            guard !serverModel.isEmpty else { return SLUICE_DECLINE }
            request.model = serverModel
            return SLUICE_OK
        default:
            guard let message = request.message?.pointee, message.hasBody else { return SLUICE_NEED_BODY }
            try peek(method, message, &request)
            return SLUICE_OK
        }
    }

    private func peek(
        _ method: InferenceMethod, _ message: sluice_message, _ request: inout sluice_request
    ) throws(CodecFailure) {
        guard method.namesModel else { return }
        let name = try method.modelName(ofFirstMessage: message.wholeBody)
        guard !name.model.isEmpty || !serverModel.isEmpty else {
            throw CodecFailure("the request names no model")
        }
        request.model = name.model.isEmpty ? serverModel : name.model
        request.version = name.version
    }

    /// Stage BODY of a call.
    func decodeCallBody(
        _ message: sluice_message, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) {
        let method = InferenceMethod(path: message.path)
        try peek(method, message, &request)
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            let infer = try InferProtobufReader.read(message.wholeBody, .request, arena: arena)
            request.id = infer.id
            request.payload = infer.payload
        default:
            request.payload = sluice_payload()
            request.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            request.payload.raw = message.wholeBody
            request.payload.content_type = .literal("application/grpc+proto")
        }
    }

    // MARK: - Gateway to client

    func encodeCall(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.status = 200
        let model = response.model.isEmpty ? request.model : response.model
        switch Int32(bitPattern: response.operation) {
        case SLUICE_OPERATION_INFER where response.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS):
            // Who sent typed contents gets such; a request that nobody looked into may have had either.
            let isTyped =
                request.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS) && request.payload.tensor_count > 0
                && request.payload.flags & UInt32(SLUICE_PAYLOAD_FLAG_BINARY) == 0
            try InferProtobufWriter(arena: arena).response(
                response.payload, to: request.payload, model: model, version: response.version,
                id: response.id.isEmpty ? request.id : response.id, isTyped: isTyped, into: &message)
        case SLUICE_OPERATION_SERVER_LIVE, SLUICE_OPERATION_SERVER_READY, SLUICE_OPERATION_MODEL_READY:
            var out = ProtobufWriter(arena: arena)
            try out.integer(1, response.ready == 0 ? 0 : 1)
            try out.finish(into: &message)
        case SLUICE_OPERATION_SERVER_METADATA, SLUICE_OPERATION_MODEL_METADATA:
            guard let metadata = response.metadata?.pointee else {
                throw CodecFailure("the answer has no metadata", status: SLUICE_INTERNAL)
            }
            var out = ProtobufWriter(arena: arena)
            if response.operation == UInt32(SLUICE_OPERATION_SERVER_METADATA) {
                try MetadataProtobuf.writeServer(metadata, &out)
            } else {
                try MetadataProtobuf.writeModel(metadata, model: model, &out)
            }
            try out.finish(into: &message)
        default:
            guard response.payload.kind == UInt32(SLUICE_PAYLOAD_RAW) else {
                throw CodecFailure(
                    "the answer has no form in the Open Inference Protocol", status: SLUICE_UNIMPLEMENTED)
            }
            var out = ProtobufWriter(arena: arena)
            try out.append(response.payload.raw)
            try out.finish(into: &message)
        }
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    // MARK: - Gateway to endpoint

    func encodeBackendCall(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        if target.same_protocol != 0, let received = request.message?.pointee,
            received.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        {
            return try passCall(received, target, into: &message, arena: arena)
        }
        let method: InferenceMethod
        var out = ProtobufWriter(arena: arena)
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            switch Int32(bitPattern: request.payload.kind) {
            case SLUICE_PAYLOAD_TENSORS: break
            case SLUICE_PAYLOAD_STREAM: return SLUICE_NEED_BODY
            default:
                throw CodecFailure(
                    "the request has no tensors and no form in the Open Inference Protocol",
                    status: SLUICE_UNIMPLEMENTED)
            }
            message.setCall(InferenceMethod.modelInfer.path, authority: target.authority)
            try InferProtobufWriter(arena: arena).request(
                request.payload, model: target.model, version: target.version, id: request.id, into: &message)
            return SLUICE_OK
        case SLUICE_OPERATION_MODEL_METADATA: method = .modelMetadata
        case SLUICE_OPERATION_MODEL_READY: method = .modelReady
        default:
            throw Self.notCarried(request)
        }
        message.setCall(method.path, authority: target.authority)
        try out.text(1, target.model)
        try out.text(2, target.version)
        try out.finish(into: &message)
        return SLUICE_OK
    }

    /// A client's call on its way to a backend of the same protocol: as it came, or with its model's other name put in.
    private func passCall(
        _ received: sluice_message, _ target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        let method = InferenceMethod(path: received.path)
        guard target.renamed != 0, method.namesModel else { return SLUICE_PASS }
        guard method != .modelStreamInfer else {
            throw CodecFailure(
                "each message of a stream names the model, so it cannot go to a backend that calls it otherwise",
                status: SLUICE_UNIMPLEMENTED)
        }
        guard received.hasBody else { return SLUICE_NEED_BODY }
        var out = ProtobufWriter(arena: arena)
        try method.rename(received.wholeBody, model: target.model, version: target.version, to: &out)
        try out.finish(into: &message)
        return SLUICE_PASS
    }

    // MARK: - Endpoint to gateway

    func decodeCallResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        response.operation = request.operation
        do throws(CodecFailure) {
            switch Int32(bitPattern: request.operation) {
            case SLUICE_OPERATION_INFER:
                let infer = try InferProtobufReader.read(message.wholeBody, .response, arena: arena)
                response.payload = infer.payload
                response.id = infer.id
                // The names that the client knows stand where the host has set them.
                if response.model.isEmpty {
                    response.model = infer.model
                }
                if response.version.isEmpty {
                    response.version = infer.version
                }
            case SLUICE_OPERATION_MODEL_METADATA:
                response.metadata = try MetadataProtobuf.readModel(message.wholeBody, arena: arena)
            case SLUICE_OPERATION_MODEL_READY:
                response.ready = 0
                var reader = ProtobufReader(message.wholeBody)
                while let field = try reader.next() {
                    if field.number == 1 {
                        response.ready = try field.boolean("ready") ? 1 : 0
                    }
                }
            default:
                response.payload = sluice_payload()
                response.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
                response.payload.raw = message.wholeBody
                response.payload.content_type = .literal("application/grpc+proto")
            }
        } catch {
            throw error.ofBackend(&response)
        }
    }
}
