import SluiceABI
import Testing

@Suite struct PeakEWMATests {
    let host = FakeHost()
    let exchange = FakeExchange()
    /// Two endpoints: both are drawn at every pick, so that the better one is always taken.
    let pool = FakePool(count: 2)

    private func picks(_ balancer: BalancerUnderTest, _ count: Int = 20) -> Set<UInt32> {
        Set((0..<count).map { _ in balancer.pick(pool, exchange) })
    }

    /// A balancer that knows a latency of each, in milliseconds.
    private func taught(_ first: UInt64, _ second: UInt64, config: ConfigTree = .null) throws -> BalancerUnderTest {
        let balancer = try BalancerUnderTest("PeakEWMA", host, config: config)
        _ = balancer.pick(pool, exchange)
        balancer.end(0, firstByte: first, total: first)
        balancer.end(1, firstByte: second, total: second)
        return balancer
    }

    @Test func takesTheFaster() throws {
        #expect(picks(try taught(20, 10)) == [1])
    }

    @Test func attemptsUnderWayCount() throws {
        let balancer = try taught(20, 10)
        pool.setInFlight(0, 1)
        pool.setInFlight(1, 2)
        // 20 × 2 to 10 × 3.
        #expect(picks(balancer) == [1])
        pool.setInFlight(0, 0)
        #expect(picks(balancer) == [0])
    }

    @Test func aPeakCountsAtOnceAndIsForgottenSlowly() throws {
        let balancer = try taught(20, 10)
        balancer.end(1, firstByte: 400, total: 400)
        #expect(picks(balancer) == [0])
        // One quick answer right after it changes little.
        host.advance(by: 100_000_000)
        balancer.end(1, firstByte: 10, total: 10)
        #expect(picks(balancer) == [0])
        for _ in 0..<60 {
            host.advance(by: 1_000_000_000)
            balancer.end(0, firstByte: 20, total: 20)
            balancer.end(1, firstByte: 10, total: 10)
        }
        #expect(picks(balancer) == [1])
    }

