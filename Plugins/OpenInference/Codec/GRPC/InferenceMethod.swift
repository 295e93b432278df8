import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// The methods of `inference.GRPCInferenceService` (Protos/inference/grpc_inference_service.proto), in the order of
/// their routes, which follow those of HTTP.
public enum InferenceMethod: Int, GRPCModelMethod {
    case serverLive, serverReady, modelReady, serverMetadata, modelMetadata, modelInfer, modelStreamInfer
    case modelConfig, modelStatistics, repositoryModelLoad, repositoryModelUnload, traceSetting
    /// What names no model, and what comes: RepositoryIndex, LogSettings, the shared-memory calls.
    case other

    public var path: StaticString {
        switch self {
        case .serverLive: "/inference.GRPCInferenceService/ServerLive"
        case .serverReady: "/inference.GRPCInferenceService/ServerReady"
        case .modelReady: "/inference.GRPCInferenceService/ModelReady"
        case .serverMetadata: "/inference.GRPCInferenceService/ServerMetadata"
        case .modelMetadata: "/inference.GRPCInferenceService/ModelMetadata"
        case .modelInfer: "/inference.GRPCInferenceService/ModelInfer"
        case .modelStreamInfer: "/inference.GRPCInferenceService/ModelStreamInfer"
        case .modelConfig: "/inference.GRPCInferenceService/ModelConfig"
        case .modelStatistics: "/inference.GRPCInferenceService/ModelStatistics"
        case .repositoryModelLoad: "/inference.GRPCInferenceService/RepositoryModelLoad"
        case .repositoryModelUnload: "/inference.GRPCInferenceService/RepositoryModelUnload"
        case .traceSetting: "/inference.GRPCInferenceService/TraceSetting"
        case .other: "/inference.GRPCInferenceService/{rest...}"
        }
    }

    var operation: Int32 {
        switch self {
        case .serverLive: SLUICE_OPERATION_SERVER_LIVE
        case .serverReady: SLUICE_OPERATION_SERVER_READY
        case .serverMetadata: SLUICE_OPERATION_SERVER_METADATA
        case .modelReady: SLUICE_OPERATION_MODEL_READY
        case .modelMetadata: SLUICE_OPERATION_MODEL_METADATA
        case .modelInfer: SLUICE_OPERATION_INFER
        default: SLUICE_OPERATION_OTHER
        }
    }

    /// The fields of the request that name the model and its version; 0: it has none.
    var modelFields: (model: UInt32, version: UInt32) {
        switch self {
        case .modelReady, .modelMetadata, .modelInfer, .modelStreamInfer, .modelConfig, .modelStatistics: (1, 2)
        case .repositoryModelLoad, .repositoryModelUnload, .traceSetting: (2, 0)
        case .serverLive, .serverReady, .serverMetadata, .other: (0, 0)
        }
    }

    var namesModel: Bool { modelFields.model != 0 }

    /// The method whose path `path` is; `other` when it is none of those named here.
    init(path: sluice_bytes) {
        self = Self.allCases.first { path.equals($0.path) } ?? .other
    }

    /// The model and the version that a message asks for. No tensor is looked into: of each field but these two only
    /// the tag and the length are read. For a stream, that is its first message.
    public func modelName(
        ofFirstMessage message: sluice_bytes
    ) throws(CodecFailure) -> (model: sluice_bytes, version: sluice_bytes) {
        let fields = modelFields
        var name = (model: sluice_bytes(), version: sluice_bytes())
        var reader = ProtobufReader(message)
        while let field = try reader.next() {
            if field.number == fields.model {
                name.model = try field.string("model_name")
            } else if field.number == fields.version {
                name.version = try field.string("model_version")
            }
        }
        return name
    }

    public func rename(
        _ message: sluice_bytes, model: sluice_bytes, version: sluice_bytes, to writer: inout ProtobufWriter
    ) throws(CodecFailure) {
        let fields = modelFields
        guard fields.model != 0 else { return try writer.append(message) }
        try writer.text(fields.model, model)
        if fields.version != 0 {
            try writer.text(fields.version, version)
        }
        try ProtobufSplice.append(message, without: fields.model, fields.version, to: &writer)
    }
}
