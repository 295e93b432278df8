import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Consistent hashing on a ketama ring: a key stays with its endpoint, and keys of one that leaves spread over the
/// others.
///
/// An endpoint that may not be taken is passed over on the ring, so its keys go where they would go if it had left.
struct RingHash: Balancer, ~Copyable {
    static let plugin = PluginDescription(name: "ring-hash", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Points that are passed over before the rest of the pool is asked by rendezvous hashing, which is consistent too
    /// but takes a step for each endpoint that is left: some 1 µs here. With a fifth of a pool eligible one pick in
    /// 10^49 comes to that, with a hundredth 6 in 1,000, and then few are left.
    private static var stepsAtMost: Int { 512 }

    private let pointsPerEndpoint: Int
    private var key: HashKey
    private var pool: EndpointTable
    private var ring: KetamaRing

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["hash_on", "points_per_endpoint"])
        let key = try HashKey(config["hash_on"], seed: context.seed)
        let points = try config.integer("points_per_endpoint", default: 160, in: 4...1_024)
        self.key = key
        pointsPerEndpoint = Int(points)
        pool = EndpointTable()
        ring = KetamaRing(names: [], weights: [])
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let isBuilt = pool.isBuilt(from: endpoints)
        pool = EndpointTable(endpoints)
        if isBuilt { return }
        ring = KetamaRing(names: endpoints.names, weights: endpoints.weights, pointsPerOwner: pointsPerEndpoint)
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        let hash = key.hash(request, exchange)
        var place = ring.place(of: hash)
        for _ in 0..<Self.stepsAtMost {
            let owner = ring.owner(at: place)
            if candidates.isEligible(owner) { return owner }
            place = ring.next(after: place)
        }
        return Rendezvous.owner(of: hash, among: pool.identities, count: pool.count, eligible: candidates.words) ?? 0
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, RingHash.self) }
