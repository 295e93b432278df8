/// The buckets of this gateway as one worker charges them, with the queue to those of the fleet.
///
/// Buckets are local: nothing here waits for another gateway. What is charged to a bucket that the fleet shares is told
/// later, by `Reconciliation`.
public struct Ledger: Sendable {
    public let table: BucketTable
    private let ring: ChargeRing?

    public init(_ table: BucketTable, _ ring: ChargeRing?) {
        self.table = table
        self.ring = ring
    }

    /// What could not be told for want of room is what it is: the fleet learns less of this gateway.
    public struct Outcome {
        public let verdict: BucketTable.Verdict
        public let isTold: Bool
    }

    public func take(
        _ key: UInt64, cost: UInt64, need: UInt64, tolerance: UInt64, isShared: Bool, now: UInt64
    ) -> Outcome {
        let verdict = table.take(key, cost: cost, need: need, tolerance: tolerance, now: now)
        guard isShared, let ring else { return Outcome(verdict: verdict, isTold: true) }
        switch verdict {
        case .passed:
            let isTold = cost == 0 || ring.push(key, Int64(clamping: cost), at: now)
            return Outcome(verdict: verdict, isTold: isTold)
        case .refused:
            // Others may have given back what this gateway believes to be taken.
            _ = ring.push(key, 0, at: now)
            return Outcome(verdict: verdict, isTold: true)
        case .noRoom: return Outcome(verdict: verdict, isTold: true)
        }
    }

    /// See `BucketTable.charge`; and whether the fleet will learn of it.
    public func charge(_ key: UInt64, _ cost: UInt64, isShared: Bool, now: UInt64) -> (hasRoom: Bool, isTold: Bool) {
        let hasRoom = table.charge(key, cost, now: now)
        guard isShared, let ring else { return (hasRoom, true) }
        return (hasRoom, ring.push(key, Int64(clamping: min(cost, Rate.longest)), at: now))
    }

    public func giveBack(_ key: UInt64, _ cost: UInt64, isShared: Bool, now: UInt64) -> Bool {
        table.giveBack(key, cost, now: now)
        guard isShared, let ring else { return true }
        return ring.push(key, -Int64(clamping: min(cost, Rate.longest)), at: now)
    }
}
