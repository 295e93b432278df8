import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Consistent hashing with bounded loads: a key stays with its endpoint of a ketama ring as long as that has at most
/// `load_factor` times its share of the attempts under way; else it goes on to the next on the ring that has room.
///
/// The share needs the attempts of the whole pool. To add them up at every pick would cost a cache line an endpoint, so
/// the sum is kept: each pick looks at some endpoints in turn, and at each that it considers. Of a pool of up to 8 the
/// sum is exact; of 1,000 it lags by 125 picks of this worker at most.
struct BoundedLoad: Balancer, ~Copyable {
    static let plugin = PluginDescription(
        name: "bounded-load", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Points that are looked at: some 1 µs. With a factor of 1.25 the mean number is below 20.
    private static var stepsAtMost: Int { 512 }
    /// Endpoints whose load is read anew at each pick.
    private static var refreshedAtMost: Int { 8 }

    private let pointsPerEndpoint: Int
    private let factor: Double
    private var key: HashKey
    private var pool: EndpointTable
    private var ring: KetamaRing
    private var bounds: BoundedLoads
    private var refreshed = 0

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["hash_on", "load_factor", "points_per_endpoint"])
        let key = try HashKey(config["hash_on"], seed: context.seed)
        let factor = try config.number("load_factor", default: 1.25, in: 1.01...10)
        let points = try config.integer("points_per_endpoint", default: 160, in: 4...1_024)
        self.key = key
        self.factor = factor
        pointsPerEndpoint = Int(points)
        pool = EndpointTable()
        ring = KetamaRing(names: [], weights: [])
        bounds = BoundedLoads(weights: [], factor: factor)
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let isBuilt = pool.isBuilt(from: endpoints)
        pool = EndpointTable(endpoints)
        refreshed = 0
        bounds = BoundedLoads(weights: endpoints.weights, factor: factor)
        for index in 0..<pool.count { bounds.note(index, load: pool.inFlight(index)) }
        if isBuilt { return }
        ring = KetamaRing(names: endpoints.names, weights: endpoints.weights, pointsPerOwner: pointsPerEndpoint)
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        refresh()
        bounds.restrict(to: candidates.words)
        let hash = key.hash(request, exchange)
        var place = ring.place(of: hash)
        var first = -1
        for _ in 0..<Self.stepsAtMost {
            let owner = ring.owner(at: place)
            if candidates.isEligible(owner) {
                let load = pool.inFlight(owner)
                bounds.note(owner, load: load)
                if bounds.hasRoom(owner) {
                    // It is about to have one more, which other picks of this turn should know.
                    bounds.note(owner, load: load &+ 1)
                    return owner
                }
                if first < 0 { first = owner }
            }
            place = ring.next(after: place)
        }
        // No room was seen: the key's own endpoint is as good as another.
        if first >= 0 { return first }
        return Rendezvous.owner(of: hash, among: pool.identities, count: pool.count, eligible: candidates.words) ?? 0
    }

    private mutating func refresh() {
        for _ in 0..<min(Self.refreshedAtMost, pool.count) {
            bounds.note(refreshed, load: pool.inFlight(refreshed))
            refreshed = refreshed &+ 1 < pool.count ? refreshed &+ 1 : 0
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, BoundedLoad.self) }
