import SluiceABI
import SluiceJSON

/// One route of the protocol; the first one that matches counts.
public struct OpenAIRoute: Sendable {
    public var method: StaticString
    public var path: StaticString
    var operation: Int32
    var kind: Kind

    enum Kind: Sendable {
        /// The body names the model.
        case modelInBody
        case modelList
        case model
        /// A path that is only passed on.
        case other
    }

    /// Without the last one where no model is named for other paths.
    public static let all: [OpenAIRoute] = [
        OpenAIRoute(
            method: "POST", path: "/v1/chat/completions", operation: SLUICE_OPERATION_CHAT, kind: .modelInBody),
        OpenAIRoute(
            method: "POST", path: "/v1/completions", operation: SLUICE_OPERATION_COMPLETION, kind: .modelInBody),
        OpenAIRoute(method: "POST", path: "/v1/embeddings", operation: SLUICE_OPERATION_EMBED, kind: .modelInBody),
        OpenAIRoute(method: "POST", path: "/v1/responses", operation: SLUICE_OPERATION_CHAT, kind: .modelInBody),
        OpenAIRoute(method: "GET", path: "/v1/models", operation: SLUICE_OPERATION_MODEL_LIST, kind: .modelList),
        // Names may hold slashes (`org/model`), which not every client encodes.
        OpenAIRoute(
            method: "GET", path: "/v1/models/{name...}", operation: SLUICE_OPERATION_MODEL_LIST, kind: .model),
        OpenAIRoute(method: "", path: "/v1/{rest...}", operation: SLUICE_OPERATION_OTHER, kind: .other),
    ]

    /// Whether a path is that of an operation but for the case of its letters or a slash behind it, as whole frameworks
    /// of servers take it for: the operation would be asked for past the gateway's eyes.
    static func isSpeltOtherwise(_ path: sluice_bytes) -> Bool {
        var size = path.size
        while size > 0, path.buffer[size - 1] == UInt8(ascii: "/") { size -= 1 }
        return all.contains { route in
            route.kind == .modelInBody && path.slice(0, size).equalsIgnoringCase(.literal(route.path))
                && !path.equals(route.path)
        }
    }

    static func at(_ index: UInt32) -> OpenAIRoute? {
        all.indices.contains(Int(index)) ? all[Int(index)] : nil
    }
}

/// What the adapter remembers of a request, in the exchange's arena.
struct RequestNote: BitwiseCopyable {
    var route: UInt32
    /// The HTTP status of a refusal, which says more than the canonical code; 0: none.
    var refusal: UInt32 = 0
    /// What was refused is the field `model`.
    var refusesModel = false
    /// The model that the body names, and where: from the opening quotation mark to behind the closing one. The
    /// request's own may be changed by filters.
    var model = sluice_bytes()
    var valueStart = 0
    var valueEnd = 0

    init(route: UInt32) {
        self.route = route
    }

    /// Nil before `decode`, and for requests of other adapters.
    static func of(_ request: sluice_request) -> UnsafeMutablePointer<RequestNote>? {
        request.adapter_data?.assumingMemoryBound(to: RequestNote.self)
    }
}