    /// Samples that each move the cost by less than it can tell move it together.
    @Test func aPeakIsForgottenUnderTrafficToo() throws {
        let balancer = try taught(38, 40, config: ["decay_ms": 600_000])
        #expect(picks(balancer) == [0])
        // 20 + 20 × e^(-t / 600 s) is below 38 from 63 s on.
        for millisecond in 1...90_000 {
            host.advance(by: 1_000_000)
            balancer.end(0, firstByte: 38, total: 38)
            balancer.end(1, firstByte: 20, total: 20)
            if millisecond == 30_000 { #expect(picks(balancer) == [0]) }
        }
        #expect(picks(balancer) == [1])
    }

    @Test func aSlowEndpointThatIsNotHeardOfIsTriedAgain() throws {
        let balancer = try taught(20, 2_000)
        #expect(picks(balancer) == [0])
        for _ in 0..<50 {
            host.advance(by: 1_000_000_000)
            balancer.end(0, firstByte: 20, total: 20)
        }
        // 2 s × e^-5 are 13 ms.
        #expect(picks(balancer) == [1])
    }

    @Test func oneThatWasNeverHeardOfIsTriedOnceAtATime() throws {
        let balancer = try BalancerUnderTest("PeakEWMA", host)
        _ = balancer.pick(pool, exchange)
        balancer.end(0, firstByte: 20, total: 20)
        #expect(picks(balancer) == [1])
        pool.setInFlight(1, 1)
        #expect(picks(balancer) == [0])
    }

    @Test(arguments: [(SLUICE_OK, 429), (SLUICE_OK, 503), (SLUICE_OK, 502), (SLUICE_UNAVAILABLE, 0)])
    func aQuickRefusalCountsAsLoad(status: sluice_status, http: Int) throws {
        let balancer = try taught(20, 10)
        balancer.end(1, status: status, http: UInt32(http), firstByte: status == SLUICE_OK ? 1 : 0, total: 1)
        #expect(picks(balancer) == [0])
    }

    @Test func whatIsNotTheEndpointsFaultDoesNot() throws {
        let balancer = try taught(20, 10)
        balancer.end(1, http: 404, firstByte: 10, total: 10)
        balancer.end(1, http: 500, firstByte: 10, total: 10)
        balancer.end(1, status: SLUICE_CANCELLED, http: 0, firstByte: 0, total: 9)
        balancer.end(0, status: SLUICE_CANCELLED, http: 0, firstByte: 0, total: 1)
        #expect(picks(balancer) == [1])
        // An index from before the pool shrank.
        balancer.end(70, firstByte: 10, total: 10)
    }

    /// A hedge was faster, or the client has left: it would have taken longer.
    @Test func whatWasGivenUpTookAtLeastSoLong() throws {
        let balancer = try taught(20, 10)
        balancer.end(1, status: SLUICE_CANCELLED, http: 0, firstByte: 0, total: 9_000)
        #expect(picks(balancer) == [0])
        // Of one that was never heard of that is something, too.
        let other = try BalancerUnderTest("PeakEWMA", FakeHost())
        _ = other.pick(pool, exchange)
        other.end(0, firstByte: 10, total: 10)
        other.end(1, status: SLUICE_CANCELLED, http: 0, firstByte: 0, total: 9_000)
        #expect(picks(other) == [0])
    }

    @Test func failuresWithoutEndAreForgottenInABoundedTime() throws {
        let balancer = try taught(20, 10)
        for _ in 0..<1_000 { balancer.end(1, status: SLUICE_UNAVAILABLE, http: 0, firstByte: 0, total: 1) }
        #expect(picks(balancer) == [0])
        for _ in 0..<60 {
            host.advance(by: 1_000_000_000)
            balancer.end(0, firstByte: 20, total: 20)
        }
        #expect(picks(balancer) == [1])
    }

    @Test func measuresWhatItIsTold() throws {
        let firstByte = try BalancerUnderTest("PeakEWMA", host)
        _ = firstByte.pick(pool, exchange)
        firstByte.end(0, firstByte: 10, total: 900)
        firstByte.end(1, firstByte: 20, total: 30)
        #expect(picks(firstByte) == [0])
        let other = FakeHost()
        let total = try BalancerUnderTest("PeakEWMA", other, config: ["measure": "total"])
        _ = total.pick(pool, exchange)
        total.end(0, firstByte: 10, total: 900)
        total.end(1, firstByte: 20, total: 30)
        #expect(picks(total) == [1])
    }

    @Test func workersAndGenerationsShareWhatTheyLearn() throws {
        _ = try taught(20, 10)
        let another = try BalancerUnderTest("PeakEWMA", host, worker: 1, workers: 2)
        #expect(picks(another) == [1])
        // In a pool of another order, costs go with the address.
        let turned = FakePool([(inFlight: 0, weight: 1), (inFlight: 0, weight: 1)], names: pool.names.reversed())
        #expect((0..<20).allSatisfy { _ in another.pick(turned, exchange) == 0 })
    }

    /// Endpoints come and go for as long as a gateway runs: the table has room for those of the last hour.
    @Test func endpointsThatAreGoneMakeRoomForOthers() throws {
        let balancer = try BalancerUnderTest("PeakEWMA", host)
        for turn in 0..<20 {
            let names = (0..<4_096).map { "10.\(turn + 1).\($0 >> 8).\($0 & 255):80" }
            _ = balancer.pick(FakePool(names.map { _ in (inFlight: 0, weight: 1) }, names: names), exchange)
        }
        host.advance(by: 3_601_000_000_000)
        _ = try taught(20, 10)
        let another = try BalancerUnderTest("PeakEWMA", host, worker: 1, workers: 2)
        #expect(picks(another) == [1])
        // A slot whose endpoint was heard of within the hour is not taken.
        _ = balancer.pick(FakePool(count: 4_096), exchange)
        host.advance(by: 3_500_000_000_000)
        let third = try BalancerUnderTest("PeakEWMA", host, worker: 1, workers: 2)
        #expect(picks(third) == [1])
    }

    @Test func weightDividesTheLoad() throws {
        let balancer = try taught(20, 10)
        let heavy = FakePool([(inFlight: 0, weight: 5), (inFlight: 0, weight: 1)])
        #expect((0..<20).allSatisfy { _ in balancer.pick(heavy, exchange) == 0 })
    }

    @Test func onlyThoseThatMayBeTakenAre() throws {
        let balancer = try BalancerUnderTest("PeakEWMA", host)
        let large = FakePool(count: 130, eligible: [1, 64, 129])
        let seen = Set((0..<200).map { _ in balancer.pick(large, exchange) })
        #expect(seen == [1, 64, 129])
        #expect(balancer.pick(FakePool(count: 1), exchange) == 0)
    }

    @Test func refusesWhatItDoesNotKnow() throws {
        let table = try LoadedPlugin("PeakEWMA").table(SLUICE_BALANCER, as: sluice_balancer.self)
        for config: ConfigTree in [
            ["decay": 5], ["decay_ms": 1], ["failure_penalty": 0.5], ["measure": "median"],
        ] {
            #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        }
        #expect(host.configurationErrors.map(\.path) == ["decay", "decay_ms", "failure_penalty", "measure"])
    }
}
