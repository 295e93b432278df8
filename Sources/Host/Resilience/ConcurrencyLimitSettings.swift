/// How many requests a pool may have under way. Times are nanoseconds.
public struct ConcurrencyLimitSettings: Sendable, Equatable {
    public enum Algorithm: UInt8, Sendable, CaseIterable {
        /// `initial`, for ever.
        case fixed
        /// Compares what answers take now with what they took over a long time: robust where requests differ.
        case gradient2
        /// Compares it with the least that they ever took: quicker, for pools whose requests are alike.
        case vegas
    }

    public var algorithm = Algorithm.fixed
    /// The limit at the beginning, between `minimum` and `maximum`.
    public var initial: UInt32 = 20
    /// Not below what keeps every endpoint busy with something: an estimate that has gone wrong must be able to
    /// recover.
    public var minimum: UInt32 = 4
    public var maximum: UInt32 = 1000
    /// The limit moves once in such a time, by what was measured in it: one answer alone says too little.
    public var window: UInt64 = 100_000_000
    /// … and not before so many answers.
    public var minimumSamples: UInt32 = 10

    /// Gradient: how much slower than over a long time answers may be before the limit shrinks, as a factor.
    public var tolerance: Double = 1.5
    /// Gradient: share of a new estimate in the limit, 0 exclusive to 1.
    public var smoothing: Double = 0.2
    /// Gradient: windows over which the long time reaches: a minute, of busy windows.
    public var longWindow: UInt32 = 600
    /// Gradient: requests that may queue at the endpoints; what the limit probes upwards by.
    public var queueSize: UInt32 = 4
    /// What a window with refused or timed-out requests multiplies the limit with, 0.5 to below 1 (for the gradient).
    public var backoff: Double = 0.9
    /// Vegas: after about this many windows for each request of the limit the least time is measured anew, or a pool
    /// that has become slower would be held down for ever.
    public var probeMultiplier: UInt32 = 30

    public init() {}
}
