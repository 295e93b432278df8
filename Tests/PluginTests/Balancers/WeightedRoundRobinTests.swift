import SluiceABI
import Testing

@Suite struct WeightedRoundRobinTests {
    let host = FakeHost()
    let exchange = FakeExchange()

    private func picks(_ count: Int, _ balancer: BalancerUnderTest, _ pool: FakePool) -> [Int] {
        (0..<count).map { _ in Int(balancer.pick(pool, exchange)) }
    }

    /// The sequence of the commit that brought the algorithm to nginx: { a a b a c a a }.
    @Test func takesTurnsAsNginxDoes() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let pool = FakePool([(inFlight: 0, weight: 5), (inFlight: 0, weight: 1), (inFlight: 0, weight: 1)])
        #expect(picks(14, balancer, pool) == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
    }

    @Test func sharesAreTheWeightsToTheRequest() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let weights = (0..<100).map { UInt32(1 + $0 % 7) }
        let pool = FakePool(weights.map { (inFlight: 0, weight: $0) })
        var seen = [UInt32](repeating: 0, count: 100)
        for index in picks(Int(weights.reduce(0, +)), balancer, pool) { seen[index] += 1 }
        #expect(seen == weights)
    }

    @Test func thoseThatMayNotBeTakenGiveTheirTurnsAway() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let pool = FakePool(
            [(inFlight: 0, weight: 6), (inFlight: 0, weight: 2), (inFlight: 0, weight: 1)], eligible: [1, 2])
        #expect(picks(6, balancer, pool) == [1, 2, 1, 1, 2, 1])
        pool.allow([2])
        #expect(picks(3, balancer, pool) == [2, 2, 2])
        let large = FakePool(count: 130, eligible: [1, 64, 129])
        #expect(picks(6, balancer, large).sorted() == [1, 1, 64, 64, 129, 129])
    }

    @Test func configuredWeightsReplaceThePools() throws {
        let balancer = try BalancerUnderTest(
            "WeightedRoundRobin", host, config: ["weights": ["10.0.0.1:80": 3, "10.9.9.9:80": 50]])
        let pool = FakePool(count: 2)
        #expect(picks(8, balancer, pool).filter { $0 == 1 }.count == 6)
    }

    @Test func weightsOfZeroHaveNoTurnUnlessAllAreSo() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let some = FakePool([(inFlight: 0, weight: 0), (inFlight: 0, weight: 2)])
        #expect(picks(4, balancer, some) == [1, 1, 1, 1])
        let none = FakePool([(inFlight: 0, weight: 0), (inFlight: 0, weight: 0)])
        #expect(picks(4, balancer, none) == [0, 1, 0, 1])
        none.allow([1])
        #expect(picks(2, balancer, none) == [1, 1])
    }

    @Test func hugeWeightsKeepTheirShares() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let pool = FakePool([(inFlight: 0, weight: .max), (inFlight: 0, weight: .max / 4)])
        #expect((780...820).contains(picks(1_000, balancer, pool).filter { $0 == 0 }.count))
    }

    @Test func theRoundGoesOnWhenAnEndpointLeaves() throws {
        let balancer = try BalancerUnderTest("WeightedRoundRobin", host)
        let four = FakePool(count: 4)
        #expect(picks(2, balancer, four) == [0, 1])
        // 2 and 3 have not had their turn; 0 is gone.
        let three = FakePool(
            Array(repeating: (inFlight: 0, weight: 1), count: 3), names: Array(four.names.dropFirst()))
        #expect(picks(2, balancer, three).sorted() == [1, 2])
        #expect(picks(1, balancer, FakePool(count: 1)) == [0])
    }

    @Test func workersBeginApart() throws {
        let first = try (0..<4).map { worker in
            let balancer = try BalancerUnderTest("WeightedRoundRobin", host, worker: UInt32(worker), workers: 4)
            return picks(1, balancer, FakePool(count: 8))[0]
        }
        #expect(first == [0, 2, 4, 6])
    }

    @Test func refusesWeightsThatAreNone() throws {
        let table = try LoadedPlugin("WeightedRoundRobin").table(SLUICE_BALANCER, as: sluice_balancer.self)
        let wrong: [ConfigTree] = [
            ["wieghts": [:]], ["weights": ["10.0.0.1:80": 0]], ["weights": ["10.0.0.1:80": "x"]],
        ]
        for config in wrong {
            #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        }
        #expect(host.configurationErrors.map(\.path) == ["wieghts", "weights.10.0.0.1:80", "weights.10.0.0.1:80"])
    }
}
