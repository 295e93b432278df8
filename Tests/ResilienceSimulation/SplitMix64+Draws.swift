import SluiceHashing

// All chance in a simulation comes from its seed. The library's ways to draw may change from one release to the next,
// and then a seed would replay something else.
extension SplitMix64 {
    /// Uniform in `0..<bound`.
    mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
    /// Uniform in `range`.
    mutating func of(_ range: ClosedRange<UInt64>) -> UInt64 {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }
    mutating func of(_ range: ClosedRange<UInt32>) -> UInt32 {
        UInt32(of(UInt64(range.lowerBound)...UInt64(range.upperBound)))
    }
    /// True once in `count` times.
    mutating func oneIn(_ count: UInt64) -> Bool { below(count) == 0 }
}
