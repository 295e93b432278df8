import SluiceHashing
import Testing

@testable import Resilience

@Suite("Outlier detection")
struct OutlierTests {
    /// A pool whose endpoints' counts the test adds to.
    struct Pool {
        var detector: OutlierDetector
        var totals: [(successes: UInt32, failures: UInt32, latency: UInt64)]
        var random = SplitMix64(seed: 3)
        var now: UInt64 = 100 * second

        init(_ count: Int, _ change: (inout OutlierSettings) -> Void = { _ in }) {
            var settings = OutlierSettings()
            settings.jitter = 0
            change(&settings)
            detector = OutlierDetector(settings)
            totals = Array(repeating: (0, 0, 0), count: count)
            _ = detector.setHosts((0..<count).map { (UInt64($0), OutlierTotals(), 0) })
        }

        mutating func add(_ host: Int, successes: UInt32, failures: UInt32 = 0, latency: UInt64 = millisecond) {
            totals[host].successes += successes
            totals[host].failures += failures
            totals[host].latency &+= UInt64(successes) * latency
        }

        /// Everyone is well, but for what was added before.
        mutating func interval() -> [OutlierChange] {
            now += detector.settings.interval
            return detector.evaluate(
                totals.map { OutlierTotals(successes: $0.successes, failures: $0.failures, latency: $0.latency) },
                now: now, random: &random)
        }
    }

    @Test("Failures in a row are told at the threshold and its multiples; a success begins anew")
    func consecutive() {
        let cell = UnsafeMutablePointer<OutlierCell>.allocate(capacity: 1)
        cell.initialize(to: OutlierCell())
        defer { cell.deallocate() }
        let counter = OutlierCounter(cell)
        let fail = { counter.record(failed: true, latency: 1, threshold: 3) }
        #expect([fail(), fail()] == [false, false])
        #expect(!counter.record(failed: false, latency: 5, threshold: 3))
        #expect([fail(), fail(), fail(), fail(), fail(), fail()] == [false, false, true, false, false, true])
        counter.forgetFailuresInARow()
        #expect([fail(), fail(), fail()] == [false, false, true])
        #expect(!counter.record(failed: true, latency: 1, threshold: 0))
        let (answers, failures, latency) = counter.totals.since(OutlierTotals())
        #expect((answers, failures, latency) == (13, 12, 5))
        // An attempt that another one was faster than took time, and neither adds to a row of failures nor ends it.
        #expect([fail(), fail()] == [false, true])
        #expect(!fail())
        counter.recordOutpaced(after: 7)
        #expect([fail(), fail()] == [false, true])
        let more = counter.totals.since(OutlierTotals())
        #expect((more.answers, more.failures, more.latency) == (19, 17, 12))
    }

    @Test("Counts that run over still give the difference")
    func wrapping() {
        let earlier = OutlierTotals(answers: 7 << 32 | 0xffff_fffe, latency: .max - 3)
        let later = OutlierTotals(answers: earlier.answers &+ 5 &+ 2 << 32, latency: 6)
        let (answers, failures, latency) = later.since(earlier)
        #expect((answers, failures, latency) == (5, 2, 10))
    }

