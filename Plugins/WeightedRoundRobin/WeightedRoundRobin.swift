import SluiceBalancing
import SluicePlugin

/// Shares in proportion to weights, each endpoint's turns spread evenly over the round: nginx's smooth algorithm.
///
/// Each worker has a round of its own; they begin at different places, so that workers which start together don't all
/// take the heaviest first.
struct WeightedRoundRobin: Balancer, ~Copyable {
    static let plugin = PluginDescription(
        name: "weighted-round-robin", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let worker: Int
    private let workerCount: Int
    /// By address, in place of the pool's own.
    private let configured: [[UInt8]: UInt32]
    private var round = SmoothRound(weights: [], ids: [])
    private var hasBegun = false

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["weights"])
        var configured: [[UInt8]: UInt32] = [:]
        for (address, weight) in try context.config["weights"].members() {
            configured[Array(address.utf8)] = UInt32(try weight.integer(in: 1...1_000_000))
        }
        self.configured = configured
        worker = context.worker ?? 0
        workerCount = max(context.workerCount, 1)
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let weights = endpoints.map { configured[Array($0.address)] ?? $0.weight }
        var changed = SmoothRound(weights: weights, ids: endpoints.map(\.id))
        if hasBegun { changed.goOn(from: round) } else { changed.skip(worker * endpoints.count / workerCount) }
        hasBegun = true
        round = changed
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if round.count != candidates.count { endpointsChanged(candidates.endpoints) }
        return round.next(among: candidates.words)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, WeightedRoundRobin.self) }
