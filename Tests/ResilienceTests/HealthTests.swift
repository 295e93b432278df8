import Testing

@testable import Resilience

@Suite("Active health")
struct HealthTests {
    /// What checks one second apart change.
    static func changes(_ checks: [Bool], _ settings: HealthSettings) -> [HealthChange] {
        var state = HealthState(settings)
        var now = 100 * second
        return checks.map { check in
            now += second
            return state.record(succeeded: check, now: now, settings)
        }
    }

    @Test("So many failures in a row make it unhealthy, so many successes healthy")
    func thresholds() {
        var settings = HealthSettings()
        settings.unhealthyAfter = 3
        settings.healthyAfter = 2
        let changes = Self.changes([true, false, false, true, false, false, false, true, false, true, true], settings)
        #expect(changes[6] == .becameUnhealthy)
        #expect(changes[10] == .becameHealthy)
        #expect(changes.count { $0 != .none } == 2)
    }

    @Test("What begins unhealthy is well with its first success; later it needs as many as always")
    func initial() {
        var settings = HealthSettings()
        settings.initial = .unhealthy
        settings.healthyAfter = 3
        #expect(!HealthState(settings).isHealthy)
        #expect(Self.changes([true], settings) == [.becameHealthy])
        #expect(Self.changes([false, true, true, true], settings) == [.none, .none, .none, .becameHealthy])
        settings.initial = .healthy
        #expect(HealthState(settings).isHealthy)
        #expect(Self.changes([false], settings) == [.none])
    }

    @Test("Who flaps needs twice as many successes each time, until it stays well for a while")
    func flapping() {
        var settings = HealthSettings()
        settings.unhealthyAfter = 1
        settings.healthyAfter = 2
        var state = HealthState(settings)
        var now = 1000 * second
        func successesUntilHealthy() -> Int {
            var count = 0
            while count < 100 {
                now += second
                count += 1
                if state.record(succeeded: true, now: now, settings) == .becameHealthy { return count }
            }
            return count
        }
        var needed: [Int] = []
        for _ in 0..<6 {
            now += second
            #expect(state.record(succeeded: false, now: now, settings) == .becameUnhealthy)
            needed.append(successesUntilHealthy())
        }
        #expect(needed == [2, 4, 8, 16, 16, 16])
        now += settings.flapWindow
        #expect(state.record(succeeded: false, now: now, settings) == .becameUnhealthy)
        #expect(successesUntilHealthy() == 2)
    }

    @Test("Checks are spread around their interval, and come sooner for what is unhealthy")
    func nextCheck() {
        var settings = HealthSettings()
        settings.jitter = 0.2
        settings.unhealthyAfter = 1
        var state = HealthState(settings)
        #expect(state.nextCheck(now: 7, random: 0, settings) == 7 + 4 * second)
        #expect(state.nextCheck(now: 7, random: .max, settings) == 7 + 6 * second)
        _ = state.record(succeeded: false, now: 7, settings)
        #expect(state.nextCheck(now: 7, random: 0, settings) == 7 + 800 * millisecond)
        #expect(HealthState.firstCheck(now: 7, random: 0, settings) == 7)
        #expect(HealthState.firstCheck(now: 7, random: .max, isAwaited: true, settings) == 7 + 100 * millisecond)
        #expect(HealthState(settings).nextCheck(now: 7, random: 0, isAwaited: true, settings) == 7 + 800 * millisecond)
        settings.interval = 30 * millisecond
        #expect(HealthState.firstCheck(now: 7, random: .max, isAwaited: true, settings) == 7 + 30 * millisecond)
        settings.interval = 5 * second
        #expect(HealthState.firstCheck(now: 7, random: .max, settings) == 7 + 5 * second)
    }

    @Test("A pool of which too few are healthy panics")
    func panic() {
        #expect(isPanic(healthy: 4, total: 10, threshold: 50))
        #expect(!isPanic(healthy: 5, total: 10, threshold: 50))
        #expect(!isPanic(healthy: 0, total: 10, threshold: 0))
        #expect(isPanic(healthy: 0, total: 1, threshold: 1))
        #expect(!isPanic(healthy: 0, total: 0, threshold: 50))
        // Fractions of a percent count, and as many as that are enough.
        #expect(isPanic(healthy: 1, total: 3, threshold: 33.4))
        #expect(!isPanic(healthy: 1, total: 3, threshold: 33.3))
        #expect(isPanic(healthy: 0, total: 1, threshold: 0.4))
        #expect(!isPanic(healthy: 7, total: 10_000, threshold: 0.07))
        #expect(isPanic(healthy: 6, total: 10_000, threshold: 0.07))
    }
}

@Suite("Slow start")
struct SlowStartTests {
    @Test("Weight grows from the least to all of it over the window")
    func growth() {
        var settings = SlowStartSettings()
        settings.window = 100
        func factor(_ elapsed: UInt64) -> Double { SlowStart.factor(now: 1000 + elapsed, since: 1000, settings) }
        #expect([0, 5, 10, 50, 99, 100, 5000].map(factor) == [0.1, 0.1, 0.1, 0.5, 0.99, 1, 1])
        settings.aggression = 2
        #expect(abs(factor(25) - 0.5) < 1e-9)
        settings.aggression = 0.5
        #expect(abs(factor(50) - 0.25) < 1e-9)
        #expect(SlowStart.factor(now: 10, since: 1000, settings) == 0.1)
        settings.window = 0
        #expect(factor(0) == 1)
    }
}

@Suite("Subsets")
struct SubsetTests {
    @Test("Each gateway has as many as it should, in order, and always the same")
    func size() {
        for client in 0..<40 {
            let subset = Subsets.endpoints(of: 23, size: 5, client: client)
            #expect(subset.count == 5 && subset == subset.sorted() && Set(subset).count == 5)
            #expect(subset.allSatisfy { (0..<23).contains($0) })
            #expect(subset == Subsets.endpoints(of: 23, size: 5, client: client))
        }
    }

    @Test("Small pools are taken whole")
    func whole() {
        #expect(Subsets.endpoints(of: 3, size: 5, client: 9) == [0, 1, 2])
        #expect(Subsets.endpoints(of: 5, size: 5, client: 9) == [0, 1, 2, 3, 4])
        #expect(Subsets.endpoints(of: 4, size: 0, client: 9) == [0, 1, 2, 3])
        #expect(Subsets.endpoints(of: 0, size: 3, client: 0).isEmpty)
    }

    @Test("Full rounds give each endpoint the same number of gateways, and rounds differ")
    func balance() {
        var gateways = Array(repeating: 0, count: 30)
        for client in 0..<30 {
            for endpoint in Subsets.endpoints(of: 30, size: 6, client: client) { gateways[endpoint] += 1 }
        }
        #expect(gateways.allSatisfy { $0 == 6 })
        let first = (0..<5).map { Subsets.endpoints(of: 30, size: 6, client: $0) }
        let second = (5..<10).map { Subsets.endpoints(of: 30, size: 6, client: $0) }
        #expect(Set(first).isDisjoint(with: Set(second)))
    }
}
