import SluiceBalancing
import SluicePlugin

/// The endpoint with the fewest attempts under way for its weight.
///
/// Ties are common (an idle pool is all ties), so the search starts one endpoint further each time; otherwise the first
/// of the list would take all of a light load. Workers see each other's attempts only as fast as cache lines travel,
/// which a start of their own for each keeps from making them choose the same endpoint at once.
///
/// Retries and hedges have a start of their own: of two endpoints of which one fails, each failure would otherwise move
/// the next request's search to that one again.
struct LeastRequest: Balancer, ~Copyable {
    static let plugin = PluginDescription(
        name: "least-request", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Endpoints of a large pool that are looked at in one pick: each is a cache line, and 512 take some 0.5 µs. The
    /// next pick looks at those that follow. The least busy of 512 is hardly worse than that of thousands.
    private static var searchedAtMost: Int { 512 }

    private var start: Int
    /// Of attempts after the first of their request.
    private var startAgain: Int
    private var pool: EndpointTable

    /// The best so far.
    private struct Best {
        var index = -1
        var load: UInt32 = .max
        var weight: UInt32 = 1
    }

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        start = context.worker ?? 0
        startAgain = start
        pool = EndpointTable()
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        pool = EndpointTable(endpoints)
        // It stood in a larger pool.
        if start >= pool.count { start = 0 }
        if startAgain >= pool.count { startAgain = 0 }
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        let count = pool.count
        // There is always one that may be taken.
        if count == 1 { return 0 }
        let isFirst = candidates.attempt <= 1
        var start = (isFirst ? start : startAgain) &+ (count > Self.searchedAtMost ? Self.searchedAtMost : 1)
        if start >= count { start = count > Self.searchedAtMost ? start &- count : 0 }
        if isFirst { self.start = start } else { startAgain = start }
        var best = Best()
        let end = start &+ min(count, Self.searchedAtMost)
        search(candidates, from: start, to: min(end, count), &best)
        search(candidates, from: 0, to: max(end &- count, 0), &best)
        // None of these may be taken: then all the others.
        if best.index < 0, count > Self.searchedAtMost { search(candidates, from: 0, to: count, &best) }
        return best.index >= 0 ? best.index : candidates.firstEligible(from: 0)
    }

    /// Looks at the eligible endpoints of a part of the pool, a word of 64 at a time.
    @inline(__always)
    private func search(_ candidates: Candidates, from low: Int, to high: Int, _ best: inout Best) {
        var index = low
        while index < high {
            let end = min((index | 63) &+ 1, high)
            var bits = candidates.words[index &>> 6] &>> UInt64(index & 63)
            let width = end &- index
            if width < 64 { bits &= (1 &<< UInt64(width)) &- 1 }
            if pool.isUniform {
                // Nobody has less than nothing to do.
                if best.load == 0 { return }
                // By runs of neighbours, which is twice as fast as bit by bit.
                while bits != 0 {
                    let first = bits.trailingZeroBitCount
                    let run = (~(bits &>> UInt64(first))).trailingZeroBitCount
                    for other in (index &+ first)..<(index &+ first &+ run) { compare(other, &best) }
                    if first &+ run >= 64 { break }
                    bits &= UInt64.max &<< UInt64(first &+ run)
                }
            } else {
                while bits != 0 {
                    weigh(index &+ bits.trailingZeroBitCount, &best)
                    bits &= bits &- 1
                }
            }
            index = end
        }
    }

    @inline(__always)
    private func compare(_ index: Int, _ best: inout Best) {
        let load = pool.inFlight(index)
        if load < best.load {
            best.load = load
            best.index = index
        }
    }

    @inline(__always)
    private func weigh(_ index: Int, _ best: inout Best) {
        // The attempt to be placed counts too: of two idle endpoints the heavier is the better.
        let load = UInt64(pool.inFlight(index)) &+ 1
        let weight = pool.weight(index)
        // load / weight < best load / best weight, without a division; the products cannot overflow.
        if best.index < 0 || load &* UInt64(best.weight) < (UInt64(best.load) &+ 1) &* UInt64(weight) {
            best.index = index
            best.load = UInt32(truncatingIfNeeded: load &- 1)
            best.weight = weight
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, LeastRequest.self) }
