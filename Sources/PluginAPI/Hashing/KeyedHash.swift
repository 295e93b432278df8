/// A hash of 64 bits that nobody can steer without its key: SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast
/// short-input PRF", 2012), fed in pieces. For tables whose keys a client may choose.
@frozen
public struct KeyedHash: BitwiseCopyable, Sendable {
    @usableFromInline var v0: UInt64
    @usableFromInline var v1: UInt64
    @usableFromInline var v2: UInt64
    @usableFromInline var v3: UInt64
    /// Bytes that have not made a word yet, from the lowest on.
    @usableFromInline var tail: UInt64 = 0
    /// All bytes that were fed.
    @usableFromInline var count: UInt64 = 0

    @inlinable
    public init(key: (UInt64, UInt64)) {
        v0 = key.0 ^ 0x736F_6D65_7073_6575
        v1 = key.1 ^ 0x646F_7261_6E64_6F6D
        v2 = key.0 ^ 0x6C79_6765_6E65_7261
        v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    /// Pieces run together: feed what tells them apart, a length say, between them.
    @inlinable
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        guard var cursor = bytes.baseAddress else { return }
        var left = bytes.count
        // Up to the next whole word.
        while left > 0, count & 7 != 0 {
            feed(byte: cursor.load(as: UInt8.self))
            cursor += 1
            left &-= 1
        }
        while left >= 8 {
            compress(UInt64(littleEndian: cursor.loadUnaligned(as: UInt64.self)))
            count &+= 8
            cursor += 8
            left &-= 8
        }
        while left > 0 {
            feed(byte: cursor.load(as: UInt8.self))
            cursor += 1
            left &-= 1
        }
    }

    /// Eight bytes, the lowest first.
    @inlinable
    public mutating func feed(_ word: UInt64) {
        if count & 7 == 0 {
            compress(word)
            count &+= 8
        } else {
            for shift in 0..<8 { feed(byte: UInt8(truncatingIfNeeded: word &>> UInt64(shift &* 8))) }
        }
    }

    @inlinable
    mutating func feed(byte: UInt8) {
        tail |= UInt64(byte) &<< ((count & 7) &* 8)
        count &+= 1
        if count & 7 == 0 {
            compress(tail)
            tail = 0
        }
    }

    @inlinable
    public consuming func finish() -> UInt64 {
        compress(tail | count &<< 56)
        v2 ^= 0xFF
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    @inlinable @inline(__always)
    mutating func compress(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    @inlinable @inline(__always)
    mutating func round() {
        v0 = v0 &+ v1
        v1 = Self.rotate(v1, 13) ^ v0
        v0 = Self.rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = Self.rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = Self.rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = Self.rotate(v1, 17) ^ v2
        v2 = Self.rotate(v2, 32)
    }

    @inlinable @inline(__always)
    static func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { value &<< by | value &>> (64 &- by) }
}
