import Synchronization

/// How many requests the endpoints of a pool have room for at present.
extension Worker {
    /// Requests that the endpoints that may be picked bear, of which `count` are.
    @inline(__always)
    func places(_ pool: UnsafeMutablePointer<WorkerPool>, _ count: UInt32) -> Int {
        pool.pointee.speaksHTTP2 ? callPlaces(pool) : Int(count) &* pool.pointee.maxConnections
    }

    /// The same of a pool whose endpoints bear several calls on each connection, each of them as many as it has said.
    /// Added up anew when one says something else, or when others may be picked.
    @inline(never)
    private func callPlaces(_ pool: UnsafeMutablePointer<WorkerPool>) -> Int {
        var key = CallPlaces()
        key.settings = Endpoint.callsChanged.load(ordering: .relaxed)
        key.mask = pool.pointee.policy?.pointee.masks ?? 0
        key.table = pool.pointee.tableNumber
        if pool.pointee.callPlaces.isFor(key) { return pool.pointee.callPlaces.count }
        for index in 0..<pool.pointee.endpointCount where mayBePicked(pool, index) {
            key.count &+= placesOf(pool, index)
        }
        pool.pointee.callPlaces = key
        return key.count
    }

    /// Requests that one endpoint bears.
    @inline(__always)
    private func placesOf(_ pool: UnsafeMutablePointer<WorkerPool>, _ index: Int) -> Int {
        let each = pool.pointee.maxConnections
        return pool.pointee.speaksHTTP2 ? each &* pool.pointee.targets[index].pointee.callsEach : each
    }

    /// By the mask as it was made last.
    private func mayBePicked(_ pool: UnsafeMutablePointer<WorkerPool>, _ index: Int) -> Bool {
        guard let policy = pool.pointee.policy else { return true }
        return policy.pointee.mask[index >> 6] >> UInt64(index & 63) & 1 != 0
    }

    /// The endpoint has no place left of those that the pool may take of it.
    @inline(__always)
    func isFull(_ pool: UnsafeMutablePointer<WorkerPool>, _ index: UInt32) -> Bool {
        let count = pool.pointee.targets[Int(index)].pointee.inFlight.pointee.load(ordering: .relaxed)
        return Int(count) >= placesOf(pool, Int(index))
    }

    /// How many credits of the pool may be taken in all, where some of its endpoints may not be picked: what stands on
    /// those takes no place of the others. A frozen endpoint holds its requests until their deadlines, and they must
    /// not hold up those that go elsewhere.
    ///
    /// `places`: what the endpoints that may be picked bear. A walk over all endpoints, and only where the gate has
    /// refused by `places`.
    @inline(never)
    func placesBeside(_ pool: UnsafeMutablePointer<WorkerPool>, _ places: Int) -> Int {
        guard let policy = pool.pointee.policy, Int(policy.pointee.count) < pool.pointee.endpointCount else {
            return places
        }
        var stuck = 0
        var free = 0
        for index in 0..<pool.pointee.endpointCount {
            let count = Int(pool.pointee.targets[index].pointee.inFlight.pointee.load(ordering: .relaxed))
            if mayBePicked(pool, index) {
                free &+= max(placesOf(pool, index) &- count, 0)
            } else {
                stuck &+= count
            }
        }
        // What other pools have on an endpoint is in its count: no more than there is room for goes on by it.
        return min(places &+ stuck, pool.pointee.shared.pointee.gate.pointee.underWay &+ free)
    }

    // MARK: Endpoints that have left

    /// The pool has other endpoints now. Attempts on those that have left hold no place of those that it has.
    func letGoOfStrays(_ pool: UnsafeMutablePointer<WorkerPool>) {
        guard exchanges.inUse > 0 else { return }
        let present = endpointSet(pool)
        for exchange in exchangesUnderWay { letGoOfStrays(exchange, pool.pointee.shared, present) }
    }

    /// The same for all pools of a new generation.
    func letGoOfStrays(_ tables: UnsafeMutablePointer<WorkerGeneration>) {
        guard exchanges.inUse > 0 else { return }
        var present: [UnsafeMutablePointer<SharedPool>: Set<UnsafeMutablePointer<Endpoint>>] = [:]
        for index in 0..<tables.pointee.poolCount {
            let pool = tables.pointee.pools + index
            // Who waits began with the endpoints of before, and goes to those: their places stay theirs.
            guard pool.pointee.endpointCount > 0, pool.pointee.shared.pointee.gate.pointee.waiting == 0 else {
                continue
            }
            present[pool.pointee.shared] = endpointSet(pool)
        }
        for exchange in exchangesUnderWay {
            guard let shared = exchange.pointee.pool?.pointee.shared, let endpoints = present[shared] else { continue }
            letGoOfStrays(exchange, shared, endpoints)
        }
    }

    private func endpointSet(_ pool: UnsafeMutablePointer<WorkerPool>) -> Set<UnsafeMutablePointer<Endpoint>> {
        Set((0..<pool.pointee.endpointCount).map { pool.pointee.targets[$0] })
    }

    private func letGoOfStrays(
        _ exchange: ExchangePointer, _ shared: UnsafeMutablePointer<SharedPool>,
        _ present: Set<UnsafeMutablePointer<Endpoint>>
    ) {
        guard exchange.pointee.pool?.pointee.shared == shared else { return }
        if exchange.pointee.attemptOpen, let endpoint = exchange.pointee.endpoint, !present.contains(endpoint) {
            leaveGate(exchange)
        }
        // Of a hedged request's other attempt.
        if let rival = exchange.pointee.rival, rival.pointee.attemptOpen, rival.pointee.holdsCredit,
            let endpoint = rival.pointee.endpoint, !present.contains(endpoint)
        {
            rival.pointee.holdsCredit = false
            giveBack(shared)
        }
    }
}

/// What the endpoints of a pool bear in calls of HTTP/2, and by what it was added up.
struct CallPlaces {
    var count = 0
    /// `Endpoint.callsChanged`, `PoolPolicy.masks` and `WorkerPool.tableNumber` as they were. The first is never 0.
    var settings: UInt64 = 0
    var mask: UInt32 = 0
    var table: UInt32 = 0

    func isFor(_ key: CallPlaces) -> Bool { settings == key.settings && mask == key.mask && table == key.table }
}
