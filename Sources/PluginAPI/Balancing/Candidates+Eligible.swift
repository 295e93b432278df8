import SluiceHashing
import SluicePlugin

extension Candidates {
    /// Bit i: endpoint i may be taken. As many words as the endpoints need; bits past them are 0.
    @inlinable @inline(__always)
    public var words: UnsafePointer<UInt64> { pointer.pointee.eligible.unsafelyUnwrapped }

    @inlinable @inline(__always)
    public var count: Int { Int(pointer.pointee.count) }

    @inlinable @inline(__always)
    public var allEligible: Bool { pointer.pointee.eligible_count == pointer.pointee.count }

    /// The eligible endpoint that `rank` others precede; 0 when there are fewer. A step a word of 64 endpoints.
    @inlinable
    public func eligible(rank: Int) -> Int {
        if allEligible { return rank < count ? rank : 0 }
        var left = rank
        var word = 0
        while word &<< 6 < count {
            var bits = words[word]
            let here = bits.nonzeroBitCount
            if left < here {
                while left > 0 {
                    bits &= bits &- 1
                    left &-= 1
                }
                return word &<< 6 &+ bits.trailingZeroBitCount
            }
            left &-= here
            word &+= 1
        }
        return 0
    }
}

/// Draws two different endpoints that may be taken, in proportion to their weights. Allocates in `init` alone.
public struct PairDraw: ~Copyable {
    /// How often a draw may hit an endpoint that may not be taken, or the first one again, before another way is gone:
    /// by rank, without weights. With half of a pool gone one pick in 256 comes to that.
    @usableFromInline static var triesAtMost: Int { 8 }

    @usableFromInline let table: AliasTable
    @usableFromInline let isUniform: Bool

    public init(_ pool: borrowing EndpointTable) {
        isUniform = pool.isUniform
        var weights: [UInt32] = []
        // Where all weigh the same the table is not looked at.
        if !pool.isUniform { for index in 0..<pool.count { weights.append(pool.weight(index)) } }
        table = AliasTable(weights: weights)
    }

    /// Both are the same when only one may be taken.
    @inlinable
    public func draw(_ candidates: Candidates, _ numbers: inout SplitMix64) -> (first: Int, second: Int) {
        let eligible = candidates.eligibleCount
        guard eligible > 1 else {
            let only = candidates.eligible(rank: 0)
            return (only, only)
        }
        if !isUniform, table.count == candidates.count {
            let first = weighted(candidates, &numbers, besides: -1)
            if first >= 0 {
                let second = weighted(candidates, &numbers, besides: first)
                return (first, second >= 0 ? second : other(than: first, candidates, &numbers))
            }
        }
        if !candidates.allEligible, eligible &* 2 > candidates.count {
            // Most may be taken: to draw again is cheaper than to count bits.
            let first = uniform(candidates, &numbers, besides: -1)
            let second = first < 0 ? -1 : uniform(candidates, &numbers, besides: first)
            if second >= 0 { return (first, second) }
        }
        // One of all, and one of all but that.
        let first = numbers.below(eligible)
        let other = numbers.below(eligible &- 1)
        return (candidates.eligible(rank: first), candidates.eligible(rank: other >= first ? other &+ 1 : other))
    }

    /// Any of the others, all as likely. There is one.
    @inlinable
    func other(than first: Int, _ candidates: Candidates, _ numbers: inout SplitMix64) -> Int {
        let rank = numbers.below(candidates.eligibleCount &- 1)
        let index = candidates.eligible(rank: rank)
        // From `first` on the ranks of the others are one less than among all.
        return index < first ? index : candidates.eligible(rank: rank &+ 1)
    }

    /// -1 when the tries are used up.
    @inlinable @inline(__always)
    func uniform(_ candidates: Candidates, _ numbers: inout SplitMix64, besides taken: Int) -> Int {
        for _ in 0..<Self.triesAtMost {
            let index = numbers.below(candidates.count)
            if index != taken, candidates.isEligible(index) { return index }
        }
        return -1
    }

    /// -1 when the tries are used up.
    @inlinable
    func weighted(_ candidates: Candidates, _ numbers: inout SplitMix64, besides taken: Int) -> Int {
        for _ in 0..<Self.triesAtMost {
            let index = table.draw(&numbers)
            if index != taken, candidates.isEligible(index) { return index }
        }
        return -1
    }
}
