/// A number of up to 15 digits and without exponent: `±significand / 10^places`.
struct PlainDecimal: BitwiseCopyable {
    /// Below 10^15, and so below 2^52.
    var significand: UInt64
    /// Digits after the point.
    var places: Int
    /// 1 for a negative number.
    var sign: UInt64
    /// In characters, with sign and point.
    var size: Int

    /// The nearest binary64: as in Clinger's case, both numbers are exact, and the one division rounds correctly.
    @inline(__always)
    var asDouble: Double {
        // In the lowest bits of 2^52, whose last bit counts 1. The instruction that converts would first wait for what
        // was in its register before: for the element before this one.
        let sum = Double(bitPattern: 0x4330_0000_0000_0000 | significand)
        let value = (sum - 0x1p52) / JSONNumber.smallPower(places)
        return Double(bitPattern: value.bitPattern | sign &<< 63)
    }

    /// The value without its places.
    @inline(__always)
    var asInt64: Int64 {
        Int64(bitPattern: (significand ^ (0 &- sign)) &+ sign)
    }

    /// The number that begins at `text`, if it has fewer than 16 characters, of which all are read, and no exponent.
    /// What comes after it is left to the caller; it can't be a digit or a point.
    ///
    /// Which way is gone depends on the number's length in words and on the word in which the point is, since these are
    /// alike for most of an array; neither sign nor digits, which a processor could not guess, decide over a jump.
    @inline(__always)
    init?(_ text: UnsafePointer<UInt8>, canHaveFraction: Bool) {
        let word = DigitWord.load(text)
        sign = word & 0xFF == UInt64(UInt8(ascii: "-")) ? 1 : 0
        guard DigitWord.beginsNumber(word, sign) else { return nil }
        let first = DigitWord.values(word, sign)
        places = 0
        let stops = DigitWord.stops(word)
        if stops != 0 {
            size = stops.trailingZeroBitCount >> 3
            var digits = DigitWord.shifted(0, first, size)
            if canHaveFraction, let after = DigitWord.removePoint(&digits) {
                guard after > 0 else { return nil }
                places = after
            }
            guard DigitWord.nonDigitValues(digits) == 0 else { return nil }
            significand = DigitWord.number(digits)
            return
        }
        let second = DigitWord.load(text + 8)
        let secondStops = DigitWord.stops(second)
        guard secondStops != 0 else { return nil }
        let rest = secondStops.trailingZeroBitCount >> 3
        size = 8 + rest
        var high = DigitWord.shifted(0, first, rest)
        var low = DigitWord.shifted(first, DigitWord.values(second), rest)
        var scale: UInt64 = 100_000_000
        if canHaveFraction {
            if let after = DigitWord.removePoint(&high) {
                places = 8 + after
            } else if let after = DigitWord.removePoint(&low) {
                guard after > 0 else { return nil }
                places = after
                scale = 10_000_000
            }
        }
        guard DigitWord.nonDigitValues(high) | DigitWord.nonDigitValues(low) == 0 else { return nil }
        significand = DigitWord.number(high) &* scale &+ DigitWord.number(low)
    }
}

extension JSONNumber {
    /// The number that begins at `text`, if it has 16 to 23 characters, of which all are read, and no exponent: what
    /// binary64 and 64-bit integers look like when they are written with all their digits.
    @inline(__always)
    init?(long text: UnsafePointer<UInt8>, canHaveFraction: Bool) {
        let word = DigitWord.load(text)
        let second = DigitWord.load(text + 8)
        let third = DigitWord.load(text + 16)
        let sign: UInt64 = word & 0xFF == UInt64(UInt8(ascii: "-")) ? 1 : 0
        let stops = DigitWord.stops(third)
        guard DigitWord.beginsNumber(word, sign), DigitWord.stops(word) | DigitWord.stops(second) == 0, stops != 0
        else {
            return nil
        }
        let rest = stops.trailingZeroBitCount >> 3
        let first = DigitWord.values(word, sign)
        var high = DigitWord.shifted(0, first, rest)
        var middle = DigitWord.shifted(first, DigitWord.values(second), rest)
        var low = DigitWord.shifted(DigitWord.values(second), DigitWord.values(third), rest)
        var highScale: UInt64 = 100_000_000
        var middleScale: UInt64 = 100_000_000
        var places = 0
        if canHaveFraction {
            if let after = DigitWord.removePoint(&high) {
                places = 16 + after
            } else if let after = DigitWord.removePoint(&middle) {
                places = 8 + after
                highScale = 10_000_000
            } else if let after = DigitWord.removePoint(&low) {
                guard after > 0 else { return nil }
                places = after
                middleScale = 10_000_000
            }
        }
        let size = 16 + rest
        // 19 digits are sure to fit in 64 bits.
        guard size - Int(sign) - (places > 0 ? 1 : 0) <= 19 else { return nil }
        guard DigitWord.nonDigitValues(high) | DigitWord.nonDigitValues(middle) | DigitWord.nonDigitValues(low) == 0
        else {
            return nil
        }
        let upper = DigitWord.number(high) &* highScale &+ DigitWord.number(middle)
        self.init(
            significand: upper &* middleScale &+ DigitWord.number(low), exponent: -places, isNegative: sign != 0,
            isInteger: places == 0, isTruncated: false, text: text, textSize: size)
    }
}
