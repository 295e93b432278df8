import SluiceABI
import SluiceJSON

/// The Open Inference Protocol (KServe v2), as KServe, Triton and MLServer speak it: messages to unified requests and
/// responses, and back. Pure: it sees memory only. HTTP stands here, gRPC in `OpenInferenceProtocol+GRPC`.
public struct OpenInferenceProtocol: MessageCodec {
    /// Sends tensors to backends of this protocol as binary data (MLServer knows JSON only).
    public var isBinary: Bool
    /// The model whose backend gets gRPC calls that name none; empty: they are left to the next adapter.
    let serverModel: sluice_bytes

    public init(isBinary: Bool, serverModel: String = "") {
        self.isBinary = isBinary
        self.serverModel = StaticText.keep(serverModel)
        PowersOfTen.prepare()
        MessageFields.prepare()
    }

    // MARK: - Routes

    /// The routes; the first one that matches counts. A capture is the model, a second one the version, a last one
    /// what the adapter does not look into.
    public enum Route: Int, CaseIterable {
        case serverMetadata, serverLive, serverReady, modelList
        case infer, inferVersion
        case ready, readyVersion
        case metadataVersion, metadata
        case otherVersion, other

        public var method: StaticString {
            switch self {
            case .infer, .inferVersion: "POST"
            case .other, .otherVersion: ""
            default: "GET"
            }
        }

        public var path: StaticString {
            switch self {
            case .serverMetadata: "/v2"
            case .serverLive: "/v2/health/live"
            case .serverReady: "/v2/health/ready"
            case .modelList: "/v2/models"
            case .infer: "/v2/models/{model}/infer"
            case .inferVersion: "/v2/models/{model}/versions/{version}/infer"
            case .ready: "/v2/models/{model}/ready"
            case .readyVersion: "/v2/models/{model}/versions/{version}/ready"
            case .metadata: "/v2/models/{model}"
            case .metadataVersion: "/v2/models/{model}/versions/{version}"
            case .other: "/v2/models/{model}/{rest...}"
            case .otherVersion: "/v2/models/{model}/versions/{version}/{rest...}"
            }
        }

        var operation: Int32 {
            switch self {
            case .serverMetadata: SLUICE_OPERATION_SERVER_METADATA
            case .serverLive: SLUICE_OPERATION_SERVER_LIVE
            case .serverReady: SLUICE_OPERATION_SERVER_READY
            case .modelList: SLUICE_OPERATION_MODEL_LIST
            case .infer, .inferVersion: SLUICE_OPERATION_INFER
            case .ready, .readyVersion: SLUICE_OPERATION_MODEL_READY
            case .metadata, .metadataVersion: SLUICE_OPERATION_MODEL_METADATA
            case .other, .otherVersion: SLUICE_OPERATION_OTHER
            }
        }

        var hasModel: Bool { rawValue > Route.modelList.rawValue }

        var hasVersion: Bool {
            switch self {
            case .inferVersion, .readyVersion, .metadataVersion, .otherVersion: true
            default: false
            }
        }
    }

    // MARK: - Client to gateway

    /// Stage HEAD: model, version and operation by the path. Allocates only for percent-encoded names.
    ///
    /// - Returns: false when the message is not of this protocol.
    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Bool {
        guard let route = Route(rawValue: Int(match.route)) else { return false }
        request.operation = UInt32(route.operation)
        guard route.hasModel else { return true }
        guard let captures = match.captures, match.capture_count > (route.hasVersion ? 1 : 0) else { return false }
        request.model = try PathSegment.decode(captures[0], arena: arena)
        if route.hasVersion {
            request.version = try PathSegment.decode(captures[1], arena: arena)
        }
        if route == .other || route == .otherVersion {
            let rest = route.hasVersion ? 2 : 1
            if match.capture_count > rest {
                request.rest = captures[rest]
                if isOfOtherPath(captures[rest], isOfVersion: route.hasVersion) { return false }
            }
        }
        return true
    }

    /// Whether what follows a model in a path is none to be passed on: what routes know, or a path that a backend may
    /// take for another one. That could be of another model, or of the whole server, which the model's own filters and
    /// limits know nothing of; or an inference whose tensors nobody would look at.
    private func isOfOtherPath(_ rest: sluice_bytes, isOfVersion: Bool) -> Bool {
        let size = rest.buffer.firstIndex(of: UInt8(ascii: "?")) ?? rest.buffer.count
        let path = rest.slice(0, size)
        // A slash stands before it.
        return path.buffer.first == UInt8(ascii: "/") || PathSpelling.hasAnother(path)
            || isOfOtherMethod(path, isOfVersion: isOfVersion)
    }