    @Test("Each ejection is longer than the last, up to a cap, and what goes well makes the next one shorter")
    func growingTime() {
        var pool = Pool(4) { $0.maximumEjectionTime = 70 * second }
        for expected in [30, 60, 70] as [UInt64] {
            let until = pool.now + expected * second
            #expect(
                pool.detector.failedInARow(0, now: pool.now, random: 0)
                    == .ejected(host: 0, .consecutiveFailures, until: until))
            #expect(pool.detector.failedInARow(0, now: pool.now, random: 0) == nil)
            #expect(pool.detector.giveBack(now: until - 1).isEmpty)
            #expect(pool.detector.nextReturn == until)
            #expect(pool.detector.giveBack(now: until) == [.returned(host: 0)])
            pool.now = until
        }
        // The rest of the interval in which it came back, and two in which it shows enough.
        for _ in 0..<3 {
            pool.add(0, successes: 100)
            #expect(pool.interval().isEmpty)
        }
        #expect(
            pool.detector.failedInARow(0, now: pool.now, random: 0)
                == .ejected(host: 0, .consecutiveFailures, until: pool.now + 60 * second))
    }

    @Test("The first ejection, too, is no longer than the longest")
    func longestBelowBase() {
        var pool = Pool(4) { $0.maximumEjectionTime = second }
        #expect(
            pool.detector.failedInARow(0, now: pool.now, random: 0)
                == .ejected(host: 0, .consecutiveFailures, until: pool.now + second))
    }

    @Test("An ejection is forgotten for whole intervals with enough answers, and for nothing else")
    func forgetting() {
        var pool = Pool(4)
        let ejections = { (pool: Pool) in pool.detector.hosts[0].ejections }
        for _ in 0..<3 {
            #expect(pool.detector.failedInARow(0, now: pool.now, random: 0) != nil)
            pool.now += 100 * second
            #expect(pool.detector.giveBack(now: pool.now) == [.returned(host: 0)])
        }
        #expect(ejections(pool) == 3)
        pool.add(0, successes: 100)
        #expect(pool.interval().isEmpty)
        #expect(ejections(pool) == 3)
        // Nobody has asked it.
        for _ in 0..<5 { #expect(pool.interval().isEmpty) }
        #expect(ejections(pool) == 3)
        // Where answers are few, it takes longer.
        for _ in 0..<2 {
            pool.add(0, successes: 50)
            #expect(pool.interval().isEmpty)
        }
        #expect(ejections(pool) == 2)
        pool.add(0, successes: 1_000)
        #expect(pool.interval().isEmpty)
        #expect(ejections(pool) == 1)
    }

    @Test("Who fails as soon as it is back is out longer each time, also when it is compared once an interval")
    func growingTimeByShare() {
        var pool = Pool(5)
        var times: [UInt64] = []
        while times.count < 4 {
            for host in 0..<5 where !pool.detector.hosts[host].isEjected {
                pool.add(host, successes: host == 2 ? 0 : 100, failures: host == 2 ? 100 : 0)
            }
            for change in pool.interval() {
                if case .ejected(2, _, let until) = change { times.append((until - pool.now) / second) }
                // It comes back just before the next comparison, with too few answers to be compared.
                if case .ejected(_, _, let until) = change { pool.now = until - pool.detector.settings.interval }
            }
        }
        #expect(times == [30, 60, 90, 120])
    }

    @Test("The last one that checks leave is not ejected, and is back when they leave no other")
    func lastLiving() {
        var pool = Pool(3)
        #expect(pool.detector.setDown { $0 < 2 }.isEmpty)
        #expect(pool.detector.failedInARow(2, now: pool.now, random: 0) == nil)
        #expect(pool.detector.setDown { $0 < 1 }.isEmpty)
        #expect(pool.detector.failedInARow(2, now: pool.now, random: 0) != nil)
        #expect(pool.detector.failedInARow(1, now: pool.now, random: 0) == nil)
        #expect(pool.detector.setDown { $0 < 2 } == [.returned(host: 2)])
        #expect(pool.detector.ejected == 0)
        // There is none to give back.
        #expect(pool.detector.setDown { _ in true }.isEmpty)
        pool = Pool(4) { $0.maximumEjectedShare = 0.5 }
        for host in [1, 0] {
            #expect(pool.detector.failedInARow(host, now: pool.now - UInt64(host), random: 0) != nil)
        }
        #expect(pool.detector.setDown { $0 > 1 } == [.returned(host: 1)])
        #expect(pool.detector.setDown { $0 > 1 }.isEmpty)
    }

    @Test("An interval goes on when somebody else runs the timers")
    func resuming() {
        var pool = Pool(2)
        let end = pool.now + 10 * second
        #expect(pool.detector.resume(now: pool.now) == end)
        for elapsed in [3, 6, 9, 12] as [UInt64] {
            #expect(pool.detector.resume(now: pool.now + elapsed * second) == end)
        }
        #expect(pool.interval().isEmpty)
        #expect(pool.detector.intervalEnd == pool.now + 10 * second)
        // A shorter interval begins at once.
        pool.detector.settings.interval = second
        #expect(pool.detector.resume(now: pool.now) == pool.now + second)
        #expect(pool.detector.suspend().isEmpty)
        #expect(pool.detector.resume(now: pool.now + 50 * second) == pool.now + 51 * second)
    }

    @Test("Jitter lengthens an ejection")
    func jitter() {
        var pool = Pool(2) { $0.jitter = 0.5 }
        #expect(
            pool.detector.failedInARow(0, now: pool.now, random: .max)
                == .ejected(host: 0, .consecutiveFailures, until: pool.now + 45 * second))
    }

    @Test(
        "No more are out than may be, one of two and more may, and never all",
        arguments: [(1, 0.5, 0), (2, 0.1, 1), (3, 1.0, 2), (10, 0.3, 3), (10, 0.0, 1), (100, 0.29, 29)])
    func cap(hosts: Int, share: Double, expected: Int) {
        var pool = Pool(hosts) { $0.maximumEjectedShare = share }
        var out = 0
        for host in 0..<hosts where pool.detector.failedInARow(host, now: pool.now, random: 0) != nil { out += 1 }
        #expect(out == expected)
        #expect(pool.detector.ejected == expected)
    }

    @Test("A pool that shrinks takes those back that are too many; those who stay keep their state")
    func shrinking() {
        var pool = Pool(10)
        for host in [7, 8, 9] {
            #expect(pool.detector.failedInARow(host, now: pool.now + UInt64(host), random: 0) != nil)
        }
        let changes = pool.detector.setHosts([9, 8, 7, 1].map { (UInt64($0), OutlierTotals(), 0) })
        #expect(changes == [.returned(host: 2), .returned(host: 1)])
        #expect(pool.detector.hosts.map(\.isEjected) == [true, false, false, false])
        #expect(pool.detector.hosts.map(\.ejections) == [1, 1, 1, 0])
    }

    @Test("Who leaves while it is ejected and comes back is still out, and counts among those that are")
    func comingBack() {
        var pool = Pool(10) { $0.maximumEjectedShare = 0.25 }
        let list = (0..<10).map { (id: UInt64($0), totals: OutlierTotals(), ejectedUntil: UInt64(0)) }
        let until = pool.now + 30 * second
        #expect(
            pool.detector.failedInARow(3, now: pool.now, random: 0)
                == .ejected(host: 3, .consecutiveFailures, until: until))
        #expect(pool.detector.setHosts(list.filter { $0.id != 3 }).isEmpty)
        #expect(pool.detector.ejected == 0)
        var again = list
        again[3].ejectedUntil = until
        #expect(pool.detector.setHosts(again).isEmpty)
        #expect(pool.detector.ejected == 1)
        #expect(pool.detector.failedInARow(5, now: pool.now, random: 0) != nil)
        #expect(pool.detector.failedInARow(6, now: pool.now, random: 0) == nil)
        #expect(pool.detector.giveBack(now: until).contains(.returned(host: 3)))
        // Its next ejection is the second.
        #expect(
            pool.detector.failedInARow(3, now: until, random: 0)
                == .ejected(host: 3, .consecutiveFailures, until: until + 60 * second))
        // Others were ejected meanwhile: whose time is over first returns at once.
        #expect(pool.detector.setHosts(list.filter { $0.id != 3 }).isEmpty)
        for host in [0, 1] { #expect(pool.detector.failedInARow(host, now: until, random: 0) != nil) }
        again[3].ejectedUntil = until + second
        #expect(pool.detector.setHosts(again) == [.returned(host: 3)])
    }

    @Test("Who fails far more often than the others is ejected", arguments: [5, 6, 20])
    func successRate(hosts: Int) {
        var pool = Pool(hosts)
        for host in 0..<hosts { pool.add(host, successes: host == 2 ? 80 : 100, failures: host == 2 ? 20 : 0) }
        #expect(pool.interval() == [.ejected(host: 2, .successRate, until: pool.now + 30 * second)])
        // What it fails while it is out says nothing.
        for host in 0..<hosts { pool.add(host, successes: host == 2 ? 0 : 100, failures: host == 2 ? 100 : 0) }
        #expect(pool.interval().isEmpty)
    }

    @Test("What comes late from one that is out does not hide another")
    func stragglers() {
        var pool = Pool(6) { $0.maximumEjectedShare = 0.5 }
        #expect(pool.detector.failedInARow(2, now: pool.now, random: 0) != nil)
        for host in 0..<6 {
            let failures: UInt32 = [2: 100, 3: 20][host] ?? 0
            pool.add(host, successes: 100 - failures, failures: failures)
        }
        #expect(pool.interval() == [.ejected(host: 3, .successRate, until: pool.now + 30 * second)])
    }

    @Test("All fail alike, or one a little more than the others: nobody is ejected")
    func noOutlier() {
        var pool = Pool(10)
        for host in 0..<10 { pool.add(host, successes: 50, failures: 50) }
        #expect(pool.interval().isEmpty)
        for host in 0..<10 { pool.add(host, successes: host == 4 ? 98 : 100, failures: host == 4 ? 2 : 0) }
        #expect(pool.interval().isEmpty)
    }

    @Test("Too few answers, or too few endpoints, are not compared")
    func minimum() {
        var pool = Pool(5)
        for host in 0..<5 { pool.add(host, successes: host == 2 ? 0 : 100, failures: host == 2 ? 99 : 0) }
        #expect(pool.interval().isEmpty)
        pool = Pool(4)
        for host in 0..<4 { pool.add(host, successes: host == 2 ? 0 : 100, failures: host == 2 ? 100 : 0) }
        #expect(pool.interval().isEmpty)
    }

    @Test("Who is far slower than the median is ejected, and only where it hurts")
    func latency() {
        var pool = Pool(5)
        for host in 0..<5 { pool.add(host, successes: 100, latency: host == 3 ? 400 * millisecond : 100 * millisecond) }
        #expect(pool.interval() == [.ejected(host: 3, .latency, until: pool.now + 30 * second)])
        pool = Pool(5)
        for host in 0..<5 { pool.add(host, successes: 100, latency: host == 3 ? 40 * millisecond : millisecond) }
        #expect(pool.interval().isEmpty)
        pool = Pool(5)
        for host in 0..<5 { pool.add(host, successes: 100, latency: host == 3 ? 290 * millisecond : 100 * millisecond) }
        #expect(pool.interval().isEmpty)
    }

    @Test("When not all outliers may go, the worst do")
    func worstFirst() {
        var pool = Pool(10) {
            $0.maximumEjectedShare = 0.1
            $0.successRateDeviations = 1
        }
        for host in 0..<10 {
            let failures: UInt32 = [3: 40, 5: 60, 8: 50][host] ?? 0
            pool.add(host, successes: 100 - failures, failures: failures)
        }
        #expect(pool.interval() == [.ejected(host: 5, .successRate, until: pool.now + 30 * second)])
    }
}
