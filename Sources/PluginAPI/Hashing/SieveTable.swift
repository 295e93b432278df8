/// Which slot of a cache holds what, and which is to go when it is full: SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi,
/// "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for Web Caches", NSDI 2024). Entries stand in a
/// queue by their age; a hand goes from the oldest to the newest, spares who was asked for since it last came by, and
/// evicts who was not. A hit writes one bit and moves nothing, and what is asked for once does not push out the rest.
///
/// All memory is taken at the start, about 60 bytes an entry. What a slot stands for is the owner's array. One thread
/// at a time; nothing but `init` allocates.
public struct SieveTable: ~Copyable {
    private static var none: UInt32 { UInt32.max }

    public let capacity: Int
    public private(set) var count = 0

    private let keys: UnsafeMutablePointer<Digest256>
    private let isVisited: UnsafeMutablePointer<Bool>
    private let isTaken: UnsafeMutablePointer<Bool>
    /// Toward the newest and toward the oldest; of a free slot `older` is the next free one.
    private let newer: UnsafeMutablePointer<UInt32>
    private let older: UnsafeMutablePointer<UInt32>
    /// Slots by their keys' hash, `none` where there is none: linear probing, at most half full.
    private let index: UnsafeMutablePointer<UInt32>
    private let shift: UInt64
    private let mask: Int
    /// Nobody outside knows where a key of theirs lands: a digest can be searched for, this number cannot be read.
    private let multiplier: UInt64

    private var newest = SieveTable.none
    private var oldest = SieveTable.none
    private var hand = SieveTable.none
    private var free: UInt32 = 0

    /// - Parameters:
    ///   - capacity: entries, 1 to 2^30.
    ///   - seed: spreads the keys; random where keys come from outside.
    public init(capacity: Int, seed: UInt64) {
        precondition(capacity > 0 && capacity <= 1 << 30, "a table has 1 to 2^30 entries")
        self.capacity = capacity
        let bits = max(1, Int.bitWidth - (2 * capacity - 1).leadingZeroBitCount)
        mask = (1 << bits) - 1
        shift = UInt64(64 - bits)
        multiplier = seed | 1
        keys = .allocate(capacity: capacity)
        isVisited = .allocate(capacity: capacity)
        isTaken = .allocate(capacity: capacity)
        newer = .allocate(capacity: capacity)
        older = .allocate(capacity: capacity)
        index = .allocate(capacity: mask + 1)
        keys.initialize(repeating: Digest256(), count: capacity)
        isVisited.initialize(repeating: false, count: capacity)
        isTaken.initialize(repeating: false, count: capacity)
        newer.initialize(repeating: Self.none, count: capacity)
        for slot in 0..<capacity {
            (older + slot).initialize(to: slot + 1 < capacity ? UInt32(slot + 1) : Self.none)
        }
        index.initialize(repeating: Self.none, count: mask + 1)
    }

    deinit {
        keys.deallocate()
        isVisited.deallocate()
        isTaken.deallocate()
        newer.deallocate()
        older.deallocate()
        index.deallocate()
    }

    /// The slot of `key`, which was asked for by that; nil when it is not there.
    public mutating func find(_ key: Digest256) -> Int? {
        var place = home(key)
        while index[place] != Self.none {
            let slot = Int(index[place])
            if keys[slot] == key {
                isVisited[slot] = true
                return slot
            }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Takes a slot for `key`, which must not be there; nil when none is free: `evict` first.
    public mutating func insert(_ key: Digest256) -> Int? {
        guard free != Self.none else { return nil }
        let slot = Int(free)
        free = older[slot]
        keys[slot] = key
        isVisited[slot] = false
        isTaken[slot] = true
        older[slot] = newest
        newer[slot] = Self.none
        if newest != Self.none { newer[Int(newest)] = UInt32(slot) }
        newest = UInt32(slot)
        if oldest == Self.none { oldest = newest }
        var place = home(key)
        while index[place] != Self.none { place = (place + 1) & mask }
        index[place] = UInt32(slot)
        count += 1
        return slot
    }

    /// Frees the slot that SIEVE says is to go, and says which; nil when the table is empty.
    public mutating func evict() -> Int? {
        guard count > 0 else { return nil }
        // Ends within two rounds: a bit that was met is clear the second time.
        var place = hand == Self.none ? oldest : hand
        while isVisited[Int(place)] {
            isVisited[Int(place)] = false
            place = newer[Int(place)]
            if place == Self.none { place = oldest }
        }
        hand = place
        remove(slot: Int(place))
        return Int(place)
    }

    /// Frees a slot that is taken.
    public mutating func remove(slot: Int) {
        precondition(slot >= 0 && slot < capacity && isTaken[slot], "the slot is not taken")
        isTaken[slot] = false
        let (after, before) = (newer[slot], older[slot])
        if hand == UInt32(slot) { hand = after }
        if after == Self.none { newest = before } else { older[Int(after)] = before }
        if before == Self.none { oldest = after } else { newer[Int(before)] = after }
        unindex(slot)
        older[slot] = free
        newer[slot] = Self.none
        free = UInt32(slot)
        count -= 1
    }

    /// Whether the slot holds an entry.
    public func isTaken(slot: Int) -> Bool { slot >= 0 && slot < capacity && isTaken[slot] }

    @inline(__always)
    private func home(_ key: Digest256) -> Int { Int(truncatingIfNeeded: (key.first &* multiplier) >> shift) }

    /// Takes a slot out of the index and closes the gap (Knuth, TAOCP 6.4, algorithm R).
    private mutating func unindex(_ slot: Int) {
        var gap = home(keys[slot])
        while index[gap] != UInt32(slot) { gap = (gap + 1) & mask }
        var place = gap
        while true {
            index[gap] = Self.none
            while true {
                place = (place + 1) & mask
                guard index[place] != Self.none else { return }
                let wanted = home(keys[Int(index[place])])
                // It may fill the gap unless its home lies behind the gap.
                if (place - wanted) & mask >= (place - gap) & mask { break }
            }
            index[gap] = index[place]
            gap = place
        }
    }
}
