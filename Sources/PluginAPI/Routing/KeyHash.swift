import SluiceHashing
import SluicePlugin

/// A hash of 64 bits of the key that a sticky decision goes by: the same in every process, build and version, since a
/// user must stay where he is through restarts and upgrades. XXH64, seeded by what the decision is about. Not for keys
/// that an attacker gains by choosing.
@frozen
public struct KeyHash: Sendable {
    @usableFromInline let seed: UInt64

    /// Hashes with different `purpose`s are independent: the name of an experiment, of a model and a version.
    public init(_ purpose: String...) {
        // Each part is the next one's seed, so that "ab" and "c" differ from "a" and "bc".
        seed = purpose.reduce(0) { seed, part in
            KeptText(part).withBytes { bytes in bytes.withUnsafeBytes { XXHash64.hash($0, seed: seed) } }
        }
    }

    @inlinable
    public func hash(_ key: Bytes) -> UInt64 { key.withUnsafeBytes { XXHash64.hash($0, seed: seed) } }

    /// The hash as a number above 0 and below 1.
    @inlinable @inline(__always)
    public static func unit(_ hash: UInt64) -> Double {
        // 52 bits and a half are all that fit, and the half keeps it off 0 and 1.
        (Double(hash &>> 12) + 0.5) * 0x1p-52
    }
}
