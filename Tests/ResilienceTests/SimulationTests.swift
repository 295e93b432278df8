import Glibc
import ResilienceSimulation
import Testing

/// The machines together, under a virtual clock. A seed that fails is replayed by `Scripts/simulate.sh SEED`.
@Suite("Simulation")
struct SimulationTests {
    static let seedsInAPart: UInt64 = 1000
    /// A sanitizer takes ten times as long.
    static let parts: Range<UInt64> = getenv("SLUICE_TEST_SANITIZER") == nil ? 0..<10 : 0..<1

    @Test("What must hold, holds for 10,000 seeds, in each of which everything may go wrong", arguments: parts)
    func properties(part: UInt64) {
        var counts = Array(repeating: 0, count: SimulationReport.Happening.allCases.count)
        for seed in part * Self.seedsInAPart..<(part + 1) * Self.seedsInAPart {
            let report = Simulation.run(seed: seed)
            if let violation = report.violation {
                Issue.record("seed \(seed), \(violation); replay it with Scripts/simulate.sh \(seed)")
            }
            for (index, count) in report.counts.enumerated() { counts[index] += count }
        }
        // Properties of what never happened would hold for nothing.
        for happening in SimulationReport.Happening.allCases {
            #expect(counts[happening.rawValue] > 10, "\(happening) happened too seldom")
        }
    }

    @Test("A seed always replays the same run, another one another")
    func replay() {
        let digests = (0..<50 as Range<UInt64>).map { Simulation.run(seed: $0).digest }
        #expect(digests == (0..<50 as Range<UInt64>).map { Simulation.run(seed: $0).digest })
        #expect(Set(digests).count == 50)
    }
}
