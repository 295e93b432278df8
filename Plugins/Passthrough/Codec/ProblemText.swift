import SluiceABI
import SluiceJSON

/// Errors of a protocol that nobody here knows: `application/problem+json` (RFC 9457), or plain text for a client whose
/// Accept names text and no JSON, such as a browser.
public enum ProblemText {
    public static func write(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = error.http_status
        let accept = request.message?.pointee.field("accept") ?? sluice_bytes()
        let isText = accept.containsIgnoringCase("text/") && !accept.containsIgnoringCase("json")
        let detail = try UTF8Sequence.repaired(error.message, arena: arena)
        var body = JSONWriter(arena: arena)
        if isText {
            try body.raw(detail)
            try body.raw("\n")
        } else {
            try body.raw("{\"type\":\"about:blank\",\"title\":")
            try body.string(title(error.http_status))
            try body.raw(",\"status\":")
            try body.integer(UInt64(error.http_status))
            if !detail.isEmpty {
                try body.raw(",\"detail\":")
                try body.string(detail)
            }
            try body.raw("}")
        }
        try MessageFields.set(
            [
                sluice_field(
                    name: .literal("content-type"),
                    value: .literal(isText ? "text/plain; charset=utf-8" : "application/problem+json"))
            ], on: &message, arena: arena)
        try MessageFields.setBody(&body, on: &message)
    }

    /// The phrase of a status (RFC 9110 §15), as RFC 9457 §4.2.1 asks for with `about:blank`.
    private static func title(_ status: UInt32) -> StaticString {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 400...499: "Client Error"
        default: "Server Error"
        }
    }
}
