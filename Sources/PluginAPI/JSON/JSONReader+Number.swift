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
            let word = DigitWord.load(position)
            let count = DigitWord.leadingDigits(word)
            if count == 8 {
                value = value &* 100_000_000 &+ DigitWord.number(DigitWord.values(word))
                position += 8
                continue
            }
            value = value &* DigitWord.power(count) &+ DigitWord.firstDigits(word, count)
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
