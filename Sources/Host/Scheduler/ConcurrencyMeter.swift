import Resilience
import Synchronization

/// What all workers measure of a pool whose limit of requests under way finds itself. As lasting as the pool.
///
/// Each attempt that ends adds to the sums of the present window; whoever finds that its time is over closes it, alone,
/// and moves the limit.
struct ConcurrencyMeter: ~Copyable, @unchecked Sendable {
    /// When the window ends; `.max` while somebody closes it.
    private let end = Atomic<UInt64>(0)
    private let time = Atomic<UInt64>(0)
    private let answers = Atomic<Int>(0)
    private let drops = Atomic<Int>(0)
    private let most = Atomic<Int>(0)
    /// Of whoever has set `end` to `.max`.
    private let estimate: UnsafeMutablePointer<ConcurrencyLimit>

    init() {
        estimate = .allocate(capacity: 1)
        estimate.initialize(to: ConcurrencyLimit(ConcurrencyLimitSettings()))
    }

    deinit { estimate.deallocate() }

    /// An attempt has ended that took `attempt` nanoseconds, while `underWay` were, itself counted. `dropped`: the pool
    /// had too much. The new limit, when this attempt closes the window. [worker]
    func record(
        _ attempt: UInt64, underWay: Int, dropped: Bool, now: UInt64, _ settings: ConcurrencyLimitSettings,
        random: UInt64
    ) -> Int? {
        if dropped {
            drops.wrappingAdd(1, ordering: .relaxed)
        } else {
            time.wrappingAdd(attempt, ordering: .relaxed)
            answers.wrappingAdd(1, ordering: .relaxed)
        }
        // Another worker's higher count may be lost by this; the next attempt brings it again.
        if underWay > most.load(ordering: .relaxed) { most.store(underWay, ordering: .relaxed) }
        let seen = end.load(ordering: .acquiring)
        guard now >= seen else { return nil }
        if seen != 0 {
            let samples = answers.load(ordering: .relaxed) + drops.load(ordering: .relaxed)
            guard samples >= Int(settings.minimumSamples) else { return nil }
        }
        guard end.compareExchange(expected: seen, desired: .max, ordering: .acquiringAndReleasing).exchanged else {
            return nil
        }
        defer { end.store(now &+ settings.window, ordering: .releasing) }
        // The very first only begins the window.
        guard seen != 0 else { return nil }
        let window = ConcurrencyWindow(
            time: time.exchange(0, ordering: .relaxed),
            answers: UInt32(clamping: answers.exchange(0, ordering: .relaxed)),
            drops: UInt32(clamping: drops.exchange(0, ordering: .relaxed)),
            mostUnderWay: UInt32(clamping: most.exchange(0, ordering: .relaxed)))
        estimate.pointee.close(window, random: random)
        return estimate.pointee.limit
    }

    /// Other settings: the estimate begins anew. The limit at the beginning. [home worker, main
    /// before the pool is served]
    func restart(_ settings: ConcurrencyLimitSettings) -> Int {
        var seen = end.load(ordering: .acquiring)
        // Who closes a window needs some hundred nanoseconds for it.
        while seen == .max
            || !end.weakCompareExchange(expected: seen, desired: .max, ordering: .acquiringAndReleasing).exchanged
        {
            seen = end.load(ordering: .acquiring)
        }
        if estimate.pointee.settings != settings { estimate.pointee = ConcurrencyLimit(settings) }
        let limit = estimate.pointee.limit
        end.store(0, ordering: .releasing)
        return limit
    }
}
