import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Consistent hashing on a ketama ring: a key stays with its endpoint, and keys of one that leaves spread over the
/// others.
///
/// An endpoint that may not be taken is passed over on the ring, so its keys go where they would go if it had left.
struct RingHash: Balancer, ~Copyable {
    static let plugin = PluginDescription(name: "ring-hash", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let pointsPerEndpoint: Int
    private var key: HashKey
    private var pool: HashedPool<KetamaRing>

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["hash_on", "points_per_endpoint"])
        let key = try HashKey(config["hash_on"], seed: context.seed)
        let points = try config.integer("points_per_endpoint", default: 160, in: 4...1_024)
        self.key = key
        pointsPerEndpoint = Int(points)
        pool = HashedPool(KetamaRing(names: [], weights: []))
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let points = pointsPerEndpoint
        pool.replace(endpoints) { KetamaRing(names: $0, weights: $1, pointsPerOwner: points) }
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        return pool.owner(of: key.hash(request, exchange), among: candidates)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, RingHash.self) }
