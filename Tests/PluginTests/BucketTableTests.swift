import Glibc
import RateLimitBuckets
import Synchronization
import TestThreads
import Testing

/// A table over memory of its own.
final class TableUnderTest: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    private let segments: UnsafeMutablePointer<UnsafeMutableRawPointer>
    let table: BucketTable

    init(groups: Int = 1) {
        memory = .allocate(byteCount: BucketTable.bytes(groups: groups), alignment: 64)
        _ = memory.initializeMemory(as: UInt8.self, repeating: 0, count: BucketTable.bytes(groups: groups))
        segments = .allocate(capacity: 1)
        segments.initialize(to: memory)
        table = BucketTable(segments: segments, groups: groups)
    }

    deinit {
        segments.deallocate()
        memory.deallocate()
    }

    func take(_ key: UInt64, of units: UInt64 = 1, _ rate: Rate, now: UInt64) -> BucketTable.Verdict {
        table.take(key, cost: rate.cost(units), need: rate.cost(units), tolerance: rate.tolerance, now: now)
    }

    /// Nanoseconds until the bucket is empty.
    func left(_ key: UInt64, _ rate: Rate, now: UInt64) -> UInt64 {
        guard case .passed(let left) = table.take(key, cost: 0, need: 0, tolerance: rate.tolerance, now: now) else {
            return 0
        }
        return left
    }
}

/// Counters that threads share.
final class SharedCounts: @unchecked Sendable {
    private let start: UnsafeMutablePointer<Atomic<Int>>
    let count: Int

    init(_ count: Int) {
        self.count = count
        start = .allocate(capacity: count)
        for index in 0..<count { (start + index).initialize(to: Atomic(0)) }
    }

    deinit { start.deallocate() }

    func add(_ index: Int) { start[index].wrappingAdd(1, ordering: .acquiringAndReleasing) }
    subscript(index: Int) -> Int { start[index].load(ordering: .acquiring) }
    var all: [Int] { (0..<count).map { self[$0] } }
}

private let second: UInt64 = 1_000_000_000

private func rate(_ amount: UInt64, per seconds: UInt64, burst: UInt64) throws -> Rate {
    try #require(Rate(amount: amount, period: seconds * second, burst: burst))
}

@Suite struct RateTests {
    @Test func costsAreRoundedToTheSafeSide() throws {
        let three = try rate(3, per: 1, burst: 3)
        #expect(three.cost(1) == 333_333_334)
        #expect(three.cost(3) == second)
        #expect(three.tolerance == second)
        #expect(three.units(three.tolerance) == 3)
        #expect(three.units(three.cost(2)) == 2)
        #expect(three.units(three.cost(2) - 1) == 1)
        let daily = try rate(1_000_000, per: 86_400, burst: 1)
        #expect(daily.cost(1_000_000) == 86_400 * second)
        #expect(daily.cost(.max) == Rate.longest)
        #expect(Rate.seconds(1) == 1)
        #expect(Rate.seconds(second) == 1)
        #expect(Rate.seconds(second + 1) == 2)
    }

    @Test func whatTheClockCannotTellIsNoRate() {
        #expect(Rate(amount: second, period: second, burst: 1) != nil)
        #expect(Rate(amount: second + 1, period: second, burst: 1) == nil)
        #expect(Rate(amount: 1, period: 86_400 * second, burst: 50) != nil)
        #expect(Rate(amount: 1, period: 86_400 * second, burst: 53) == nil)
        #expect(Rate(amount: 0, period: 1, burst: 1) == nil)
        #expect(Rate(amount: 1, period: 1, burst: 0) == nil)
    }
}

