import SluiceABI
import SluicePlugin

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, LinearModel.self) }
