import Glibc
import SluiceHashing
import Synchronization
import TestThreads
import Testing

@testable import Resilience

@Suite("Circuit breaker under many threads")
struct CircuitBreakerThreadTests {
    @Test("Of threads that come at once, as many become probes as there are places", arguments: [1, 2, 8] as [UInt32])
    func oneWinner(probes: UInt32) {
        for round in 0..<50 as Range<UInt64> {
            let fixture = BreakerFixture { $0.halfOpenProbes = probes }
            fixture.open()
            fixture.waitUntilHalfOpen()
            let now = fixture.now
            let race = Race()
            onThreads(Race.threads) { index in
                race.arrived.wrappingAdd(1, ordering: .relaxed)
                while race.arrived.load(ordering: .relaxed) < Race.threads { sched_yield() }
                let random = round &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index) << 60
                if case .probe = fixture.breaker.admits(now: now, random: random) {
                    race.admitted.wrappingAdd(1, ordering: .relaxed)
                }
            }
            #expect(race.admitted.load(ordering: .relaxed) == probes)
        }
    }

    final class Race: Sendable {
        static let threads = 10
        let arrived = Atomic<Int>(0)
        let admitted = Atomic<UInt32>(0)
    }

    /// What all threads of a run see.
    final class Run: Sendable {
        let clock = Atomic<UInt64>(1000 * second)
        let underWay = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let opened = Atomic<Int>(0)
        let closed = Atomic<Int>(0)
    }

    @Test("Through thousands of states no more probes are under way than places, and every change has one teller")
    func states() {
        let fixture = BreakerFixture {
            $0.halfOpenProbes = 2
            $0.successesToClose = 3
            $0.failurePercent = 60
            $0.resetTimeout = 2 * millisecond
            $0.resetCap = 10 * millisecond
            // Longer than the run on its clock: a probe that loses its place to time is under way nevertheless.
            $0.probeTimeout = 1_000_000 * second
        }
        let breaker = fixture.breaker
        let run = Run()
        onThreads(4) { index in
            var random = SplitMix64(seed: UInt64(index))
            var kept: [(CircuitBreakerTicket, Bool)] = []
            for _ in 0..<10_000 {
                let now = run.clock.wrappingAdd(200_000, ordering: .relaxed).newValue
                switch breaker.admits(now: now, random: random.next()) {
                case .refused: break
                case .closed(let ticket): kept.append((ticket, false))
                case .probe(let ticket):
                    let count = run.underWay.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                    run.most.max(count, ordering: .relaxed)
                    kept.append((ticket, true))
                }
                // Results come late and out of order.
                while kept.count > 4 || !kept.isEmpty && random.next() % 3 == 0 {
                    let (ticket, isProbe) = kept.remove(at: Int.random(in: 0..<kept.count, using: &random))
                    if isProbe { run.underWay.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
                    if random.next() % 16 == 0 {
                        breaker.cancel(ticket)
                        continue
                    }
                    switch breaker.record(failed: random.next() % 3 == 0, ticket, now: now, random: random.next()) {
                    case .opened: run.opened.wrappingAdd(1, ordering: .relaxed)
                    case .closed: run.closed.wrappingAdd(1, ordering: .relaxed)
                    case .none: break
                    }
                }
            }
            for (ticket, isProbe) in kept {
                if isProbe { run.underWay.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
                breaker.cancel(ticket)
            }
        }
        #expect(run.most.load(ordering: .relaxed) <= 2)
        let opened = run.opened.load(ordering: .relaxed)
        let closed = run.closed.load(ordering: .relaxed)
        #expect(closed > 10 && opened > closed)
        // Every change of phase is one epoch: an opening, a closing, or the beginning of probes between two of them.
        let word = BreakerWord(bits: fixture.cell.pointee.word.load(ordering: .relaxed))
        let halves = Int(word.epoch) - opened - closed
        #expect(halves == opened || halves == opened - 1)
    }
}
