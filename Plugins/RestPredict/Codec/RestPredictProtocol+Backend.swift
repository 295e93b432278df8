import SluiceABI
import SluiceJSON

extension RestPredictProtocol {
    // MARK: - Gateway to endpoint

    /// The request toward a backend of this protocol.
    ///
    /// - Returns: SLUICE_PASS, SLUICE_OK or SLUICE_NEED_BODY as `encode_request` has them.
    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        try message.requireTransport(SLUICE_TRANSPORT_HTTP, target)
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        let isInfer = request.operation == UInt32(SLUICE_OPERATION_INFER)
        if target.same_protocol != 0 {
            let index = Int(Note(request).route)
            let route = PredictRoute.all[PredictRoute.all.indices.contains(index) ? index : 0]
            let form = options.backendPath ?? (route.isVersioned ? .versioned : .tfserving)
            if target.renamed != 0 || (isInfer && !route.fits(form)) {
                try writeTarget(request, target, form, into: &message, arena: arena)
            }
            return SLUICE_PASS
        }
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER:
            guard
                try request.payload.hasTensors(orFail: "the request has no tensors and no form in this protocol")
            else { return SLUICE_NEED_BODY }
            try request.payload.requireAnswerInMessage()
            message.method = .literal("POST")
            let tensors = UnsafeBufferPointer(
                start: request.payload.tensors, count: Int(request.payload.tensor_count))
            let asksColumns =
                request.payload.flags & UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS) != 0 || !PredictWriter.haveRows(tensors)
                || PredictWriter.namesOutgrowRows(tensors)
            try PredictWriter(isRequest: true, arena: arena).write(
                request.payload, asksColumns: asksColumns, namesSingle: false, into: &message)
        case SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY:
            message.method = .literal("GET")
            message.body_state = UInt32(SLUICE_BODY_NONE)
        default:
            throw CodecFailure("the operation has no form in this protocol", status: SLUICE_UNIMPLEMENTED)
        }
        try writeTarget(request, target, options.backendPath ?? .tfserving, into: &message, arena: arena)
        message.authority = target.authority
        return SLUICE_OK
    }

    private func writeTarget(
        _ request: sluice_request, _ target: sluice_target, _ form: BackendPath, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        var path = JSONWriter(arena: arena)
        try path.raw("/v1/models/")
        try PathSegment.write(target.model, &path)
        if form == .versioned, request.operation == UInt32(SLUICE_OPERATION_INFER), target.version.isEmpty {
            throw CodecFailure(
                "the backend is asked by version: name one in the request, or set `upstream.version` of model",
                status: SLUICE_FAILED_PRECONDITION, subject: target.model)
        }
        if form != .kserve, !target.version.isEmpty {
            try path.raw("/versions/")
            try PathSegment.write(target.version, &path)
        }
        switch Int32(bitPattern: request.operation) {
        case SLUICE_OPERATION_INFER: try path.raw(form == .versioned ? "/predict" : ":predict")
        case SLUICE_OPERATION_MODEL_METADATA: try path.raw("/metadata")
        case SLUICE_OPERATION_MODEL_READY: break
        default: try path.raw(request.rest)
        }
        if target.same_protocol != 0, let query = request.message?.pointee.query, !query.isEmpty {
            try path.raw("?")
            try path.raw(query)
        }
        message.target = try path.finishContiguous()
    }

    // MARK: - Endpoint to gateway

    /// Reads a backend's answer. One that is an error sets `response.http_status` and is returned as the backend's own
    /// words, which the caller reports with the status.
    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        response.operation = request.operation
        let isSuccess = (200...299).contains(message.status)
        if request.operation == UInt32(SLUICE_OPERATION_MODEL_READY) {
            response.ready = isSuccess && ModelText.readState(message.wholeBody, arena: arena) ? 1 : 0
            return nil
        }
        guard isSuccess else {
            response.http_status = message.status
            return BackendRefusal(
                status: ErrorBody.status(ofHTTP: message.status),
                text: ErrorBody.read(message.wholeBody, arena: arena))
        }
        do throws(CodecFailure) {
            switch Int32(bitPattern: request.operation) {
            case SLUICE_OPERATION_INFER:
                try message.requirePlainBody()
                response.payload = try PredictReader(options, answerTo: request.payload, arena: arena).read(
                    message.wholeBody, options)
            case SLUICE_OPERATION_MODEL_METADATA:
                try message.requirePlainBody()
                response.metadata = try ModelText.readMetadata(message.wholeBody, arena: arena)
            default: response.payload = sluice_payload(rawBodyOf: message)
            }
        } catch {
            throw error.ofBackend(&response)
        }
        return nil
    }
}
