/// Which endpoints of a large pool one gateway of a fleet speaks to, so that not each keeps connections to all.
///
/// Deterministic subsetting (Google: Site Reliability Engineering, ch. 20, "Deterministic Subsetting"): gateways are
/// taken in rounds; within a round the shuffled list is dealt out, each gateway another part of it, and each round
/// shuffles anew. So every endpoint has the same number of gateways, but for those of the last round that is not full.
public enum Subsets {
    /// Places in the pool's list of `count`, `size` of them (all, when there are no more), in ascending order. `client`
    /// is this gateway's number in the fleet, from 0 and without gaps; all gateways must have the same list in the same
    /// order.
    public static func endpoints(of count: Int, size: Int, client: Int) -> [Int] {
        guard size > 0, size < count else { return Array(0..<max(count, 0)) }
        let subsets = count / size
        let (round, part) = max(client, 0).quotientAndRemainder(dividingBy: subsets)
        var order = Array(0..<count)
        var random = Permutation(state: UInt64(round))
        // By Fisher and Yates, written out: the library's shuffle may change, and with it half of a fleet that is being
        // upgraded.
        for index in stride(from: count - 1, to: 0, by: -1) {
            order.swapAt(index, Int(Draw.upTo(UInt64(index), random.next())))
        }
        return order[part * size..<(part + 1) * size].sorted()
    }

    /// SplitMix64 (G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
    private struct Permutation {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
    }
}
