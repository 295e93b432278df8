import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// TensorFlow Serving's gRPC API: messages to unified requests and responses, and back. Pure: it sees memory only.
public struct TFServingProtocol: GRPCCodec {
    public init() {}

    /// The methods, in the order of their routes. All but the first two are passed on.
    public enum Method: Int, CaseIterable, Sendable {
        case predict, getModelMetadata, classify, regress, multiInference, predictStreamed, getModelStatus

        public var path: StaticString {
            switch self {
            case .predict: "/tensorflow.serving.PredictionService/Predict"
            case .getModelMetadata: "/tensorflow.serving.PredictionService/GetModelMetadata"
            case .classify: "/tensorflow.serving.PredictionService/Classify"
            case .regress: "/tensorflow.serving.PredictionService/Regress"
            case .multiInference: "/tensorflow.serving.PredictionService/MultiInference"
            case .predictStreamed: "/tensorflow.serving.PredictionService/PredictStreamed"
            case .getModelStatus: "/tensorflow.serving.ModelService/GetModelStatus"
            }
        }

        var operation: Int32 {
            switch self {
            case .predict: SLUICE_OPERATION_INFER
            case .getModelMetadata: SLUICE_OPERATION_MODEL_METADATA
            default: SLUICE_OPERATION_OTHER
            }
        }

        init?(path: sluice_bytes) {
            guard let method = Self.allCases.first(where: { path.equals($0.path) }) else { return nil }
            self = method
        }

        /// The model and the version that a message asks for; of a stream its first message, of a MultiInference its
        /// first task. No tensor is looked into.
        public func modelName(
            ofFirstMessage message: sluice_bytes, arena: ExchangeArena
        ) throws(CodecFailure) -> (model: sluice_bytes, version: sluice_bytes) {
            var spec = ModelSpec()
            var reader = ProtobufReader(message)
            while let field = try reader.next() {
                guard field.number == 1 else { continue }
                guard self == .multiInference else {
                    try spec.read(try field.bytes("model_spec"), arena: arena)
                    continue
                }
                guard spec.name.isEmpty else { continue }
                var task = try field.message("tasks")
                while let part = try task.next() {
                    if part.number == 1 {
                        try spec.read(try part.bytes("tasks.model_spec"), arena: arena)
                    }
                }
            }
            return (spec.name, spec.version)
        }

        /// The message with another model and version in it; all else goes on as it came.
        public func rename(
            _ message: sluice_bytes, model: sluice_bytes, version: sluice_bytes, to writer: inout ProtobufWriter
        ) throws(CodecFailure) {
            try writer.message(1) { (spec: inout ProtobufWriter) throws(CodecFailure) in
                try ModelSpec(name: model, version: version).writeNames(&spec)
                // Several are joined, as protobuf joins messages.
                var reader = ProtobufReader(message)
                while let field = try reader.next() {
                    if field.number == 1 {
                        try ModelSpec.appendUnnamed(try field.bytes("model_spec"), to: &spec)
                    }
                }
            }
            try ProtobufSplice.append(message, without: 1, to: &writer)
        }

        /// Whether `rename` does for this method: streams name the model in each message, a MultiInference in each
        /// task.
        var canBeRenamed: Bool { self != .multiInference && self != .predictStreamed }
    }

    public var paths: [String] { Method.allCases.map { "\($0.path)" } }

