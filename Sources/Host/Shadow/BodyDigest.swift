/// A hash of 64 bits of a body that comes in pieces: the same however it is cut. It tells whether two answers are
/// alike; it is no protection against somebody who makes them so. Each word of eight bytes is mixed in by the finaliser
/// of SplitMix64 (G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
struct BodyDigest: Equatable {
    private(set) var count: UInt64 = 0
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    /// Bytes that are no word yet, the first one lowest.
    private var rest: UInt64 = 0

    @inline(__always)
    private static func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
        var mixed = (state ^ word) &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    private mutating func add(_ byte: UInt8) {
        rest |= UInt64(byte) << (count & 7 &* 8)
        count &+= 1
        guard count & 7 == 0 else { return }
        state = Self.mix(state, rest)
        rest = 0
    }

    mutating func update(_ bytes: UnsafePointer<UInt8>, _ size: Int) {
        var index = 0
        while index < size, count & 7 != 0 {
            add(bytes[index])
            index &+= 1
        }
        while size &- index >= 8 {
            let word = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt64.self)
            state = Self.mix(state, UInt64(littleEndian: word))
            count &+= 8
            index &+= 8
        }
        while index < size {
            add(bytes[index])
            index &+= 1
        }
    }

    /// Of what came so far; never 0.
    var value: UInt64 { max(Self.mix(Self.mix(state, rest), count), 1) }
}
