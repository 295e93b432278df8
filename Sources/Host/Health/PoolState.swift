import Resilience
import SluiceABI
import Synchronization

/// What the gateway has learned of one pool, shared by workers and generations: a reload does not forget what is
/// broken. Made on the main thread, never freed; the registry of pools bounds how many there are.
struct PoolState {
    let retryBudget: UnsafeMutablePointer<RetryBudgetCell>
    /// Of the model's version as a whole.
    let breaker: UnsafeMutablePointer<CircuitBreakerCell>
    /// Counts what has changed of which endpoints may be picked: workers keep masks, and look here whether theirs still
    /// hold.
    let epoch: UnsafeMutablePointer<Atomic<UInt64>>
    /// The pool's home worker alone.
    let detector: UnsafeMutablePointer<OutlierDetector>
    /// Times to the first byte, and hedges under way, where hedging is configured.
    let latencies: UnsafeMutablePointer<LatencyHistogramCell>
    let hedges: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        retryBudget = .allocate(capacity: 1)
        retryBudget.initialize(to: RetryBudgetCell())
        breaker = .alignedCell()
        breaker.initialize(to: CircuitBreakerCell())
        epoch = .alignedCell()
        epoch.initialize(to: Atomic(1))
        detector = .allocate(capacity: 1)
        detector.initialize(to: OutlierDetector(OutlierSettings()))
        latencies = .allocate(capacity: 1)
        latencies.initialize(to: LatencyHistogramCell())
        hedges = .alignedCell()
        hedges.initialize(to: Atomic(0))
    }

    var budget: RetryBudget { RetryBudget(retryBudget) }

    /// Something is different about an endpoint of the pool. [any]
    func changed() { epoch.pointee.wrappingAdd(1, ordering: .releasing) }
}

/// What the gateway has learned of one endpoint in one pool. The same server may do well for one model and fail for
/// another, so this is not the endpoint's own. As lasting as the pool.
struct PoolMember {
    let breaker: UnsafeMutablePointer<CircuitBreakerCell>
    let outlier: UnsafeMutablePointer<OutlierCell>
    /// As checks see it; the home worker alone.
    let health: UnsafeMutablePointer<HealthState>
    /// What all workers read: 1 while checks say that it is down.
    private let down: UnsafeMutablePointer<Atomic<UInt32>>
    /// Monotonic, nanoseconds; 0: it is not ejected.
    private let ejected: UnsafeMutablePointer<Atomic<UInt64>>
    /// Monotonic, nanoseconds; 0: for as long as anybody knows.
    private let warming: UnsafeMutablePointer<Atomic<UInt64>>
    /// A `Standing`.
    private let standing: UnsafeMutablePointer<Atomic<UInt32>>

    /// What checks have said of it so far.
    private enum Standing {
        static let nothing: UInt32 = 0
        static let awaited: UInt32 = 1
        static let something: UInt32 = 2
    }

    init() {
        breaker = .alignedCell()
        breaker.initialize(to: CircuitBreakerCell())
        outlier = .alignedCell()
        outlier.initialize(to: OutlierCell())
        health = .allocate(capacity: 1)
        health.initialize(to: HealthState(HealthSettings()))
        // One line that is read for every mask and written when something happens.
        let line = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        ejected = line.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        ejected.initialize(to: Atomic(0))
        down = (line + 8).bindMemory(to: Atomic<UInt32>.self, capacity: 1)
        down.initialize(to: Atomic(0))
        warming = (line + 16).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        warming.initialize(to: Atomic(0))
        standing = (line + 24).bindMemory(to: Atomic<UInt32>.self, capacity: 1)
        standing.initialize(to: Atomic(Standing.nothing))
    }

    /// Nothing refers to it any more. [main]
    func deallocate() {
        breaker.deallocate()
        outlier.deallocate()
        health.deinitialize(count: 1)
        health.deallocate()
        // The begin of the line.
        ejected.deallocate()
    }

    /// [any]
    var isDown: Bool {
        get { down.pointee.load(ordering: .relaxed) != 0 }
        nonmutating set { down.pointee.store(newValue ? 1 : 0, ordering: .relaxed) }
    }
    /// [any]
    var ejectedUntil: UInt64 {
        get { ejected.pointee.load(ordering: .relaxed) }
        nonmutating set { ejected.pointee.store(newValue, ordering: .relaxed) }
    }
    /// It came to a pool that had others, and its first check is awaited: until then it is picked only where there is
    /// nobody else. [any]
    var isAwaited: Bool { standing.pointee.load(ordering: .relaxed) == Standing.awaited }
    /// It comes. Also where checks had their say before it left: what is behind an address may be another server by
    /// now, or the same one with nothing loaded yet. [main]
    func awaitCheck() { standing.pointee.store(Standing.awaited, ordering: .relaxed) }
    /// Checks have had their say, or there are none any more. [home worker]
    func endAwaiting() { standing.pointee.store(Standing.something, ordering: .relaxed) }
    /// Since when it has been in the pool, or well again: a slow start counts from there. [any]
    var warmingSince: UInt64 {
        get { warming.pointee.load(ordering: .relaxed) }
        nonmutating set { warming.pointee.store(newValue, ordering: .relaxed) }
    }
}

extension PoolMember {
    /// Whether the endpoint may be picked. That holds until the pool's epoch changes, and until `until`, which is later
    /// than `now`: it is not asked for with each request. [worker]
    /// - Parameters:
    ///   - breaker: nil: none guards the endpoint.
    ///   - panics: checks and the detector are not believed.
    func outlook(
        now: UInt64, breaker settings: UnsafePointer<CircuitBreakerSettings>?, panics: Bool
    ) -> (mayBePicked: Bool, until: UInt64) {
        let ejectedUntil = ejectedUntil
        let until = ejectedUntil > now ? ejectedUntil : .max
        // Who is out anyway is not picked, whatever its breaker says, and nobody would end that breaker's time.
        guard panics || !isDown && ejectedUntil <= now else { return (false, until) }
        guard let settings else { return (true, until) }
        let breaker = CircuitBreaker(breaker, settings)
        // The worker's clock stands for a turn: a nanosecond is until the next one.
        switch breaker.state(now: now) {
        case .closed: return (true, until)
        case .open(let remaining): return (remaining == 0, min(until, now &+ max(remaining, 1)))
        // Other workers take its places for probes, and those run out, without a word.
        case .halfOpen: return (breaker.wouldAdmit(now: now), min(until, now &+ 1))
        }
    }
}

extension UnsafeMutablePointer where Pointee: ~Copyable {
    /// Memory for a value on cache lines of its own.
    static func alignedCell() -> UnsafeMutablePointer<Pointee> {
        let size = (MemoryLayout<Pointee>.stride + 63) & ~63
        return UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
            .bindMemory(to: Pointee.self, capacity: 1)
    }
}
