/// The buckets of all limits, shared by the workers and generations of a gateway: a hash table of bounded size whose
/// memory somebody else keeps. Every function may be called by all threads at once, blocks nobody and allocates
/// nothing.
///
/// A hash picks a group of 63 places (see `BucketGroup`) and nothing beyond it is searched. Groups fill up unevenly: a
/// table with room for twice the buckets that are not full at one time has a group without room once in millions.
public struct BucketTable: @unchecked Sendable {
    /// Groups in one segment, 1 MiB.
    public static let groupsInSegment = 1_024
    /// A million buckets in 16 MiB.
    public static let groupsAtMost = 16 * groupsInSegment

    private let segments: UnsafePointer<UnsafeMutableRawPointer>
    private let mask: UInt64

    /// - Parameters:
    ///   - segments: memory that was zeroed when it was new, aligned to 64 bytes: 1 KiB for each group, 1,024 groups in
    ///     each but the last. It and the array live as long as the table is used.
    ///   - groups: a power of two up to `groupsAtMost`.
    public init(segments: UnsafePointer<UnsafeMutableRawPointer>, groups: Int) {
        precondition(groups > 0 && groups <= Self.groupsAtMost && groups & (groups - 1) == 0)
        self.segments = segments
        mask = UInt64(groups - 1)
    }

    /// The groups that surely hold so many buckets.
    public static func groups(buckets: Int) -> Int {
        var groups = 1
        while groups * BucketGroup.places < buckets, groups < groupsAtMost { groups *= 2 }
        return groups
    }

    /// Bytes of a segment.
    public static func bytes(groups: Int) -> Int { groups * BucketGroup.size }

    @inline(__always)
    private func group(_ owner: UInt64) -> BucketGroup {
        let index = Int((owner &>> 32) & mask)
        return BucketGroup(segments[index &>> 10] + (index & 1_023) &* BucketGroup.size)
    }

    /// What became of a request. Times in nanoseconds.
    public enum Verdict: Equatable, Sendable {
        /// `left` until the bucket is empty.
        case passed(left: UInt64)
        /// Nothing was taken; there is enough after `wait`, if nobody else comes. The bucket is full after `ahead`,
        /// which is more than its tolerance when it is in debt.
        case refused(wait: UInt64, ahead: UInt64)
        /// The bucket is not there, and there is no room for it.
        case noRoom
    }

    /// Takes `cost` when at least `need` is there.
    ///
    /// - Parameters:
    ///   - key: a hash of the bucket's key.
    ///   - cost: nanoseconds; 0 only looks.
    ///   - need: the same, at least `cost`.
    ///   - tolerance: of the rate; the need is not above it.
    ///   - now: nanoseconds of a clock that never goes back, and that all callers share.
    public func take(_ key: UInt64, cost: UInt64, need: UInt64, tolerance: UInt64, now: UInt64) -> Verdict {
        let owner = max(key, 1)
        let group = group(owner)
        while true {
            guard let place = group.find(owner) else {
                if cost == 0 { return .passed(left: tolerance) }
                guard group.admit(owner, now: now) else { return .noRoom }
                continue
            }
            let time = group.time(place)
            // The place may have got another owner since; the time is then that one's.
            if group.owner(place) != owner { continue }
            let begin = max(time, now)
            let ahead = begin &- now
            if ahead &+ need > tolerance { return .refused(wait: ahead &+ need &- tolerance, ahead: ahead) }
            if cost == 0 || group.exchange(place, owner, time, for: owner, begin &+ cost) {
                return .passed(left: tolerance &- ahead &- cost)
            }
        }
    }

    /// Takes what was spent without asking: the bucket may go into debt, at most `Rate.longest`. False when there is no
    /// room for it.
    public func charge(_ key: UInt64, _ cost: UInt64, now: UInt64) -> Bool {
        let owner = max(key, 1)
        let group = group(owner)
        while true {
            guard let place = group.find(owner) else {
                guard group.admit(owner, now: now) else { return false }
                continue
            }
            let time = group.time(place)
            if group.owner(place) != owner { continue }
            let charged = min(max(time, now) &+ min(cost, Rate.longest), max(time, now &+ Rate.longest))
            if group.exchange(place, owner, time, for: owner, charged) { return true }
        }
    }

    /// Gives back what was taken. A bucket that is not there any more is full already.
    public func giveBack(_ key: UInt64, _ cost: UInt64, now: UInt64) {
        let owner = max(key, 1)
        let group = group(owner)
        while let place = group.find(owner) {
            let time = group.time(place)
            if group.owner(place) != owner { continue }
            // Not further than full: times of one place only grow while it is in use.
            if time <= now { return }
            let returned = max(time &- min(cost, time), now)
            if group.exchange(place, owner, time, for: owner, returned) { return }
        }
    }

    // MARK: Sharing

    /// The time at which the bucket is full; nil when it is not there.
    public func time(of key: UInt64) -> UInt64? {
        let owner = max(key, 1)
        let group = group(owner)
        while let place = group.find(owner) {
            let time = group.time(place)
            if group.owner(place) == owner { return time }
        }
        return nil
    }

    /// Every bucket that is there, with the time at which it is full. Those that come and go meanwhile may be missed.
    public func forEach(_ body: (_ key: UInt64, _ time: UInt64) -> Void) {
        for index in 0...Int(mask) {
            let group = BucketGroup(segments[index >> 10] + (index & 1_023) * BucketGroup.size)
            for place in 1...BucketGroup.places {
                let owner = group.owner(place)
                let time = group.time(place)
                if owner != 0, group.owner(place) == owner { body(owner, time) }
            }
        }
    }

    /// Makes `full` the time at which the bucket is full, later by what was taken since that was `since` here. False
    /// when there is no room for it.
    public func reconcile(_ key: UInt64, full: UInt64, since: UInt64, now: UInt64) -> Bool {
        let owner = max(key, 1)
        let group = group(owner)
        while true {
            guard let place = group.find(owner) else {
                if full <= now { return true }
                guard group.admit(owner, now: now) else { return false }
                continue
            }
            let time = group.time(place)
            if group.owner(place) != owner { continue }
            let taken = time &- min(since, time)
            let wanted = min(max(full &+ taken, now), now &+ Rate.longest)
            // Full is full, whenever it became so.
            if wanted == time || wanted <= now && time <= now { return true }
            if group.exchange(place, owner, time, for: owner, wanted) { return true }
        }
    }
}
