import Resilience
import Testing

@Suite("Zone preference") struct ZonePreferenceTests {
    private func side(_ healthy: Int, of total: Int, weight: Double = 1) -> ZonePreference.Side {
        var side = ZonePreference.Side()
        for index in 0..<total { side.add(weight: weight, isHealthy: index < healthy) }
        return side
    }

    private func share(
        _ own: ZonePreference.Side, _ others: ZonePreference.Side,
        _ change: (inout ZonePreferenceSettings) -> Void = { _ in }
    ) -> Double? {
        var settings = ZonePreferenceSettings()
        change(&settings)
        return ZonePreference.localShare(own: own, others: others, settings)
    }

    @Test func allStayWhileEnoughAreHealthy() {
        #expect(share(side(10, of: 10), side(10, of: 10)) == 1)
        #expect(share(side(7, of: 10), side(10, of: 10)) == 1)
    }

    @Test func theRestSpillsOverInProportion() throws {
        let found = try #require(share(side(35, of: 100), side(100, of: 100)))
        #expect(abs(found - 0.5) < 1e-9)
    }

    @Test func withoutAHealthyOneOnEitherSideNoneIsPreferred() {
        #expect(share(side(0, of: 10), side(10, of: 10)) == nil)
        #expect(share(side(3, of: 10), side(0, of: 10)) == nil)
        #expect(share(side(0, of: 0), side(10, of: 10)) == nil)
    }

    @Test func whenBothCannotBearAllTheyShareIt() throws {
        // 0.5 and 0.25 of what there is to bear.
        let found = try #require(share(side(35, of: 100), side(175, of: 1_000)))
        #expect(abs(found - 2.0 / 3) < 1e-9)
    }

    @Test func aZoneMayTakeLessThanAll() throws {
        let found = try #require(share(side(2, of: 2), side(8, of: 8)) { $0.share = 0.4 })
        #expect(abs(found - 0.4) < 1e-9)
    }

    @Test func tooFewInTheZoneAreNotPreferred() {
        #expect(share(side(2, of: 2), side(8, of: 8)) { $0.minimumEndpoints = 3 } == nil)
        #expect(share(side(3, of: 3), side(8, of: 8)) { $0.minimumEndpoints = 3 } == 1)
    }

    @Test func weightsCountNotHeads() throws {
        var own = ZonePreference.Side()
        own.add(weight: 1, isHealthy: true)
        own.add(weight: 9, isHealthy: false)
        let found = try #require(share(own, side(5, of: 5)))
        #expect(abs(found - 0.1 / 0.7) < 1e-9)
    }
}

@Suite("What a warming endpoint may have") struct SlowStartRationTests {
    /// What an endpoint of `share` gets of a pool whose balancer would send it all that is allowed.
    @Test(arguments: [0.01, 0.1, 0.25, 0.9] as [Float])
    func aGreedyBalancerGetsTheShareAndNoMore(share: Float) {
        var ration = SlowStartRation()
        ration.share = share
        var taken = 0
        for attempt in 1...10_000 {
            let here = ration.allows
            ration.attemptBegins(here: here)
            if here { taken += 1 }
            #expect(Float(taken) <= Float(attempt) * share + 2, "attempt \(attempt)")
        }
        #expect(Float(taken) > 10_000 * share - 3)
    }

    /// One that goes round comes by once in `count` attempts.
    @Test func aRoundBalancerLosesNothingOfIt() {
        let count = 10
        var ration = SlowStartRation()
        ration.share = 0.05
        var taken = 0
        var next = 0
        for _ in 0..<10_000 {
            if next == 0, !ration.allows { next = 1 }
            ration.attemptBegins(here: next == 0)
            if next == 0 { taken += 1 }
            next = (next + 1) % count
        }
        #expect((480...502).contains(taken), "\(taken)")
    }

    @Test func aLongRestSavesUpLittle() {
        var ration = SlowStartRation()
        ration.share = 0.5
        for _ in 0..<1_000 { ration.attemptBegins(here: false) }
        var inARow = 0
        while ration.allows {
            ration.attemptBegins(here: true)
            inARow += 1
        }
        #expect(inARow <= 3)
    }

    @Test func thoseThatCameTogetherAreNotHeldBack() {
        #expect(SlowStart.share(factor: 0.1, weight: 1, greatest: 0.1, total: 0.3) == nil)
        #expect(SlowStart.share(factor: 0.5, weight: 1, greatest: 0.5, total: 1.5) == nil)
        let share = SlowStart.share(factor: 0.1, weight: 2, greatest: 1, total: 10.2)
        #expect(share.map { abs($0 - 0.2 / 10.2) < 1e-9 } == true)
    }
}
