import SluiceABI

extension JSONReader {
    /// Reads a number (RFC 8259 §6) without converting it.
    @inline(__always)
    public mutating func number() throws(CodecFailure) -> JSONNumber {
        skipWhitespace()
        let begin = cursor
        var position = cursor
        var isNegative = false
        if position < end, position.pointee == UInt8(ascii: "-") {
            isNegative = true
            position += 1
        }
        let digits = position
        var significand: UInt64 = 0
        // Most numbers of a tensor have one digit before the point.
        if position < end, position.pointee &- UInt8(ascii: "0") < 10 {
            significand = UInt64(position.pointee &- UInt8(ascii: "0"))
            position += 1
            if position < end, position.pointee &- UInt8(ascii: "0") < 10 {
                Self.readDigits(&position, end, &significand)
            }
        }
        var count = position - digits
        guard count > 0 else { throw fail("expected a number", at: begin) }
        guard count == 1 || digits.pointee != UInt8(ascii: "0") else {
            throw fail("a number has a leading zero", at: begin)
        }
        var exponent = 0
        var isInteger = true
        if position < end, position.pointee == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            let fraction = position
            Self.readDigits(&position, end, &significand)
            exponent = fraction - position
            guard exponent < 0 else { throw fail("a number has no digit after its point", at: position) }
            count -= exponent
        }
        if position < end, position.pointee | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            exponent += try readExponent(&position)
        }
        cursor = position
        var number = JSONNumber(
            significand: significand, exponent: exponent, isNegative: isNegative, isInteger: isInteger,
            isTruncated: false, text: begin, textSize: position - begin)
        if count > 19 {
            Self.truncate(&number, digits: digits)
        }
        return number
    }

    @inline(__always)
    private static func readDigits(
        _ position: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ value: inout UInt64
    ) {
        while end - position >= 8 {
            let word = UInt64(littleEndian: UnsafeRawPointer(position).loadUnaligned(as: UInt64.self))
            let count = leadingDigits(word)
            if count == 8 {
                value = value &* 100_000_000 &+ eightDigits(word)
                position += 8
                continue
            }
            value = value &* integerPower(count) &+ firstDigits(word, count)
            position += count
            return
        }
        while position < end {
            let digit = position.pointee &- UInt8(ascii: "0")
            guard digit < 10 else { return }
            value = value &* 10 &+ UInt64(digit)
            position += 1
        }
    }

    /// How many of the bytes, from the lowest on, are `0` to `9`: in the others a bit of the upper half differs from 3,
    /// or does so when 6 is added. A carry out of a byte can only change bytes after one that is none.
    @inline(__always)
    private static func leadingDigits(_ word: UInt64) -> Int {
        let upper = (word ^ 0x3030_3030_3030_3030) | ((word &+ 0x0606_0606_0606_0606) ^ 0x3030_3030_3030_3030)
        return (upper & 0xF0F0_F0F0_F0F0_F0F0).trailingZeroBitCount >> 3
    }

    @inline(__always)
    private static func integerPower(_ exponent: Int) -> UInt64 {
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
    private static func firstDigits(_ word: UInt64, _ count: Int) -> UInt64 {
        let zeros = 0x3030_3030_3030_3030 as UInt64
        // In two steps, for none of the eight may be one, and a shift by 64 would be one by 0.
        let moved = (word &<< UInt64(truncatingIfNeeded: 56 - 8 * count)) << 8
        return eightDigits(moved | zeros &>> UInt64(truncatingIfNeeded: 8 * count))
    }

    /// The value of eight digits, the first in the lowest byte: pairs, then fours, then all.
    @inline(__always)
    private static func eightDigits(_ word: UInt64) -> UInt64 {
        let digits = word &- 0x3030_3030_3030_3030
        let pairs = (digits &* 10 &+ (digits >> 8)) & 0x00FF_00FF_00FF_00FF
        let fours = (pairs &* 100 &+ (pairs >> 16)) & 0x0000_FFFF_0000_FFFF
        return (fours &* 10_000 &+ (fours >> 32)) & 0xFFFF_FFFF
    }

    /// Reads what most elements of a tensor look like: one digit, a point, up to 14 digits, and a comma or the array's
    /// end right after. Nil, and nothing taken, for all else, correct or not: `number` tells.
    @inline(__always)
    mutating func plainDecimal() -> Double? {
        // More than is looked at below.
        guard end - cursor >= 32 else { return nil }
        let sign: UInt64 = cursor.pointee == UInt8(ascii: "-") ? 1 : 0
        var position = cursor + Int(sign)
        let whole = UInt64(position.pointee &- UInt8(ascii: "0"))
        guard whole < 10, position[1] == UInt8(ascii: ".") else { return nil }
        position += 2
        let word = UInt64(littleEndian: UnsafeRawPointer(position).loadUnaligned(as: UInt64.self))
        var count = Self.leadingDigits(word)
        var significand = whole
        if count < 8 {
            guard count > 0 else { return nil }
            significand = significand &* Self.integerPower(count) &+ Self.firstDigits(word, count)
        } else {
            let rest = UInt64(littleEndian: UnsafeRawPointer(position + 8).loadUnaligned(as: UInt64.self))
            let more = Self.leadingDigits(rest)
            // 15 digits in all are below 2^53, and the one division rounds correctly, as in `asDouble`.
            guard more <= 6 else { return nil }
            significand = significand &* 100_000_000 &+ Self.eightDigits(word)
            significand = significand &* Self.integerPower(more) &+ Self.firstDigits(rest, more)
            count += more
        }
        let after = position[count]
        guard after == UInt8(ascii: ",") || after == UInt8(ascii: "]") else { return nil }
        cursor = position + count
        let value = Double(significand) / JSONNumber.smallPower(count)
        return Double(bitPattern: value.bitPattern | sign << 63)
    }

    private func readExponent(_ position: inout UnsafePointer<UInt8>) throws(CodecFailure) -> Int {
        var isNegative = false
        if position < end, position.pointee == UInt8(ascii: "-") || position.pointee == UInt8(ascii: "+") {
            isNegative = position.pointee == UInt8(ascii: "-")
            position += 1
        }
        let digits = position
        var value = 0
        while position < end {
            let digit = position.pointee &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = min(value * 10 + Int(digit), JSONNumber.exponentLimit)
            position += 1
        }
        guard position > digits else { throw fail("a number has no digit in its exponent", at: position) }
        return isNegative ? -value : value
    }

    /// More digits than 64 bits are sure to hold: keeps the first 19 that count.
    @inline(never)
    private static func truncate(_ number: inout JSONNumber, digits: UnsafePointer<UInt8>) {
        var position = digits
        let end = number.text + number.textSize
        var value: UInt64 = 0
        var kept = 0
        var dropped = 0
        while position < end, position.pointee | 0x20 != UInt8(ascii: "e") {
            let byte = position.pointee
            position += 1
            if byte == UInt8(ascii: ".") {
                continue
            }
            if kept < 19 {
                value = value &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
                kept += value == 0 ? 0 : 1
            } else {
                dropped += 1
            }
        }
        // `exponent` counts all digits of the fraction; each digit that was dropped gives one back.
        number.significand = value
        number.exponent += dropped
        number.isTruncated = dropped > 0
    }
}
