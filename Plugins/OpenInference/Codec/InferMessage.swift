import SluiceABI
import SluiceJSON

/// Bounds on what one infer message may list. Each entry costs memory of the exchange, and names are compared with all
/// that came before.
public enum InferLimits {
    /// Tensors, and requested outputs. A tabular model with one tensor for each column has some hundreds.
    public static let tensors = 1024
    /// Parameters of a message, a tensor or an output.
    public static let parameters = 128
}

/// The two directions of the infer message, which have the same form but for names (Open Inference Protocol,
/// inference_rest.md: `$inference_request`, `$inference_response`).
public enum InferDirection {
    case request
    case response
}

/// What an infer message says.
public struct InferMessage {
    public var id = sluice_bytes()
    /// Of responses.
    public var model = sluice_bytes()
    public var version = sluice_bytes()
    public var payload = sluice_payload()
}
