import SluiceHashing
import Testing

@testable import Resilience

/// A breaker with memory of its own and a clock that the test moves.
final class BreakerFixture: @unchecked Sendable {
    let cell = UnsafeMutablePointer<CircuitBreakerCell>.allocate(capacity: 1)
    let settings = UnsafeMutablePointer<CircuitBreakerSettings>.allocate(capacity: 1)
    var now: UInt64 = 1000 * second
    var random = SplitMix64(seed: 7)

    init(_ change: (inout CircuitBreakerSettings) -> Void = { _ in }) {
        cell.initialize(to: CircuitBreakerCell())
        var settings = CircuitBreakerSettings()
        settings.failureThreshold = 3
        settings.jitter = 0
        change(&settings)
        self.settings.initialize(to: settings)
    }

    deinit {
        cell.deinitialize(count: 1)
        cell.deallocate()
        settings.deallocate()
    }

    var breaker: CircuitBreaker { CircuitBreaker(cell, settings) }
    var state: CircuitBreakerState { breaker.state(now: now) }

    func admit() -> CircuitBreakerAdmission { breaker.admits(now: now, random: random.next()) }

    /// The ticket of a request that was let through; `.none` when it was refused.
    func ticket() -> CircuitBreakerTicket {
        switch admit() {
        case .closed(let ticket), .probe(let ticket): ticket
        case .refused: .none
        }
    }
    func probe() -> CircuitBreakerTicket? {
        guard case .probe(let ticket) = admit() else { return nil }
        return ticket
    }

    @discardableResult
    func record(_ failed: Bool, _ ticket: CircuitBreakerTicket) -> CircuitBreakerChange {
        breaker.record(failed: failed, ticket, now: now, random: random.next())
    }

    /// One request after the other, each let through and reported at once.
    @discardableResult
    func requests(_ outcomes: [Bool]) -> CircuitBreakerChange {
        var last = CircuitBreakerChange.none
        for failed in outcomes { last = record(failed, ticket()) }
        return last
    }

    func open() { #expect(requests([true, true, true]) == .opened) }

    /// Past the time that an open breaker still has.
    func waitUntilHalfOpen() {
        guard case .open(let remaining) = state else { return }
        now += remaining
    }
}

@Suite("Circuit breaker")
struct CircuitBreakerTests {
    @Test("Its memory is two cache lines, and zeroed it is closed")
    func memory() {
        #expect(MemoryLayout<CircuitBreakerCell>.size == 128)
        #expect(MemoryLayout<CircuitBreakerTicket>.size == 8)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: 128)
        var settings = CircuitBreakerSettings()
        let breaker = CircuitBreaker(memory.assumingMemoryBound(to: CircuitBreakerCell.self), &settings)
        #expect(breaker.state(now: 5) == .closed)
    }

    @Test("Failures in a row open it; a success between them begins anew")
    func consecutive() {
        let fixture = BreakerFixture()
        #expect(fixture.requests([true, true, false, true, true]) == .none)
        #expect(fixture.state == .closed)
        #expect(fixture.requests([true]) == .opened)
        #expect(fixture.admit() == .refused)
        #expect(!fixture.breaker.wouldAdmit(now: fixture.now))
        guard case .open(let remaining) = fixture.state else { Issue.record("not open"); return }
        #expect(remaining >= 5 * second && remaining <= 5 * second + 2 * tick)
    }

    @Test("Without a threshold and a rate nothing opens it")
    func disabled() {
        let fixture = BreakerFixture { $0.failureThreshold = 0 }
        fixture.requests(Array(repeating: true, count: 1000))
        #expect(fixture.state == .closed)
    }

    @Test("Open, it refuses for its whole time; then one probe goes, and no second beside it")
    func oneProbe() {
        let fixture = BreakerFixture()
        fixture.open()
        let opened = fixture.now
        fixture.now = opened + 5 * second - 1
        #expect(fixture.admit() == .refused)
        fixture.now = opened + 5 * second + 2 * tick
        #expect(fixture.breaker.wouldAdmit(now: fixture.now))
        let probe = fixture.probe()
        #expect(probe != nil)
        #expect(fixture.state == .halfOpen(probes: 1, successes: 0))
        #expect(!fixture.breaker.wouldAdmit(now: fixture.now))
        #expect(fixture.admit() == .refused)
        #expect(fixture.record(false, probe ?? .none) == .closed)
        #expect(fixture.state == .closed)
    }

