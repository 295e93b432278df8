/// A fast generator of numbers that look random, not against an adversary: SplitMix64 (Steele, Lea and Flood, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014). One word of state; equal seeds draw alike. Each user has
/// its own.
@frozen
public struct SplitMix64: RandomNumberGenerator {
    @usableFromInline var state: UInt64

    /// Any seed will do; seeds that lie close together draw differently.
    @inlinable
    public init(seed: UInt64) { state = seed }

    @inlinable @inline(__always)
    public mutating func next() -> UInt64 {
        state = state &+ 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed &>> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed &>> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed &>> 31
    }

    /// 0 to `bound - 1`; 0 when `bound` is below 1. The share of 2^64 takes the place of a division (Lemire, "Fast
    /// Random Integer Generation in an Interval", 2019); without its rejection the bias is below bound / 2^64.
    @inlinable @inline(__always)
    public mutating func below(_ bound: Int) -> Int {
        guard bound > 0 else { return 0 }
        return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(truncatingIfNeeded: bound)).high)
    }

    /// 0 to 1, 1 excluded.
    @inlinable
    public mutating func fraction() -> Double { Double(next() &>> 11) * 0x1p-53 }
}
