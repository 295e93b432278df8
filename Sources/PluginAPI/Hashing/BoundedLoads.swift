/// How much each owner may carry so that none has more than `factor` times its share of the load (Mirrokni, Thorup and
/// Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018): with m units of load, the one to be placed
/// included, an owner of weight w among owners of weight W together has room below ceil(factor m w / W). A key goes to
/// the first owner with room, from its own place of a ring or table on.
///
/// Loads are told as they are seen; the sums follow, so that `hasRoom` costs the same for any number of owners. Only
/// owners that may be taken count. Allocates in `init` alone.
public struct BoundedLoads: ~Copyable {
    public let count: Int
    /// At least 1; 1.25 lets an owner have a quarter more than its share.
    public let factor: Double
    @usableFromInline let loads: UnsafeMutablePointer<UInt32>
    @usableFromInline let weights: UnsafeMutablePointer<UInt32>
    /// Bit i: owner i may be taken.
    @usableFromInline let eligible: UnsafeMutablePointer<UInt64>
    /// Of the owners that may be taken.
    @usableFromInline var totalLoad: UInt64 = 0
    @usableFromInline var totalWeight: UInt64 = 0

    /// - Parameter weights: one for each owner; 0 counts as 1. At first all may be taken and none has load.
    public init(weights given: [UInt32], factor: Double) {
        count = given.count
        self.factor = max(factor, 1)
        loads = .allocate(capacity: max(count, 1))
        weights = .allocate(capacity: max(count, 1))
        let words = (count + 63) / 64
        eligible = .allocate(capacity: max(words, 1))
        loads.initialize(repeating: 0, count: max(count, 1))
        weights.initialize(repeating: 1, count: max(count, 1))
        eligible.initialize(repeating: 0, count: max(words, 1))
        for index in 0..<count {
            weights[index] = max(given[index], 1)
            eligible[index >> 6] |= 1 << UInt64(index & 63)
            totalWeight += UInt64(weights[index])
        }
    }

    deinit {
        loads.deallocate()
        weights.deallocate()
        eligible.deallocate()
    }

    /// Says who may be taken: bit i of the words is owner i. Costs a comparison a word, and a step an owner that
    /// changed. Bits past `count` must be 0.
    @inlinable
    public mutating func restrict(to words: UnsafePointer<UInt64>) {
        var word = 0
        let end = (count &+ 63) &>> 6
        while word < end {
            var changed = words[word] ^ eligible[word]
            while changed != 0 {
                let index = word &<< 6 &+ changed.trailingZeroBitCount
                if words[word] &>> UInt64(index & 63) & 1 != 0 {
                    totalLoad &+= UInt64(loads[index])
                    totalWeight &+= UInt64(weights[index])
                } else {
                    totalLoad &-= UInt64(loads[index])
                    totalWeight &-= UInt64(weights[index])
                }
                changed &= changed &- 1
            }
            eligible[word] = words[word]
            word &+= 1
        }
    }

    /// Tells the load of an owner; an index out of range is passed over.
    @inlinable
    public mutating func note(_ index: Int, load: UInt32) {
        guard UInt(bitPattern: index) < UInt(bitPattern: count) else { return }
        if eligible[index &>> 6] &>> UInt64(index & 63) & 1 != 0 {
            totalLoad = totalLoad &- UInt64(loads[index]) &+ UInt64(load)
        }
        loads[index] = load
    }

    /// Whether one unit more fits at owner `index`, which must be in range.
    @inlinable
    public func hasRoom(_ index: Int) -> Bool {
        // A whole number is below the ceiling of a bound exactly when it is below the bound.
        Double(loads[index]) * Double(totalWeight) < factor * Double(totalLoad &+ 1) * Double(weights[index])
    }

    /// The number of units that owner `index` may have, the one to be placed included.
    public func capacity(_ index: Int) -> UInt64 {
        UInt64((factor * Double(totalLoad &+ 1) * Double(weights[index]) / Double(max(totalWeight, 1))).rounded(.up))
    }
}
