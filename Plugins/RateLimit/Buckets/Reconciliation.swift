/// What a gateway tells the fleet's store in one round, and what it makes of the answer. Pure: who sends it, and how
/// long that takes, is no matter here. One thread at a time.
///
/// The store has of each bucket the time at which it is full, as a gateway has, and each gateway adds what it took. The
/// answer says how far from full the bucket is, everybody's charges counted, and that takes the place of what the
/// gateway believed, but for what it took meanwhile.
///
/// A charge of `cost` at a time makes of `full` `max(full, time) + cost`, what is given back `max(full - cost, time)`.
/// However many of them follow each other, all together make `max(full + sum, least)` of it, where `least` is what they
/// make of a bucket that is full. These two numbers are told, so that it makes no difference when: were charges to
/// count from when they are told, what comes back until then would be lost each time.
///
/// So between two rounds a gateway knows all of its own charges, and those of others up to their last round before its
/// own. What it grants beyond what the fleet should is what the others grant in that time: at most a full bucket and
/// what comes back in an interval, for each of them. It is not lost: it is in the store, and all wait until it is paid.
public struct Reconciliation {
    public struct Report: Equatable, Sendable {
        public let key: UInt64
        /// Nanoseconds; below 0: more was given back than taken.
        public let cost: Int64
        /// The time before which the bucket is not full, whatever it was before; 0: none.
        public let least: UInt64
        /// When the bucket was full, as this gateway believed when it was reported.
        fileprivate let base: UInt64

        /// `least` from a time on, in nanoseconds; what is long past is below 0.
        public func least(from now: UInt64) -> Int64 {
            let longest = Rate.longest
            return least >= now ? Int64(min(least - now, longest)) : -Int64(min(now - least, longest))
        }
    }

    /// Of buckets that are waiting to be told, 4 MB. Beyond it charges stay this gateway's own.
    public static let bucketsAtMost = 65_536

    private struct Pending {
        var cost: Int64 = 0
        var least: UInt64 = 0
        var base: UInt64

        mutating func add(_ charge: Charge) {
            let longest = Int64(Rate.longest)
            cost = min(max(cost &+ charge.cost, -longest), longest)
            let size = charge.cost.magnitude
            least = charge.cost > 0 ? max(least, charge.time) &+ size : max(least &- min(size, least), charge.time)
            least = min(least, charge.time &+ Rate.longest)
        }
    }

    private struct Charge {
        let key: UInt64
        let cost: Int64
        let time: UInt64
        /// In the order in which they were drained.
        let number: Int
    }

    /// Whether the fleet is told of the bucket of that key, whose lowest bit says so. Of what one gateway has for
    /// itself the store would not learn what is given back, and hold it against it for ever.
    public static func isFleets(_ key: UInt64) -> Bool { key & 1 == 1 }

    /// The key of a bucket by the hash of what it is for.
    public static func key(_ hash: UInt64, isFleets: Bool) -> UInt64 { isFleets ? hash | 1 : hash & ~1 }

    private let table: BucketTable
    private let rings: [ChargeRing]
    private var pending: [UInt64: Pending] = [:]
    /// Charges that found no room here.
    public private(set) var dropped = 0

    public init(_ table: BucketTable, _ rings: [ChargeRing]) {
        self.table = table
        self.rings = rings
    }

    /// What is to be told now. Those for which none of `settle`, `doubt`, `refuse` and `fail` was called are in the
    /// next call's, too.
    ///
    /// - Parameters:
    ///   - all: also what this gateway knows of buckets of which it has taken nothing: the store may have lost what it
    ///     had.
    ///   - clock: nanoseconds, as for the table.
    public mutating func collect(all: Bool = false, clock: () -> UInt64) -> [Report] {
        if all {
            let now = clock()
            table.forEach { key, time in
                if Self.isFleets(key), time > now, pending.count < Self.bucketsAtMost, pending[key] == nil {
                    pending[key] = Pending(base: time)
                }
            }
        }
        // All that was charged so far is in the queues, or told of already.
        for key in Array(pending.keys) { pending[key]?.base = max(table.time(of: key) ?? 0, clock()) }
        for charge in drain(clock) { pending[charge.key]?.add(charge) }
        return pending.map { key, entry in
            let least = all ? max(entry.least, entry.base) : entry.least
            return Report(key: key, cost: entry.cost, least: least, base: entry.base)
        }
    }

    /// What is in the queues, in the order of time: several workers charge one bucket in turn. At most what they hold.
    private mutating func drain(_ clock: () -> UInt64) -> [Charge] {
        var charges: [Charge] = []
        for ring in rings {
            ring.drain { key, cost, time in
                if pending[key] == nil {
                    guard pending.count < Self.bucketsAtMost else {
                        if cost != 0 { dropped += 1 }
                        return
                    }
                    // At once: what is charged from here on is seen as a difference to it.
                    let now = clock()
                    pending[key] = Pending(base: max(table.time(of: key) ?? 0, now))
                }
                if cost != 0 { charges.append(Charge(key: key, cost: cost, time: time, number: charges.count)) }
            }
        }
        charges.sort { ($0.time, $0.number) < ($1.time, $1.number) }
        return charges
    }

    /// The store has taken the report.
    ///
    /// - Parameters:
    ///   - ahead: nanoseconds until the bucket is full, by the store.
    ///   - sent: when it was asked. Counted from when the answer came, the way of each would be added.
    ///   - now: when the answer came. False when the table has no room for the bucket.
    @discardableResult
    public mutating func settle(_ report: Report, ahead: UInt64, sent: UInt64, now: UInt64) -> Bool {
        pending[report.key] = nil
        return table.reconcile(report.key, full: sent &+ min(ahead, Rate.longest), since: report.base, now: now)
    }

    /// The report was sent, and whether the store took it is not known; it may even do so later. It is not told again:
    /// each time that the store is away would charge it once more. What the bucket has of it here stays, and is part of
    /// what is told over the next connection as the least.
    public mutating func doubt(_ report: Report) { pending[report.key] = nil }

    /// The store did not take this one report, and is there.
    public mutating func refuse(_ report: Report, now: UInt64) {
        if let entry = pending[report.key] { pending[report.key] = lapsed(entry, of: report.key, now: now) }
    }

    /// The store could not be asked.
    public mutating func fail(now: UInt64) {
        for (key, entry) in pending { pending[key] = lapsed(entry, of: key, now: now) }
    }

    /// What is still to be told. A charge that has run out by this gateway's own count is told no more: the debt of a
    /// time in which the store was away is what is left of it, not the sum of what was taken. So what was given back of
    /// it must not be told either, or it would pay what others owe; then more may be owed than was taken, for as long
    /// as it takes to come back.
    private func lapsed(_ entry: Pending, of key: UInt64, now: UInt64) -> Pending? {
        let ahead = (table.time(of: key) ?? 0).subtractingReportingOverflow(now)
        let left = ahead.overflow ? 0 : Int64(clamping: ahead.partialValue)
        let cost = min(entry.cost, left)
        return cost <= 0 ? nil : Pending(cost: cost, least: entry.least, base: now &+ UInt64(left))
    }
}
