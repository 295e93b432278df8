/// XXH64, a hash of bytes that is fast and spreads well, not against an adversary (Yann Collet, "xxHash fast digest
/// algorithm", doc/xxhash_spec.md, version 0.1.1). The same on every machine, so that several gateways hash alike.
public enum XXHash64 {
    @usableFromInline static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    @usableFromInline static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    @usableFromInline static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    @usableFromInline static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    @usableFromInline static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    /// Any thread; allocates nothing.
    @inlinable
    public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
        let count = bytes.count
        guard var place = bytes.baseAddress, count > 0 else { return avalanche(seed &+ prime5) }
        var left = count
        var sum: UInt64
        if left >= 32 {
            var first = seed &+ prime1 &+ prime2
            var second = seed &+ prime2
            var third = seed
            var fourth = seed &- prime1
            while left >= 32 {
                first = round(first, word(place))
                second = round(second, word(place + 8))
                third = round(third, word(place + 16))
                fourth = round(fourth, word(place + 24))
                place += 32
                left &-= 32
            }
            sum = rotate(first, 1) &+ rotate(second, 7) &+ rotate(third, 12) &+ rotate(fourth, 18)
            sum = merge(merge(merge(merge(sum, first), second), third), fourth)
        } else {
            sum = seed &+ prime5
        }
        sum = sum &+ UInt64(truncatingIfNeeded: count)
        while left >= 8 {
            sum = rotate(sum ^ round(0, word(place)), 27) &* prime1 &+ prime4
            place += 8
            left &-= 8
        }
        if left >= 4 {
            let half = UInt64(UInt32(littleEndian: place.loadUnaligned(as: UInt32.self)))
            sum = rotate(sum ^ (half &* prime1), 23) &* prime2 &+ prime3
            place += 4
            left &-= 4
        }
        while left > 0 {
            sum = rotate(sum ^ (UInt64(place.load(as: UInt8.self)) &* prime5), 11) &* prime1
            place += 1
            left &-= 1
        }
        return avalanche(sum)
    }

    /// The hash of the eight bytes of a word, the lowest first.
    @inlinable
    public static func hash(_ word: UInt64, seed: UInt64 = 0) -> UInt64 {
        let sum = (seed &+ prime5 &+ 8) ^ round(0, word)
        return avalanche(rotate(sum, 27) &* prime1 &+ prime4)
    }

    @inlinable @inline(__always)
    static func word(_ place: UnsafeRawPointer) -> UInt64 {
        UInt64(littleEndian: place.loadUnaligned(as: UInt64.self))
    }

    @inlinable @inline(__always)
    static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 { value &<< bits | value &>> (64 &- bits) }

    @inlinable @inline(__always)
    static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    @inlinable @inline(__always)
    static func merge(_ sum: UInt64, _ lane: UInt64) -> UInt64 { (sum ^ round(0, lane)) &* prime1 &+ prime4 }

    @inlinable @inline(__always)
    static func avalanche(_ value: UInt64) -> UInt64 {
        let first = (value ^ value &>> 33) &* prime2
        let second = (first ^ first &>> 29) &* prime3
        return second ^ second &>> 32
    }
}
