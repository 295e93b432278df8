/// A limit as a token bucket: `amount` units come back in `period`, and `burst` of them fit in.
///
/// Buckets are kept by the generic cell rate algorithm (ITU-T I.371, annex A): the state is the time at which the
/// bucket will be full again, in nanoseconds of the monotonic clock. A unit takes the time in which one comes back, a
/// bucket may be `tolerance` away from full, and nothing has to be filled up as time goes by.
public struct Rate: Equatable, Sendable {
    public let amount: UInt64
    /// Nanoseconds.
    public let period: UInt64
    /// Units that a full bucket holds.
    public let burst: UInt64
    /// Nanoseconds in which an empty bucket fills up.
    public let tolerance: UInt64

    /// What one charge may come to, and what a bucket may be behind: 104 days. Sums of two still fit with room to
    /// spare.
    public static let longest: UInt64 = 1 << 53

    /// Nil when one of them is 0, when filling up takes longer than 52 days, or when units come faster than 10^9 a
    /// second: then a unit would take less than the clock can tell.
    public init?(amount: UInt64, period: UInt64, burst: UInt64) {
        guard amount > 0, period > 0, burst > 0, amount <= period else { return nil }
        self.amount = amount
        self.period = period
        self.burst = burst
        tolerance = Self.time(burst, amount, period)
        guard tolerance < Self.longest / 2 else { return nil }
    }

    /// Nanoseconds in which so many units come back, rounded up: to the safe side, by less than a nanosecond a charge.
    public func cost(_ units: UInt64) -> UInt64 { Self.time(units, amount, period) }

    /// Whole units that come back in so many nanoseconds.
    public func units(_ time: UInt64) -> UInt64 {
        let product = time.multipliedFullWidth(by: amount)
        guard product.high < period else { return .max }
        return period.dividingFullWidth(product).quotient
    }

    private static func time(_ units: UInt64, _ amount: UInt64, _ period: UInt64) -> UInt64 {
        let product = units.multipliedFullWidth(by: period)
        guard product.high < amount else { return longest }
        let (quotient, remainder) = amount.dividingFullWidth(product)
        return min(quotient, longest - 1) + (remainder == 0 ? 0 : 1)
    }

    /// Whole seconds, rounded up.
    public static func seconds(_ nanoseconds: UInt64) -> UInt64 { (nanoseconds &+ 999_999_999) / 1_000_000_000 }
}