    @Test("As many probes at once as allowed, as many successes as wanted")
    func severalProbes() {
        let fixture = BreakerFixture {
            $0.halfOpenProbes = 3
            $0.successesToClose = 5
        }
        fixture.open()
        fixture.waitUntilHalfOpen()
        var probes = (0..<3).map { _ in fixture.probe() ?? .none }
        #expect(probes.allSatisfy { $0 != .none } && Set(probes.map(\.bits)).count == 3)
        #expect(fixture.admit() == .refused)
        for success in 1...4 {
            #expect(fixture.record(false, probes.removeFirst()) == .none)
            #expect(fixture.state == .halfOpen(probes: probes.count, successes: success))
            if let next = fixture.probe() { probes.append(next) }
        }
        #expect(fixture.record(false, probes.removeFirst()) == .closed)
        // The others are of a state that is over.
        #expect(fixture.record(true, probes.removeFirst()) == .none)
        #expect(fixture.state == .closed)
    }

    @Test("A failed probe opens it again, each time for longer up to the cap; closing forgets that")
    func growth() {
        let fixture = BreakerFixture { $0.resetCap = 30 * second }
        fixture.open()
        for expected in [10, 20, 30, 30, 30] as [UInt64] {
            fixture.waitUntilHalfOpen()
            #expect(fixture.record(true, fixture.probe() ?? .none) == .opened)
            guard case .open(let remaining) = fixture.state else { Issue.record("not open"); return }
            #expect(remaining >= expected * second && remaining <= expected * second + 2 * tick)
        }
        fixture.waitUntilHalfOpen()
        #expect(fixture.record(false, fixture.probe() ?? .none) == .closed)
        fixture.open()
        guard case .open(let remaining) = fixture.state else { Issue.record("not open"); return }
        #expect(remaining <= 5 * second + 2 * tick)
    }

    @Test("Jitter lengthens the time open, never shortens it")
    func jitter() {
        var times: Set<UInt64> = []
        for seed in 0..<64 as Range<UInt64> {
            let fixture = BreakerFixture { $0.jitter = 0.5 }
            fixture.random = SplitMix64(seed: seed)
            fixture.open()
            guard case .open(let remaining) = fixture.state else { Issue.record("not open"); return }
            #expect(remaining >= 5 * second && remaining <= 7_500 * millisecond + 2 * tick)
            times.insert(remaining)
        }
        #expect(times.count > 50)
        #expect((times.max() ?? 0) - (times.min() ?? 0) > 2 * second)
    }

