import Synchronization

/// How long a request has waited in all, in nanoseconds, over any number of waits. One worker begins and ends them;
/// another may look at any time.
struct WaitClock: ~Copyable {
    /// The sum of the waits that have ended; or, with `waits` set, when a wait as long as all of them would have begun.
    private let cell = Atomic<UInt64>(0)
    /// Times of the monotonic clock do not reach it for 292 years.
    private static let waits: UInt64 = 1 << 63

    /// A wait begins, unless one is under way. `now` is of the monotonic clock.
    func begin(at now: UInt64) {
        let sum = cell.load(ordering: .relaxed)
        guard sum & Self.waits == 0 else { return }
        cell.store(Self.waits | (now - min(sum, now)), ordering: .relaxed)
    }

    /// The wait ends.
    /// - Returns: the sum of all; nil when there is none to end.
    @discardableResult
    func end(at now: UInt64) -> UInt64? {
        guard cell.load(ordering: .relaxed) & Self.waits != 0 else { return nil }
        let sum = sum(at: now)
        cell.store(sum, ordering: .relaxed)
        return sum
    }

    /// The sum of all waits up to `now`. [any]
    func sum(at now: UInt64) -> UInt64 {
        let seen = cell.load(ordering: .relaxed)
        guard seen & Self.waits != 0 else { return seen }
        // Two workers' clocks are of different turns of their loops.
        let begun = seen & ~Self.waits
        return now - min(begun, now)
    }
}
