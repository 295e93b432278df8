/// SplitMix64 (G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): all chance in
/// a simulation comes from its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    // The library's ways to draw may change from one release to the next, and then a seed would replay something else.

    /// Uniform in `0..<bound`.
    mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
    mutating func below(_ bound: Int) -> Int { Int(below(UInt64(bound))) }
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
