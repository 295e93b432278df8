import Glibc

/// A number of a JSON text, read but not converted yet: `±significand · 10^exponent`.
public struct JSONNumber {
    /// Up to 19 significant digits.
    var significand: UInt64
    var exponent: Int
    var isNegative: Bool
    /// Written without fraction and exponent.
    public var isInteger: Bool
    /// The text has more digits than `significand` holds.
    var isTruncated: Bool
    /// The text of the number.
    var text: UnsafePointer<UInt8>
    var textSize: Int

    /// The value, or nil when it is no integer (RFC 8259 numbers with a fraction or exponent are none here) or out of
    /// range.
    @inline(__always)
    public var asInt64: Int64? {
        guard isInteger, !isTruncated else { return nil }
        // Without a jump: whether a number is negative, a processor can't guess.
        let sign: UInt64 = isNegative ? 1 : 0
        guard significand <= UInt64(Int64.max) + sign else { return nil }
        return Int64(truncatingIfNeeded: (significand ^ (0 &- sign)) &+ sign)
    }

    /// As `asInt64`, for the range of `UInt64`.
    @inline(__always)
    public var asUInt64: UInt64? {
        guard isInteger else { return nil }
        if isTruncated {
            return isNegative ? nil : twentyDigits
        }
        return isNegative && significand != 0 ? nil : significand
    }

    /// `UInt64.max` has 20 digits, one more than `significand` is sure to hold.
    private var twentyDigits: UInt64? {
        guard textSize == 20 else { return nil }
        var value: UInt64 = 0
        for index in 0..<20 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(text[index] &- UInt8(ascii: "0")))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// The nearest binary64, ties to even, or nil when it is too large for one.
    @inline(__always)
    public var asDouble: Double? {
        // Clinger's case (PLDI 1990): both are exact as doubles, so that the one operation rounds correctly.
        if significand < 1 << 53, !isTruncated, exponent >= -22, exponent <= 22 {
            // A signed number is converted by one instruction, and the sign is set without a jump.
            var value = Double(Int64(bitPattern: significand))
            if exponent < 0 {
                value /= Self.smallPower(-exponent)
            } else {
                value *= Self.smallPower(exponent)
            }
            return Double(bitPattern: value.bitPattern | (isNegative ? 1 << 63 : 0))
        }
        return slowDouble
    }

    @inline(never)
    private var slowDouble: Double? {
        if significand == 0, !isTruncated {
            return isNegative ? -0.0 : 0.0
        }
        if let bits = Self.eiselLemire(significand, exponent) {
            // A cut text lies between two significands; when both round alike, so does it.
            if !isTruncated || Self.eiselLemire(significand + 1, exponent) == bits {
                let value = Double(bitPattern: bits)
                return isNegative ? -value : value
            }
        }
        return byLibrary
    }

    /// 10^0 to 10^22, which are exact binary64 numbers. A switch over constants becomes a table in the program; an
    /// array in its place would be built anew for each number.
    @inline(__always)
    static func smallPower(_ exponent: Int) -> Double {
        switch exponent {
        case 0: 1e0
        case 1: 1e1
        case 2: 1e2
        case 3: 1e3
        case 4: 1e4
        case 5: 1e5
        case 6: 1e6
        case 7: 1e7
        case 8: 1e8
        case 9: 1e9
        case 10: 1e10
        case 11: 1e11
        case 12: 1e12
        case 13: 1e13
        case 14: 1e14
        case 15: 1e15
        case 16: 1e16
        case 17: 1e17
        case 18: 1e18
        case 19: 1e19
        case 20: 1e20
        case 21: 1e21
        default: 1e22
        }
    }

