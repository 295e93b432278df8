import GRPCHealthCodec
import SluiceABI
import SluicePlugin
import SluiceProtobuf

/// gRPC's health checking protocol, for the gateway and for each of its models. What it speaks stands in
/// `HealthProtocol`; this is its face toward the host. It has no configuration.
struct GRPCHealth: GRPCAdapter {
    static let plugin = PluginDescription(
        name: "grpc-health", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec = HealthProtocol()

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, GRPCHealth.self)
}
