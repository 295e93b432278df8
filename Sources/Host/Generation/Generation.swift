import Configuration
import SluiceABI

/// One loaded configuration with its plugin instances, as the main thread owns it: built, published to the workers as
/// flat tables, and destroyed when the last worker has left it. [main]
final class Generation {
    let number: UInt64
    let settings: Settings
    /// One for each worker.
    let tables: [UnsafeMutablePointer<WorkerGeneration>]
    let plugins: [LoadedPlugin]
    /// In the order of the tables.
    private(set) var pools: [PoolDescription]
    let discoveries: [DiscoveryLink]
    private let instances: [PluginInstance]
    private let memory: GenerationMemory
    /// Workers on which no exchange of this generation is left, and none will begin.
    var left: Set<Int> = []
    /// When it was replaced, in nanoseconds of the monotonic clock; 0 while it is in force.
    var retiredAt: UInt64 = 0
    var expired = false

    init(
        number: UInt64, settings: Settings, tables: [UnsafeMutablePointer<WorkerGeneration>], plugins: [LoadedPlugin],
        pools: [PoolDescription], discoveries: [DiscoveryLink], instances: [PluginInstance],
        memory: GenerationMemory
    ) {
        self.number = number
        self.settings = settings
        self.tables = tables
        self.plugins = plugins
        self.pools = pools
        self.discoveries = discoveries
        self.instances = instances
        self.memory = memory
    }

    /// Tells the tables by which numbers connections know the listeners. Before the generation is published.
    func link(_ open: [Listeners.Open]) {
        var position = 0
        var left = open
        for listener in settings.listeners {
            // Several that ask for any free port have the same address: they are told apart by their order.
            let place = left.firstIndex { $0.address == listener.address }
            let id = place.map { left.remove(at: $0).id } ?? 0
            guard listener.tls != nil else { continue }
            for table in tables { table.pointee.secured[position].listener = UInt16(truncatingIfNeeded: id) }
            position += 1
        }
    }

    /// Pools that come have their limits before anybody serves them: their home worker, which sets those of the others,
    /// may be the last one to take the generation.
    func limitPools(after old: Generation?) {
        let known = Set((old?.pools ?? []).map(\.shared))
        for (index, pool) in pools.enumerated() where !known.contains(pool.shared) {
            guard let settings = tables[0].pointee.pools[index].concurrency else { continue }
            pool.shared.pointee.gate.pointee.setLimit(pool.shared.pointee.meter.pointee.restart(settings.pointee))
        }
    }

    /// A pool has other endpoints now.
    func update(pool index: Int, _ list: [PoolEndpoint]) { pools[index].list = list }

    /// Destroys the instances, the last one made first, and frees the tables. No worker may know it any more; what
    /// plugins still had of its exchanges `workers` give back.
    func destroy(telling workers: [Worker] = []) {
        for discovery in discoveries { discovery.stop() }
        for instance in instances.reversed() { instance.destroy() }
        for worker in workers { worker.mailbox.send(.instancesGone, value: number) }
        memory.free()
    }
}

/// A plugin of a configuration with its image.
struct LoadedPlugin {
    let settings: Settings.PluginSettings
    let image: PluginImage
    let path: String
}

/// A pool as status shows it.
struct PoolDescription {
    let model: String
    let version: String
    let backend: String?
    /// As the latest table of the pool has them.
    var list: [PoolEndpoint]
    let shared: UnsafeMutablePointer<SharedPool>
    let tls: TLSContext?
    let breakers: BreakerView?

    var endpoints: [UnsafeMutablePointer<Endpoint>] { list.map(\.endpoint) }
    var members: [UnsafeMutablePointer<PoolMember>] { list.map(\.member) }
}

/// One instance of a plugin's extension.
struct PluginInstance {
    let context: InstanceContext
    let table: UnsafePointer<sluice_instance>
    let pointer: UnsafeMutableRawPointer?

    func destroy() { table.pointee.destroy.unsafelyUnwrapped(pointer) }
}

/// The raw memory of a generation's tables, freed as a whole. [main]
final class GenerationMemory {
    private var releases: [() -> Void] = []

    func allocate<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element> {
        let pointer = UnsafeMutablePointer<Element>.allocate(capacity: max(count, 1))
        releases.append { pointer.deallocate() }
        return pointer
    }

    /// Copies values; trivial ones, or ones that never end.
    func place<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let pointer = allocate(Element.self, values.count)
        for (index, value) in values.enumerated() { (pointer + index).initialize(to: value) }
        return pointer
    }

    func bytes(_ text: String) -> sluice_bytes {
        let utf8 = Array(text.utf8)
        return sluice_bytes(data: UnsafePointer(place(utf8)), size: utf8.count)
    }

    /// The same, ended by NUL.
    func text(_ text: String) -> UnsafePointer<CChar> { UnsafePointer(place(Array(text.utf8CString))) }

    func onFree(_ release: @escaping () -> Void) { releases.append(release) }

    func free() {
        for release in releases.reversed() { release() }
        releases = []
    }
}

/// What is known of pools for the life of the process, by model and version. [main]
final class SharedPools {
    private var pools: [ModelVersionKey: UnsafeMutablePointer<SharedPool>] = [:]
    private var members: [MemberKey: UnsafeMutablePointer<PoolMember>] = [:]

    private struct MemberKey: Hashable {
        var pool: ModelVersionKey
        var address: String
    }
    private let registry: MetricRegistry
    private let workerCount: Int

    init(registry: MetricRegistry, workerCount: Int) {
        self.registry = registry
        self.workerCount = workerCount
    }

    func pool(_ key: ModelVersionKey) -> UnsafeMutablePointer<SharedPool> {
        if let known = pools[key] { return known }
        let gate: UnsafeMutablePointer<PoolGate> = .alignedCell()
        gate.initialize(to: PoolGate())
        let meter: UnsafeMutablePointer<ConcurrencyMeter> = .alignedCell()
        meter.initialize(to: ConcurrencyMeter())
        let home = UnsafeMutablePointer<PoolHome>.allocate(capacity: 1)
        home.initialize(to: PoolHome())
        let shared = UnsafeMutablePointer<SharedPool>.allocate(capacity: 1)
        shared.initialize(
            to: SharedPool(
                metrics: registry.pool(key).index, homeWorker: pools.count % max(workerCount, 1), gate: gate,
                meter: meter, home: home, state: PoolState()))
        pools[key] = shared
        return shared
    }

    /// No pool has the endpoint any more, nor has any worker.
    func forget(address: String) {
        for (key, member) in members where key.address == address {
            members[key] = nil
            member.pointee.deallocate()
            member.deallocate()
        }
    }

    /// What is known of an endpoint in a pool, by its address as configured, until nothing names the endpoint.
    func member(_ pool: ModelVersionKey, address: String) -> UnsafeMutablePointer<PoolMember> {
        let key = MemberKey(pool: pool, address: address)
        if let known = members[key] { return known }
        let member = UnsafeMutablePointer<PoolMember>.allocate(capacity: 1)
        member.initialize(to: PoolMember())
        members[key] = member
        return member
    }
}