    // MARK: - Client to gateway

    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard let method = Method(rawValue: Int(match.route)) else { return SLUICE_DECLINE }
        request.operation = UInt32(method.operation)
        guard let message = request.message?.pointee, message.hasBody else { return SLUICE_NEED_BODY }
        try peek(method, message, &request, arena)
        return SLUICE_OK
    }

    private func peek(
        _ method: Method, _ message: sluice_message, _ request: inout sluice_request, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        let name = try method.modelName(ofFirstMessage: message.wholeBody, arena: arena)
        guard !name.model.isEmpty else { throw CodecFailure("the request names no model") }
        request.model = name.model
        request.version = name.version
    }

    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee, let method = Method(path: message.path) else { return }
        try peek(method, message, &request, arena)
        guard method == .predict else {
            request.payload = sluice_payload()
            request.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            request.payload.raw = message.wholeBody
            request.payload.content_type = .literal("application/grpc+proto")
            return
        }
        request.payload = try PredictMessage.readRequest(message.wholeBody, arena: arena).payload
    }

    // MARK: - Gateway to client

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.status = 200
        var out = ProtobufWriter(arena: arena)
        var spec = ModelSpec()
        spec.name = response.model.isEmpty ? request.model : response.model
        spec.version = response.version
        switch Int32(bitPattern: response.operation) {
        case SLUICE_OPERATION_INFER where response.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS):
            spec.signature = PredictMessage.signature(request.payload)
            try PredictMessage(spec: spec, payload: response.payload).writeResponse(wanted: request.payload, &out)
        case SLUICE_OPERATION_MODEL_METADATA:
            guard let metadata = response.metadata?.pointee else {
                throw CodecFailure("the answer has no metadata", status: SLUICE_INTERNAL)
            }
            try SignatureMessage.write(metadata, spec, &out)
        default:
            guard response.payload.kind == UInt32(SLUICE_PAYLOAD_RAW) else {
                throw CodecFailure(
                    "the answer has no form in TensorFlow Serving's protocol", status: SLUICE_UNIMPLEMENTED)
            }
            try out.append(response.payload.raw)
        }
        try out.finish(into: &message)
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    // MARK: - Gateway to endpoint

    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        try message.requireTransport(SLUICE_TRANSPORT_GRPC, target)
        var out = ProtobufWriter(arena: arena)
        if target.same_protocol != 0, let received = request.message?.pointee,
            let method = Method(path: received.path)
        {
            guard target.renamed != 0 else { return SLUICE_PASS }
            guard method.canBeRenamed else {
                throw CodecFailure(
                    "a call that names the model more than once cannot go to a backend that calls it otherwise",
                    status: SLUICE_UNIMPLEMENTED)
            }
            guard received.hasBody else { return SLUICE_NEED_BODY }
            try method.rename(received.wholeBody, model: target.model, version: target.version, to: &out)
            try out.finish(into: &message)
            return SLUICE_PASS
        }
        var spec = ModelSpec()
        spec.name = target.model
        spec.version = target.version
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            switch Int32(bitPattern: request.payload.kind) {
            case SLUICE_PAYLOAD_TENSORS: break
            case SLUICE_PAYLOAD_STREAM: return SLUICE_NEED_BODY
            default:
                throw CodecFailure(
                    "the request has no tensors and no form in TensorFlow Serving's protocol",
                    status: SLUICE_UNIMPLEMENTED)
            }
            try request.payload.requireAnswerInMessage()
            message.setCall(Method.predict.path, authority: target.authority)
            spec.signature = PredictMessage.signature(request.payload)
            try PredictMessage(spec: spec, payload: request.payload).writeRequest(&out)
        case SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY:
            // A server answers for its metadata only once it has loaded the model.
            message.setCall(Method.getModelMetadata.path, authority: target.authority)
            try spec.write(1, &out)
            try out.text(2, .literal("signature_def"))
        default:
            throw CodecFailure(
                "the operation has no form in TensorFlow Serving's protocol", status: SLUICE_UNIMPLEMENTED)
        }
        try out.finish(into: &message)
        return SLUICE_OK
    }

    // MARK: - Endpoint to gateway

    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        response.operation = request.operation
        do throws(CodecFailure) {
            switch Int32(bitPattern: request.operation) {
            case SLUICE_OPERATION_INFER:
                let predict = try PredictMessage.readResponse(message.wholeBody, arena: arena)
                response.payload = predict.payload
                // The names that the client knows stand where the host has set them.
                if response.model.isEmpty {
                    response.model = predict.spec.name
                }
                if response.version.isEmpty {
                    response.version = predict.spec.version
                }
            case SLUICE_OPERATION_MODEL_METADATA:
                response.metadata = try SignatureMessage.read(message.wholeBody, arena: arena)
            case SLUICE_OPERATION_MODEL_READY:
                _ = try SignatureMessage.read(message.wholeBody, arena: arena)
                response.ready = 1
            default:
                response.payload = sluice_payload()
                response.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
                response.payload.raw = message.wholeBody
                response.payload.content_type = .literal("application/grpc+proto")
            }
        } catch {
            throw error.ofBackend(&response)
        }
        return nil
    }
}
