import Glibc
import SluicePlugin

/// Numbers as they stand in metrics and headers.
public enum DecimalNumber {
    /// The number that all of `text` says in the form of C's `strtod` without hexadecimal digits: an optional sign,
    /// digits with an optional point and exponent, or `Inf`, `Infinity`, `NaN` in any case. Nil for anything else.
    ///
    /// Off by at most a few units in the last place: 19 digits are read, and those beyond them count as zeros. Enough
    /// for loads; it allocates nothing.
    public static func parse(_ text: Bytes) -> Double? {
        var index = 0
        let isNegative = text.at(0) == 0x2D
        if isNegative || text.at(0) == 0x2B { index = 1 }
        let rest = text.dropFirst(index)
        if rest.equalsIgnoringCase("inf") || rest.equalsIgnoringCase("infinity") {
            return isNegative ? -Double.infinity : Double.infinity
        }
        if rest.equalsIgnoringCase("nan") { return Double.nan }
        var mantissa: UInt64 = 0
        var scale = 0
        var digits = 0
        var sawDigit = false
        var sawPoint = false
        while let byte = text.at(index) {
            if byte &- 0x30 < 10 {
                sawDigit = true
                if digits < 19 {
                    mantissa = mantissa &* 10 &+ UInt64(byte &- 0x30)
                    if mantissa > 0 { digits &+= 1 }
                    if sawPoint { scale &-= 1 }
                } else if !sawPoint {
                    scale &+= 1
                }
            } else if byte == 0x2E, !sawPoint {
                sawPoint = true
            } else {
                break
            }
            index &+= 1
        }
        guard sawDigit else { return nil }
        if let byte = text.at(index), byte | 0x20 == 0x65 {
            guard let exponent = exponent(text, &index) else { return nil }
            scale &+= exponent
        }
        guard index == text.count else { return nil }
        let magnitude = scaled(Double(mantissa), by: scale)
        return isNegative ? -magnitude : magnitude
    }

    /// What stands behind the `e` at `index`, cut at where every number is infinite or zero.
    private static func exponent(_ text: Bytes, _ index: inout Int) -> Int? {
        index &+= 1
        let isNegative = text.at(index) == 0x2D
        if isNegative || text.at(index) == 0x2B { index &+= 1 }
        var value = 0
        let start = index
        while let byte = text.at(index), byte &- 0x30 < 10 {
            value = min(value &* 10 &+ Int(byte &- 0x30), 100_000)
            index &+= 1
        }
        guard index > start else { return nil }
        return isNegative ? -value : value
    }

    /// `value` times ten to the `scale`. Two steps below what a power of its own can be: 10^-400 is zero, but
    /// 10^18 times it is not.
    private static func scaled(_ value: Double, by scale: Int) -> Double {
        if value == 0 || scale == 0 { return value }
        if scale > 400 { return Double.infinity }
        if scale < -400 { return 0 }
        if scale < -200 { return value / 1e200 / pow(10, Double(-scale &- 200)) }
        return scale > 0 ? value * pow(10, Double(scale)) : value / pow(10, Double(-scale))
    }
}
