import BalancerSimulation
import Testing

/// The simulation of `Benchmarks/pick.py --quality`, in virtual time: one slow endpoint of ten.
@Suite(.serialized) struct BalancingQualityTests {
    private func simulate(_ name: String, _ perSecond: Double, seed: UInt64 = 1) throws -> balancers_quality {
        let library = try LoadedPlugin.buildDirectory() + "/lib\(name).so"
        // The entry may be called by one thread at a time.
        _ = try LoadedPlugin(name)
        var quality = balancers_quality()
        if let problem = balancers_simulate(library, perSecond, 25, seed, &quality) {
            throw LoadedPlugin.Failure(description: "\(name): \(String(cString: problem))")
        }
        return quality
    }

    @Test(arguments: ["PowerOfTwo", "PeakEWMA"]) func whoLooksAtLoadBeatsRoundRobin(name: String) throws {
        for load in [300.0, 2_200] {
            let blind = try simulate("RoundRobin", load)
            let seeing = try simulate(name, load)
            #expect(seeing.requests > UInt64(load * 14))
            #expect(seeing.p99 < blind.p99 * 0.75, "\(seeing.p99) ms against \(blind.p99) ms at \(load) a second")
        }
    }

    @Test func whoLooksAtLatencyAvoidsTheSlowOneWhereLoadDoesNotTell() throws {
        let choices = try simulate("PowerOfTwo", 300)
        let latency = try simulate("PeakEWMA", 300)
        #expect(latency.slow_share < choices.slow_share / 2, "\(latency.slow_share), \(choices.slow_share)")
    }

    @Test func theSameSeedGivesTheSameAnswer() throws {
        let first = try simulate("PeakEWMA", 2_200, seed: 7)
        let second = try simulate("PeakEWMA", 2_200, seed: 7)
        #expect(first.mean == second.mean && first.p999 == second.p999)
        #expect(try simulate("PeakEWMA", 2_200, seed: 8).mean != first.mean)
    }
}
