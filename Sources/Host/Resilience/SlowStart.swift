import Glibc

/// A new endpoint has cold caches and no connections: it gets its share of requests by and by. Times are nanoseconds.
public struct SlowStartSettings: Sendable, Equatable {
    /// How long it takes; 0 does without.
    public var window: UInt64 = 0
    /// 1 grows evenly; above, fast at first; below, slowly at first.
    public var aggression: Double = 1
    /// What an endpoint begins with, above 0 to 1: with nothing it would never be warm.
    public var minimumFactor: Double = 0.1

    public init() {}
}

public enum SlowStart {
    /// What to multiply the weight of an endpoint with that has been in the pool, or back in it, since `since`: from
    /// `minimumFactor` to 1, as (elapsed / window)^(1 / aggression). The formula is Envoy's (its documentation, "Slow
    /// start mode").
    public static func factor(now: UInt64, since: UInt64, _ settings: SlowStartSettings) -> Double {
        guard settings.window > 0, now >= since else { return settings.window == 0 ? 1 : settings.minimumFactor }
        let elapsed = now - since
        guard elapsed < settings.window else { return 1 }
        let share = Double(elapsed) / Double(settings.window)
        let grown = settings.aggression == 1 ? share : pow(share, 1 / max(settings.aggression, 0.001))
        return min(max(grown, settings.minimumFactor), 1)
    }
}