    /// The bits of the nearest positive binary64 to `significand · 10^exponent`, or nil where 128 bits of the power
    /// don't tell, or the result is subnormal or infinite. The algorithm of Eisel and Lemire: D. Lemire, "Number
    /// parsing at a gigabyte per second", Software: Practice and Experience 51 (2021).
    private static func eiselLemire(_ significand: UInt64, _ exponent: Int) -> UInt64? {
        guard significand != 0, PowersOfTen.range.contains(exponent) else { return nil }
        let power = PowersOfTen.entry(exponent, in: PowersOfTen.table)
        let shift = significand.leadingZeroBitCount
        let normal = significand << UInt64(shift)
        var (high, low) = normal.multipliedFullWidth(by: power.high)
        // 9 bits remain below the 55 that rounding looks at. When all are set, the lower half of the power may carry.
        if high & 0x1FF == 0x1FF, low.addingReportingOverflow(normal).overflow {
            let (finerHigh, finerLow) = normal.multipliedFullWidth(by: power.low)
            let (sum, carry) = low.addingReportingOverflow(finerHigh)
            let merged = carry ? high &+ 1 : high
            if merged & 0x1FF == 0x1FF, sum == .max, finerLow.addingReportingOverflow(normal).overflow {
                return nil
            }
            (high, low) = (merged, sum)
        }
        let top = high >> 63
        var fraction = high >> (top + 9)
        // 217706 / 2^16 approximates log2(10) well enough for all exponents of the table.
        var biased = ((217706 * exponent) >> 16) + 64 + 1023 - shift - Int(1 ^ top)
        // Exactly between two numbers as far as these bits tell: the cut bits decide.
        if low == 0, high & 0x1FF == 0, fraction & 3 == 1 {
            return nil
        }
        fraction = (fraction + (fraction & 1)) >> 1
        if fraction >> 53 > 0 {
            fraction >>= 1
            biased += 1
        }
        guard biased > 0, biased < 0x7FF else { return nil }
        return UInt64(biased) << 52 | (fraction & (1 << 52 - 1))
    }

    /// By the C library, for the rare rest. 800 digits decide every binary64 (767 are the most that a tie between two
    /// needs); of the digits after them only counts whether one is not zero.
    private var byLibrary: Double? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.digitLimit + 32) { buffer -> Double? in
            var size = 0
            var exponent = 0
            var isFraction = false
            var hasRest = false
            var position = isNegative ? 1 : 0
            var explicit = 0
            while position < textSize {
                let byte = text[position]
                position += 1
                if byte == UInt8(ascii: ".") {
                    isFraction = true
                } else if byte | 0x20 == UInt8(ascii: "e") {
                    explicit = Self.readExponent(text + position, textSize - position)
                    break
                } else {
                    if size < Self.digitLimit {
                        if size > 0 || byte != UInt8(ascii: "0") {
                            buffer[size] = CChar(bitPattern: byte)
                            size += 1
                        }
                        exponent -= isFraction ? 1 : 0
                    } else {
                        hasRest = hasRest || byte != UInt8(ascii: "0")
                        exponent += isFraction ? 0 : 1
                    }
                }
            }
            guard size > 0 else { return isNegative ? -0.0 : 0.0 }
            if hasRest {
                buffer[size] = CChar(bitPattern: UInt8(ascii: "1"))
                size += 1
                exponent -= 1
            }
            buffer[size] = CChar(bitPattern: UInt8(ascii: "e"))
            size += 1
            guard let start = buffer.baseAddress else { return nil }
            size += start.withMemoryRebound(to: UInt8.self, capacity: buffer.count) { bytes in
                DecimalText.write(Int64(exponent + explicit), to: bytes + size)
            }
            buffer[size] = 0
            let value = CLocale.readDouble(start)
            guard value.isFinite else { return nil }
            return isNegative ? -value : value
        }
    }

    /// Beyond it no binary64 is finite and not zero, whatever the digits (a body has fewer than 10^12).
    static let exponentLimit = 2_000_000_000_000
    private static let digitLimit = 800

    /// The exponent after the `e`, which the reader has checked, cut at `exponentLimit`.
    private static func readExponent(_ text: UnsafePointer<UInt8>, _ size: Int) -> Int {
        var position = 0
        let isNegative = text[0] == UInt8(ascii: "-")
        if isNegative || text[0] == UInt8(ascii: "+") {
            position += 1
        }
        var value = 0
        while position < size {
            value = min(value * 10 + Int(text[position] &- UInt8(ascii: "0")), exponentLimit)
            position += 1
        }
        return isNegative ? -value : value
    }
}

/// The "C" locale, whatever a library in the process has set: `strtod` reads a decimal comma in others.
private enum CLocale {
    /// All categories: glibc's LC_ALL_MASK, a macro that Swift does not see.
    nonisolated(unsafe) private static let locale = newlocale(0x1FBF, "C", nil)

    static func readDouble(_ text: UnsafePointer<CChar>) -> Double {
        // Of this thread alone, and put back at once.
        let previous = uselocale(locale)
        defer { uselocale(previous) }
        return strtod(text, nil)
    }
}
