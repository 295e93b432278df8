/// The powers of ten from 10^-348 to 10^347, each as the upper 128 bits of its significand, rounded down, with the
/// highest bit set. Reading (Eisel-Lemire) and writing (Schubfach) of doubles share the table.
///
/// It is computed at the first use, in some milliseconds; a plugin touches it in `create`, so that no request pays.
public enum PowersOfTen {
    /// Exponents that the table holds: all that a binary64 with up to 19 digits can have.
    static let range = -348...347

    /// Exponents whose power is exact in 128 bits: 5^55 < 2^128 < 5^56.
    static let exactRange = 0...55

    struct Significand: BitwiseCopyable {
        var high: UInt64
        var low: UInt64
    }

    /// Entry 0 is 10^-348. Never freed: one table for the process.
    nonisolated(unsafe) static let table: UnsafePointer<Significand> = makeTable()

    /// Computes the table unless it is there.
    public static func prepare() {
        _ = table
    }

    @inline(__always)
    static func entry(_ exponent: Int, in table: UnsafePointer<Significand>) -> Significand {
        table[exponent - range.lowerBound]
    }

    private static func makeTable() -> UnsafePointer<Significand> {
        let table = UnsafeMutablePointer<Significand>.allocate(capacity: range.count)
        // 10^n and 5^n have the same significant bits. For n >= 0 take the upper bits of 5^n, for n < 0 those of the
        // quotient 2^s / 5^-n, which is rounded down by the division.
        var power = BigNatural(1)
        for exponent in 0...348 {
            if exponent <= range.upperBound {
                table[exponent - range.lowerBound] = power.upper128
            }
            if exponent > 0 {
                table[-exponent - range.lowerBound] = power.reciprocalUpper128
            }
            power.multiply(by: 5)
        }
        return UnsafePointer(table)
    }
}

/// A natural number of any size, little-endian words of 32 bits without leading zeros. For the table alone.
private struct BigNatural {
    private var words: [UInt32]

    init(_ value: UInt32) {
        words = [value]
    }

    private var bitCount: Int {
        words.count * 32 - (words.last ?? 0).leadingZeroBitCount
    }

    mutating func multiply(by factor: UInt32) {
        var carry: UInt64 = 0
        for index in words.indices {
            let product = UInt64(words[index]) * UInt64(factor) + carry
            words[index] = UInt32(truncatingIfNeeded: product)
            carry = product >> 32
        }
        if carry > 0 {
            words.append(UInt32(carry))
        }
    }

    private func bit(_ index: Int) -> UInt64 {
        index < 0 ? 0 : UInt64(words[index / 32] >> UInt32(index % 32)) & 1
    }

    /// The upper 128 bits, filled up with zeros below.
    var upper128: PowersOfTen.Significand {
        var result = PowersOfTen.Significand(high: 0, low: 0)
        for offset in 1...128 {
            result.high = result.high << 1 | result.low >> 63
            result.low = result.low << 1 | bit(bitCount - offset)
        }
        return result
    }

    /// The upper 128 bits of 1 / self, rounded down. By long division, one bit a step.
    var reciprocalUpper128: PowersOfTen.Significand {
        var result = PowersOfTen.Significand(high: 0, low: 0)
        // The remainder begins as 2^(bitCount - 1) <= self; self is no power of two, so that the first bit comes next.
        var remainder = [UInt32](repeating: 0, count: words.count + 1)
        remainder[(bitCount - 1) / 32] = 1 << UInt32((bitCount - 1) % 32)
        for _ in 0..<128 {
            var carry: UInt32 = 0
            for index in remainder.indices {
                let next = remainder[index] >> 31
                remainder[index] = remainder[index] << 1 | carry
                carry = next
            }
            let quotientBit: UInt64 = isAtMost(remainder) ? 1 : 0
            if quotientBit == 1 {
                subtract(from: &remainder)
            }
            result.high = result.high << 1 | result.low >> 63
            result.low = result.low << 1 | quotientBit
        }
        return result
    }

    /// Whether this number is at most `other`, which has one word more.
    private func isAtMost(_ other: [UInt32]) -> Bool {
        if other[words.count] != 0 {
            return true
        }
        for index in words.indices.reversed() where words[index] != other[index] {
            return words[index] < other[index]
        }
        return true
    }

    private func subtract(from other: inout [UInt32]) {
        var borrow: Int64 = 0
        for index in other.indices {
            var difference = Int64(other[index]) - borrow - (index < words.count ? Int64(words[index]) : 0)
            borrow = difference < 0 ? 1 : 0
            difference += borrow << 32
            other[index] = UInt32(truncatingIfNeeded: difference)
        }
    }
}
