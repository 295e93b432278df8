import Configuration
import Resilience
import Testing

@testable import Host

/// Whether an endpoint may be picked, and for how long that needs no second look.
@Suite struct OutlookTests {
    let member = PoolMember()
    let settings = UnsafeMutablePointer<CircuitBreakerSettings>.allocate(capacity: 1)
    let start: UInt64 = 1_000_000_000_000

    init() {
        var settings = CircuitBreakerSettings()
        settings.failureThreshold = 1
        settings.jitter = 0
        self.settings.initialize(to: settings)
    }

    func free() {
        member.deallocate()
        settings.deallocate()
    }

    var breaker: CircuitBreaker { CircuitBreaker(member.breaker, settings) }

    func outlook(at now: UInt64, panics: Bool = false) -> (mayBePicked: Bool, until: UInt64) {
        member.outlook(now: now, breaker: settings, panics: panics)
    }

    /// Opens the breaker; the time at which it may be tried again.
    func open() -> UInt64 {
        guard case .closed(let ticket) = breaker.admits(now: start, random: 0) else { return 0 }
        #expect(breaker.record(failed: true, ticket, now: start, random: 0) == .opened)
        guard case .open(let remaining) = breaker.state(now: start) else { return 0 }
        return start + remaining
    }

    @Test func aConfigurationNamesNoMoreProbesThanThereArePlaces() {
        defer { free() }
        #expect(Settings.CircuitBreaker.probesAtMost == Int(CircuitBreakerSettings.maximumProbes))
    }

    @Test func whoIsWellIsSoUntilSomethingIsSaid() {
        defer { free() }
        #expect(outlook(at: start) == (true, .max))
        member.ejectedUntil = start + 5
        #expect(outlook(at: start) == (false, start + 5))
        #expect(outlook(at: start, panics: true) == (true, start + 5))
        #expect(outlook(at: start + 5) == (true, .max))
        member.isDown = true
        #expect(outlook(at: start + 5) == (false, .max))
        #expect(outlook(at: start + 5, panics: true) == (true, .max))
    }

    @Test func aFirstCheckIsAwaitedByWhoeverComes() {
        defer { free() }
        #expect(!member.isAwaited)
        member.awaitCheck()
        #expect(member.isAwaited)
        member.endAwaiting()
        #expect(!member.isAwaited)
        // It left, and has come again.
        member.awaitCheck()
        #expect(member.isAwaited)
    }

    /// The breaker of one that nobody picks stays as it is: nothing is to be seen by looking at it again.
    @Test func theBreakerOfOneThatIsOutIsNotLookedAt() {
        defer { free() }
        let due = open()
        member.isDown = true
        #expect(outlook(at: due + 1) == (false, .max))
        member.isDown = false
        member.ejectedUntil = due + 100
        #expect(outlook(at: due + 1) == (false, due + 100))
    }

    @Test func aBreakerIsLookedAtOnceATurnAndNoMore() {
        defer { free() }
        let due = open()
        #expect(outlook(at: start) == (false, due))
        // Its time is over: the next pick may try it.
        for now in [due, due + 1_000] { #expect(outlook(at: now) == (true, now + 1)) }
        guard case .probe(let ticket) = breaker.admits(now: due, random: 0) else {
            Issue.record("no probe is let through")
            return
        }
        #expect(outlook(at: due) == (false, due + 1))
        breaker.cancel(ticket)
        #expect(outlook(at: due) == (true, due + 1))
    }
}
