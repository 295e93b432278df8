import Glibc
import SluiceHashing
import SluicePlugin

/// Chooses among weighted alternatives by a hash, so that each gets its share of the keys and a change of weights moves
/// as few of them as it can: weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to
/// increase hit rates", 1998; with the logarithmic weights of Schindelhauer and Schomaker, "Weighted distributed hash
/// tables", 2005).
///
/// Each alternative draws `weight / -ln(u)` with a `u` that depends on the key and its name alone, and the greatest
/// draw wins. When the weight of one grows against the others, its draws grow and no other does: keys move to it alone,
/// and none that it had leaves. The same holds for an alternative that comes or goes.
public struct WeightedChoice: Sendable {
    private struct Alternative: Sendable {
        var index: Int
        var weight: Double
        var upTo: Double
        var seed: UInt64
    }

    /// Those with a weight above 0.
    private let alternatives: [Alternative]
    private let total: Double

    /// Nil when no weight is above 0. Draws depend on the `name`s, not on the order.
    public init?(_ weighted: [(name: String, weight: Double)]) {
        var alternatives: [Alternative] = []
        var total = 0.0
        for (index, entry) in weighted.enumerated() where entry.weight > 0 {
            total += entry.weight
            alternatives.append(
                Alternative(
                    index: index, weight: entry.weight, upTo: total,
                    seed: KeyHash("choice", entry.name).hash(Bytes())))
        }
        guard !alternatives.isEmpty else { return nil }
        self.alternatives = alternatives
        self.total = total
    }

    /// The index of the alternative for the key of that hash. Choices among the same names agree for the same hash:
    /// hash keys with a `KeyHash` of its own for each decision that is to be independent.
    public func index(for hash: UInt64) -> Int {
        if alternatives.count == 1 { return alternatives[0].index }
        var best = 0
        var greatest = -1.0
        for position in alternatives.indices {
            let unit = KeyHash.unit(XXHash64.hash(hash, seed: alternatives[position].seed))
            let draw = alternatives[position].weight / -log(unit)
            if draw > greatest {
                greatest = draw
                best = position
            }
        }
        return alternatives[best].index
    }

    /// The index for a number that was drawn at random: nothing to stick to, so the shares alone count.
    public func index(drawn number: UInt64) -> Int {
        let place = KeyHash.unit(number) * total
        for alternative in alternatives where place < alternative.upTo { return alternative.index }
        return alternatives[alternatives.count - 1].index
    }
}
