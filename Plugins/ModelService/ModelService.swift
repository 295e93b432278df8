import ModelServiceCodec
import SluiceABI
import SluicePlugin
import SluiceProtobuf

/// The gateway's own gRPC protocol (Protos/sluice/v1/model_service.proto). What it speaks stands in
/// `ModelServiceProtocol`; this is its face toward the host. It has no configuration.
struct ModelService: GRPCAdapter {
    static let plugin = PluginDescription(
        name: "model-service", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec = ModelServiceProtocol()

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, ModelService.self)
}
