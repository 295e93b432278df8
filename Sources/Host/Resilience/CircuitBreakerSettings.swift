/// When a breaker opens, for how long, and what closes it again. Times are nanoseconds.
public struct CircuitBreakerSettings: Sendable, Equatable {
    /// Probes that may be under way at once: as many as a cell has places for. More would be traffic, not a trial.
    public static let maximumProbes: UInt32 = 8

    /// Failures in a row that open the breaker; 0 does not count them. Five, as a single lost connection or two mean
    /// nothing, and at any load worth a breaker five come within a second.
    public var failureThreshold: UInt32 = 5
    /// Share of failed requests in `window` that opens the breaker, 0 exclusive to 100; 0 does not measure it.
    public var failurePercent: Double = 0
    /// How far back the rate looks. Kept in six parts, the oldest of which is dropped whole: the rate covers between
    /// five sixths of it and all.
    public var window: UInt64 = 10_000_000_000
    /// Requests in `window` below which the rate says nothing.
    public var minimumRequests: UInt32 = 20
    /// How long the breaker stays open before it lets probes through, at least. A few seconds are what a process needs
    /// to come back.
    public var resetTimeout: UInt64 = 5_000_000_000
    /// Each time that probes fail, the next time open is this many times longer; 1 keeps it.
    public var resetGrowth: Double = 2
    /// The longest that `resetTimeout` grows to.
    public var resetCap: UInt64 = 60_000_000_000
    /// Random share of the time open that is added to it, 0 to 1, so that gateways do not probe in step.
    public var jitter: Double = 0.1
    /// Probes under way at once, 1 to `maximumProbes`.
    public var halfOpenProbes: UInt32 = 1
    /// Probes that must succeed before the breaker closes.
    public var successesToClose: UInt32 = 1
    /// After this long a probe of which nothing was heard gives up its place. Not below the time that a request may
    /// take, or more probes than allowed are under way.
    public var probeTimeout: UInt64 = 60_000_000_000

    public init() {}
}

/// What a request takes along from `admits` to `record` or `cancel`: which life of the breaker it belongs to, and the
/// place of a probe. Eight bytes, trivial.
public struct CircuitBreakerTicket: Sendable, Equatable {
    @usableFromInline let bits: UInt64

    @inlinable
    init(bits: UInt64) { self.bits = bits }

    /// Of no breaker: recording it does nothing.
    public static let none = CircuitBreakerTicket(bits: 0)

    // From the top: valid 1, probe 1, zero 11, epoch 19, zero 3, place 3, serial 26.
    @usableFromInline static let validBit: UInt64 = 1 << 63
    @usableFromInline static let probeBit: UInt64 = 1 << 62

    public var isProbe: Bool { bits & Self.probeBit != 0 }

    @inlinable
    static func closed(epoch: UInt64) -> CircuitBreakerTicket { .init(bits: validBit | epoch << 32) }
    @inlinable
    static func probe(epoch: UInt64, place: Int, serial: UInt64) -> CircuitBreakerTicket {
        .init(bits: validBit | probeBit | epoch << 32 | UInt64(truncatingIfNeeded: place) << 26 | serial)
    }
    @inlinable var epoch: UInt64 { bits >> 32 & BreakerWord.epochMask }
    @inlinable var place: Int { Int(truncatingIfNeeded: bits >> 26 & 7) }
    @inlinable var serial: UInt64 { bits & ProbePlace.serialMask }
}

/// Whether a request may go to what the breaker guards.
public enum CircuitBreakerAdmission: Sendable, Equatable {
    case closed(CircuitBreakerTicket)
    /// It may, as one of few that try whether it is well again.
    case probe(CircuitBreakerTicket)
    case refused
}

/// What `record` changed; told to one caller only.
public enum CircuitBreakerChange: Sendable, Equatable {
    case none, opened, closed
}

public enum CircuitBreakerState: Sendable, Equatable {
    case closed
    /// Nanoseconds until probes are let through; 0 when the next request is one.
    case open(remaining: UInt64)
    /// With so many probes under way and so many that succeeded.
    case halfOpen(probes: Int, successes: Int)
}
