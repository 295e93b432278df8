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
        Self.readDigits(&position, end, &significand)
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
            guard isEightDigits(word) else { break }
            value = value &* 100_000_000 &+ eightDigits(word)
            position += 8
        }
        while position < end {
            let digit = position.pointee &- UInt8(ascii: "0")
            guard digit < 10 else { return }
            value = value &* 10 &+ UInt64(digit)
            position += 1
        }
    }

    /// Whether all bytes are `0` to `9`: the upper halves are 3, and stay so when 6 is added.
    @inline(__always)
    private static func isEightDigits(_ word: UInt64) -> Bool {
        (word & 0xF0F0_F0F0_F0F0_F0F0) | (((word &+ 0x0606_0606_0606_0606) & 0xF0F0_F0F0_F0F0_F0F0) >> 4)
            == 0x3333_3333_3333_3333
    }

    /// The value of eight digits, the first in the lowest byte: pairs, then fours, then all.
    @inline(__always)
    private static func eightDigits(_ word: UInt64) -> UInt64 {
        let digits = word &- 0x3030_3030_3030_3030
        let pairs = (digits &* 10 &+ (digits >> 8)) & 0x00FF_00FF_00FF_00FF
        let fours = (pairs &* 100 &+ (pairs >> 16)) & 0x0000_FFFF_0000_FFFF
        return (fours &* 10_000 &+ (fours >> 32)) & 0xFFFF_FFFF
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
