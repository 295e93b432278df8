/// How long to wait before a retry: exponential with full jitter, any time between nothing and a bound that grows
/// (M. Brooker: Exponential Backoff And Jitter, AWS Architecture Blog, 2015, which compares it with other ways of
/// spreading and finds the least work and time). Nanoseconds.
public struct Backoff: Sendable, Equatable {
    /// The bound before the first retry.
    public var base: UInt64 = 25_000_000
    /// What the bound grows by with each further one; 1 keeps it.
    public var factor: Double = 2
    /// Where it stops growing. Longer waits are of no use to a client that waits along.
    public var cap: UInt64 = 1_000_000_000

    public init() {}

    public init(base: UInt64, factor: Double, cap: UInt64) {
        self.base = base
        self.factor = factor
        self.cap = cap
    }

    /// The longest wait before retry `retry`, 0 the first.
    public func bound(beforeRetry retry: UInt32) -> UInt64 {
        var bound = min(base, cap)
        var step: UInt32 = 0
        // A factor of one or less would not reach the cap: what it gives for ever is the base.
        while step < retry && bound < cap && factor > 1 && bound > 0 {
            bound = Draw.scaled(bound, by: factor, cap: cap)
            step &+= 1
        }
        return bound
    }

    /// Uniform in `0...bound(beforeRetry:)`.
    public func delay(beforeRetry retry: UInt32, random: UInt64) -> UInt64 {
        Draw.upTo(bound(beforeRetry: retry), random)
    }
}
