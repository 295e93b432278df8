import SluiceABI

/// A number that only grows. On the instance's worker.
@frozen
public struct Counter: @unchecked Sendable {
    @usableFromInline let id: UInt32
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    public func add(_ amount: Double = 1) {
        services.pointee.metrics.pointee.add.unsafelyUnwrapped(services.pointee.context, id, amount)
    }
}

/// A number that goes up and down. On the instance's worker.
@frozen
public struct Gauge: @unchecked Sendable {
    @usableFromInline let id: UInt32
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    public func add(_ amount: Double) {
        services.pointee.metrics.pointee.add.unsafelyUnwrapped(services.pointee.context, id, amount)
    }

    @inlinable
    public func set(_ value: Double) {
        services.pointee.metrics.pointee.record.unsafelyUnwrapped(services.pointee.context, id, value)
    }
}

/// The distribution of a quantity. On the instance's worker.
@frozen
public struct Histogram: @unchecked Sendable {
    @usableFromInline let id: UInt32
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    public func observe(_ value: Double) {
        services.pointee.metrics.pointee.record.unsafelyUnwrapped(services.pointee.context, id, value)
    }
}

/// Declares metrics, in `init` only; afterwards they are frozen. Names are `[a-z0-9_]+` and get the prefix
/// `sluice_plugin_`; at most 64 an instance.
public struct MetricDeclarations {
    let services: UnsafePointer<HostServices>

    public func counter(
        _ name: StaticString, _ description: StaticString, labels: [(String, String)] = []
    ) throws(PluginError) -> Counter {
        Counter(id: try declare(UInt32(SLUICE_METRIC_COUNTER), name, description, labels), services: services)
    }

    public func gauge(
        _ name: StaticString, _ description: StaticString, labels: [(String, String)] = []
    ) throws(PluginError) -> Gauge {
        Gauge(id: try declare(UInt32(SLUICE_METRIC_GAUGE), name, description, labels), services: services)
    }

    public func histogram(
        _ name: StaticString, _ description: StaticString, labels: [(String, String)] = []
    ) throws(PluginError) -> Histogram {
        Histogram(id: try declare(UInt32(SLUICE_METRIC_HISTOGRAM), name, description, labels), services: services)
    }

    private func declare(
        _ kind: UInt32, _ name: StaticString, _ description: StaticString, _ labels: [(String, String)]
    ) throws(PluginError) -> UInt32 {
        // The host copies the labels; they are kept here for the call only.
        let memory = InstanceMemory()
        defer { memory.free() }
        let fields = memory.array(
            labels.map { sluice_field(name: memory.bytes($0.0), value: memory.bytes($0.1)) })
        let id = services.pointee.metrics.pointee.declare.unsafelyUnwrapped(
            services.pointee.context, kind, Bytes(name).raw, Bytes(description).raw, fields, UInt32(labels.count))
        if id == UInt32.max {
            throw PluginError(
                .invalidArgument,
                "a metric cannot be declared: a malformed name or label, a name of another kind, or more than 64"
            )
        }
        return id
    }
}
