import Synchronization

/// A model version, the key of its series in every generation.
struct ModelVersionKey: Hashable, Sendable {
    var model: String
    var version: String
}

/// An endpoint of a model version, as configured.
struct EndpointKey: Hashable, Sendable {
    var pool: ModelVersionKey
    var address: String
}

/// The names of all series, and one shard of counters for each worker. It lives as long as the process: names that
/// come again in a later generation find their counters where they were.
///
/// Registration and reading take a lock; the shards take none. [any]
final class MetricRegistry: Sendable {
    /// What was registered. Places are never given away again, but for those of endpoints that nothing names any more.
    struct Names: Sendable {
        /// First `none`, then `other`.
        var pools: [ModelVersionKey] = [
            ModelVersionKey(model: "", version: ""), ModelVersionKey(model: "other", version: ""),
        ]
        var poolIDs: [ModelVersionKey: Int32] = [:]
        /// First `other`; nil where a place is free.
        var endpoints: [EndpointKey?] = [
            EndpointKey(pool: ModelVersionKey(model: "other", version: ""), address: "other")
        ]
        var endpointIDs: [EndpointKey: Int32] = [:]
        var freeEndpoints: [Int32] = []
        /// First `other`.
        var plugins: [String] = ["other"]
        /// A plugin may have that name: it shares the place, as one family cannot have the same series twice.
        var pluginIDs: [String: Int32] = ["other": 0]
        var declared: [DeclaredMetric] = []
        var declaredIDs: [DeclaredMetric.Key: Int] = [:]
        /// Of each of `declared`, how often it was declared by who still lives.
        var holders: [Int] = []
        /// Series that found their table full.
        var refused: UInt64 = 0
        var reloads = [UInt64](repeating: 0, count: ReloadResult.count)
    }

    let names = Mutex(Names())
    /// One for each worker, in their order.
    let shards: [MetricShard]
    /// Written by all workers at once, with atomic additions: what shared plugin instances count.
    let common: MetricCells

    /// Maps the counters of `workerCount` workers. Nil when the kernel has no memory for them.
    init?(workerCount: Int) {
        guard let common = MetricCells(count: MetricLayout.total) else { return nil }
        var shards: [MetricShard] = []
        for _ in 0..<workerCount {
            guard let cells = MetricCells(count: MetricLayout.total) else {
                common.unmap(count: MetricLayout.total)
                for shard in shards { shard.cells.unmap(count: MetricLayout.total) }
                return nil
            }
            LatencyBuckets.fill(cells)
            shards.append(MetricShard(cells: cells))
        }
        self.common = common
        self.shards = shards
    }

    deinit {
        common.unmap(count: MetricLayout.total)
        for shard in shards { shard.cells.unmap(count: MetricLayout.total) }
    }

    /// The series of a model version, made when it is new; `.other` beyond 1,024 of them.
    func pool(_ key: ModelVersionKey) -> PoolMetricsID {
        names.withLock { names in
            if let known = names.poolIDs[key] { return PoolMetricsID(index: known) }
            guard names.pools.count < MetricLayout.poolCapacity + 2 else {
                names.refused += 1
                return .other
            }
            let index = Int32(names.pools.count)
            names.pools.append(key)
            names.poolIDs[key] = index
            return PoolMetricsID(index: index)
        }
    }

    /// The series of an endpoint, made when it is new; `.other` beyond 4,096 of them.
    func endpoint(_ key: EndpointKey) -> EndpointMetricsID {
        names.withLock { names in
            if let known = names.endpointIDs[key] { return EndpointMetricsID(index: known) }
            if let free = names.freeEndpoints.popLast() {
                names.endpoints[Int(free)] = key
                names.endpointIDs[key] = free
                return EndpointMetricsID(index: free)
            }
            guard names.endpoints.count <= MetricLayout.endpointCapacity else {
                names.refused += 1
                return .other
            }
            let index = Int32(names.endpoints.count)
            names.endpoints.append(key)
            names.endpointIDs[key] = index
            return EndpointMetricsID(index: index)
        }
    }

    /// The series of an address in whatever pools.
    func series(ofEndpoint address: String) -> [Int32] {
        names.withLock { names in names.endpointIDs.filter { $0.key.address == address }.map(\.value) }
    }

    /// Nothing counts for an address any more, and its cells are zero: its series go, and their places are free.
    func forget(endpoint address: String) {
        names.withLock { names in
            for (key, index) in names.endpointIDs where key.address == address {
                names.endpointIDs[key] = nil
                names.endpoints[Int(index)] = nil
                names.freeEndpoints.append(index)
            }
        }
    }

    /// The series of a plugin by its name in the configuration; `.other` beyond 256 of them.
    func plugin(_ name: String) -> PluginMetricsID {
        names.withLock { names in
            if let known = names.pluginIDs[name] { return PluginMetricsID(index: known) }
            guard names.plugins.count <= MetricLayout.pluginCapacity else {
                names.refused += 1
                return .other
            }
            let index = Int32(names.plugins.count)
            names.plugins.append(name)
            names.pluginIDs[name] = index
            return PluginMetricsID(index: index)
        }
    }

    /// A reload ended.
    func reloaded(_ result: ReloadResult) {
        names.withLock { $0.reloads[result.rawValue] += 1 }
    }

    /// A cell summed over all workers. Steps of a gauge may wrap, their sum does not.
    func sum(_ index: Int) -> UInt64 {
        shards.reduce(common[index]) { $0 &+ $1.cells[index] }
    }

    /// A run of cells summed over all workers.
    func sums(_ index: Int, _ count: Int) -> [UInt64] {
        (index..<index + count).map(sum)
    }
}
