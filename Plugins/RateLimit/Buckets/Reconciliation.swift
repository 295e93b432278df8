/// What a gateway tells the fleet's store in one round, and what it makes of the answer. Pure: who sends it, and how
/// long that takes, is no matter here. One thread at a time.
///
/// The store has of each bucket the time at which it is full, as a gateway has, and each gateway adds what it took. The
/// answer says how far from full the bucket is, everybody's charges counted, and that takes the place of what the
/// gateway believed, but for what it took meanwhile.
///
/// So between two rounds a gateway knows all of its own charges, and those of others up to their last round before its
/// own. What it grants beyond what the fleet should is what the others grant in that time: at most a full bucket and
/// what comes back in an interval, for each of them. It is not lost: it is in the store, and all wait until it is paid.
public struct Reconciliation {
    public struct Report: Equatable, Sendable {
        public let key: UInt64
        /// Nanoseconds; below 0: more was given back than taken.
        public let cost: Int64
        /// Nanoseconds that the bucket was from full before, at least; 0: the store knows better.
        public let floor: UInt64
        /// When the bucket was full, as this gateway believed when it was reported.
        fileprivate let base: UInt64
    }

    /// Of buckets that are waiting to be told, 3 MB. Beyond it charges stay this gateway's own.
    public static let bucketsAtMost = 65_536

    private struct Pending {
        var cost: Int64
        var base: UInt64
    }

    private let table: BucketTable
    private let rings: [ChargeRing]
    private var pending: [UInt64: Pending] = [:]
    /// Charges that found no room here.
    public private(set) var dropped = 0

    public init(_ table: BucketTable, _ rings: [ChargeRing]) {
        self.table = table
        self.rings = rings
    }

    /// What is to be told now. Those that neither `settle` nor `doubt` nor `fail` has been called for are in the
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
                if time > now, pending.count < Self.bucketsAtMost, pending[key] == nil {
                    pending[key] = Pending(cost: 0, base: time)
                }
            }
        }
        // All that was charged so far is in the queues, or told of already.
        for key in Array(pending.keys) { pending[key]?.base = max(table.time(of: key) ?? 0, clock()) }
        for ring in rings {
            ring.drain { key, cost in
                if let known = pending[key] {
                    pending[key] = Pending(cost: Self.sum(known.cost, cost), base: known.base)
                } else if pending.count < Self.bucketsAtMost {
                    // At once: what is charged from here on is seen as a difference to it.
                    let now = clock()
                    pending[key] = Pending(cost: cost, base: max(table.time(of: key) ?? 0, now))
                } else if cost != 0 {
                    dropped += 1
                }
            }
        }
        let now = clock()
        return pending.map { key, entry in
            // What is to be charged is in the bucket already.
            let before = entry.base - min(entry.base, now + UInt64(max(entry.cost, 0)))
            return Report(key: key, cost: entry.cost, floor: all ? before : 0, base: entry.base)
        }
    }

    /// The store has taken the report.
    ///
    /// - Parameters:
    ///   - ahead: nanoseconds until the bucket is full, by the store.
    ///   - now: when the answer came. False when the table has no room for the bucket.
    @discardableResult
    public mutating func settle(_ report: Report, ahead: UInt64, now: UInt64) -> Bool {
        pending[report.key] = nil
        return table.reconcile(report.key, full: now &+ min(ahead, Rate.longest), since: report.base, now: now)
    }

    /// The report was sent, and whether the store took it is not known; it may even do so later. It is not told again:
    /// each time that the store is away would charge it once more. What the bucket has of it here stays, and is part of
    /// the floor that is told over the next connection.
    public mutating func doubt(_ report: Report) { pending[report.key] = nil }

    /// The store could not be asked. A charge that has run out by this gateway's own count is told no more: the debt of
    /// a time in which the store was away is what is left of it, not the sum of what was taken.
    public mutating func fail(now: UInt64) {
        for (key, entry) in pending {
            let ahead = (table.time(of: key) ?? 0).subtractingReportingOverflow(now)
            let left = ahead.overflow ? 0 : Int64(clamping: ahead.partialValue)
            let cost = min(entry.cost, left)
            pending[key] = cost == 0 ? nil : Pending(cost: cost, base: now &+ UInt64(left))
        }
    }

    private static func sum(_ one: Int64, _ other: Int64) -> Int64 {
        let longest = Int64(Rate.longest)
        return min(max(one &+ other, -longest), longest)
    }
}
