import SluiceABI
import SluiceJSON

/// The predict protocols over HTTP that came before the Open Inference Protocol and look alike: TensorFlow Serving's
/// REST API, KServe v1, and the plain `…/versions/{version}/predict`. Pure: it sees memory only.
public struct RestPredictProtocol: MessageCodec {
    let options: PredictOptions

    public init(_ options: PredictOptions) {
        self.options = options
        PowersOfTen.prepare()
        MessageFields.prepare()
    }

    // MARK: - Client to gateway

    /// Stage HEAD: model, version or label, and operation by the path. Allocates only for percent-encoded names.
    ///
    /// - Returns: false when the message is not of this protocol.
    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Bool {
        guard PredictRoute.all.indices.contains(Int(match.route)) else { return false }
        let route = PredictRoute.all[Int(match.route)]
        request.operation = UInt32(route.operation)
        request.adapter_data = Note(route: match.route, refusal: 0).pointer
        guard route.captures > 0 else { return true }
        guard let captures = match.captures, Int(match.capture_count) >= route.captures else { return false }
        // Of `GET /v1/models/m:predict` the route of names would take the verb for a part of one.
        if route.operation == SLUICE_OPERATION_MODEL_READY, PredictRoute.hasVerb(captures[route.captures - 1]) {
            return false
        }
        request.model = try PathSegment.decode(captures[0], arena: arena)
        if route.captures > 1 {
            request.version = try PathSegment.decode(captures[1], arena: arena)
        }
        request.rest = .literal(route.verb)
        return true
    }

    /// Stage BODY: the payload.
    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee else { return }
        guard request.operation == UInt32(SLUICE_OPERATION_INFER) else {
            request.payload = sluice_payload(rawBodyOf: message)
            return
        }
        do throws(CodecFailure) {
            try message.requirePlainBody()
            request.payload = try PredictReader(options, isRequest: true, arena: arena).read(
                message.wholeBody, options)
        } catch {
            request.adapter_data = Note(route: Note(request).route, refusal: error.httpStatus).pointer
            throw error
        }
    }

    // MARK: - Gateway to client

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = response.http_status == 0 ? 200 : response.http_status
        let model = response.model.isEmpty ? request.model : response.model
        switch Int32(bitPattern: response.operation) {
        case SLUICE_OPERATION_INFER where response.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS):
            // The client's own format where its request was read, else that in which the answer came.
            let wish = request.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS) ? request.payload : response.payload
            try PredictWriter(isRequest: false, arena: arena).write(
                response.payload, asksColumns: wish.flags & UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS) != 0,
                namesSingle: false, into: &message)
        case SLUICE_OPERATION_MODEL_READY:
            if response.http_status == 0, response.ready == 0 {
                message.status = 503
            }
            try ModelText.writeState(
                model, version: response.version.isEmpty ? request.version : response.version,
                isReady: response.ready != 0, into: &message, arena: arena)
        case SLUICE_OPERATION_MODEL_METADATA:
            guard let metadata = response.metadata?.pointee else {
                throw CodecFailure("the answer has no metadata", status: SLUICE_INTERNAL)
            }
            try ModelText.writeMetadata(
                metadata, model: model, version: response.version.isEmpty ? request.version : response.version,
                into: &message, arena: arena)
        case SLUICE_OPERATION_MODEL_LIST:
            guard let metadata = response.metadata?.pointee else {
                throw CodecFailure("the answer has no list of models", status: SLUICE_INTERNAL)
            }
            try ModelText.writeList(metadata, into: &message, arena: arena)
        default:
            guard response.payload.kind != UInt32(SLUICE_PAYLOAD_TENSORS) else {
                throw CodecFailure("the answer has no form in this protocol", status: SLUICE_UNIMPLEMENTED)
            }
            try MessageFields.setBody(raw: response.payload, on: &message, arena: arena)
        }
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    public func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        let refusal = Note(request).refusal
        message.status = refusal == 0 ? error.http_status : refusal
        try ErrorBody.write(error.message, into: &message, arena: arena)
    }
}

/// What the adapter remembers of a request, in the pointer that the ABI gives it: no memory is taken for it.
struct Note {
    var route: UInt32
    /// The HTTP status of a refusal, which says more than the canonical code; 0: none.
    var refusal: UInt32

    init(route: UInt32, refusal: UInt32) {
        self.route = route
        self.refusal = refusal
    }

    init(_ request: sluice_request) {
        let bits = UInt(bitPattern: request.adapter_data)
        route = UInt32(truncatingIfNeeded: bits & 0xFFFF)
        refusal = UInt32(truncatingIfNeeded: bits >> 16 & 0xFFFF)
    }

    var pointer: UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: UInt(refusal) << 16 | UInt(route))
    }
}
