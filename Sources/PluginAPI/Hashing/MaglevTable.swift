/// Maglev's look-up table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
/// section 3.4): every owner fills the table's entries in an order of its own, in turns, so that shares are even to one
/// entry and few entries change their owner when one joins or leaves. A look-up is one read.
///
/// Weights set how often an owner has its turn, as the paper suggests. Owners take turns in the order of their names,
/// so that two programs that know the same names and weights agree, whatever order they know them in. Memory: 2 bytes
/// an entry. Look-ups allocate nothing.
public struct MaglevTable: ~Copyable {
    /// The paper's smaller table: for 655 owners the heaviest has 1% more entries than the lightest.
    public static var defaultSize: Int { 65_537 }
    /// 10 MiB.
    public static var sizeAtMost: Int { 5_000_011 }
    /// As many as an entry has room for.
    public static var ownersAtMost: Int { 1 << 16 }

    /// Entries; 0 only when there are no owners.
    public let size: Int
    @usableFromInline let entries: UnsafeMutablePointer<UInt16>

    /// - Parameters:
    ///   - names: one for each owner, whose index is the place in this array; those past `ownersAtMost` have no entry.
    ///   - weights: one for each owner; 0 counts as 1, and below a thousandth of the heaviest as a thousandth.
    ///   - size: a prime, at least as many as there are owners; one that is not is raised to the next prime.
    public init(names: [[UInt8]], weights: [UInt32], size wanted: Int = MaglevTable.defaultSize) {
        let count = min(names.count, weights.count, Self.ownersAtMost)
        var prime = max(wanted, count, 2)
        while !Self.isPrime(prime) { prime += 1 }
        size = count == 0 ? 0 : prime
        entries = .allocate(capacity: max(size, 1))
        entries.initialize(repeating: 0, count: max(size, 1))
        guard count > 0 else { return }
        let size = prime
        let heaviest = UInt64(weights.prefix(count).max().map { max($0, 1) } ?? 1)
        // In turn: of the names, not of the array.
        let turns = (0..<count).sorted {
            names[$0] == names[$1] ? $0 < $1 : names[$0].lexicographicallyPrecedes(names[$1])
        }
        var next: [Int] = []
        var skip: [Int] = []
        var weight: [UInt64] = []
        for index in turns {
            let (offset, step) = names[index].withUnsafeBytes {
                (XXHash64.hash($0, seed: 0) % UInt64(size), XXHash64.hash($0, seed: 1) % UInt64(size - 1) + 1)
            }
            next.append(Int(offset))
            skip.append(Int(step))
            weight.append(max(UInt64(max(weights[index], 1)), (heaviest + 999) / 1000))
        }
        var isTaken = [Bool](repeating: false, count: size)
        var credit = [UInt64](repeating: 0, count: count)
        var filled = 0
        while true {
            for turn in 0..<count {
                // The heaviest has its turn every round, the others as often as their weight says.
                credit[turn] += weight[turn]
                guard credit[turn] >= heaviest else { continue }
                credit[turn] -= heaviest
                var entry = next[turn]
                while isTaken[entry] {
                    entry += skip[turn]
                    if entry >= size { entry -= size }
                }
                isTaken[entry] = true
                entries[entry] = UInt16(truncatingIfNeeded: turns[turn])
                filled += 1
                if filled == size { return }
                entry += skip[turn]
                next[turn] = entry >= size ? entry - size : entry
            }
        }
    }

    deinit { entries.deallocate() }

    /// The place in the table of a 64-bit hash: 0 to `size - 1`, or 0. The hash's share of 2^64 takes the place of the
    /// paper's remainder, which would cost a division.
    @inlinable @inline(__always)
    public func place(of hash: UInt64) -> Int {
        Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(truncatingIfNeeded: size)).high)
    }

    /// The place after `place`, going around.
    @inlinable @inline(__always)
    public func next(after place: Int) -> Int { place &+ 1 < size ? place &+ 1 : 0 }

    /// The owner at `place`, which must come from this table; 0 when it has none.
    @inlinable @inline(__always)
    public func owner(at place: Int) -> Int { Int(entries[place]) }

    /// The owner of a 64-bit hash.
    @inlinable
    public func owner(of hash: UInt64) -> Int { owner(at: place(of: hash)) }

    /// Whether `size` may be a table's.
    public static func isPrime(_ size: Int) -> Bool {
        if size < 4 { return size > 1 }
        if size % 2 == 0 { return false }
        var divisor = 3
        while divisor * divisor <= size {
            if size % divisor == 0 { return false }
            divisor += 2
        }
        return true
    }
}
