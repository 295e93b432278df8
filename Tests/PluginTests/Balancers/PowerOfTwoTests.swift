import SluiceABI
import Testing

@Suite struct PowerOfTwoTests {
    let host = FakeHost()
    let exchange = FakeExchange()

    private func counts(_ balancer: BalancerUnderTest, _ pool: FakePool, _ picks: Int = 20_000) -> [Int] {
        var seen = [Int](repeating: 0, count: pool.names.count)
        for _ in 0..<picks { seen[Int(balancer.pick(pool, exchange))] += 1 }
        return seen
    }

    @Test func idleEndpointsShareAlike() throws {
        let seen = counts(try BalancerUnderTest("PowerOfTwo", host), FakePool(count: 10))
        #expect(seen.allSatisfy { (1_800...2_200).contains($0) }, "\(seen)")
    }

    @Test func theBusierOfTwoIsNeverTaken() throws {
        let pool = FakePool([(inFlight: 4, weight: 1), (inFlight: 3, weight: 1)])
        #expect(counts(try BalancerUnderTest("PowerOfTwo", host), pool, 200) == [0, 200])
    }

    /// Of n endpoints the busiest loses every draw, the least busy wins each it is in: 2 / n of all.
    @Test func ranksAreTakenAsOftenAsTwoChoicesSay() throws {
        let pool = FakePool((0..<5).map { (inFlight: UInt32($0), weight: 1) })
        let seen = counts(try BalancerUnderTest("PowerOfTwo", host), pool)
        // (n - 1 - rank) pairs of 10 that are alike in likelihood.
        for (rank, pairs) in [4, 3, 2, 1, 0].enumerated() {
            #expect(abs(seen[rank] - pairs * 2_000) < 300, "\(seen)")
        }
    }

    @Test func idleEndpointsShareByWeight() throws {
        let pool = FakePool([(inFlight: 0, weight: 1), (inFlight: 0, weight: 2), (inFlight: 0, weight: 5)])
        let seen = counts(try BalancerUnderTest("PowerOfTwo", host), pool)
        #expect(abs(seen[0] - 2_500) < 300 && abs(seen[1] - 5_000) < 300, "\(seen)")
    }

    @Test func loadCountsForItsWeight() throws {
        let pool = FakePool([(inFlight: 3, weight: 1), (inFlight: 10, weight: 4)])
        #expect(counts(try BalancerUnderTest("PowerOfTwo", host), pool, 100) == [0, 100])
    }

    @Test func onlyThoseThatMayBeTakenAre() throws {
        let balancer = try BalancerUnderTest("PowerOfTwo", host)
        let three = counts(balancer, FakePool(count: 130, eligible: [1, 64, 129]), 9_000)
        #expect(three[1] + three[64] + three[129] == 9_000)
        #expect([1, 64, 129].allSatisfy { (2_700...3_300).contains(three[$0]) })
        #expect(counts(balancer, FakePool(count: 130, eligible: [77]), 10)[77] == 10)
        let weighted = FakePool((0..<70).map { (inFlight: 0, weight: UInt32(1 + $0)) }, eligible: [3, 68])
        #expect(counts(balancer, weighted, 500)[3] + counts(balancer, weighted, 500)[68] > 400)
        #expect(counts(balancer, FakePool(count: 1), 3) == [3])
    }

    /// By weight the same one is drawn again and again. The other is any of the rest, not the next in the list.
    @Test func whereOneOutweighsAllTheSecondIsAnyOther() throws {
        let pool = FakePool((0..<6).map { (inFlight: $0 == 2 ? 1 : 0, weight: $0 == 2 ? 1_000_000_000 : 1) })
        let seen = counts(try BalancerUnderTest("PowerOfTwo", host), pool, 10_000)
        #expect([0, 1, 3, 4, 5].allSatisfy { (1_700...2_300).contains(seen[$0]) }, "\(seen)")
        pool.allow([0, 2, 5])
        let some = counts(try BalancerUnderTest("PowerOfTwo", host), pool, 4_000)
        #expect([0, 5].allSatisfy { (1_700...2_300).contains(some[$0]) }, "\(some)")
    }

    @Test func refusesConfiguration() throws {
        let table = try LoadedPlugin("PowerOfTwo").table(SLUICE_BALANCER, as: sluice_balancer.self)
        #expect(host.create(table.pointee.base, config: ["choices": 3]).status == SLUICE_INVALID_ARGUMENT)
        #expect(host.configurationErrors.map(\.path) == ["choices"])
    }
}
