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

/// What an endpoint that is warming up may have of the attempts of its pool: a ceiling that holds whatever the balancer
/// would do. One that looks at loads would send a new endpoint, which has none, all that there is; one that knows
/// nothing of warming up would send it a whole share.
///
/// Every attempt of the pool adds the endpoint's share to a credit, and one on the endpoint takes 1 away. While less
/// than 1 is there the endpoint may not be picked. So over any number n of attempts it has at most n × share + 2.
public struct SlowStartRation: Sendable, Equatable {
    /// Of the attempts, 0 to 1.
    public var share: Float = 0
    /// A balancer that goes round may let an endpoint wait for a turn of the pool, so that one attempt's worth alone
    /// would be lost to it; two are saved.
    private static let creditAtMost: Float = 2
    private var credit: Float = 0

    public init() {}

    public var allows: Bool { credit >= 1 }

    /// An attempt begins on some endpoint of the pool.
    public mutating func attemptBegins(here: Bool) {
        credit = min(credit + share - (here ? 1 : 0), Self.creditAtMost)
    }
}

extension SlowStart {
    /// An endpoint is as warm as any when its factor is at least that part of the greatest one: those that came in
    /// together have together what there is.
    private static let asWarm: Double = 0.95

    /// The share of a pool's attempts that an endpoint of a factor and a weight may have; nil: it is not held back.
    /// - Parameters:
    ///   - greatest: the greatest factor in the pool.
    ///   - total: of weight × factor over the pool's endpoints that may be picked.
    public static func share(factor: Double, weight: Double, greatest: Double, total: Double) -> Double? {
        guard factor < greatest * asWarm, total > 0 else { return nil }
        return factor * weight / total
    }
}
