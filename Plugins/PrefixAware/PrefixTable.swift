import SluicePlugin

/// Which endpoints have lately been sent a prompt with a given prefix: what their caches are likely to hold. Shared by
/// all workers and by generations, of a fixed size, without locks.
///
/// Eight entries make a set, keys in one cache line and values in the next. A key is a prefix's hash; a value is when
/// it was last used, in the high 16 bits, and up to three endpoints, the latest in the low bits. A new prefix takes the
/// place of the one in its set that was not used for the longest. Two workers that write one entry at once lose one of
/// the two; one that reads an entry while it changes hands may see the old prefix's endpoints. Either is a hint that is
/// wrong once.
struct PrefixTable {
    private static let ways = 8
    static let endpointsAtMost = 3

    private let words: SharedCounters
    private let setMask: UInt64

    init(_ state: StateBlocks, name: String, entries: Int) throws(PluginError) {
        var sets = 1
        while sets * Self.ways * 2 <= entries { sets *= 2 }
        words = try state.counters("prefixes/\(name)", count: sets * Self.ways * 2)
        setMask = UInt64(sets - 1)
    }

    /// An id of the host's has the endpoint's place in the low half, and in the high one how many had the place before
    /// it. 2^32 divided by this leaves 16,384, which is the number of places: the first three endpoints of every place
    /// have tags of their own. Later ones may share a tag, and then one may be taken for the other.
    private static let tags: UInt64 = 65_408

    /// How endpoints stand in values: never 0.
    @inline(__always)
    static func tag(_ id: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: id % tags) &+ 1 }

    /// Of a moment in nanoseconds: steps of 17 s, which come around after 13 days.
    @inline(__always)
    static func stamp(_ nanoseconds: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: nanoseconds >> 34) }

    @inline(__always)
    private func set(_ key: UInt64) -> Int { Int(key >> 24 & setMask) &* Self.ways &* 2 }

    /// The endpoints of a prefix, 16 bits each, the latest in the low ones; 0 when it is not known.
    @inline(__always)
    func endpoints(_ key: UInt64) -> UInt64 {
        let set = set(key)
        for way in 0..<Self.ways where words.load(set &+ way) == key {
            return words.load(set &+ Self.ways &+ way) & 0xFFFF_FFFF_FFFF
        }
        return 0
    }

    /// Notes that a prompt with this prefix goes to the endpoint.
    func remember(_ key: UInt64, _ tag: UInt16, stamp: UInt16) {
        let set = set(key)
        var victim = 0
        var oldest: UInt16 = 0
        for way in 0..<Self.ways {
            let found = words.load(set &+ way)
            if found == key { return renew(set &+ Self.ways &+ way, tag, stamp) }
            if found == 0 {
                victim = way
                break
            }
            let value = words.load(set &+ Self.ways &+ way)
            let age = stamp &- UInt16(truncatingIfNeeded: value >> 48)
            if age >= oldest {
                oldest = age
                victim = way
            }
        }
        words.store(set &+ Self.ways &+ victim, UInt64(stamp) << 48 | UInt64(tag))
        words.store(set &+ victim, key)
    }

    /// Puts the endpoint before the others; the fourth one falls out.
    private func renew(_ place: Int, _ tag: UInt16, _ stamp: UInt16) {
        let old = words.load(place)
        let first = old & 0xFFFF
        let second = old >> 16 & 0xFFFF
        let third = old >> 32 & 0xFFFF
        let mine = UInt64(tag)
        var value = UInt64(stamp) << 48 | mine
        if first == mine {
            value |= old & 0xFFFF_FFFF_0000
        } else if second == mine {
            value |= first << 16 | third << 32
        } else {
            value |= first << 16 | second << 32
        }
        // Of what is used all the time the line stays in every worker's cache.
        if value != old { words.store(place, value) }
    }
}
