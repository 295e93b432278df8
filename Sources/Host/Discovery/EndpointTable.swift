import SluiceABI

/// A pool's endpoints as one worker sees them: arrays of the same length. Made by the control thread, owned by the
/// worker's pool from when that takes it.
struct EndpointTable {
    let endpoints: UnsafeMutablePointer<sluice_endpoint>
    let targets: UnsafeMutablePointer<UnsafeMutablePointer<Endpoint>>
    /// Indexes for metrics.
    let metrics: UnsafeMutablePointer<Int32>
    /// What policies know of each, and a word of bits for each 64 of them.
    let members: UnsafeMutablePointer<UnsafeMutablePointer<PoolMember>>
    let mask: UnsafeMutablePointer<UInt64>
    let preferences: EndpointPreferences
    let count: Int

    /// - Parameter zone: the gateway's own; empty: not known.
    init(_ list: [PoolEndpoint], zone: String) {
        count = list.count
        preferences = EndpointPreferences(list, zone: zone)
        members = .allocate(capacity: max(count, 1))
        mask = .allocate(capacity: count / 64 + 1)
        mask.initialize(repeating: 0, count: count / 64 + 1)
        endpoints = .allocate(capacity: max(count, 1))
        targets = .allocate(capacity: max(count, 1))
        metrics = .allocate(capacity: max(count, 1))
        for (index, entry) in list.enumerated() {
            let target = entry.endpoint
            (members + index).initialize(to: entry.member)
            (endpoints + index).initialize(
                to: sluice_endpoint(
                    id: target.pointee.id, address: target.pointee.text, weight: entry.weight, reserved: 0,
                    load: UnsafePointer(target.pointee.load)))
            (targets + index).initialize(to: target)
            (metrics + index).initialize(to: entry.metrics)
        }
    }

    func deallocate() {
        endpoints.deallocate()
        targets.deallocate()
        metrics.deallocate()
        members.deallocate()
        mask.deallocate()
        preferences.deallocate()
    }
}

/// An endpoint in a pool.
struct PoolEndpoint {
    let endpoint: UnsafeMutablePointer<Endpoint>
    /// What is known of it in this pool.
    let member: UnsafeMutablePointer<PoolMember>
    let weight: UInt32
    let zone: String
    /// Index for metrics.
    let metrics: Int32
}

extension WorkerPool {
    /// The table in force.
    var endpointTable: EndpointTable {
        get {
            EndpointTable(
                endpoints: endpoints, targets: targets, metrics: endpointMetrics, members: endpointMembers,
                mask: endpointMask, preferences: endpointPreferences, count: endpointCount)
        }
        set {
            endpoints = newValue.endpoints
            targets = newValue.targets
            endpointMetrics = newValue.metrics
            endpointMembers = newValue.members
            endpointMask = newValue.mask
            endpointPreferences = newValue.preferences
            endpointCount = newValue.count
        }
    }

    /// Takes a new table over and gives the old one back: attempts under way hold their endpoint themselves. [worker,
    /// main before the generation is published]
    mutating func replace(with table: EndpointTable) {
        let old = endpointTable
        endpointTable = table
        tableNumber &+= 1
        if let policy {
            policy.pointee.members = UnsafePointer(table.members)
            policy.pointee.mask = table.mask
            // The mask is made at the next pick.
            policy.pointee.epoch = 0
            policy.pointee.until = 0
        }
        if let balancer, let onEndpoints = balancer.table.pointee.on_endpoints {
            onEndpoints(balancer.instance, table.endpoints, UInt32(table.count))
        }
        old.deallocate()
    }
}

extension EndpointTable {
    fileprivate init(
        endpoints: UnsafeMutablePointer<sluice_endpoint>, targets: UnsafeMutablePointer<UnsafeMutablePointer<Endpoint>>,
        metrics: UnsafeMutablePointer<Int32>, members: UnsafeMutablePointer<UnsafeMutablePointer<PoolMember>>,
        mask: UnsafeMutablePointer<UInt64>, preferences: EndpointPreferences, count: Int
    ) {
        self.endpoints = endpoints
        self.targets = targets
        self.metrics = metrics
        self.members = members
        self.mask = mask
        self.preferences = preferences
        self.count = count
    }
}
