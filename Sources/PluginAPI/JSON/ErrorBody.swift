import SluiceABI

/// Errors as model servers say them: `{"error": "…"}` (Open Inference Protocol, TensorFlow Serving, KServe v1), and
/// what the frameworks under them say instead, `{"detail": …}`.
public enum ErrorBody {
    /// The most of an answer that is repeated when it is no such JSON: enough for a sentence.
    private static let maximumQuotation = 400

    /// Makes the body and the fields of an error message.
    public static func write(
        _ text: sluice_bytes, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{\"error\":")
        try json.string(try UTF8Sequence.repaired(text, arena: arena))
        try json.raw("}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    /// What a backend's error answer says: the value of `error` or `detail`, else the text itself, shortened; empty
    /// when there is nothing to repeat.
    public static func read(_ body: sluice_bytes, arena: ExchangeArena) -> sluice_bytes {
        if let text = try? readField(body, arena), !text.isEmpty {
            return text
        }
        guard UTF8Sequence.isValid(body) else { return sluice_bytes() }
        return UTF8Sequence.prefix(body, limit: maximumQuotation)
    }

    private static func readField(_ body: sluice_bytes, _ arena: ExchangeArena) throws(CodecFailure) -> sluice_bytes {
        var json = JSONReader(body, arena: arena)
        var text = sluice_bytes()
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            let kind = try json.peek()
            if kind == .string, key.equals("error") || key.equals("detail") {
                text = try json.string()
            } else if kind != .null, key.equals("error") || key.equals("detail") {
                let value = try json.skip()
                text = value.slice(0, min(value.size, maximumQuotation))
            } else {
                try json.skip()
            }
        }
        return UTF8Sequence.isValid(text) ? text : sluice_bytes()
    }

    /// The canonical code of a backend's HTTP status (google.rpc.Code's mapping, which gRPC gateways use).
    public static func status(ofHTTP httpStatus: UInt32) -> sluice_status {
        switch httpStatus {
        case 400, 406, 411, 415, 422: SLUICE_INVALID_ARGUMENT
        case 401: SLUICE_UNAUTHENTICATED
        case 403: SLUICE_PERMISSION_DENIED
        case 404, 405, 410: SLUICE_NOT_FOUND
        case 408, 504: SLUICE_DEADLINE_EXCEEDED
        case 409: SLUICE_ABORTED
        case 412: SLUICE_FAILED_PRECONDITION
        case 413, 429: SLUICE_RESOURCE_EXHAUSTED
        case 499: SLUICE_CANCELLED
        case 501: SLUICE_UNIMPLEMENTED
        case 502, 503: SLUICE_UNAVAILABLE
        case 400...499: SLUICE_FAILED_PRECONDITION
        case 500...599: SLUICE_INTERNAL
        default: SLUICE_UNKNOWN
        }
    }
}

/// A backend's error answer.
public struct BackendRefusal {
    public var status: sluice_status
    /// Its own words; may be empty.
    public var text: sluice_bytes

    public init(status: sluice_status, text: sluice_bytes) {
        self.status = status
        self.text = text
    }
}

extension CodecFailure {
    /// The same failure, met in a backend's answer: whatever is wrong there is not the client's fault.
    public func ofBackend(_ response: inout sluice_response) -> CodecFailure {
        guard status == SLUICE_INVALID_ARGUMENT || status == SLUICE_UNIMPLEMENTED else { return self }
        var failure = self
        failure.status = SLUICE_INTERNAL
        failure.httpStatus = 502
        failure.isOfBackend = true
        response.http_status = 502
        return failure
    }
}
