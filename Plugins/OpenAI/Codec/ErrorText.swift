import SluiceABI
import SluiceJSON

/// Errors as the API says them: `{"error": {"message", "type", "param", "code"}}`. Clients choose the exception by the
/// status, and what to do by `type` and `code`.
enum ErrorText {
    /// - Parameter isAboutModel: the field `model` is what is wrong.
    static func write(
        _ text: sluice_bytes, status: UInt32, isAboutModel: Bool, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        let (type, code) = kind(status)
        var json = JSONWriter(arena: arena)
        try json.raw("{\"error\":{\"message\":")
        try json.string(
            text.isEmpty ? .literal("the request failed") : try UTF8Sequence.repaired(text, arena: arena))
        try json.raw(",\"type\":")
        try json.string(type)
        try json.raw(",\"param\":")
        try json.raw(isAboutModel || status == 404 ? "\"model\"" : "null")
        try json.raw(",\"code\":")
        if let code {
            try json.string(code)
        } else {
            try json.raw("null")
        }
        try json.raw("}}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    /// `type` and `code` of a status. What is not found is always a model: other paths are the backend's.
    private static func kind(_ status: UInt32) -> (type: StaticString, code: StaticString?) {
        switch status {
        case 401: ("authentication_error", "invalid_api_key")
        case 403: ("permission_error", nil)
        case 404: ("invalid_request_error", "model_not_found")
        case 429: ("rate_limit_error", "rate_limit_exceeded")
        case 503: ("server_error", "service_unavailable")
        case 504: ("server_error", "timeout")
        case 400...499: ("invalid_request_error", nil)
        default: ("server_error", nil)
        }
    }
}