    /// Whether what follows a model in a path is what the routes before know, asked for with a method that they do not
    /// have. No backend has another one for it.
    private func isOfOtherMethod(_ path: sluice_bytes, isOfVersion: Bool) -> Bool {
        if path.equals("infer") || path.equals("ready") { return true }
        let version: StaticString = "versions/"
        let start = version.utf8CodeUnitCount
        return !isOfVersion && path.size > start && path.hasPrefix(.literal(version))
            && !path.slice(start, path.size - start).buffer.contains(UInt8(ascii: "/"))
    }

    /// Stage BODY: the payload, and what only the body tells.
    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee else { return }
        guard message.transport != UInt32(SLUICE_TRANSPORT_GRPC) else {
            return try decodeCallBody(message, &request, arena: arena)
        }
        guard request.operation == UInt32(SLUICE_OPERATION_INFER) else {
            request.payload = sluice_payload(rawBodyOf: message)
            return
        }
        do throws(CodecFailure) {
            let infer = try InferReader.read(message, .request, arena: arena)
            request.id = infer.id
            request.payload = infer.payload
        } catch {
            // An error has a canonical code only; the HTTP status that says more is kept for `encodeError`.
            request.adapter_data = UnsafeMutableRawPointer(bitPattern: UInt(error.httpStatus))
            throw error
        }
    }

    // MARK: - Gateway to client

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        if request.message?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC) {
            return try encodeCall(response, to: request, into: &message, arena: arena)
        }
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = response.http_status == 0 ? 200 : response.http_status
        let model = response.model.isEmpty ? request.model : response.model
        switch Int32(bitPattern: response.operation) {
        case SLUICE_OPERATION_INFER where response.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS):
            try InferWriter(arena: arena).response(
                response.payload, to: request.payload, model: model, version: response.version,
                id: response.id.isEmpty ? request.id : response.id, into: &message)
        case SLUICE_OPERATION_SERVER_LIVE:
            try encodeState("live", response, sluice_bytes(), into: &message, arena: arena)
        case SLUICE_OPERATION_SERVER_READY:
            try encodeState("ready", response, sluice_bytes(), into: &message, arena: arena)
        case SLUICE_OPERATION_MODEL_READY:
            try encodeState("ready", response, model, into: &message, arena: arena)
        case SLUICE_OPERATION_SERVER_METADATA, SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_LIST:
            guard let metadata = response.metadata?.pointee else {
                throw CodecFailure("the answer has no metadata", status: SLUICE_INTERNAL)
            }
            try MetadataText.write(
                metadata, operation: response.operation, model: model, into: &message, arena: arena)
        default:
            try encodeRaw(response.payload, into: &message, arena: arena)
        }
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    /// `{"live":true}`, `{"ready":true}`, `{"name":"m","ready":true}`: the specification's and KServe's bodies; Triton
    /// and MLServer say it by the status alone. What is not ready is 503 as KServe answers.
    private func encodeState(
        _ key: StaticString, _ response: sluice_response, _ name: sluice_bytes, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        let isReady = response.ready != 0
        if response.http_status == 0, !isReady {
            message.status = 503
        }
        var json = JSONWriter(arena: arena)
        try json.raw("{")
        if !name.isEmpty {
            try json.raw("\"name\":")
            try json.string(name)
            try json.raw(",")
        }
        try json.string(key)
        try json.raw(":")
        try json.boolean(isReady)
        try json.raw("}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    private func encodeRaw(
        _ payload: sluice_payload, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        switch Int32(bitPattern: payload.kind) {
        case SLUICE_PAYLOAD_NONE: message.body_state = UInt32(SLUICE_BODY_NONE)
        case SLUICE_PAYLOAD_RAW: try MessageFields.setBody(raw: payload, on: &message, arena: arena)
        default:
            throw CodecFailure("the answer has no form in the Open Inference Protocol", status: SLUICE_UNIMPLEMENTED)
        }
    }

    public func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        let refusal = UInt32(truncatingIfNeeded: UInt(bitPattern: request.adapter_data))
        message.status = refusal == 0 ? error.http_status : refusal
        try ErrorBody.write(error.message, into: &message, arena: arena)
    }
}
