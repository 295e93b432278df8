/// What the machines here make of 64 random bits that their caller draws. They hold no generator of their own, so that
/// a run can be replayed from its seed.
@usableFromInline
enum Draw {
    /// Uniform in `0...bound`. The high half of a product needs no division; its bias is below `bound` / 2⁶⁴
    /// (D. Lemire: Fast Random Integer Generation in an Interval, 2019, §3).
    @inlinable
    static func upTo(_ bound: UInt64, _ random: UInt64) -> UInt64 {
        bound == .max ? random : random.multipliedFullWidth(by: bound &+ 1).high
    }

    /// Uniform in `0..<1`.
    @inlinable
    static func unit(_ random: UInt64) -> Double { Double(random >> 11) * 0x1p-53 }

    /// `duration` times a factor of 0 and more, at most `cap`. Nanoseconds.
    @inlinable
    static func scaled(_ duration: UInt64, by factor: Double, cap: UInt64) -> UInt64 {
        let product = Double(duration) * factor
        return product < Double(cap) ? UInt64(product) : cap
    }
}
