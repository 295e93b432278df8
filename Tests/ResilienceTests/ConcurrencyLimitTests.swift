import SluiceHashing
import Testing

@testable import Resilience

/// A pool that serves `capacity` requests at once in `time` each; the others queue, which is all that a gateway sees.
private struct Server {
    var capacity: Double
    var time: Double = 10_000_000

    /// What an answer takes with so many under way (Little's law).
    func answerTime(_ inFlight: Double) -> UInt64 { UInt64(time * max(1, inFlight / capacity)) }
}

@Suite("Concurrency limit")
struct ConcurrencyLimitTests {
    static let adaptive: [ConcurrencyLimitSettings.Algorithm] = [.gradient2, .vegas]

    /// The limit after so many windows with as much demand as the limit lets through, or less.
    private static func run(
        _ limit: inout ConcurrencyLimit, _ server: Server, windows: Int, demand: Int = .max, now: inout UInt64,
        dropped: Bool = false
    ) {
        var random = SplitMix64(seed: 5)
        for _ in 0..<windows {
            now += 100 * millisecond
            let inFlight = min(limit.limit, demand)
            for _ in 0..<10 {
                _ = limit.record(
                    time: server.answerTime(Double(inFlight)), inFlight: UInt32(inFlight), dropped: dropped, now: now,
                    random: random.next())
            }
        }
    }

    private static func settings(_ algorithm: ConcurrencyLimitSettings.Algorithm) -> ConcurrencyLimitSettings {
        var settings = ConcurrencyLimitSettings()
        settings.algorithm = algorithm
        return settings
    }

    @Test("A fixed limit stays, whatever happens")
    func fixed() {
        var limit = ConcurrencyLimit(Self.settings(.fixed))
        var now = second
        Self.run(&limit, Server(capacity: 1), windows: 50, now: &now, dropped: true)
        #expect(limit.limit == 20)
    }

    @Test("It begins within its bounds")
    func initial() {
        var settings = Self.settings(.vegas)
        settings.initial = 1
        #expect(ConcurrencyLimit(settings).limit == 4)
        settings.initial = 5000
        #expect(ConcurrencyLimit(settings).limit == 1000)
        settings.minimum = 0
        settings.initial = 0
        #expect(ConcurrencyLimit(settings).limit == 1)
    }

    @Test("It finds a pool's capacity from below, and stays near it", arguments: adaptive)
    func growth(algorithm: ConcurrencyLimitSettings.Algorithm) {
        var limit = ConcurrencyLimit(Self.settings(algorithm))
        var now = second
        Self.run(&limit, Server(capacity: 100), windows: 300, now: &now)
        #expect(limit.limit >= 95)
        #expect(limit.limit <= 220)
    }

    @Test("It sinks when the pool loses most of its capacity", arguments: adaptive)
    func shrinking(algorithm: ConcurrencyLimitSettings.Algorithm) {
        var limit = ConcurrencyLimit(Self.settings(algorithm))
        var now = second
        Self.run(&limit, Server(capacity: 100), windows: 300, now: &now)
        let before = limit.limit
        Self.run(&limit, Server(capacity: 20), windows: 60, now: &now)
        #expect(Double(limit.limit) < 0.7 * Double(before))
    }

    @Test("A pool that is half idle says nothing", arguments: adaptive)
    func idle(algorithm: ConcurrencyLimitSettings.Algorithm) {
        var limit = ConcurrencyLimit(Self.settings(algorithm))
        var now = second
        Self.run(&limit, Server(capacity: 100), windows: 100, demand: 3, now: &now)
        #expect(limit.limit == 20)
    }

    @Test("What is refused or times out makes it sink, to its minimum and not below", arguments: adaptive)
    func drops(algorithm: ConcurrencyLimitSettings.Algorithm) {
        var limit = ConcurrencyLimit(Self.settings(algorithm))
        var now = second
        Self.run(&limit, Server(capacity: 100), windows: 1, now: &now, dropped: true)
        Self.run(&limit, Server(capacity: 100), windows: 1, now: &now, dropped: true)
        #expect(limit.limit < 20)
        Self.run(&limit, Server(capacity: 100), windows: 100, now: &now, dropped: true)
        #expect(limit.limit == 4)
    }

