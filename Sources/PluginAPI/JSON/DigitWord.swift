/// Eight characters of a number in one word, the first in the lowest byte: what is asked of all of them at once.
enum DigitWord {
    /// Eight times the character 0.
    @inline(__always)
    private static var zeros: UInt64 { 0x3030_3030_3030_3030 }

    @inline(__always)
    static func load(_ text: UnsafePointer<UInt8>) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(text).loadUnaligned(as: UInt64.self))
    }

    /// Whether a number can begin with these characters, of which the first is a sign if `sign` is 1: a digit follows,
    /// and where that is 0, no digit after it.
    @inline(__always)
    static func beginsNumber(_ word: UInt64, _ sign: UInt64) -> Bool {
        let digits = word &>> (sign &<< 3)
        return digits & 0xFF &- 0x30 < 10 && digits & 0xF0FF != 0x3030
    }

    /// The values of the digits, and 0, which changes no value, in the place of a sign. What else `stops` leaves
    /// has bit 4 set.
    @inline(__always)
    static func values(_ word: UInt64, _ sign: UInt64) -> UInt64 {
        values(word) ^ ((0 &- sign) & UInt64(UInt8(ascii: "-") ^ UInt8(ascii: "0")))
    }

    @inline(__always)
    static func values(_ word: UInt64) -> UInt64 { word ^ zeros }

    /// Not 0 where one of the values is none of a digit, of those that `stops` leaves.
    @inline(__always)
    static func nonDigitValues(_ values: UInt64) -> UInt64 { values & 0x1010_1010_1010_1010 }

    /// The upper half of each byte that is no digit is not zero: there a bit differs from 3, or does so when 6 is
    /// added. A carry out of a byte can only change bytes after one that is none.
    @inline(__always)
    private static func nonDigits(_ word: UInt64) -> UInt64 {
        ((word ^ zeros) | ((word &+ 0x0606_0606_0606_0606) ^ zeros)) & 0xF0F0_F0F0_F0F0_F0F0
    }

    /// How many of the bytes, from the lowest on, are `0` to `9`.
    @inline(__always)
    static func leadingDigits(_ word: UInt64) -> Int {
        nonDigits(word).trailingZeroBitCount >> 3
    }

    /// 0 when all are among `-`, `.`, `/` and the digits; else the lowest bit set is the highest of the first byte that
    /// is not: below `-` the difference has that bit, above `9` the sum, and the bytes before change neither.
    @inline(__always)
    static func stops(_ word: UInt64) -> UInt64 {
        (word | (word &+ 0x4646_4646_4646_4646) | (word &- 0x2D2D_2D2D_2D2D_2D2D)) & 0x8080_8080_8080_8080
    }

    /// The last eight of `word`'s characters and the first `count` of those in `next`, which follow; it is below 8.
    @inline(__always)
    static func shifted(_ word: UInt64, _ next: UInt64, _ count: Int) -> UInt64 {
        let bits = UInt64(truncatingIfNeeded: 8 * count)
        // In two steps, for `count` may be 0, and a shift by 64 would be one by 0.
        return ((next << 8) &<< (56 &- bits)) | word &>> bits
    }

    /// Takes the point out, if it is the first of `nonDigitValues`: what stands before it moves up, after a zero.
    ///
    /// - Returns: how many characters stand after the point; nil when none was taken out.
    @inline(__always)
    static func removePoint(_ values: inout UInt64) -> Int? {
        let others = nonDigitValues(values)
        guard others != 0 else { return nil }
        let index = others.trailingZeroBitCount >> 3
        let point = UInt8(ascii: ".") ^ UInt8(ascii: "0")
        guard UInt8(truncatingIfNeeded: values &>> UInt64(truncatingIfNeeded: 8 * index)) == point else { return nil }
        // All bits of the bytes up to the point.
        let first = others & (0 &- others)
        let upToPoint = (first << 4) &- 1
        values ^= (values ^ values << 8) & upToPoint
        return 7 - index
    }

    @inline(__always)
    static func power(_ exponent: Int) -> UInt64 {
        switch exponent {
        case 0: 1
        case 1: 10
        case 2: 100
        case 3: 1000
        case 4: 10_000
        case 5: 100_000
        case 6: 1_000_000
        default: 10_000_000
        }
    }

    /// The value of the first `count` digits, up to seven. They move to the end of the eight, after zeros: no loop
    /// whose length a processor would have to guess.
    @inline(__always)
    static func firstDigits(_ word: UInt64, _ count: Int) -> UInt64 {
        number(shifted(0, values(word), count))
    }

    /// The number that eight digits with these values are: pairs, then fours, then all.
    @inline(__always)
    static func number(_ values: UInt64) -> UInt64 {
        let pairs = (values &* 10 &+ (values >> 8)) & 0x00FF_00FF_00FF_00FF
        let fours = (pairs &* 100 &+ (pairs >> 16)) & 0x0000_FFFF_0000_FFFF
        return (fours &* 10_000 &+ (fours >> 32)) & 0xFFFF_FFFF
    }
}
