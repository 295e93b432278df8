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

/// What a `parameters` belongs to.
enum ParameterScope {
    case message, tensor, output

    /// Whether a parameter says how tensors are laid out in a message over HTTP (Triton, extension_binary_data.md).
    /// That is true of one message alone, so it never goes on as a parameter: whoever writes one over HTTP says it
    /// anew, and over gRPC it says nothing. KServe's SDK sets `binary_data_size` there nonetheless, client and server.
    func isLayout(_ name: sluice_bytes) -> Bool {
        switch self {
        case .message: name.equals("binary_data_output")
        case .tensor: name.equals("binary_data_size")
        case .output: name.equals("binary_data")
        }
    }
}

/// What an infer message says.
public struct InferMessage {
    public var id = sluice_bytes()
    /// Of responses.
    public var model = sluice_bytes()
    public var version = sluice_bytes()
    public var payload = sluice_payload()
}
