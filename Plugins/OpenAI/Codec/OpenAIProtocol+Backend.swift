import SluiceABI
import SluiceJSON

extension OpenAIProtocol {
    // MARK: - Gateway to endpoint

    /// The request toward a backend of this protocol: the client's own, with another name in its body where the
    /// backend knows the model by another one.
    ///
    /// - Returns: SLUICE_PASS or SLUICE_NEED_BODY as `encode_request` has them.
    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard target.same_protocol != 0 else {
            throw CodecFailure("the request has no form in OpenAI's API", status: SLUICE_UNIMPLEMENTED)
        }
        guard let note = RequestNote.of(request)?.pointee, OpenAIRoute.at(note.route)?.kind == .modelInBody else {
            return SLUICE_PASS
        }
        // Said before the body was read: then nobody knows where in it the name stands.
        guard note.valueEnd > 0, let body = request.message?.pointee.wholeBody, note.valueEnd <= body.size else {
            return SLUICE_NEED_BODY
        }
        if target.model.equals(note.model) { return SLUICE_PASS }
        var spliced = JSONWriter(arena: arena)
        try spliced.append(body.slice(0, note.valueStart))
        try spliced.string(target.model)
        try spliced.append(body.slice(note.valueEnd, body.size - note.valueEnd))
        try MessageFields.setBody(&spliced, on: &message)
        return SLUICE_PASS
    }

    // MARK: - Endpoint to gateway

    /// A backend's answer, errors included, as it is: nobody here knows better than it.
    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        response.operation = request.operation
        response.http_status = message.status
        response.payload = sluice_payload(rawBodyOf: message)
        return nil
    }
}
