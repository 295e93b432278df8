import Glibc
import RateLimitBuckets
import SluiceHashing
import TestThreads
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct ReconciliationTests {
    private func rate(_ amount: UInt64, per seconds: UInt64, burst: UInt64) throws -> Rate {
        try #require(Rate(amount: amount, period: seconds * second, burst: burst))
    }

    @Test func whatOthersHaveTakenIsMissingHere() throws {
        let (one, other) = (FleetMember(), FleetMember())
        var store = FleetStoreModel()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        #expect((0..<6).allSatisfy { _ in one.passes(7, rate, now: now) })
        #expect((0..<3).allSatisfy { _ in other.passes(7, rate, now: now) })
        one.asks(&store, now: now)
        other.asks(&store, now: now)
        #expect(other.passes(7, rate, now: now))
        #expect(!other.passes(7, rate, now: now))
        // It was asked before the other: it knows with the next round, which a refusal or a charge of its own begins.
        #expect((0..<4).allSatisfy { _ in one.passes(7, rate, now: now) })
        other.asks(&store, now: now)
        one.asks(&store, now: now)
        #expect(!one.passes(7, rate, now: now))
        #expect(store.full[7] == now + rate.cost(1) * 14)
        // Nothing is told twice.
        one.asks(&store, now: now)
        #expect(store.full[7] == now + rate.cost(1) * 14)
    }

    @Test func whatIsTakenBetweenAReportAndItsAnswerStays() throws {
        let member = FleetMember()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        #expect(member.passes(7, rate, now: now))
        let reports = member.collect(now: now)
        #expect(reports.map(\.cost) == [Int64(rate.cost(1))])
        #expect(member.passes(7, rate, now: now))
        member.settle(reports[0], ahead: rate.cost(6), sent: now, now: now)
        #expect(member.under.left(7, rate, now: now) == rate.cost(3))
    }

    @Test func whatWasGivenBackElsewhereIsThereAgain() throws {
        let (one, other) = (FleetMember(), FleetMember())
        var store = FleetStoreModel()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        _ = other.ledger.charge(7, rate.cost(10), isShared: true, now: now)
        other.asks(&store, now: now)
        #expect(one.passes(7, rate, now: now))
        one.asks(&store, now: now)
        #expect(!one.passes(7, rate, now: now))
        #expect(other.ledger.giveBack(7, rate.cost(5), isShared: true, now: now))
        other.asks(&store, now: now)
        // The refusal asked for news.
        one.asks(&store, now: now)
        #expect((0..<9).count { _ in one.passes(7, rate, now: now) } == 4)
    }

    @Test func aStoreThatHasLostItsMemoryIsToldWhatIsKnown() throws {
        let (one, other) = (FleetMember(), FleetMember())
        var store = FleetStoreModel()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        #expect((0..<4).allSatisfy { _ in one.passes(7, rate, now: now) })
        #expect((0..<2).allSatisfy { _ in one.passes(9, rate, now: now) })
        one.asks(&store, now: now)
        #expect((0..<3).allSatisfy { _ in other.passes(7, rate, now: now) })
        other.asks(&store, now: now)
        let before = store.full
        // One that has lost nothing is told the same, which changes nothing.
        one.asks(&store, all: true, now: now)
        other.asks(&store, all: true, now: now)
        #expect(store.full == before)
        store = FleetStoreModel()
        #expect(one.passes(7, rate, now: now))
        one.asks(&store, all: true, now: now)
        other.asks(&store, all: true, now: now)
        #expect(store.full[7] == now + 8 * rate.cost(1))
        #expect(store.full[9] == now + 2 * rate.cost(1))
        #expect((0..<9).count { _ in one.passes(7, rate, now: now) } == 2)
    }

    /// What was given back of such a bucket the store would never hear, and hold the charges against it.
    @Test func whatIsNotSharedIsNotToldOverANewConnectionEither() throws {
        let member = FleetMember()
        var store = FleetStoreModel()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        let (own, shared) = (Reconciliation.key(0xABC0, isFleets: false), Reconciliation.key(0xABC0, isFleets: true))
        for (key, isShared) in [(own, false), (shared, true)] {
            _ = member.ledger.charge(key, rate.cost(8), isShared: isShared, now: now)
        }
        member.asks(&store, all: true, now: now)
        #expect(store.full == [shared: now + rate.cost(8)])
        #expect(member.ledger.giveBack(own, rate.cost(8), isShared: false, now: now))
        member.asks(&store, all: true, now: now)
        #expect(member.under.left(own, rate, now: now) == rate.tolerance)
    }

    @Test func aTimeWithoutTheStoreLeavesTheDebtThatIsLeft() throws {
        let member = FleetMember()
        var store = FleetStoreModel()
        let rate = try rate(10, per: 1, burst: 10)
        var now = 1_000 * second
        var passed = 0
        // A hundred seconds at the rate, and nobody to tell.
        for _ in 0..<1_000 {
            if member.passes(7, rate, now: now) { passed += 1 }
            member.fails(now: now)
            now += second / 10
        }
        #expect(passed == 1_000)
        for _ in 0..<10 { _ = member.passes(7, rate, now: now) }
        member.asks(&store, now: now)
        let debt = try #require(store.full[7]) - now
        #expect(debt >= rate.cost(9) && debt <= rate.cost(11))
        now += second
        #expect(member.passes(7, rate, now: now))
    }

    /// A store that stalls carries out later what was sent to it, however often that was.
    @Test(arguments: [false, true]) func whatIsInDoubtIsNotToldAgain(isTaken: Bool) throws {
        let (member, other) = (FleetMember(), FleetMember())
        var store = FleetStoreModel()
        let rate = try rate(1, per: 3_600, burst: 10)
        let now = 1_000 * second
        #expect((0..<3).allSatisfy { _ in other.passes(7, rate, now: now) })
        other.asks(&store, now: now)
        #expect((0..<4).allSatisfy { _ in member.passes(7, rate, now: now) })
        var late: [Reconciliation.Report] = []
        for _ in 0..<5 {
            let reports = member.collect(now: now)
            late += reports
            member.hears(nothingOf: reports, now: now)
        }
        if isTaken { for report in late { _ = store.tell(report, now: now) } }
        // What is taken after it is told as ever, and so is what is known over a new connection.
        #expect(member.passes(7, rate, now: now))
        member.asks(&store, all: true, now: now)
        #expect(store.full[7] == now + rate.cost(1) * (isTaken ? 8 : 5))
        #expect((0..<9).count { _ in member.passes(7, rate, now: now) } == (isTaken ? 2 : 5))
    }

    /// Gateways that ask as they like, rounds at times of their own: what all grant together in any time is at most the
    /// burst, what comes back in it, and for each other gateway a burst and what comes back in an interval.
    @Test(arguments: 0..<40 as Range<UInt64>) func theFleetKeepsItsBound(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let count = 2 + random.below(4)
        let members = (0..<count).map { _ in FleetMember() }
        var store = FleetStoreModel()
        let burst = UInt64(1 + random.below(50))
        let rate = try rate(100, per: 1, burst: burst)
        let interval = 100 * second / 1_000
        var next = (0..<count).map { _ in 1_000 * second + UInt64(random.below(Int(interval))) }
        var granted: [UInt64] = []
        // Who is asked changes; a gateway that nobody asks does not learn what the others grant.
        var favourite = 0
        var now = 1_000 * second
        let end = now + 20 * second
        while now < end {
            now += UInt64(random.below(4_000_000))
            for index in 0..<count where next[index] <= now {
                members[index].asks(&store, now: now)
                next[index] = now + interval
            }
            if random.below(200) == 0 { favourite = random.below(count) }
            let index = random.below(3) == 0 ? random.below(count) : favourite
            for _ in 0..<random.below(4) where members[index].passes(1, rate, now: now) { granted.append(now) }
        }
        let others = UInt64(count - 1)
        let beyond = Double(burst + others * (burst + rate.units(interval) + 1))
        // Over all spans between two grants: how much more than the rate there was is greatest from a least to a later
        // greatest point of the difference.
        var least = Double.infinity
        var worst = 0.0
        for (number, time) in granted.enumerated() {
            let line = Double(number) - Double(time - granted[0]) / 1e9 * 100
            least = min(least, line)
            worst = max(worst, line + 1 - least)
        }
        #expect(worst <= beyond, "\(worst) beyond the rate, \(beyond) are promised")
        #expect(granted.count >= 20 * 100 / 2)
    }

    @Test func aQueueIsBoundedAndKeepsRoomForCharges() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: ChargeRing.bytes, alignment: 64)
        defer { memory.deallocate() }
        _ = memory.initializeMemory(as: UInt8.self, repeating: 0, count: ChargeRing.bytes)
        let ring = ChargeRing(memory)
        #expect((0..<20_000).count { _ in ring.push(1, 0, at: 0) } == ChargeRing.entries / 2)
        #expect((0..<20_000).count { ring.push(2, Int64($0 + 1), at: 0) } == ChargeRing.entries / 2)
        var seen = 0
        var sum: Int64 = 0
        ring.drain { _, cost, _ in
            seen += 1
            sum += cost
        }
        #expect(seen == ChargeRing.entries)
        #expect(sum == 4_096 * 4_097 / 2)
        #expect(ring.push(3, -5, at: 9))
        ring.drain { key, cost, time in #expect(key == 3 && cost == -5 && time == 9) }
    }

    @Test func oneThreadPushesWhileAnotherDrains() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: ChargeRing.bytes, alignment: 64)
        defer { memory.deallocate() }
        _ = memory.initializeMemory(as: UInt8.self, repeating: 0, count: ChargeRing.bytes)
        let ring = ChargeRing(memory)
        let total = 200_000
        let wrong = SharedCounts(1)
        onThreads(2) { thread in
            if thread == 0 {
                for number in 1...total {
                    while !ring.push(UInt64(number), Int64(number), at: UInt64(number)) { sched_yield() }
                }
            } else {
                var expected: UInt64 = 1
                while expected <= total {
                    ring.drain { key, cost, time in
                        if key != expected || cost != Int64(expected) || time != expected { wrong.add(0) }
                        expected += 1
                    }
                    sched_yield()
                }
            }
        }
        #expect(wrong[0] == 0)
    }
}
