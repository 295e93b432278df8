import Testing

@testable import Host

@Suite struct WaitClockTests {
    @Test func waitsAddUpAndWhatIsBetweenThemDoesNotCount() {
        let clock = WaitClock()
        #expect(clock.sum(at: 1_000) == 0)
        clock.begin(at: 1_000)
        #expect(clock.sum(at: 1_300) == 300)
        // It waits already.
        clock.begin(at: 1_200)
        #expect(clock.end(at: 1_500) == 500)
        #expect(clock.sum(at: 9_000) == 500)
        // There is none to end, and nothing to be told twice.
        #expect(clock.end(at: 9_000) == nil)
        clock.begin(at: 10_000)
        #expect(clock.sum(at: 10_001) == 501)
        #expect(clock.end(at: 10_100) == 600)
    }

    /// Each worker looks at the time once a turn: another one's may be behind.
    @Test func aClockThatIsBehindMakesNoWaitEndless() {
        let clock = WaitClock()
        clock.begin(at: 1_000)
        #expect(clock.sum(at: 900) == 0)
        #expect(clock.end(at: 900) == 0)
        // More has been waited than the second clock has seen.
        clock.begin(at: 0)
        #expect(clock.end(at: 50) == 50)
        clock.begin(at: 10)
        #expect(clock.sum(at: 20) == 20)
    }
}
