import SluiceABI
import SluiceJSON

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

/// Where a tensor lies that is in shared memory, as its parameters say (Triton, extension_shared_memory.md).
struct SharedMemoryRegion {
    /// Empty: there is no region, and the elements are in the message.
    var name = sluice_bytes()
    /// Bytes.
    var offset: Int64 = 0
    var size: Int64?

    var isAbsent: Bool { name.isEmpty }

    /// Gives `tensor`, whose shape has `count` elements, the region in place of data.
    func place(_ tensor: inout sluice_tensor, _ datatype: Datatype, count: Int) throws(CodecFailure) {
        guard let size, size >= 0, offset >= 0 else {
            throw CodecFailure(
                "shared_memory_byte_size is missing, or a size or offset is negative, in tensor", subject: tensor.name)
        }
        guard datatype == .bytes || size == Int64(count * datatype.elementSize) else {
            throw TensorBytes.mismatch(tensor.name, expected: count * datatype.elementSize, found: Int(size))
        }
        tensor.region = name
        tensor.region_offset = UInt64(offset)
        tensor.region_size = UInt64(size)
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
