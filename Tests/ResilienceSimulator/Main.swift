import Glibc
import ResilienceSimulation

/// `resilience-simulator SEED` replays one run, `resilience-simulator FIRST LAST` runs many. Prints what happened; exit
/// 1 when a property did not hold.
@main
struct Main {
    static func main() {
        let numbers = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
        guard let first = numbers.first, numbers.count == CommandLine.arguments.count - 1, numbers.count <= 2,
            first <= numbers.last ?? first
        else {
            print("usage: resilience-simulator SEED [LAST SEED]")
            exit(2)
        }
        var totals = Array(repeating: 0, count: SimulationReport.Happening.allCases.count)
        var violations = 0
        for seed in first...(numbers.last ?? first) {
            let report = Simulation.run(seed: seed)
            for (index, count) in report.counts.enumerated() { totals[index] += count }
            if let violation = report.violation {
                print("seed \(seed) \(violation)")
                violations += 1
            }
        }
        for (happening, count) in zip(SimulationReport.Happening.allCases, totals) { print("\(happening): \(count)") }
        exit(violations == 0 ? 0 : 1)
    }
}
