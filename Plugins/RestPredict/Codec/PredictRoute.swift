import SluiceABI

/// One route of the protocol. A first capture is the model, a second one a version or label.
public struct PredictRoute: Sendable {
    public var method: StaticString
    public var path: StaticString
    var operation: Int32
    var captures: Int
    /// What follows the model in the paths of TensorFlow Serving, colon included; empty for others.
    var verb: StaticString = ""
    /// The forms in which a backend may be asked with this path as it is.
    var isVersioned = false

    /// The first one that matches counts.
    public static let all: [PredictRoute] =
        [
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/versions/{version}/predict",
                operation: SLUICE_OPERATION_INFER, captures: 2, isVersioned: true),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/versions/{version}:predict",
                operation: SLUICE_OPERATION_INFER, captures: 2, verb: ":predict"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/labels/{label}:predict", operation: SLUICE_OPERATION_INFER,
                captures: 2, verb: ":predict"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}:predict", operation: SLUICE_OPERATION_INFER, captures: 1,
                verb: ":predict"),
            PredictRoute(
                method: "GET", path: "/v1/models", operation: SLUICE_OPERATION_MODEL_LIST, captures: 0),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}/versions/{version}/metadata",
                operation: SLUICE_OPERATION_MODEL_METADATA, captures: 2),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}/labels/{label}/metadata",
                operation: SLUICE_OPERATION_MODEL_METADATA, captures: 2),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}/metadata", operation: SLUICE_OPERATION_MODEL_METADATA,
                captures: 1),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}/versions/{version}", operation: SLUICE_OPERATION_MODEL_READY,
                captures: 2),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}/labels/{label}", operation: SLUICE_OPERATION_MODEL_READY,
                captures: 2),
            PredictRoute(
                method: "GET", path: "/v1/models/{model}", operation: SLUICE_OPERATION_MODEL_READY, captures: 1),
            // Operations that only backends of this protocol know.
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/versions/{version}:classify",
                operation: SLUICE_OPERATION_OTHER, captures: 2, verb: ":classify"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/labels/{label}:classify",
                operation: SLUICE_OPERATION_OTHER, captures: 2, verb: ":classify"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}:classify", operation: SLUICE_OPERATION_OTHER, captures: 1,
                verb: ":classify"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/versions/{version}:regress",
                operation: SLUICE_OPERATION_OTHER, captures: 2, verb: ":regress"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}/labels/{label}:regress",
                operation: SLUICE_OPERATION_OTHER, captures: 2, verb: ":regress"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}:regress", operation: SLUICE_OPERATION_OTHER, captures: 1,
                verb: ":regress"),
            PredictRoute(
                method: "POST", path: "/v1/models/{model}:explain", operation: SLUICE_OPERATION_OTHER, captures: 1,
                verb: ":explain"),
        ]

    /// Whether the last segment of a path ends in one of the verbs.
    static func hasVerb(_ segment: sluice_bytes) -> Bool {
        guard let colon = segment.buffer.lastIndex(of: UInt8(ascii: ":")) else { return false }
        let verb = segment.slice(colon, segment.size - colon)
        return verb.equals(":predict") || verb.equals(":classify") || verb.equals(":regress") || verb.equals(":explain")
    }

    /// The form of this path, as far as it is one of predictions.
    func fits(_ form: BackendPath) -> Bool {
        switch form {
        case .versioned: isVersioned
        case .tfserving: !isVersioned
        case .kserve: captures == 1
        }
    }
}
