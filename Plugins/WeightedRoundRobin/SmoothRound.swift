/// nginx's smooth weighted round robin (ngx_http_upstream_round_robin.c, the commit "smooth weighted round-robin
/// balancing" of 2012): at each turn every value grows by its weight, the greatest is taken and falls by the sum of the
/// weights. Weights 5, 1, 1 give a a b a c a a. A step an endpoint and turn, of which the compiler makes vectors.
struct SmoothRound: ~Copyable {
    let count: Int
    private let ids: [UInt64]
    private let current: UnsafeMutablePointer<Int32>
    private let weights: UnsafeMutablePointer<Int32>
    /// All bits of those that may be taken and have a weight, else 0.
    private let masks: UnsafeMutablePointer<Int32>
    /// The bits that were seen last.
    private let eligible: UnsafeMutablePointer<UInt64>
    /// Of all weights.
    private let total: Int32
    /// Of the weights of those that may be taken.
    private var activeTotal: Int32 = 0
    /// Where the next turn among weights of 0 begins.
    private var turn = 0

    /// Values stay within the sum of the weights on either side of 0, and must fit in 32 bits with room for one more.
    private static var totalAtMost: UInt64 { 1 << 30 }

    /// An endpoint of weight 0 has no turn, unless all that may be taken are so.
    init(weights given: [UInt32], ids: [UInt64]) {
        count = given.count
        self.ids = ids
        current = .allocate(capacity: max(count, 1))
        weights = .allocate(capacity: max(count, 1))
        masks = .allocate(capacity: max(count, 1))
        masks.initialize(repeating: 0, count: max(count, 1))
        eligible = .allocate(capacity: count / 64 + 1)
        eligible.initialize(repeating: 0, count: count / 64 + 1)
        current.initialize(repeating: 0, count: max(count, 1))
        weights.initialize(repeating: 0, count: max(count, 1))
        var divisor: UInt32 = 0
        for weight in given { divisor = Self.greatestCommonDivisor(divisor, weight) }
        let sum = given.reduce(UInt64(0)) { $0 + UInt64($1 / max(divisor, 1)) }
        // Shares of weights that large are rounded; with so many endpoints nobody sees it.
        var shift: UInt64 = 0
        while (sum >> shift) + UInt64(count) > Self.totalAtMost { shift += 1 }
        var total: Int32 = 0
        for (index, weight) in given.enumerated() where weight > 0 {
            weights[index] = Int32(max(UInt64(weight / max(divisor, 1)) >> shift, 1))
            total += weights[index]
        }
        self.total = total
    }

    deinit {
        current.deallocate()
        weights.deallocate()
        masks.deallocate()
        eligible.deallocate()
    }

    /// The next among those whose bit is set. As many words as the endpoints need.
    mutating func next(among words: UnsafePointer<UInt64>) -> Int {
        restrict(to: words)
        if activeTotal == 0 { return nextOfEqual(words) }
        var greatest = Int32.min
        for index in 0..<count {
            let mask = masks[index]
            let value = current[index] &+ (weights[index] & mask)
            current[index] = value
            let candidate = (value & mask) | (Int32.min & ~mask)
            greatest = candidate > greatest ? candidate : greatest
        }
        var chosen = 0
        while current[chosen] != greatest || masks[chosen] == 0 { chosen &+= 1 }
        current[chosen] = greatest &- activeTotal
        return chosen
    }

    /// Takes over who may be taken: a comparison a word, a step an endpoint that changed.
    private mutating func restrict(to words: UnsafePointer<UInt64>) {
        var word = 0
        while word &<< 6 < count {
            var changed = words[word] ^ eligible[word]
            while changed != 0 {
                let index = word &<< 6 &+ changed.trailingZeroBitCount
                changed &= changed &- 1
                guard index < count, weights[index] > 0 else { continue }
                let isEligible = words[word] &>> UInt64(index & 63) & 1 != 0
                masks[index] = isEligible ? -1 : 0
                activeTotal = isEligible ? activeTotal &+ weights[index] : activeTotal &- weights[index]
            }
            eligible[word] = words[word]
            word &+= 1
        }
    }

    /// In turn, where nobody who may be taken has a weight.
    private mutating func nextOfEqual(_ words: UnsafePointer<UInt64>) -> Int {
        for _ in 0..<count {
            let index = turn
            turn = turn &+ 1 < count ? turn &+ 1 : 0
            if words[index >> 6] >> UInt64(index & 63) & 1 != 0 { return index }
        }
        return 0
    }

    /// Passes over turns.
    mutating func skip(_ turns: Int) {
        guard turns > 0 else { return }
        let all = [UInt64](repeating: .max, count: (count + 63) / 64)
        all.withUnsafeBufferPointer { words in
            guard let start = words.baseAddress else { return }
            for _ in 0..<turns { _ = next(among: start) }
        }
    }

    /// Takes over the values of the endpoints that stay. One that comes begins at 0.
    mutating func goOn(from old: borrowing SmoothRound) {
        var values: [UInt64: Int32] = [:]
        for index in 0..<old.count { values[old.ids[index]] = old.current[index] }
        // A value from a round of other weights may be far outside of this one.
        for index in 0..<count { current[index] = min(max(values[ids[index]] ?? 0, -total), total) }
    }

    private static func greatestCommonDivisor(_ left: UInt32, _ right: UInt32) -> UInt32 {
        var (left, right) = (left, right)
        while right != 0 { (left, right) = (right, left % right) }
        return left
    }
}