    @Test("Vegas measures its least time anew, so that a pool which became slower is not held down")
    func probing() {
        var settings = Self.settings(.vegas)
        settings.probeMultiplier = 2
        var limit = ConcurrencyLimit(settings)
        var now = second
        Self.run(&limit, Server(capacity: 50), windows: 200, now: &now)
        var slower = Server(capacity: 50)
        slower.time *= 4
        Self.run(&limit, slower, windows: 1000, now: &now)
        #expect(limit.limit >= 40)
        // And it goes on with what it measured.
        slower.capacity = 400
        Self.run(&limit, slower, windows: 300, now: &now)
        #expect(limit.limit >= 300)
    }

    @Test("After a long overload, the gradient soon knows again what is quick")
    func overloadIsForgotten() {
        var limit = ConcurrencyLimit(Self.settings(.gradient2))
        var now = second
        var slow = Server(capacity: 1000)
        slow.time *= 20
        Self.run(&limit, slow, windows: 600, now: &now)
        Self.run(&limit, Server(capacity: 1000), windows: 100, now: &now)
        let before = limit.limit
        slow.time /= 4
        Self.run(&limit, slow, windows: 40, now: &now)
        #expect(limit.limit < before / 2)
    }

    @Test("Few answers, or a window that is not over, change nothing")
    func windows() {
        var limit = ConcurrencyLimit(Self.settings(.gradient2))
        func changes(_ count: Int, at now: UInt64) -> [Bool] {
            (0..<count).map { _ in limit.record(time: 1, inFlight: 20, dropped: true, now: now, random: 0) }
        }
        #expect(!changes(100, at: second).contains(true))
        #expect(changes(1, at: second + 100 * millisecond) == [true])
        #expect(!changes(9, at: 9 * second).contains(true))
        #expect(changes(1, at: 9 * second) == [true])
    }
}

@Suite("Load shedding")
struct LoadShedderTests {
    static let settings = LoadShedderSettings()

    /// Of a thousand requests, how many are let in.
    static func admitted(_ priority: UInt8, _ pressure: Double) -> Int {
        var random = SplitMix64(seed: 11)
        return (0..<1000).count { _ in
            LoadShedder.admits(priority: priority, pressure: pressure, random: random.next(), settings)
        }
    }

    @Test("Below its start nothing is refused")
    func start() {
        for priority in 0..<10 as Range<UInt8> { #expect(Self.admitted(priority, 0.7) == 1000) }
    }

    @Test("The higher the pressure, the more of the low priorities are refused, and the highest never")
    func order() {
        for step in 0...30 {
            let pressure = 0.7 + Double(step) / 100
            let admitted = (0..<10 as Range<UInt8>).map { Self.admitted($0, pressure) }
            #expect(admitted[0] == 1000)
            #expect(admitted == admitted.sorted(by: >))
            // One class at a time is refused in part.
            #expect(admitted.count { $0 > 0 && $0 < 1000 } <= 1)
        }
        #expect((0..<10 as Range<UInt8>).map { Self.admitted($0, 1) } == [1000] + Array(repeating: 0, count: 9))
        let threeOfFour = Self.admitted(9, 0.7 + 0.3 / 36)
        #expect(threeOfFour > 690 && threeOfFour < 810)
    }

    @Test("Pressure is the fuller of room and time")
    func pressure() {
        var settings = Self.settings
        func pressure(_ queued: Int, _ wait: UInt64) -> Double {
            LoadShedder.pressure(queued: queued, capacity: 100, longestWait: wait, settings)
        }
        #expect(pressure(50, 100 * second) == 0.5)
        settings.targetWait = second
        #expect(pressure(50, 800 * millisecond) == 0.8)
        #expect(pressure(50, 100 * millisecond) == 0.5)
        #expect(pressure(50, 100 * second) == 1)
        #expect(LoadShedder.pressure(queued: 0, capacity: 0, longestWait: 0, settings) == 0)
    }

    @Test("Retry-After lies within its bounds, and further out under more pressure")
    func retryAfter() {
        func after(_ pressure: Double, _ random: UInt64) -> UInt32 {
            LoadShedder.retryAfter(pressure: pressure, random: random, Self.settings)
        }
        #expect(after(1, 0) == 1)
        #expect(after(1, .max) == 10)
        #expect(after(0.85, .max) == 6)
        #expect(after(0.5, .max) == 1)
    }
}
