import SluiceABI
import SluiceJSON

extension OpenInferenceProtocol {
    // MARK: - Gateway to endpoint

    /// The request toward a backend of this protocol: by gRPC when `message.transport` says so, else by HTTP.
    ///
    /// - Returns: SLUICE_PASS, SLUICE_OK or SLUICE_NEED_BODY as `encode_request` has them.
    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        if message.transport == UInt32(SLUICE_TRANSPORT_GRPC) {
            return try encodeBackendCall(request, for: target, into: &message, arena: arena)
        }
        try message.requireTransport(SLUICE_TRANSPORT_HTTP, target)
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        let isCall = request.message?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        if target.same_protocol != 0, !isCall {
            // Bodies of this protocol don't name the model: the path is all there is to change.
            if target.renamed != 0 {
                try writeTarget(request, target, into: &message, arena: arena)
            }
            return SLUICE_PASS
        }
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            guard try request.payload.hasTensors(orFail: Self.noTensors) else { return SLUICE_NEED_BODY }
            message.method = .literal("POST")
            try InferWriter(arena: arena).request(
                request.payload, id: request.id, isBinary: isBinary, into: &message)
        case SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY:
            message.method = .literal("GET")
            message.body_state = UInt32(SLUICE_BODY_NONE)
        default:
            throw Self.notCarried(request)
        }
        try writeTarget(request, target, into: &message, arena: arena)
        message.authority = target.authority
        return SLUICE_OK
    }

    static let noTensors: StaticString = "the request has no tensors and no form in the Open Inference Protocol"

    /// Why an operation that the adapter knows nothing of cannot be asked of a backend: the gateway would have to say
    /// in gRPC what came over HTTP, or the other way round, or to translate it from another protocol.
    static func notCarried(_ request: sluice_request) -> CodecFailure {
        CodecFailure(
            request.operation == UInt32(SLUICE_OPERATION_OTHER)
                ? "the operation is only passed on to a backend of the client's own protocol and transport"
                : "the operation has no form in the Open Inference Protocol",
            status: SLUICE_UNIMPLEMENTED)
    }

    /// The path with the names that the backend knows, and the client's query where the path is the client's.
    private func writeTarget(
        _ request: sluice_request, _ target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        var path = JSONWriter(arena: arena)
        try path.raw("/v2/models/")
        try PathSegment.write(target.model, &path)
        if !target.version.isEmpty {
            try path.raw("/versions/")
            try PathSegment.write(target.version, &path)
        }
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER: try path.raw("/infer")
        case SLUICE_OPERATION_MODEL_READY: try path.raw("/ready")
        case SLUICE_OPERATION_MODEL_METADATA: break
        default:
            // What the route captured has the query already.
            try path.raw("/")
            try path.raw(request.rest)
        }
        if request.operation != UInt32(SLUICE_OPERATION_OTHER), target.same_protocol != 0,
            let query = request.message?.pointee.query, !query.isEmpty
        {
            try path.raw("?")
            try path.raw(query)
        }
        message.target = try path.finishContiguous()
    }

    // MARK: - Endpoint to gateway

    /// Reads a backend's answer; one that is an error is thrown, with `response.http_status` set.
    ///
    /// - Returns: the backend's own words when it answered with an error, which the caller reports with the status.
    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        if message.transport == UInt32(SLUICE_TRANSPORT_GRPC) {
            try decodeCallResponse(message, to: request, into: &response, arena: arena)
            return nil
        }
        response.operation = request.operation
        if request.operation == UInt32(SLUICE_OPERATION_MODEL_READY) {
            response.ready = (200...299).contains(message.status) ? 1 : 0
            return nil
        }
        guard (200...299).contains(message.status) else {
            response.http_status = message.status
            return BackendRefusal(
                status: ErrorBody.status(ofHTTP: message.status),
                text: ErrorBody.read(message.wholeBody, arena: arena))
        }
        do throws(CodecFailure) {
            switch Int32(bitPattern: request.operation) {
            case SLUICE_OPERATION_INFER:
                let infer = try InferReader.read(message, .response, arena: arena)
                response.payload = infer.payload
                response.id = infer.id
                response.takeNames(model: infer.model, version: infer.version)
            case SLUICE_OPERATION_MODEL_METADATA:
                response.metadata = try MetadataText.read(message.wholeBody, arena: arena)
            default:
                response.payload = sluice_payload(
                    raw: message.wholeBody, contentType: message.field("content-type") ?? sluice_bytes())
            }
        } catch {
            throw error.ofBackend(&response)
        }
        return nil
    }
}
