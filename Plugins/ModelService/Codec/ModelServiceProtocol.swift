import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// `sluice.v1.ModelService`: messages to unified requests and responses, and back. Pure: it sees memory only.
public struct ModelServiceProtocol: GRPCCodec {
    public init() {}

    /// The methods, in the order of their routes.
    public enum Method: Int, CaseIterable, Sendable {
        case predict, batchPredict, streamPredict

        public var path: StaticString {
            switch self {
            case .predict: "/sluice.v1.ModelService/Predict"
            case .batchPredict: "/sluice.v1.ModelService/BatchPredict"
            case .streamPredict: "/sluice.v1.ModelService/StreamPredict"
            }
        }

        init?(path: sluice_bytes) {
            guard let method = Self.allCases.first(where: { path.equals($0.path) }) else { return nil }
            self = method
        }

        /// The model and the version that a message asks for; of a stream its first message, of a batch its first
        /// request, from which no other may differ. No tensor is looked into.
        public func modelName(
            ofFirstMessage message: sluice_bytes
        ) throws(CodecFailure) -> (model: sluice_bytes, version: sluice_bytes) {
            guard self == .batchPredict else { return try Self.name(message) }
            var first: (model: sluice_bytes, version: sluice_bytes)?
            var reader = ProtobufReader(message)
            while let field = try reader.next() {
                guard field.number == 1 else { continue }
                let name = try Self.name(try field.bytes("requests"))
                if let first, !first.model.equals(name.model) || !first.version.equals(name.version) {
                    throw CodecFailure("the requests of a batch name more than one model", subject: name.model)
                }
                first = name
            }
            guard let first else { throw CodecFailure("the batch has no requests") }
            return first
        }

        private static func name(
            _ message: sluice_bytes
        ) throws(CodecFailure) -> (model: sluice_bytes, version: sluice_bytes) {
            var name = (model: sluice_bytes(), version: sluice_bytes())
            var reader = ProtobufReader(message)
            while let field = try reader.next() {
                switch field.number {
                case 1: name.model = try field.string("model")
                case 2: name.version = try field.string("version")
                default: break
                }
            }
            return name
        }

        /// The message with another model and version in it; all else goes on as it came.
        public func rename(
            _ message: sluice_bytes, model: sluice_bytes, version: sluice_bytes, to writer: inout ProtobufWriter
        ) throws(CodecFailure) {
            guard self == .batchPredict else {
                return try Self.renameOne(message, model, version, &writer)
            }
            var reader = ProtobufReader(message)
            while let field = try reader.next() {
                guard field.number == 1 else {
                    try writer.append(message.slice(field.start, field.end - field.start))
                    continue
                }
                try writer.message(1) { (part: inout ProtobufWriter) throws(CodecFailure) in
                    try Self.renameOne(field.content, model, version, &part)
                }
            }
        }

        private static func renameOne(
            _ message: sluice_bytes, _ model: sluice_bytes, _ version: sluice_bytes, _ writer: inout ProtobufWriter
        ) throws(CodecFailure) {
            try writer.text(1, model)
            try writer.text(2, version)
            try ProtobufSplice.append(message, without: 1, 2, to: &writer)
        }
    }

    public var paths: [String] { Method.allCases.map { "\($0.path)" } }

    // MARK: - Client to gateway

    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard let method = Method(rawValue: Int(match.route)) else { return SLUICE_DECLINE }
        request.operation = UInt32(method == .predict ? SLUICE_OPERATION_INFER : SLUICE_OPERATION_OTHER)
        guard let message = request.message?.pointee, message.hasBody else { return SLUICE_NEED_BODY }
        try peek(method, message, &request)
        return SLUICE_OK
    }

    private func peek(
        _ method: Method, _ message: sluice_message, _ request: inout sluice_request
    ) throws(CodecFailure) {
        let name = try method.modelName(ofFirstMessage: message.wholeBody)
        guard !name.model.isEmpty else { throw CodecFailure("the request names no model") }
        request.model = name.model
        request.version = name.version
    }

    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee, let method = Method(path: message.path) else { return }
        try peek(method, message, &request)
        guard method == .predict else {
            request.payload = sluice_payload()
            request.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            request.payload.raw = message.wholeBody
            request.payload.content_type = .literal("application/grpc+proto")
            return
        }
        let unified = try UnifiedMessage.read(message.wholeBody, arena: arena)
        request.id = unified.id
        request.payload = unified.payload
        // Answers have but one form.
        request.payload.flags = UInt32(SLUICE_PAYLOAD_FLAG_BINARY)
    }

    // MARK: - Gateway to client

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.status = 200
        var out = ProtobufWriter(arena: arena)
        if response.operation == UInt32(SLUICE_OPERATION_INFER) {
            var unified = UnifiedMessage()
            unified.model = response.model.isEmpty ? request.model : response.model
            unified.version = response.version
            unified.id = response.id.isEmpty ? request.id : response.id
            unified.payload = response.payload
            try unified.write(wanted: request.payload, isRequest: false, &out)
        } else if response.payload.kind == UInt32(SLUICE_PAYLOAD_RAW) {
            try out.append(response.payload.raw)
        } else {
            throw CodecFailure("the answer has no form in sluice.v1.ModelService", status: SLUICE_UNIMPLEMENTED)
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
            guard method != .streamPredict else {
                throw CodecFailure(
                    "each message of a stream names the model, so it cannot go to a backend that calls it otherwise",
                    status: SLUICE_UNIMPLEMENTED)
            }
            guard received.hasBody else { return SLUICE_NEED_BODY }
            try method.rename(received.wholeBody, model: target.model, version: target.version, to: &out)
            try out.finish(into: &message)
            return SLUICE_PASS
        }
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            guard request.payload.kind != UInt32(SLUICE_PAYLOAD_STREAM) else { return SLUICE_NEED_BODY }
            try request.payload.requireAnswerInMessage()
            message.setCall(Method.predict.path, authority: target.authority)
            var unified = UnifiedMessage()
            unified.model = target.model
            unified.version = target.version
            unified.id = request.id
            unified.payload = request.payload
            try unified.write(wanted: sluice_payload(), isRequest: true, &out)
        case SLUICE_OPERATION_MODEL_READY:
            message.setCall("/grpc.health.v1.Health/Check", authority: target.authority)
            try out.text(1, target.model)
        default:
            throw CodecFailure("the operation has no form in sluice.v1.ModelService", status: SLUICE_UNIMPLEMENTED)
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
                let unified = try UnifiedMessage.read(message.wholeBody, arena: arena)
                response.payload = unified.payload
                response.id = unified.id
                // The names that the client knows stand where the host has set them.
                if response.model.isEmpty {
                    response.model = unified.model
                }
                if response.version.isEmpty {
                    response.version = unified.version
                }
            case SLUICE_OPERATION_MODEL_READY:
                // grpc.health.v1.HealthCheckResponse: 1 is SERVING.
                response.ready = 0
                var reader = ProtobufReader(message.wholeBody)
                while let field = try reader.next() {
                    if field.number == 1 {
                        response.ready = try field.int32("status") == 1 ? 1 : 0
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
        return nil
    }
}
