/// How checks make an endpoint healthy or not. Times are nanoseconds.
public struct HealthSettings: Sendable, Equatable {
    public enum Initial: UInt8, Sendable { case healthy, unhealthy }

    public var interval: UInt64 = 5_000_000_000
    /// Between checks of what is unhealthy: sooner, as each one may end an outage.
    public var unhealthyInterval: UInt64 = 1_000_000_000
    /// Random share of an interval that is added to it or taken away, 0 to 1: or the checks of a fleet fall together.
    public var jitter: Double = 0.1
    /// Failures in a row after which an endpoint is unhealthy, 1 and more.
    public var unhealthyAfter: UInt32 = 3
    /// Successes in a row after which it is healthy again, 1 and more.
    public var healthyAfter: UInt32 = 2
    /// What an endpoint is taken for before its first check. Healthy: or no pool works before all have been checked.
    public var initial = Initial.healthy
    /// An endpoint that falls ill again within this time of its recovery flaps: each time it needs twice as many
    /// successes to come back, up to eight times as many. 0 does not look.
    public var flapWindow: UInt64 = 60_000_000_000

    public init() {}
}

public enum HealthChange: UInt8, Sendable { case none, becameHealthy, becameUnhealthy }

/// Active health of one endpoint: checks in, changes out. One thread owns it; trivial.
public struct HealthState: Sendable, Equatable {
    /// Doublings of the successes that a flapping endpoint needs.
    static let maximumPenalty: UInt8 = 3

    public private(set) var isHealthy: Bool
    /// Whether a check has ever ended.
    public private(set) var isKnown = false
    /// Checks in a row that contradict the present state.
    private var against: UInt32 = 0
    private var penalty: UInt8 = 0
    private var healthySince: UInt64 = 0

    public init(_ settings: HealthSettings) { isHealthy = settings.initial == .healthy }

    /// Successes in a row that bring it back.
    public func successesNeeded(_ settings: HealthSettings) -> UInt32 {
        // What has never been checked has nothing to make good: its first success is enough.
        if !isKnown { return 1 }
        return max(settings.healthyAfter, 1) << UInt32(penalty)
    }

    /// A check has ended.
    public mutating func record(succeeded: Bool, now: UInt64, _ settings: HealthSettings) -> HealthChange {
        defer { isKnown = true }
        if isHealthy && now &- healthySince >= settings.flapWindow { penalty = 0 }
        if succeeded == isHealthy {
            against = 0
            return .none
        }
        against = against == .max ? .max : against + 1
        guard against >= (isHealthy ? max(settings.unhealthyAfter, 1) : successesNeeded(settings)) else { return .none }
        against = 0
        isHealthy = succeeded
        if succeeded {
            healthySince = now
            return .becameHealthy
        }
        if healthySince != 0 && now &- healthySince < settings.flapWindow {
            penalty = min(penalty + 1, Self.maximumPenalty)
        }
        return .becameUnhealthy
    }

    /// When to check next, after a check that ended at `now`. `random` is 64 random bits. `isAwaited`: the endpoint
    /// serves nobody before a check has succeeded.
    public func nextCheck(
        now: UInt64, random: UInt64, isAwaited: Bool = false, _ settings: HealthSettings
    ) -> UInt64 {
        let interval = isHealthy && !isAwaited ? settings.interval : settings.unhealthyInterval
        let spread = Draw.scaled(interval, by: settings.jitter, cap: interval)
        return now &+ interval &- spread &+ Draw.upTo(spread &* 2, random)
    }

    /// The first check: any time within an interval, so that those of all endpoints do not begin together; of one that
    /// serves nobody before it (`isAwaited`) within a tenth of a second, which keeps apart those of endpoints that come
    /// together.
    public static func firstCheck(
        now: UInt64, random: UInt64, isAwaited: Bool = false, _ settings: HealthSettings
    ) -> UInt64 {
        now &+ Draw.upTo(isAwaited ? min(settings.interval, 100_000_000) : settings.interval, random)
    }
}

/// Whether so few of a pool are healthy that it is better to ask them all: more likely than that nearly all are down is
/// that the checks are wrong, and the few that are left would fall under the load of all (Envoy's documentation, "Panic
/// threshold"). `threshold` in percent, with its fraction: 33.4 are more than one of three; 0 never panics.
@inlinable
public func isPanic(healthy: Int, total: Int, threshold: Double) -> Bool {
    // As many as the threshold says are enough, also where 0.07 of 10,000 are 700.0000000000001, as doubles have them.
    total > 0 && Double(healthy * 100) < Double(total) * threshold - 1e-6
}
