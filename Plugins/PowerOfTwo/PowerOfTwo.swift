import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Of two endpoints drawn at random, in proportion to their weights, the one with fewer attempts under way for its
/// weight (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001). As cheap for
/// a thousand endpoints as for two, and workers that decide at the same moment don't all choose the same one.
struct PowerOfTwo: Balancer, ~Copyable {
    static let plugin = PluginDescription(
        name: "power-of-two", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private var numbers: SplitMix64
    private var pool: EndpointTable
    private var pairs: PairDraw

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        numbers = SplitMix64(seed: context.seed)
        pool = EndpointTable()
        pairs = PairDraw(EndpointTable())
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        pool = EndpointTable(endpoints)
        pairs = PairDraw(pool)
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        let (first, second) = pairs.draw(candidates, &numbers)
        // first load / first weight <= second load / second weight, without a division; the products cannot overflow.
        let left = UInt64(pool.inFlight(first)) &* UInt64(pool.weight(second))
        let right = UInt64(pool.inFlight(second)) &* UInt64(pool.weight(first))
        return left <= right ? first : second
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, PowerOfTwo.self) }