@Suite struct BucketTableTests {
    @Test func aBucketGrantsItsBurstAndThenItsRate() throws {
        let under = TableUnderTest()
        let rate = try rate(10, per: 1, burst: 3)
        let (begin, cost) = (1_000 * second, rate.cost(1))
        for left in [2, 1, 0] as [UInt64] { #expect(under.take(7, rate, now: begin) == .passed(left: left * cost)) }
        #expect(under.take(7, rate, now: begin) == .refused(wait: cost, ahead: 3 * cost))
        // Another key has a bucket of its own; 0 is a key as any other.
        #expect(under.take(8, rate, now: begin) == .passed(left: 2 * cost))
        #expect(under.take(0, rate, now: begin) == .passed(left: 2 * cost))
        #expect(under.take(7, rate, now: begin + cost - 1) == .refused(wait: 1, ahead: 2 * cost + 1))
        #expect(under.take(7, rate, now: begin + cost) == .passed(left: 0))
        // However long nobody comes, no more than the burst is saved up.
        let late = begin + 3_600 * second
        for left in [2, 1, 0] as [UInt64] { #expect(under.take(7, rate, now: late) == .passed(left: left * cost)) }
        #expect(under.take(7, rate, now: late) == .refused(wait: cost, ahead: 3 * cost))
    }

    @Test func debtsAreWaitedForAndGivenBack() throws {
        let under = TableUnderTest()
        let rate = try rate(100, per: 1, burst: 100)
        let now = 50 * second
        #expect(under.table.charge(1, rate.cost(250), now: now))
        #expect(under.take(1, rate, now: now) == .refused(wait: rate.cost(151), ahead: rate.cost(250)))
        under.table.giveBack(1, rate.cost(200), now: now)
        #expect(under.take(1, of: 50, rate, now: now) == .passed(left: 0))
        // Nothing to give back to, and never more than full.
        under.table.giveBack(99, 5, now: now)
        under.table.giveBack(1, rate.cost(1_000), now: now)
        #expect(under.left(1, rate, now: now) == rate.tolerance)
        // A debt has an end.
        for _ in 0..<100 { #expect(under.table.charge(2, .max, now: now)) }
        #expect(under.left(2, rate, now: now + Rate.longest) == rate.tolerance)
    }

    @Test func lookingTakesNothing() throws {
        let under = TableUnderTest()
        let rate = try rate(1, per: 1, burst: 2)
        let now = 50 * second
        for key in 1...1_000 as ClosedRange<UInt64> { #expect(under.left(key, rate, now: now) == rate.tolerance) }
        #expect(under.take(1, of: 2, rate, now: now) == .passed(left: 0))
        #expect(
            under.table.take(1, cost: 0, need: 1, tolerance: rate.tolerance, now: now)
                == .refused(wait: 1, ahead: rate.tolerance))
    }

    @Test func aFullTableSaysSoUntilABucketIsFullAgain() throws {
        let under = TableUnderTest()
        let rate = try rate(1, per: 1, burst: 1)
        let now = 50 * second
        for key in 1...63 as ClosedRange<UInt64> {
            #expect(under.take(key, rate, now: now + key * 1_000_000) == .passed(left: 0))
        }
        #expect(under.take(64, rate, now: now + 64_000_000) == .noRoom)
        #expect(!under.table.charge(64, 1, now: now + 64_000_000))
        // The first of them has filled up, 0.2 ms ago; its place may go to another key, once.
        let later = now + second + 1_200_000
        #expect(under.take(64, rate, now: later) == .passed(left: 0))
        #expect(under.take(65, rate, now: later) == .noRoom)
        for key in 2...64 as ClosedRange<UInt64> {
            guard case .refused = under.take(key, rate, now: later) else {
                Issue.record("the bucket of \(key) was lost")
                return
            }
        }
    }

    @Test func aLargeTableFindsAllOfItsBuckets() throws {
        let groups = BucketTable.groups(buckets: 60_000)
        #expect(groups == 1_024)
        #expect(BucketTable.groups(buckets: 1) == 1)
        #expect(BucketTable.groups(buckets: 64_513) == 2_048)
        #expect(BucketTable.groups(buckets: .max / 128) == BucketTable.groupsAtMost)
        let under = TableUnderTest(groups: groups)
        let rate = try rate(1, per: 3_600, burst: 2)
        // Half full, as a table should be at most.
        let keys = (1...32_256 as ClosedRange<UInt64>).map { $0 &* 0x9E37_79B9_7F4A_7C15 }
        for left in [1, 0] as [UInt64] {
            for key in keys where under.take(key, rate, now: 50 * second) != .passed(left: left * rate.cost(1)) {
                Issue.record("\(key) has no \(left) left")
                return
            }
        }
    }

    /// Many threads, few places, and a clock that fills up all buckets again and again, so that places change their
    /// owners while they are charged: of each key's bucket exactly its burst is taken.
    @Test func concurrentCallersGetExactlyWhatThereIs() throws {
        let under = TableUnderTest()
        let (keys, turns, threads) = (48, 400, 4)
        let rate = try rate(1, per: 1, burst: 5)
        let counts = SharedCounts(keys * turns)
        let arrived = SharedCounts(turns)
        onThreads(threads) { thread in
            for turn in 0..<turns {
                arrived.add(turn)
                while arrived[turn] < threads { sched_yield() }
                let now = UInt64(turn + 1) * 100 * second
                for attempt in 0..<3 {
                    for step in 0..<keys {
                        let key = turn * keys + (step * 7 + thread * 13 + attempt) % keys
                        // New keys in each turn, in the same few places.
                        if case .passed = under.take(UInt64(key) &* 0x9E37_79B9_7F4A_7C15, rate, now: now) {
                            counts.add(key)
                        }
                    }
                }
            }
        }
        #expect(counts.all.filter { $0 != 5 } == [])
    }

    /// More keys than places: as many as there are places find one, and get no more than there is.
    @Test func aCrowdedTableGrantsNobodyTooMuch() throws {
        let under = TableUnderTest()
        let (keys, turns, threads) = (100, 200, 4)
        let rate = try rate(1, per: 1, burst: 2)
        let counts = SharedCounts(keys * turns)
        let arrived = SharedCounts(turns)
        onThreads(threads) { thread in
            for turn in 0..<turns {
                arrived.add(turn)
                while arrived[turn] < threads { sched_yield() }
                let now = UInt64(turn + 1) * 100 * second
                for step in 0..<keys {
                    let key = turn * keys + (step * 7 + thread * 31) % keys
                    if case .passed = under.take(UInt64(key) &* 0x9E37_79B9_7F4A_7C15, rate, now: now) {
                        counts.add(key)
                    }
                }
            }
        }
        let all = counts.all
        #expect(all.filter { $0 > 2 } == [])
        let served = (0..<turns).map { turn in all[(turn * keys)..<((turn + 1) * keys)].count { $0 > 0 } }
        #expect(served.filter { $0 != 63 } == [])
    }

    /// Workers read the clock at different times, so a place that is free for one is not for another, and for one owner
    /// they choose two. He must get one bucket all the same.
    @Test func workersWhoseClocksDifferGiveAnOwnerOneBucket() throws {
        let (threads, tables, keys) = (4, 1_000, 8)
        let rate = try rate(1, per: 3_600, burst: 1)
        let (base, step) = (1_000 * second, 1_000_000 as UInt64)
        let all = (0..<tables).map { number in
            let under = TableUnderTest()
            // Full at a time in the midst of those that the workers have.
            for key in 1...63 as ClosedRange<UInt64> {
                let spread = (key &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(number)) % 64
                #expect(under.table.charge(key, step * 8 * spread / 64, now: base))
            }
            return under
        }
        let counts = SharedCounts(tables * keys)
        let arrived = SharedCounts(tables)
        onThreads(threads) { thread in
            let now = base + UInt64(thread + 2) * step
            for table in 0..<tables {
                arrived.add(table)
                var spins = 0
                while arrived[table] < threads {
                    spins += 1
                    // At the same instant where there are cores for it; else nobody is to wait for a time slice.
                    if spins % 500 == 0 { sched_yield() }
                }
                for key in 0..<keys {
                    let hash = UInt64(key + 100) &* 0x9E37_79B9_7F4A_7C15
                    if case .passed = all[table].take(hash, rate, now: now) { counts.add(table * keys + key) }
                }
            }
        }
        #expect(counts.all.filter { $0 > 1 } == [])
        #expect(counts.all.reduce(0, +) > tables * keys / 2)
    }

    @Test func whatIsTakenAndGivenBackAtOnceAddsUp() throws {
        let under = TableUnderTest()
        let rate = try rate(1, per: 3_600, burst: 1_000)
        let now = 50 * second
        let kept = SharedCounts(1)
        onThreads(4) { thread in
            for turn in 0..<2_000 {
                guard case .passed = under.take(5, rate, now: now) else { continue }
                if (turn + thread) % 3 == 0, kept[0] < 900 {
                    kept.add(0)
                } else {
                    under.table.giveBack(5, rate.cost(1), now: now)
                }
            }
        }
        #expect(kept[0] > 100)
        #expect(rate.units(under.left(5, rate, now: now)) == UInt64(1_000 - kept[0]))
    }
}
