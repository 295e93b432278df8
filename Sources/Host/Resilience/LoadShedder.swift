/// When to refuse requests before the queue is full, and which.
public struct LoadShedderSettings: Sendable, Equatable {
    /// Pressure above which requests are refused, 0 to below 1; 1 refuses none.
    public var start: Double = 0.7
    /// The wait of the oldest request that is full pressure, nanoseconds; 0 looks at the queue's length alone.
    public var targetWait: UInt64 = 0
    /// What `Retry-After` says at least, and at most under full pressure; seconds.
    public var retryAfterLeast: UInt32 = 1
    public var retryAfterMost: UInt32 = 10

    public init() {}
}

/// Load shedding by priority: the higher the pressure, the more of the low priorities are refused, so that the high
/// ones still find room. A client that is refused at once can go elsewhere; one that waits for nothing costs both sides
/// (Google: Site Reliability Engineering, ch. 21, "Criticality"). Pure.
public enum LoadShedder {
    /// How full a pool is, 0 to 1: the fuller of its queue's room and of the time that may be waited.
    public static func pressure(
        queued: Int, capacity: Int, longestWait: UInt64, _ settings: LoadShedderSettings
    ) -> Double {
        let room = capacity > 0 ? Double(queued) / Double(capacity) : 0
        let wait = settings.targetWait > 0 ? Double(longestWait) / Double(settings.targetWait) : 0
        return min(max(room, wait), 1)
    }

    /// Whether a request is let in. Between `start` and 1 the priorities 9 to 1 are given up in turn, each by and by,
    /// so that no step of the pressure turns a whole class away; priority 0 is never refused here. `random`: 64 random
    /// bits.
    public static func admits(
        priority: UInt8, pressure: Double, random: UInt64, _ settings: LoadShedderSettings
    ) -> Bool {
        // How many of the nine are refused; the one that the fraction falls on, with that probability.
        let refused = excess(pressure, settings) * 9 - Double(9 - min(priority, 9))
        if refused <= 0 { return true }
        return refused < 1 && Draw.unit(random) >= refused
    }

    /// Seconds for `Retry-After`: drawn from a range that widens with the pressure, or all who were refused return
    /// together.
    public static func retryAfter(pressure: Double, random: UInt64, _ settings: LoadShedderSettings) -> UInt32 {
        let least = settings.retryAfterLeast
        let range = max(settings.retryAfterMost, least) - least
        let most = UInt64((Double(range) * excess(pressure, settings)).rounded(.up))
        return least + UInt32(Draw.upTo(most, random))
    }

    private static func excess(_ pressure: Double, _ settings: LoadShedderSettings) -> Double {
        guard settings.start < 1 else { return 0 }
        return min(max((pressure - settings.start) / (1 - settings.start), 0), 1)
    }
}
