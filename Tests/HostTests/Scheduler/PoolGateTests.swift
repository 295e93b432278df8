import Glibc
import Resilience
import Synchronization
import TestThreads
import Testing

@testable import Host

/// A gate of its own, with what `#expect` can call.
private final class Gate: @unchecked Sendable {
    private let gate = UnsafeMutablePointer<PoolGate>.allocate(capacity: 1)

    init() { gate.initialize(to: PoolGate()) }
    deinit {
        gate.deinitialize(count: 1)
        gate.deallocate()
    }

    var underWay: Int { gate.pointee.underWay }
    var waiting: Int { gate.pointee.waiting }
    var limit: Int { gate.pointee.limitNow }
    func setLimit(_ limit: Int) { gate.pointee.setLimit(limit) }
    func moveLimit(_ limit: Int) -> Bool { gate.pointee.moveLimit(to: limit) }
    func tryEnter(_ places: Int) -> Bool { gate.pointee.tryEnter(places: places) }
    func tryTake(_ places: Int) -> Bool { gate.pointee.tryTake(places: places) }
    func enter() { gate.pointee.enter() }
    func leave() -> Bool { gate.pointee.leave() }
    func beginWaiting() { gate.pointee.beginWaiting() }
    func endWaiting() { gate.pointee.endWaiting() }
    func asksHome() -> Bool { gate.pointee.asksHome() }
    func homeIsAsked() { gate.pointee.homeIsAsked() }
}

@Suite("The gate of a pool")
struct PoolGateTests {

    @Test func asManyAsTheEndpointsHavePlaces() {
        let gate = Gate()
        #expect(gate.tryEnter(2) && gate.tryEnter(2))
        #expect(!gate.tryEnter(2))
        #expect(gate.underWay == 2)
        #expect(!gate.leave(), "nobody waits")
        #expect(gate.tryEnter(2))
    }

    @Test func andNoMoreThanTheLimit() {
        let gate = Gate()
        gate.setLimit(1)
        #expect(gate.tryEnter(9))
        #expect(!gate.tryEnter(9))
        gate.setLimit(2)
        #expect(gate.tryEnter(9))
        // What is sent again at once keeps its turn.
        gate.enter()
        #expect(gate.underWay == 3)
    }

    @Test func nobodyOvertakesWhoWaits() {
        let gate = Gate()
        gate.beginWaiting()
        #expect(!gate.tryEnter(1))
        #expect(gate.tryTake(1), "the credit is for who waits")
        #expect(gate.leave(), "the home worker has to be told")
        gate.endWaiting()
        #expect(gate.tryEnter(1))
    }

    @Test func oneMessageForMany() {
        let gate = Gate()
        #expect(gate.asksHome())
        #expect(!gate.asksHome())
        gate.homeIsAsked()
        #expect(gate.asksHome())
    }

    @Test func whatIsMeasuredMovesALimitAndMakesNone() {
        let gate = Gate()
        #expect(!gate.moveLimit(5), "nothing limits the pool")
        #expect(gate.limit == .max)
        gate.setLimit(5)
        #expect(!gate.moveLimit(3) && gate.limit == 3)
        #expect(gate.moveLimit(4) && gate.limit == 4)
        gate.setLimit(.max)
        #expect(!gate.moveLimit(4) && gate.limit == .max)
    }

    /// Those who find no credit leave no trace of having looked: who looks at the same time could take it for one of
    /// their credits, and wait for it to come back.
    @Test func whoIsRefusedIsNeverCounted() {
        final class Shared: Sendable {
            let gate = Gate()
            let left = Atomic<Int>(3)
            let most = Atomic<Int>(0)
        }
        let shared = Shared()
        shared.gate.enter()
        onThreads(4) { index in
            if index == 3 {
                // At least once: the others may be through before this thread begins.
                repeat {
                    shared.most.max(shared.gate.underWay, ordering: .relaxed)
                } while shared.left.load(ordering: .relaxed) > 0
                return
            }
            for _ in 0..<200_000 where shared.gate.tryTake(1) { shared.most.max(9, ordering: .relaxed) }
            shared.left.wrappingSubtract(1, ordering: .relaxed)
        }
        #expect(shared.most.load(ordering: .relaxed) == 1)
    }

