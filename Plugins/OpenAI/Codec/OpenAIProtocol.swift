import SluiceABI
import SluiceJSON

/// OpenAI's HTTP API, as vLLM, llama.cpp, Ollama and others serve it too. Pure: it sees memory only.
public struct OpenAIProtocol: MessageCodec {
    let options: OpenAIOptions

    public init(_ options: OpenAIOptions) {
        self.options = options
        PowersOfTen.prepare()
        MessageFields.prepare()
    }

    /// The routes for the host, in the order that `decodeHead` counts on.
    public var routes: ArraySlice<OpenAIRoute> { options.routes }

    /// What the head of a request tells.
    public enum HeadVerdict: Equatable, Sendable {
        case decoded
        /// The model stands in the body.
        case needsBody
        case declined
        /// This adapter's when the gateway has a model named `request.model`, else declined.
        case decodedIfKnown
    }

    // MARK: - Client to gateway

    /// Stage HEAD: what the path tells.
    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> HeadVerdict {
        guard let route = OpenAIRoute.at(match.route), let message = request.message?.pointee else { return .declined }
        let note = try arena.allocate(RequestNote.self, count: 1)
        note.initialize(to: RequestNote(route: match.route))
        request.adapter_data = UnsafeMutableRawPointer(note)
        request.operation = UInt32(route.operation)
        switch route.kind {
        case .modelInBody: return .needsBody
        case .modelList: return .decoded
        case .model: return try decodeModel(match, &request, arena)
        case .other:
            // What lies under `/v1/models` belongs to this adapter's own routes or to another adapter. And a backend
            // that normalises paths would serve a chat whose tokens nobody counts, or what lies outside of `/v1/`.
            let isOfModels =
                message.path.equals("/v1/models") || message.path.hasPrefix(.literal("/v1/models/"))
            if isOfModels || PathSpelling.hasAnother(message.path) || OpenAIRoute.isSpeltOtherwise(message.path) {
                return .declined
            }
            request.model = options.otherPathsModel
            request.rest = message.target
            return .decoded
        }
    }

    /// `GET /v1/models/{name}`. Other protocols have paths of this form, too, about other models.
    private func decodeModel(
        _ match: sluice_match, _ request: inout sluice_request, _ arena: ExchangeArena
    ) throws(CodecFailure) -> HeadVerdict {
        guard let captures = match.captures, match.capture_count > 0 else { return .declined }
        let captured = captures[0]
        // The last capture of a route has the query behind it.
        let size = captured.buffer.firstIndex(of: UInt8(ascii: "?")) ?? captured.buffer.count
        let segments = captured.slice(0, size)
        guard !segments.isEmpty else { return .declined }
        request.model = try PathSegment.decode(segments, arena: arena)
        guard options.covers(request.model) else { return .declined }
        return segments.buffer.contains(UInt8(ascii: "/")) ? .decodedIfKnown : .decoded
    }

    /// Stage BODY: the model, where the body names it. The payload is the body as it is.
    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        guard let message = request.message?.pointee, let note = RequestNote.of(request) else { return }
        request.payload = sluice_payload(rawBodyOf: message)
        guard OpenAIRoute.at(note.pointee.route)?.kind == .modelInBody else { return }
        var isAboutModel = false
        do throws(CodecFailure) {
            try message.requirePlainBody()
            let field = try ModelField.find(in: message.wholeBody, arena: arena, isAboutModel: &isAboutModel)
            note.pointee.model = field.name
            note.pointee.valueStart = field.start
            note.pointee.valueEnd = field.end
            request.model = field.name
        } catch {
            note.pointee.refusal = error.httpStatus
            note.pointee.refusesModel = isAboutModel
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
        if response.operation == UInt32(SLUICE_OPERATION_MODEL_LIST), let metadata = response.metadata?.pointee {
            if OpenAIRoute.at(RequestNote.of(request)?.pointee.route ?? .max)?.kind == .model {
                try ModelText.writeModel(request.model, of: metadata, into: &message, arena: arena)
            } else {
                try ModelText.writeList(metadata, options, into: &message, arena: arena)
            }
        } else {
            try MessageFields.setBody(
                passing: response, orFail: "an answer of tensors has no form in OpenAI's API", on: &message,
                arena: arena)
        }
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    public func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        let note = RequestNote.of(request)?.pointee
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        let refusal = note?.refusal ?? 0
        message.status = refusal == 0 ? error.http_status : refusal
        try ErrorText.write(
            error.message, status: message.status, isAboutModel: note?.refusesModel ?? false, into: &message,
            arena: arena)
    }
}
