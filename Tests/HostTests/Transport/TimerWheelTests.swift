import SluiceHashing
import Testing

@testable import Host

/// A wheel and its timers under a clock that tests move, next to a table of the deadlines that says what must fire.
private final class WheelUnderTest {
    private var wheel: TimerWheel
    var clock: UInt64
    let timers: UnsafeMutablePointer<TimerNode>
    let count: Int
    /// Deadlines of the timers that run.
    var running: [Int: UInt64] = [:]

    init(count: Int, now: UInt64) {
        self.count = count
        clock = now
        wheel = TimerWheel(now: now)
        timers = .allocate(capacity: count)
        timers.initialize(repeating: TimerNode(), count: count)
    }

    deinit { timers.deallocate() }

    var earliest: UInt64 { wheel.earliest }
    var wait: UInt64? { wheel.wait }
    var now: UInt64 { wheel.now }
    var timersInWheel: Int { wheel.count }

    func isRunning(_ index: Int) -> Bool { timers[index].isRunning }

    func start(_ index: Int, at deadline: UInt64) {
        wheel.start(timers + index, at: deadline)
        running[index] = deadline
    }

    func stop(_ index: Int) {
        wheel.stop(timers + index)
        running[index] = nil
    }

    /// The timers that fire, in their order.
    func advance(to time: UInt64) -> [Int] {
        clock = time
        var fired: [Int] = []
        while let index = expire(at: time) { fired.append(index) }
        return fired
    }

    /// The next one alone.
    func expire(at time: UInt64) -> Int? {
        guard let timer = wheel.expire(at: time) else { return nil }
        running[timer - timers] = nil
        return timer - timers
    }

    /// What is due at `time` by the table.
    func due(at time: UInt64) -> Set<Int> { Set(running.filter { $0.value <= time }.keys) }