    /// Requests of several threads, and one thread that hands on, by the rules of the workers: a credit that lay about
    /// while somebody waits would leave the run standing.
    @Test func noCreditIsLostAndNoneIsGivenTwice() {
        final class Home: Sendable {
            let gate = Gate()
            let queue = Queue()
            let granted = (0..<4).map { _ in Word() }
            let asks = Atomic<Int>(0)
            let together = Atomic<Int>(0)
            let most = Atomic<Int>(0)
            let done = Atomic<Int>(0)
            let left = Atomic<Int>(4)

            /// The home worker: hands on only when it was asked to.
            func serve() {
                while left.load(ordering: .acquiring) > 0 {
                    guard asks.exchange(0, ordering: .acquiring) > 0 else {
                        sched_yield()
                        continue
                    }
                    queue.withLock { queue in
                        while !queue.isEmpty, gate.tryTake(2) {
                            gate.endWaiting()
                            granted[queue.removeFirst()].value.store(1, ordering: .releasing)
                        }
                    }
                }
            }

            func work() {
                let now = together.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                most.max(now, ordering: .relaxed)
                sched_yield()
                together.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                done.wrappingAdd(1, ordering: .relaxed)
                if gate.leave() { asks.wrappingAdd(1, ordering: .releasing) }
            }
        }
        final class Word: Sendable { let value = Atomic<Int>(0) }
        /// By a lock of POSIX, which ThreadSanitizer knows; of a `Mutex` it sees nothing and reports what that guards.
        final class Queue: @unchecked Sendable {
            private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
            private var waiting: [Int] = []
            init() { pthread_mutex_init(lock, nil) }
            deinit { lock.deallocate() }
            func withLock(_ body: (inout [Int]) -> Void) {
                pthread_mutex_lock(lock)
                defer { pthread_mutex_unlock(lock) }
                body(&waiting)
            }
        }
        let home = Home()
        let rounds = 20_000
        onThreads(5) { index in
            if index == 4 { return home.serve() }
            for _ in 0..<rounds {
                if !home.gate.tryEnter(2) {
                    home.gate.beginWaiting()
                    home.queue.withLock { $0.append(index) }
                    home.asks.wrappingAdd(1, ordering: .releasing)
                    while home.granted[index].value.exchange(0, ordering: .acquiring) == 0 { sched_yield() }
                }
                home.work()
            }
            home.left.wrappingSubtract(1, ordering: .releasing)
        }
        #expect(home.done.load(ordering: .relaxed) == 4 * rounds)
        #expect(home.most.load(ordering: .relaxed) <= 2)
        #expect(home.gate.underWay == 0 && home.gate.waiting == 0)
    }
}

@Suite("The limit that finds itself, over all workers")
struct ConcurrencyMeterTests {
    private static func settings(minimumSamples: UInt32 = 1) -> ConcurrencyLimitSettings {
        var settings = ConcurrencyLimitSettings()
        settings.algorithm = .gradient2
        settings.initial = 100
        settings.minimum = 10
        settings.window = 1_000
        settings.minimumSamples = minimumSamples
        return settings
    }

    @Test func aWindowIsClosedByWhoeverFindsItOver() {
        let meter = ConcurrencyMeter()
        let settings = Self.settings(minimumSamples: 3)
        let first = meter.restart(settings)
        #expect(first == 100)
        func record(_ now: UInt64) -> Int? {
            meter.record(50, underWay: 80, dropped: true, now: now, settings, random: 1)
        }
        #expect(record(5_000) == nil, "it begins the first window")
        #expect(record(5_500) == nil, "the window is not over")
        #expect(record(6_100) == 90, "over, with three samples of which some were dropped")
        #expect(record(7_000) == nil, "the next one lasts until 7,100")
        #expect(record(7_200) == nil, "over, but with two samples only")
        #expect(record(7_300) == 81)
    }

    @Test func otherSettingsBeginAnew() {
        let meter = ConcurrencyMeter()
        var settings = Self.settings()
        _ = meter.restart(settings)
        _ = meter.record(50, underWay: 80, dropped: true, now: 1, settings, random: 1)
        let sunk = meter.record(50, underWay: 80, dropped: true, now: 9_000, settings, random: 1)
        #expect(sunk == 90)
        let kept = meter.restart(settings)
        #expect(kept == 90, "the same settings keep what was learned")
        settings.initial = 50
        let anew = meter.restart(settings)
        #expect(anew == 50)
    }

    @Test func threadsCloseEachWindowOnce() {
        final class Shared: Sendable {
            let meter = ConcurrencyMeter()
            let closed = Atomic<Int>(0)
            let clock = Atomic<UInt64>(1)
        }
        let shared = Shared()
        let settings = Self.settings()
        _ = shared.meter.restart(settings)
        onThreads(4) { _ in
            for _ in 0..<10_000 {
                let now = shared.clock.wrappingAdd(1, ordering: .relaxed).newValue
                if shared.meter.record(50, underWay: 80, dropped: false, now: now, settings, random: 1) != nil {
                    shared.closed.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        // Forty thousand ticks are forty windows of a thousand, less the one that the first attempt began.
        #expect((38...40).contains(shared.closed.load(ordering: .relaxed)))
    }
}
