import RateLimitBuckets
import Testing

private let second: UInt64 = 1_000_000_000

/// What a fleet grants in the long run, and what it tells of times in which the store was away.
@Suite struct FleetRateTests {
    private func rate(_ amount: UInt64, per seconds: UInt64, burst: UInt64) throws -> Rate {
        try #require(Rate(amount: amount, period: seconds * second, burst: burst))
    }

    /// One gateway grants with a store what it grants without, however small the burst and late the answers: what comes
    /// back between a charge and its report, or on the way there and back, is not lost.
    @Test(arguments: [(100, 0), (100, 30), (1_000, 0), (1_000, 450), (60_000, 10)], [1, 2, 7] as [UInt64])
    func whatComesBackUntilAChargeIsToldIsNotLost(times: (interval: Int, way: Int), burst: UInt64) throws {
        let millisecond = second / 1_000
        let member = FleetMember(workers: 2)
        var store = FleetStoreModel()
        let rate = try rate(5, per: 1, burst: burst)
        let (way, begin) = (UInt64(times.way) * millisecond, 1_000 * second)
        var (granted, number) = (0, 0)
        var (next, answered) = (begin, UInt64.max)
        var answers: [(report: Reconciliation.Report, ahead: UInt64)] = []
        var sent: UInt64 = 0
        for now in stride(from: begin, to: begin + 200 * second, by: Int(5 * millisecond)) {
            if now >= answered {
                for answer in answers { member.settle(answer.report, ahead: answer.ahead, sent: sent, now: now) }
                (answers, answered) = ([], .max)
            }
            if now >= next, answered == .max {
                (sent, next, answered) = (now, now + UInt64(times.interval) * millisecond, now + 2 * way)
                answers = member.collect(now: now).map { ($0, store.tell($0, sent: now, now: now + way)) }
            }
            number += 1
            if member.passes(1, rate, worker: number % 3 % 2, now: now) { granted += 1 }
        }
        #expect((1_000 + Int(burst) - 1...1_000 + Int(burst)).contains(granted), "\(granted)")
    }

    /// Two gateways that are both asked all the time: what one grants in ignorance of the other is a debt of both.
    @Test(arguments: [1, 5, 50] as [UInt64], [20, 100, 1_000] as [UInt64])
    func aFleetGrantsTheRate(burst: UInt64, milliseconds: UInt64) throws {
        let members = [FleetMember(), FleetMember()]
        var store = FleetStoreModel()
        let rate = try rate(10, per: 1, burst: burst)
        let begin = 1_000 * second
        let interval = milliseconds * second / 1_000
        var next = [begin, begin + interval / 3]
        var granted = 0
        for now in stride(from: begin, to: begin + 200 * second, by: Int(second / 100)) {
            for (index, member) in members.enumerated() {
                if now >= next[index] {
                    member.asks(&store, now: now)
                    next[index] += interval
                }
                if member.passes(1, rate, now: now) { granted += 1 }
            }
        }
        let beyond = Int(burst + burst + rate.units(interval))
        #expect(granted >= 2_000 * 9 / 10 && granted <= 2_000 + beyond, "\(granted)")
    }

    /// A charge that ran out is not told, so what was given back of it must not be: it would pay what others owe.
    @Test func whatIsGivenBackWhileTheStoreIsAwayPaysNothingElse() throws {
        let (member, other) = (FleetMember(), FleetMember())
        var store = FleetStoreModel()
        let rate = try rate(100, per: 1, burst: 1_000)
        var now = 1_000 * second
        for _ in 0..<5 {
            #expect(member.ledger.charge(7, rate.cost(400), isShared: true, now: now).hasRoom)
            member.fails(now: now)
            now += 5 * second
            member.fails(now: now)
            #expect(member.ledger.giveBack(7, rate.cost(390), isShared: true, now: now))
            member.fails(now: now)
        }
        #expect(other.ledger.charge(7, rate.cost(3_000), isShared: true, now: now).hasRoom)
        other.asks(&store, now: now)
        member.asks(&store, all: true, now: now)
        #expect(try #require(store.full[7]) >= now + rate.cost(3_000))
    }

    /// One report that the store refuses is told again, as what is left of it.
    @Test func whatIsRefusedIsToldLater() throws {
        let member = FleetMember()
        var store = FleetStoreModel()
        let rate = try rate(1, per: 1, burst: 10)
        var now = 1_000 * second
        for _ in 0..<4 { #expect(member.passes(7, rate, now: now)) }
        let reports = member.collect(now: now)
        #expect(reports.count == 1)
        member.refuses(reports[0], now: now)
        #expect(member.collect(now: now).map(\.cost) == [Int64(rate.cost(4))])
        now += second
        member.fails(now: now)
        member.asks(&store, now: now)
        #expect(store.full[7] == now + rate.cost(3))
    }
}
