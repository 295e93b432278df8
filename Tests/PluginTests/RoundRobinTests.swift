import SluiceABI
import Testing

@Suite struct RoundRobinTests {
    let host = FakeHost()
    let exchange = FakeExchange()

    @Test func takesOneAfterTheOther() throws {
        let balancer = try BalancerUnderTest("RoundRobin", host)
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 3))
        #expect((0..<7).map { _ in balancer.pick(pool, exchange) } == [0, 1, 2, 0, 1, 2, 0])
    }

    @Test func passesOverThoseThatAreNotEligible() throws {
        let balancer = try BalancerUnderTest("RoundRobin", host)
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 130), eligible: [1, 64, 129])
        #expect((0..<6).map { _ in balancer.pick(pool, exchange) } == [1, 64, 129, 1, 64, 129])
    }

    @Test func retriesLeaveTheTurnsOfFirstAttemptsAlone() throws {
        let balancer = try BalancerUnderTest("RoundRobin", host)
        #expect(balancer.firstsAndRetries(count: 2, failing: 0, exchange, of: 6).firsts == [0, 1, 0, 1, 0, 1])
        let (firsts, retries) = balancer.firstsAndRetries(count: 3, failing: 0, exchange, of: 12)
        #expect(firsts == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
        #expect(retries.sorted() == [1, 1, 2, 2], "\(retries)")
    }

    @Test func workersBeginApart() throws {
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 8))
        let first = try (0..<4).map { worker in
            try BalancerUnderTest("RoundRobin", host, worker: UInt32(worker), workers: 4).pick(pool, exchange)
        }
        #expect(first == [0, 2, 4, 6])
    }

    @Test func goesOnWhenThePoolShrinks() throws {
        let balancer = try BalancerUnderTest("RoundRobin", host)
        let large = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 8))
        for _ in 0..<6 { _ = balancer.pick(large, exchange) }
        let small = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 2))
        #expect((0..<3).map { _ in balancer.pick(small, exchange) } == [0, 1, 0])
    }

    @Test func refusesConfiguration() throws {
        let table = try LoadedPlugin("RoundRobin").table(SLUICE_BALANCER, as: sluice_balancer.self)
        #expect(host.create(table.pointee.base, config: ["weighted": true]).status == SLUICE_INVALID_ARGUMENT)
        #expect(host.configurationErrors.map(\.path) == ["weighted"])
        #expect(host.create(table.pointee.base, config: [:]).status == SLUICE_OK)
    }
}
