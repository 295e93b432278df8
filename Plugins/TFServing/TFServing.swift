import SluiceABI
import SluicePlugin
import SluiceProtobuf
import TFServingCodec

/// TensorFlow Serving's gRPC API; its REST form is `RestPredict`'s. What it speaks stands in `TFServingProtocol`; this
/// is its face toward the host. It has no configuration.
struct TFServing: GRPCAdapter {
    static let plugin = PluginDescription(
        name: "tf-serving", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec = TFServingProtocol()

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, TFServing.self)
}
