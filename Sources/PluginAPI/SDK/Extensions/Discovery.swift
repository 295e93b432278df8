import SluiceABI

/// An endpoint as a source names it.
public struct DiscoveredEndpoint: Sendable, Hashable {
    /// As in the configuration (`http://10.0.0.1:8080`), or `host:port` alone, which is of the pool's scheme.
    public var address: String
    /// 0: no new request goes to it.
    public var weight: UInt32
    /// Where it stands; empty: not known.
    public var zone: String

    public init(address: String, weight: UInt32 = 1, zone: String = "") {
        self.address = address
        self.weight = weight
        self.zone = zone
    }
}

/// Where the endpoints of a pool go. Valid until `stop` returns. Any thread.
public struct EndpointSink: @unchecked Sendable {
    private let sink: UnsafePointer<sluice_endpoint_sink_2>

    public init(_ sink: UnsafePointer<sluice_endpoint_sink_2>) { self.sink = sink }

    /// The whole set, also when it is the same as before: that says that it still holds.
    public func set(_ endpoints: [DiscoveredEndpoint]) {
        let memory = InstanceMemory()
        defer { memory.free() }
        let list = memory.array(
            endpoints.map {
                sluice_discovered(
                    address: memory.bytes($0.address), zone: memory.bytes($0.zone), weight: $0.weight, reserved: 0)
            })
        sink.pointee.set.unsafelyUnwrapped(sink.pointee.context, list, UInt32(endpoints.count))
    }

    /// The source could not be asked, or said nothing that makes sense: the last set holds. The message is for the
    /// operator and holds no secret.
    public func failed(_ message: String) {
        var message = message
        message.withUTF8 {
            sink.pointee.failed.unsafelyUnwrapped(sink.pointee.context, Bytes(UnsafeRawBufferPointer($0)).raw)
        }
    }
}

/// Finds the endpoints of one pool and follows their changes: an instance for each pool, its own settings in
/// `Context.modelConfig`. Its calls all come from the control thread; what waits for the source does so on a thread of
/// the plugin's own.
public protocol Discovery: PluginExtension, ~Copyable {
    /// Begins to follow the source, and does not wait for it.
    mutating func start(_ sink: EndpointSink) throws(PluginError)
    /// Ends what `start` began: afterwards nothing calls the sink.
    mutating func stop()
}

extension Discovery where Self: ~Copyable {
    public static var instancing: Instancing { .shared }
}

/// The C functions of a discovery's table.
enum DiscoveryTable {
    typealias Box = InstanceBox<any (Discovery & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Discovery & ~Copyable).Type)?

    static func make() -> sluice_discovery_2 {
        var table = sluice_discovery_2()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_discovery_2>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, DiscoveryTable.type, DiscoveryTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.start = { instance, sink in
            let box = Box.at(instance)
            do throws(PluginError) {
                try DiscoveryTable.start(box.pointee.type, box.pointee.state, sink.unsafelyUnwrapped)
                return SLUICE_OK
            } catch { return error.report(UnsafePointer(box.pointee.services)) }
        }
        table.stop = { instance in
            let box = Box.at(instance)
            DiscoveryTable.stop(box.pointee.type, box.pointee.state)
        }
        return table
    }

    static func start<Extension: Discovery & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ sink: UnsafePointer<sluice_endpoint_sink_2>
    ) throws(PluginError) {
        try state.assumingMemoryBound(to: Extension.self).pointee.start(EndpointSink(sink))
    }

    static func stop<Extension: Discovery & ~Copyable>(_ type: Extension.Type, _ state: UnsafeMutableRawPointer) {
        state.assumingMemoryBound(to: Extension.self).pointee.stop()
    }
}
