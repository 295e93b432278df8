import SluiceABI

/// What `sluice_plugin_entry` returns.
public typealias PluginEntry = UnsafePointer<sluice_plugin>?

/// What a plugin is, for people and for `sluice plugin inspect`.
public struct PluginDescription: Sendable {
    let name: StaticString
    let version: StaticString
    let vendor: StaticString
    let licence: StaticString
    let build: StaticString
    let start: (@Sendable () throws(PluginError) -> Void)?
    let stop: (@Sendable () -> Void)?

    /// - Parameters:
    ///   - build: free text that tells one build from the next.
    ///   - start: called before the first instance is made, for what a library does once in a process; what it throws
    ///     refuses the configuration that names the plugin, with its code alone. Main thread.
    ///   - stop: called after the last instance has ended, when the gateway leaves. Main thread.
    public init(
        name: StaticString, version: StaticString, vendor: StaticString, licence: StaticString,
        build: StaticString = "", start: (@Sendable () throws(PluginError) -> Void)? = nil,
        stop: (@Sendable () -> Void)? = nil
    ) {
        self.name = name
        self.version = version
        self.vendor = vendor
        self.licence = licence
        self.build = build
        self.start = start
        self.stop = stop
    }
}

/// An extension that a plugin offers.
public struct Offer {
    let id: StaticString
    /// Makes the table, which lives as long as the process.
    let table: () -> UnsafeRawPointer

    public static func adapter<Adapter: ProtocolAdapter & ~Copyable>(_ type: Adapter.Type) -> Offer {
        AdapterTable.type = type
        return Offer(id: "sluice.adapter/1") { keep(AdapterTable.make()) }
    }

    public static func router<Extension: Router & ~Copyable>(_ type: Extension.Type) -> Offer {
        RouterTable.type = type
        return Offer(id: "sluice.router/1") { keep(RouterTable.make()) }
    }

    public static func balancer<Extension: Balancer & ~Copyable>(_ type: Extension.Type) -> Offer {
        BalancerTable.type = type
        // Who reads no heads is a balancer to hosts of version 1, too.
        if Extension.readsResponseHeads {
            return Offer(id: "sluice.balancer/2") { keep(BalancerTable.makeWithHeads()) }
        }
        return Offer(id: "sluice.balancer/1") { keep(BalancerTable.make()) }
    }

    public static func batchingPolicy<Policy: BatchingPolicy & ~Copyable>(_ type: Policy.Type) -> Offer {
        BatchingTable.type = type
        return Offer(id: "sluice.batcher/1") { keep(BatchingTable.make()) }
    }

    public static func filter<Extension: Filter & ~Copyable>(_ type: Extension.Type) -> Offer {
        FilterTable.type = type
        if Extension.answersFailures || Extension.hearsErrors {
            return Offer(id: "sluice.filter/2") {
                keep(
                    FilterTable.makeSecond(
                        answersFailures: Extension.answersFailures, hearsErrors: Extension.hearsErrors))
            }
        }
        return Offer(id: "sluice.filter/1") { keep(FilterTable.make()) }
    }

    public static func backend<Extension: Backend & ~Copyable>(_ type: Extension.Type) -> Offer {
        BackendTable.type = type
        return Offer(id: "sluice.backend/1") { keep(BackendTable.make()) }
    }

    public static func observer<Extension: Observer & ~Copyable>(_ type: Extension.Type) -> Offer {
        ObserverTable.type = type
        return Offer(id: "sluice.observer/1") { keep(ObserverTable.make()) }
    }

    public static func discovery<Extension: Discovery & ~Copyable>(_ type: Extension.Type) -> Offer {
        DiscoveryTable.type = type
        return Offer(id: "sluice.discovery/2") { keep(DiscoveryTable.make()) }
    }

    private static func keep<Table>(_ table: Table) -> UnsafeRawPointer {
        let place = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        place.initialize(to: table)
        return UnsafeRawPointer(place)
    }
}

/// The plugin's entry block, made at the first call; the host may call the entry more than once.
private enum Entry {
    nonisolated(unsafe) static var block: UnsafePointer<sluice_plugin>?
    /// Set with the block; C functions capture nothing.
    nonisolated(unsafe) static var plugin: PluginDescription?

    static func start() -> sluice_status {
        do throws(PluginError) {
            try plugin?.start?()
            return SLUICE_OK
        } catch { return error.code.status < 0 ? error.code.status : SLUICE_UNKNOWN }
    }
}

/// The body of a plugin's entry with several extensions, at most one of each kind:
///
///     @c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry {
///         export(host, Canary.plugin, [.router(Canary.self), .observer(CanaryWatch.self)])
///     }
public func export(_ host: UInt32, _ plugin: PluginDescription, _ offers: [Offer]) -> PluginEntry {
    if let block = Entry.block { return block }
    let extensions = UnsafeMutablePointer<sluice_extension>.allocate(capacity: offers.count)
    for (index, offer) in offers.enumerated() {
        (extensions + index).initialize(to: sluice_extension(id: Bytes(offer.id).raw, table: offer.table()))
    }
    let block = UnsafeMutablePointer<sluice_plugin>.allocate(capacity: 1)
    block.initialize(
        to: sluice_plugin(
            struct_size: UInt32(MemoryLayout<sluice_plugin>.size), abi_version: UInt32(SLUICE_ABI_VERSION),
            name: Bytes(plugin.name).raw, version: Bytes(plugin.version).raw, vendor: Bytes(plugin.vendor).raw,
            licence: Bytes(plugin.licence).raw, build_id: Bytes(plugin.build).raw,
            extensions: UnsafePointer(extensions), extension_count: UInt32(offers.count), reserved: 0,
            start: plugin.start == nil ? nil : { Entry.start() },
            stop: plugin.stop == nil ? nil : { Entry.plugin?.stop?() }))
    Entry.plugin = plugin
    Entry.block = UnsafePointer(block)
    return Entry.block
}

/// The body of an adapter's entry.
public func export<Adapter: ProtocolAdapter & ~Copyable>(_ host: UInt32, _ type: Adapter.Type) -> PluginEntry {
    export(host, Adapter.plugin, [.adapter(type)])
}

/// The body of a router's entry.
public func export<Extension: Router & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.router(type)])
}

/// The body of a balancer's entry.
public func export<Extension: Balancer & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.balancer(type)])
}

/// The body of a batching policy's entry.
public func export<Policy: BatchingPolicy & ~Copyable>(_ host: UInt32, _ type: Policy.Type) -> PluginEntry {
    export(host, Policy.plugin, [.batchingPolicy(type)])
}

/// The body of a filter's entry.
public func export<Extension: Filter & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.filter(type)])
}

/// The body of a backend's entry.
public func export<Extension: Backend & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.backend(type)])
}

/// The body of an observer's entry.
public func export<Extension: Observer & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.observer(type)])
}

/// The body of a discovery's entry.
public func export<Extension: Discovery & ~Copyable>(_ host: UInt32, _ type: Extension.Type) -> PluginEntry {
    export(host, Extension.plugin, [.discovery(type)])
}
