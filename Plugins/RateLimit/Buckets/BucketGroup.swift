import Synchronization

/// 63 buckets and the entry by which new ones come in, in 1 KiB of memory that was zeroed when it was new, aligned to
/// 16 bytes or more.
///
/// A bucket is a pair of words that change in one step (`cmpxchg16b` on x86-64, `casp` on AArch64): its owner, a hash
/// that is never 0, and its time. Since owner and time are compared together, a change is right whatever happened
/// between the look and the change: the same owner with the same time is the same bucket.
///
/// A bucket whose time is not in the future is full, as one that is not there, so its place may go to another owner.
/// Places never become empty again, so a search from an owner's own place on may end at the first that is empty.
///
/// What must not be is two places of one owner: both would be charged, each by half. Two workers that look for a place
/// for the same owner at the same time could take two. So there is one `entry` in a group, a pair of words too, that
/// names the owner who comes in and his place; whoever finds one there carries it out before he goes on. Nobody waits
/// for anybody: a worker that was interrupted in the middle of it is overtaken.
struct BucketGroup {
    static let size = 1_024
    static let places = 63

    private let start: UnsafeMutableRawPointer

    init(_ start: UnsafeMutableRawPointer) { self.start = start }

    // MARK: Places

    @inline(__always)
    private func pair(_ index: Int) -> UnsafeMutablePointer<Atomic<WordPair>> {
        (start + index &* 16).assumingMemoryBound(to: Atomic<WordPair>.self)
    }

    /// One word of a pair: reading both at once would write, which takes the cache line from all others.
    @inline(__always)
    private func word(_ index: Int, _ offset: Int) -> UInt64 {
        (start + (index &* 16 &+ offset)).assumingMemoryBound(to: Atomic<UInt64>.self)
            .pointee.load(ordering: .acquiring)
    }

    /// Places are numbered from 1: 0 is the entry's pair.
    @inline(__always) func owner(_ place: Int) -> UInt64 { word(place, 0) }
    @inline(__always) func time(_ place: Int) -> UInt64 { word(place, 8) }

    @inline(__always)
    func exchange(_ place: Int, _ owner: UInt64, _ time: UInt64, for newOwner: UInt64, _ newTime: UInt64) -> Bool {
        pair(place).pointee.compareExchange(
            expected: WordPair(first: UInt(owner), second: UInt(time)),
            desired: WordPair(first: UInt(newOwner), second: UInt(newTime)), ordering: .acquiringAndReleasing
        ).exchanged
    }

    /// Where the search for an owner begins: from bits that have not chosen the group.
    @inline(__always)
    static func firstPlace(_ owner: UInt64) -> Int { Int(((owner & 0xFFFF_FFFF) &* UInt64(places)) &>> 32) &+ 1 }

    @inline(__always)
    func find(_ owner: UInt64) -> Int? {
        var place = Self.firstPlace(owner)
        for _ in 0..<Self.places {
            let found = self.owner(place)
            if found == owner { return place }
            if found == 0 { return nil }
            place = place == Self.places ? 1 : place &+ 1
        }
        return nil
    }

    // MARK: Coming in

    /// The second word of the entry: which coming-in this is (12 bits), what is full (the time in steps of 65 µs, 46
    /// bits) and the place (6 bits). The first word is who comes in, 0 when nobody does. It would take 4,096 comings
    /// into one group within one step for two of them to look alike: one every 16 ns.
    private struct Entry {
        var word: UInt64

        init(_ word: UInt64) { self.word = word }

        init(after last: Entry, limit: UInt64, place: Int) {
            let number = (last.word &>> 52) &+ 1
            word = number &<< 52 | (limit &>> 16 & (1 << 46 - 1)) &<< 6 | UInt64(place)
        }

        var number: UInt64 { word &>> 52 }
        /// Whose time is not above it is full. At or a little before the time that it was made with.
        var limit: UInt64 { (word &>> 6 & (1 << 46 - 1)) &<< 16 }
        var place: Int { Int(word & 63) }
        /// What a new owner begins with: a time that is past, so the bucket is full, and that differs from that of
        /// those who came in lately.
        var beginning: UInt64 { limit &- min(limit, 4_096) &+ min(limit, number) }
    }

    /// Gives `owner` a full bucket, unless it has one. False when all places are taken by buckets that are not full.
    func admit(_ owner: UInt64, now: UInt64) -> Bool {
        // A step earlier than now, so that what is given back just now is no candidate: a place never returns to a
        // state in which it was one.
        let limit = (now & ~0xFFFF) &- min(now & ~0xFFFF, 0x1_0000)
        while true {
            let last = Entry(word(0, 8))
            let pending = word(0, 0)
            if pending != 0 {
                carryOut(pending, last)
                continue
            }
            if find(owner) != nil { return true }
            guard let place = freePlace(owner, limit) else { return false }
            // It fails when another has come in since `last` was read, who may be the same owner.
            let entry = Entry(after: last, limit: limit, place: place)
            if exchange(0, 0, last.word, for: owner, entry.word) { carryOut(owner, entry) }
        }
    }

    /// The first place from the owner's own on that is empty or whose bucket is full.
    private func freePlace(_ owner: UInt64, _ limit: UInt64) -> Int? {
        var place = Self.firstPlace(owner)
        for _ in 0..<Self.places {
            if self.owner(place) == 0 || time(place) <= limit { return place }
            place = place == Self.places ? 1 : place &+ 1
        }
        return nil
    }

    /// Puts the owner in its place, if that is still free, and ends the entry. Any number of workers may do it at once.
    private func carryOut(_ owner: UInt64, _ entry: Entry) {
        let place = entry.place
        let occupant = self.owner(place)
        let time = self.time(place)
        // What was read belongs to this entry only while it stands.
        guard word(0, 8) == entry.word, word(0, 0) == owner else { return }
        if occupant != owner, occupant == 0 || time <= entry.limit {
            _ = exchange(place, occupant, time, for: owner, entry.beginning)
        }
        _ = exchange(0, owner, entry.word, for: 0, entry.word)
    }
}
