import SluiceABI

/// Numbers as decimal text, in memory of the caller, without allocation.
public enum DecimalText {
    /// The longest text of a 64-bit integer: `-9223372036854775808`.
    public static let maximumIntegerSize = 20

    /// The longest text of a double: `-2.2250738585072014e-308`; and `-0.00001234…` with 17 digits.
    public static let maximumDoubleSize = 26

    /// Writes `value` and returns the size. `target` has room for `maximumIntegerSize` bytes.
    @inline(__always)
    public static func write(_ value: Int64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        if value < 0 {
            target[0] = UInt8(ascii: "-")
            return 1 + write(value.magnitude, to: target + 1)
        }
        return write(value.magnitude, to: target)
    }

    /// As above.
    public static func write(_ value: UInt64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        let count = digitCount(value)
        var rest = value
        var position = count
        while rest >= 10 {
            position -= 1
            target[position] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        target[0] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest)
        return count
    }

    /// The number that 1 to 18 digits say, of which all fit; nil for anything else.
    public static func read(_ text: sluice_bytes) -> Int? {
        guard !text.isEmpty, text.size <= 18 else { return nil }
        var value = 0
        for byte in text.buffer {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return value
    }

    static func digitCount(_ value: UInt64) -> Int {
        var count = 1
        var bound: UInt64 = 10
        while value >= bound {
            count += 1
            if count == 20 {
                break
            }
            bound &*= 10
        }
        return count
    }

    /// Writes the shortest text that reads back as `value` and is nearest to it among those, and returns its size. A
    /// number that has no fraction gets `.0`. `target` has room for `maximumDoubleSize` bytes; `value` is finite.
    public static func write(_ value: Double, to target: UnsafeMutablePointer<UInt8>) -> Int {
        precondition(value.isFinite)
        guard value != 0 else { return writeZero(value.sign == .minus, to: target) }
        let (digits, exponent) = Shortest.decimal(value)
        return write(digits, exponent, isNegative: value < 0, to: target)
    }

    /// As above, the shortest that reads back as a binary32.
    public static func write(_ value: Float, to target: UnsafeMutablePointer<UInt8>) -> Int {
        precondition(value.isFinite)
        guard value != 0 else { return writeZero(value.sign == .minus, to: target) }
        let (digits, exponent) = Shortest.decimal(value)
        return write(UInt64(digits), exponent, isNegative: value < 0, to: target)
    }

    private static func writeZero(_ isNegative: Bool, to target: UnsafeMutablePointer<UInt8>) -> Int {
        let text: StaticString = isNegative ? "-0.0" : "0.0"
        target.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        return text.utf8CodeUnitCount
    }

    /// Writes `digits · 10^exponent`: positional from 0.0001 up to 10^16, as Python does, else with an exponent.
    private static func write(
        _ digits: UInt64, _ exponent: Int, isNegative: Bool, to target: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var digits = digits
        var exponent = exponent
        while digits % 10 == 0 {
            digits /= 10
            exponent += 1
        }
        let count = digitCount(digits)
        // The position of the decimal point, counted from before the first digit.
        let point = count + exponent
        var size = 0
        if isNegative {
            target[0] = UInt8(ascii: "-")
            size = 1
        }
        if point > 16 || point < -3 {
            // One digit, the point, the others, the exponent.
            _ = write(digits, to: target + size + 1)
            target[size] = target[size + 1]
            target[size + 1] = UInt8(ascii: ".")
            if count == 1 {
                size += 1
            } else {
                size += count + 1
            }
            target[size] = UInt8(ascii: "e")
            return size + 1 + write(Int64(point - 1), to: target + size + 1)
        }
        if point <= 0 {
            target[size] = UInt8(ascii: "0")
            target[size + 1] = UInt8(ascii: ".")
            size += 2
            for _ in 0..<(-point) {
                target[size] = UInt8(ascii: "0")
                size += 1
            }
            return size + write(digits, to: target + size)
        }
        if point >= count {
            size += write(digits, to: target + size)
            for _ in count..<point {
                target[size] = UInt8(ascii: "0")
                size += 1
            }
            target[size] = UInt8(ascii: ".")
            target[size + 1] = UInt8(ascii: "0")
            return size + 2
        }
        _ = write(digits, to: target + size)
        var position = size + count
        while position > size + point {
            target[position] = target[position - 1]
            position -= 1
        }
        target[size + point] = UInt8(ascii: ".")
        return size + count + 1
    }
}
