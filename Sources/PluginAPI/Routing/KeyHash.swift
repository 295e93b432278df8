import SluicePlugin

/// A hash of 64 bits of the key that a sticky decision goes by: the same in every process, build and version, since a
/// user must stay where he is through restarts and upgrades. FNV-1a (draft-eastlake-fnv), whose low bits alone are
/// well mixed, followed by the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014), so that all bits depend on all. Not for keys that an attacker gains by choosing.
@frozen
public struct KeyHash: Sendable {
    @usableFromInline let seed: UInt64

    /// Hashes with different `purpose`s are independent: the name of an experiment, of a model and a version.
    public init(_ purpose: String...) {
        var hash = Self.start
        for part in purpose {
            for byte in part.utf8 { hash = (hash ^ UInt64(byte)) &* Self.prime }
            // No name has this byte, so that "ab" and "c" differ from "a" and "bc".
            hash = (hash ^ 0xFF) &* Self.prime
        }
        seed = Self.mix(hash)
    }

    @inlinable
    public func hash(_ key: Bytes) -> UInt64 {
        var hash = seed
        for byte in key { hash = (hash ^ UInt64(byte)) &* Self.prime }
        return Self.mix(hash)
    }

    @usableFromInline static let start: UInt64 = 0xCBF2_9CE4_8422_2325
    @usableFromInline static var prime: UInt64 { 0x100_0000_01B3 }

    /// A bijection in which each bit of the result depends on each of the argument.
    @inlinable @inline(__always)
    public static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z &>> 31)
    }

    /// The hash as a number above 0 and below 1.
    @inlinable @inline(__always)
    public static func unit(_ hash: UInt64) -> Double {
        // 52 bits and a half are all that fit, and the half keeps it off 0 and 1.
        (Double(hash &>> 12) + 0.5) * 0x1p-52
    }
}

/// A stream of pseudorandom numbers that repeats after 2⁶⁴: SplitMix64. Not for secrets.
@frozen
public struct Draw: Sendable {
    @usableFromInline var state: UInt64

    public init(seed: UInt64) { state = seed }

    @inlinable
    public mutating func next() -> UInt64 {
        defer { state &+= 0x9E37_79B9_7F4A_7C15 }
        return KeyHash.mix(state)
    }
}
