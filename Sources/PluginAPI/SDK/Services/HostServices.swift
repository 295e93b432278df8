import SluiceABI

/// The tables of the host's services, resolved once when an instance is created.
@usableFromInline
struct HostServices {
    @usableFromInline let context: UnsafeMutableRawPointer?
    @usableFromInline let log: UnsafePointer<sluice_log>
    @usableFromInline let clock: UnsafePointer<sluice_clock>
    @usableFromInline let memory: UnsafePointer<sluice_memory>
    @usableFromInline let configuration: UnsafePointer<sluice_config>
    @usableFromInline let metrics: UnsafePointer<sluice_metrics>
    @usableFromInline let timer: UnsafePointer<sluice_timer>
    @usableFromInline let offload: UnsafePointer<sluice_offload>
    @usableFromInline let exchange: UnsafePointer<sluice_exchange_service>
    @usableFromInline let state: UnsafePointer<sluice_state>
    @usableFromInline let models: UnsafePointer<sluice_models>
    // Services that a gateway of ABI 0.1 may lack: what they do then throws `unimplemented`.
    @usableFromInline let route: UnsafePointer<sluice_route_service>?
    @usableFromInline let fields: UnsafePointer<sluice_fields>?
    @usableFromInline let gather: UnsafePointer<sluice_gather>?
    @usableFromInline let asked: UnsafePointer<sluice_asked>?
    /// Nil when the host has no rules: it is older than them.
    @usableFromInline let rules: UnsafePointer<sluice_rules>?
    /// Nil when the host is older than copies of requests.
    @usableFromInline let shadow: UnsafePointer<sluice_shadow_service>?

    /// Nil when the host lacks one of the services of ABI 0.1.
    init?(_ host: UnsafePointer<sluice_host>) {
        func table<Table>(_ id: StaticString, _ type: Table.Type = Table.self) -> UnsafePointer<Table>? {
            host.pointee.service?(host.pointee.context, Bytes(id).raw)?.assumingMemoryBound(to: Table.self)
        }
        guard let log = table("sluice.log/1", sluice_log.self),
            let clock = table("sluice.clock/1", sluice_clock.self),
            let memory = table("sluice.memory/1", sluice_memory.self),
            let configuration = table("sluice.config/1", sluice_config.self),
            let metrics = table("sluice.metrics/1", sluice_metrics.self),
            let timer = table("sluice.timer/1", sluice_timer.self),
            let offload = table("sluice.offload/1", sluice_offload.self),
            let exchange = table("sluice.exchange/1", sluice_exchange_service.self),
            let state = table("sluice.state/1", sluice_state.self),
            let models = table("sluice.models/1", sluice_models.self)
        else { return nil }
        context = host.pointee.context
        self.log = log
        self.clock = clock
        self.memory = memory
        self.configuration = configuration
        self.metrics = metrics
        self.timer = timer
        self.offload = offload
        self.exchange = exchange
        self.state = state
        self.models = models
        route = table("sluice.route/1")
        fields = table("sluice.fields/1")
        gather = table("sluice.gather/1")
        asked = table("sluice.asked/1")
        rules = table("sluice.rules/1", sluice_rules.self)
        shadow = table("sluice.shadow/1", sluice_shadow_service.self)
    }
}

/// The host's services, as one instance sees them: a word, to be kept in the plugin's struct. Valid until the instance
/// is destroyed.
@frozen
public struct Host: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable @inline(__always)
    init(_ services: UnsafePointer<HostServices>) { self.services = services }

    @inlinable @inline(__always)
    public var log: Log { Log(services: services) }
    @inlinable @inline(__always)
    public var clock: Clock { Clock(services: services) }
    @inlinable @inline(__always)
    public var timers: Timers { Timers(services: services) }
    @inlinable @inline(__always)
    public var offload: Offload { Offload(services: services) }
    @inlinable @inline(__always)
    public var models: Models { Models(services: services) }
    @inlinable @inline(__always)
    public var buffers: Buffers { Buffers(services: services) }
}
