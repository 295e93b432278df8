import SluiceABI

/// What an extension is told when an instance of it is made. Valid inside `init`; `host` until the instance is destroyed.
public struct Context {
    let arguments: UnsafePointer<sluice_create>
    let services: UnsafePointer<HostServices>

    /// The services for later: keep it in the plugin's struct.
    public var host: Host { Host(services) }
    /// `config:` of the plugin.
    public var config: Configuration { Configuration(node: arguments.pointee.config, services: services) }
    /// Backend: `config:` of the version. Batching policy: `batching:` in force.
    public var modelConfig: Configuration {
        Configuration(node: arguments.pointee.model_config, services: services)
    }
    /// Declares the instance's metrics.
    public var metrics: MetricDeclarations { MetricDeclarations(services: services) }
    /// What outlives a reload.
    public var state: StateBlocks { StateBlocks(services: services) }
    /// Index of the worker; nil for a shared instance.
    public var worker: Int? { ModelID.optional(arguments.pointee.worker).map(Int.init) }
    public var workerCount: Int { Int(arguments.pointee.worker_count) }
    /// Of the plugin in the configuration.
    public var name: String { String(Bytes(arguments.pointee.name)) }
    /// Balancer, batching policy, backend: whose pool this is for; empty for others.
    public var model: String { String(Bytes(arguments.pointee.model)) }
    public var version: String { String(Bytes(arguments.pointee.version)) }

    /// Says in full why `init` fails and returns what to throw. `Configuration.error` does the same with a place in the
    /// file.
    public func error(_ code: ErrorCode, _ message: String) -> PluginError {
        config.reportAtPlugin(message)
        return PluginError(code, "the plugin's instance cannot be made")
    }
}

extension Configuration {
    /// Reports an error at the plugin's own entry.
    func reportAtPlugin(_ message: String) {
        _ = Configuration(node: nil, services: services).error(message)
    }
}
