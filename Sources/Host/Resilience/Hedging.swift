/// When a second attempt is made beside the first (J. Dean and L. Barroso, "The Tail at Scale", CACM 56(2), 2013).
/// Times are nanoseconds.
public struct HedgeSettings: Sendable, Equatable {
    /// After so long; nil: after the percentile of the pool's latencies.
    public var delay: UInt64?
    /// 0 to 1.
    public var percentile: Double = 0.95
    /// Never sooner.
    public var minimumDelay: UInt64 = 1_000_000
    /// With fewer latencies known there is no percentile, and no hedge.
    public var minimumSamples: UInt64 = 100
    /// Of the requests of one worker, 0 to 1.
    public var share: Double = 0.1
    /// Under way at once in the pool, over all workers.
    public var inFlightAtMost: UInt32 = 10

    public init() {}

    /// When a hedge is due after the begin of an attempt; nil: never.
    public func delay(_ histogram: LatencyHistogram) -> UInt64? {
        if let delay { return max(delay, 1) }
        guard histogram.count >= minimumSamples, let latency = histogram.quantile(percentile) else { return nil }
        return max(latency, minimumDelay)
    }
}

/// Hedges as a share of requests: each request adds the share, each hedge takes 1. So over any number n of requests
/// there are at most n × share hedges, whatever the latencies do: where all answers become slow at once, hedges
/// would double the load that made them slow.
public struct HedgeAllowance: Sendable, Equatable {
    /// Enough for a few slow answers at the same moment.
    private static let savedAtMost: Double = 10
    private var saved: Double = 0

    public init() {}

    public mutating func requestBegins(_ settings: HedgeSettings) {
        saved = min(saved + settings.share, Self.savedAtMost)
    }

    /// Takes one; false: there is none.
    public mutating func take() -> Bool {
        guard saved >= 1 else { return false }
        saved -= 1
        return true
    }
}