    func expectConsistent(_ note: @autoclosure () -> String) {
        let soonest = running.values.min()
        #expect(timersInWheel == running.count, "\(note())")
        #expect(earliest <= soonest ?? .max, "\(note())")
        #expect((wait == nil) == running.isEmpty, "\(note())")
        if let wait, let soonest { #expect(now + wait <= max(soonest, now), "\(note())") }
        for index in 0..<count { #expect(timers[index].isRunning == (running[index] != nil), "\(note())") }
    }
}

@Suite struct TimerWheelTests {
    /// Reaches of the four levels, and beyond the last one (18.6 hours).
    private static let reaches: [UInt64] = [4, 255, 256, 16_383, 16_384, 1_048_576, 67_108_864, 300_000_000]

    @Test(arguments: 1...24 as ClosedRange<UInt64>)
    func randomStepsFireWhatATableOfDeadlinesSays(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let test = WheelUnderTest(count: 40, now: UInt64.random(in: 0...(1 << 40), using: &random))
        for step in 0..<600 {
            let note = "seed \(seed), step \(step)"
            let index = Int.random(in: 0..<test.count, using: &random)
            let reach = Self.reaches.randomElement(using: &random) ?? 4
            switch UInt8.random(in: 0..<8, using: &random) {
            case 0...3:
                // A start of one that runs moves it.
                test.start(index, at: test.clock + UInt64.random(in: 0...reach, using: &random))
            case 4:
                let past = UInt64.random(in: 0...min(reach, test.clock), using: &random)
                test.start(index, at: test.clock - past)
            case 5:
                test.stop(index)
            default:
                let time = test.clock + UInt64.random(in: 0...reach, using: &random)
                let due = test.due(at: time)
                let deadlines = test.running
                let before = test.now
                let fired = test.advance(to: time)
                #expect(Set(fired) == due, "\(note)")
                #expect(fired.count == due.count, "\(note): fires once")
                // Those of the past came into the slot of the present as they were started.
                let order = fired.compactMap { deadlines[$0] }.filter { $0 > before }
                #expect(order == order.sorted(), "\(note)")
            }
            test.expectConsistent(note)
        }
        let due = test.due(at: .max)
        #expect(Set(test.advance(to: test.clock + 400_000_000)) == due)
        #expect(test.earliest == .max)
        test.expectConsistent("seed \(seed), the end")
    }

    @Test(arguments: [0, 1, 255, 256, 257, 16_383, 16_384, 1_048_575, 1_048_576, 67_108_863, 67_108_864] as [UInt64])
    func aTimerFiresAtItsDeadlineAndNotAMillisecondEarlier(distance: UInt64) {
        for begin in [0, 1, 255, 256, 16_000, 16_383, 1_048_575, 123_456_789] as [UInt64] {
            let test = WheelUnderTest(count: 1, now: begin)
            test.start(0, at: begin + distance)
            if distance > 0 {
                #expect(test.advance(to: begin + distance - 1) == [], "\(begin) + \(distance)")
                #expect(test.earliest == begin + distance, "\(begin) + \(distance)")
            }
            #expect(test.advance(to: begin + distance) == [0], "\(begin) + \(distance)")
        }
    }

    @Test func aLateAdvanceFiresEverythingInTheOrderOfTheDeadlines() {
        let test = WheelUnderTest(count: 5, now: 1_000)
        for (index, deadline) in [90_000, 1_001, 20_000_000, 1_300, 17_000].enumerated() {
            test.start(index, at: UInt64(deadline))
        }
        #expect(test.advance(to: 30_000_000) == [1, 3, 4, 0, 2])
    }

    @Test func aDeadlineThatHasPassedFiresAtTheNextAdvanceEvenAtTheSameTime() {
        let test = WheelUnderTest(count: 3, now: 5_000)
        #expect(test.advance(to: 6_000) == [])
        test.start(0, at: 0)
        test.start(1, at: 5_999)
        test.start(2, at: 6_000)
        #expect(Set(test.advance(to: 6_000)) == [0, 1, 2])
    }

    @Test func aTimerBeyondTheReachOfTheWheelIsNeitherLostNorEarly() {
        let week: UInt64 = 7 * 24 * 3_600_000
        let test = WheelUnderTest(count: 2, now: 77)
        test.start(0, at: 77 + 10 * week)
        test.start(1, at: .max)
        var time: UInt64 = 77
        while time < 77 + 10 * week - 1 {
            time = min(time + week / 3, 77 + 10 * week - 1)
            #expect(test.advance(to: time) == [])
        }
        #expect(test.advance(to: 77 + 10 * week) == [0])
        #expect(test.isRunning(1))
    }

    /// Each turn of 256 ms taken alone, a hundred years would be 12 billion steps.
    @Test func idleTimeIsPassedInFewSteps() {
        let century: UInt64 = 100 * 365 * 24 * 3_600_000
        let test = WheelUnderTest(count: 1, now: 3)
        #expect(test.advance(to: century) == [])
        test.start(0, at: 2 * century)
        #expect(test.advance(to: 2 * century - 1) == [])
        #expect(test.advance(to: 2 * century) == [0])
    }

    @Test func aTimerMayStartItselfAndOthersFromInsideItsExpiry() {
        let test = WheelUnderTest(count: 2, now: 0)
        test.start(0, at: 10)
        var fired: [(Int, UInt64)] = []
        for time in stride(from: 0, through: 3_000, by: 7) as StrideThrough<UInt64> {
            while let index = test.expire(at: time) {
                fired.append((index, time))
                if index == 0 {
                    test.start(0, at: time + 300)
                    test.start(1, at: time)
                }
            }
        }
        #expect(fired.map(\.0) == Array(repeating: [0, 1], count: 10).flatMap { $0 })
        // What is due at once fires in the same turn.
        for pair in stride(from: 0, to: fired.count, by: 2) { #expect(fired[pair].1 == fired[pair + 1].1) }
        #expect(test.isRunning(0) && !test.isRunning(1))
    }

    @Test func theHandlerOfATimerMayStopOneThatIsDueToo() {
        let test = WheelUnderTest(count: 2, now: 0)
        test.start(0, at: 400)
        test.start(1, at: 400)
        #expect(test.expire(at: 1_000) == 0)
        test.stop(1)
        #expect(test.expire(at: 1_000) == nil)
        #expect(test.timersInWheel == 0)
    }

    @Test func stoppingWhatDoesNotRunChangesNothing() {
        let test = WheelUnderTest(count: 1, now: 0)
        test.stop(0)
        test.start(0, at: 5)
        test.stop(0)
        test.stop(0)
        #expect(test.timersInWheel == 0)
        #expect(test.wait == nil)
        #expect(test.advance(to: 100) == [])
        #expect(test.earliest == .max)
    }
}
