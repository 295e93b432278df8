import SluicePlugin

/// The endpoint with the fewest attempts under way for its weight.
///
/// Ties are common (an idle pool is all ties), so the search starts one endpoint further each time; otherwise the first
/// of the list would take all of a light load. Workers see each other's attempts only as fast as cache lines travel,
/// which a start of their own for each keeps from making them choose the same endpoint at once.
struct LeastRequest: Balancer {
    static let plugin = PluginDescription(
        name: "least-request", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private var start: Int

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        start = context.worker ?? 0
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        let endpoints = candidates.endpoints
        let count = endpoints.count
        start = start &+ 1 < count ? start &+ 1 : 0
        var best = -1
        var bestLoad: UInt64 = 0
        var bestWeight: UInt64 = 1
        var index = start
        for _ in 0..<count {
            if candidates.isEligible(index) {
                let endpoint = endpoints[index]
                // The attempt to be placed counts too: at a weight of 2 the second of two idle endpoints is not as good.
                let load = UInt64(endpoint.load.inFlight) &+ 1
                let weight = UInt64(max(endpoint.weight, 1))
                // load / weight < bestLoad / bestWeight, without a division. Both sides stay below 2^64: 32-bit factors.
                if best < 0 || load &* bestWeight < bestLoad &* weight {
                    best = index
                    bestLoad = load
                    bestWeight = weight
                }
            }
            index = index &+ 1 < count ? index &+ 1 : 0
        }
        return max(best, 0)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, LeastRequest.self) }