    @Test("Results of requests from before a change neither open nor close it")
    func lateResults() {
        let fixture = BreakerFixture()
        let early = (0..<10).map { _ in fixture.ticket() }
        fixture.open()
        for ticket in early.prefix(3) { #expect(fixture.record(false, ticket) == .none) }
        #expect(fixture.admit() == .refused)
        fixture.waitUntilHalfOpen()
        let probe = fixture.probe()
        for ticket in early.dropFirst(3).prefix(3) { #expect(fixture.record(true, ticket) == .none) }
        #expect(fixture.state == .halfOpen(probes: 1, successes: 0))
        #expect(fixture.record(false, probe ?? .none) == .closed)
        for ticket in early.dropFirst(6) { #expect(fixture.record(true, ticket) == .none) }
        #expect(fixture.state == .closed)
    }

    @Test("A probe of which nothing is heard gives up its place, and its late report is not heard")
    func lostProbe() {
        let fixture = BreakerFixture { $0.probeTimeout = 2 * second }
        fixture.open()
        fixture.waitUntilHalfOpen()
        let lost = fixture.probe() ?? .none
        fixture.now += 2 * second - 1
        #expect(fixture.admit() == .refused)
        fixture.now += 2 * tick
        let other = fixture.probe()
        #expect(other != nil)
        #expect(fixture.record(true, lost) == .none)
        fixture.breaker.cancel(lost)
        #expect(fixture.state == .halfOpen(probes: 1, successes: 0))
        #expect(fixture.record(false, other ?? .none) == .closed)
    }

    @Test("A probe that is cancelled gives its place to the next")
    func cancelledProbe() {
        let fixture = BreakerFixture()
        fixture.open()
        fixture.waitUntilHalfOpen()
        let first = fixture.probe() ?? .none
        fixture.breaker.cancel(first)
        fixture.breaker.cancel(first)
        #expect(fixture.state == .halfOpen(probes: 0, successes: 0))
        #expect(fixture.probe() != nil)
        #expect(fixture.record(false, first) == .none)
    }

    @Test("A probe from before holds its place through later states")
    func heldPlace() {
        let fixture = BreakerFixture { $0.halfOpenProbes = 2 }
        fixture.open()
        fixture.waitUntilHalfOpen()
        let slow = fixture.probe() ?? .none
        fixture.record(true, fixture.probe() ?? .none)
        fixture.waitUntilHalfOpen()
        #expect(fixture.probe() != nil)
        #expect(fixture.admit() == .refused)
        #expect(fixture.record(true, slow) == .none)
        #expect(fixture.probe() != nil)
    }

    @Test("A share of failures opens it, once there are enough requests")
    func rate() {
        let fixture = BreakerFixture {
            $0.failureThreshold = 0
            $0.failurePercent = 50
            $0.minimumRequests = 10
        }
        #expect(fixture.requests([true, true, true, true, false, false, false, false, false]) == .none)
        #expect(fixture.requests([true]) == .opened)
    }

    @Test("A share that is met to the last request opens it", arguments: [(28, 7, 25), (29, 29, 100), (7, 7, 100)])
    func exactRate(percent: Int, failures: Int, of requests: Int) {
        let fixture = BreakerFixture {
            $0.failureThreshold = 0
            $0.failurePercent = Double(percent)
            $0.minimumRequests = UInt32(requests)
        }
        let well = Array(repeating: false, count: requests - failures)
        #expect(fixture.requests(well + Array(repeating: true, count: failures - 1)) == .none)
        #expect(fixture.requests([true]) == .opened)
    }

    @Test("What the window has left behind no longer counts, nor what led to the last opening")
    func window() {
        let fixture = BreakerFixture {
            $0.failureThreshold = 0
            $0.failurePercent = 50
            $0.minimumRequests = 10
            $0.window = 6 * second
        }
        fixture.requests(Array(repeating: true, count: 9))
        fixture.now += 7 * second
        #expect(fixture.requests([true]) == .none)
        // Two in each second: the window slides, it is not begun anew.
        for _ in 0..<3 {
            fixture.now += second
            #expect(fixture.requests([true, true]) == .none)
        }
        fixture.now += second
        #expect(fixture.requests([true, true]) == .none)
        #expect(fixture.requests([true]) == .opened)
        fixture.waitUntilHalfOpen()
        fixture.record(false, fixture.probe() ?? .none)
        #expect(fixture.requests(Array(repeating: true, count: 9)) == .none)
        #expect(fixture.state == .closed)
    }

    @Test("A part of the window that is full keeps its ratio")
    func fullPart() {
        // As after 2²⁰ − 8 requests, of which every fourth failed.
        var word: UInt64 = 5 << 40 | (1 << 18 - 2) << 20 | (1 << 20 - 8)
        for index in 0..<4096 { word = WindowPart.adding(failed: index % 4 == 0, to: word) }
        let ratio = Double(WindowPart.failures(word)) / Double(WindowPart.requests(word))
        #expect(abs(ratio - 0.25) < 0.001)
        #expect(WindowPart.stamp(word) == 5)
    }

    @Test("A ticket of no breaker does nothing")
    func noTicket() {
        let fixture = BreakerFixture()
        for _ in 0..<10 { #expect(fixture.record(true, .none) == .none) }
        fixture.breaker.cancel(.none)
        #expect(fixture.state == .closed)
    }
}
