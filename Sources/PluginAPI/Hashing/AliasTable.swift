/// Draws an index in proportion to weights in constant time, by Walker's alias method in Vose's construction ("A Linear
/// Algorithm for Generating Random Numbers with a Given Distribution", IEEE Transactions on Software Engineering 17(9),
/// 1991). Memory: 16 bytes an index, taken in `init`.
public struct AliasTable: ~Copyable {
    public let count: Int
    /// Column i stands for i where the drawn fraction is below this share of 2^64, else for its alias.
    @usableFromInline let thresholds: UnsafeMutablePointer<UInt64>
    @usableFromInline let aliases: UnsafeMutablePointer<Int>

    /// - Parameter weights: an index of weight 0 is never drawn, unless all are 0: then all are alike.
    public init(weights: [UInt32]) {
        count = weights.count
        thresholds = .allocate(capacity: max(count, 1))
        aliases = .allocate(capacity: max(count, 1))
        thresholds.initialize(repeating: UInt64.max, count: max(count, 1))
        aliases.initialize(repeating: 0, count: max(count, 1))
        let total = weights.reduce(0.0) { $0 + Double($1) }
        for index in 0..<count { aliases[index] = index }
        guard total > 0 else { return }
        var share = weights.map { Double($0) * Double(weights.count) / total }
        var small = share.indices.filter { share[$0] < 1 }
        var large = share.indices.filter { share[$0] >= 1 }
        while let low = small.last, let high = large.last {
            small.removeLast()
            thresholds[low] = UInt64(max(share[low], 0) * 0x1p63) << 1
            aliases[low] = high
            share[high] -= 1 - share[low]
            if share[high] < 1 {
                large.removeLast()
                small.append(high)
            }
        }
        // What rounding has left over stands for itself, but for a weight of 0.
        let heaviest = weights.indices.max { weights[$0] < weights[$1] } ?? 0
        for index in small where weights[index] == 0 {
            thresholds[index] = 0
            aliases[index] = heaviest
        }
    }

    deinit {
        thresholds.deallocate()
        aliases.deallocate()
    }

    /// An index below `count`; 0 when that is 0.
    @inlinable @inline(__always)
    public func draw(_ numbers: inout SplitMix64) -> Int {
        // The whole part chooses the column, what is left of the same number the side.
        let product = numbers.next().multipliedFullWidth(by: UInt64(truncatingIfNeeded: count))
        let column = Int(truncatingIfNeeded: product.high)
        return product.low < thresholds[column] ? column : aliases[column]
    }
}
