/// The shortest decimal that identifies a binary floating-point number: the Schubfach algorithm (R. Giulietti, "The
/// Schubfach way to render doubles", 2020). Three multiplications by a power of ten, rounded to odd, place the number
/// and the ends of its rounding interval on a decimal scale.
enum Shortest {
    /// `digits · 10^exponent`, not zero, not infinite, sign left out. Digits may end in zeros.
    static func decimal(_ value: Double) -> (digits: UInt64, exponent: Int) {
        let bits = value.bitPattern
        let fraction = bits & (1 << 52 - 1)
        let biased = Int(bits >> 52 & 0x7FF)
        let significand = biased == 0 ? fraction : fraction | 1 << 52
        let binaryExponent = biased == 0 ? -1074 : biased - 1075
        let isLowerCloser = fraction == 0 && biased > 1
        let decimalExponent = floorLog10(ofTwoTo: binaryExponent, threeQuarters: isLowerCloser)
        let shift = UInt64(binaryExponent + floorLog2(ofTenTo: -decimalExponent) + 1)
        var power = PowersOfTen.entry(-decimalExponent, in: PowersOfTen.table)
        if !PowersOfTen.exactRange.contains(-decimalExponent) {
            // The algorithm wants the power rounded up.
            let (low, carry) = power.low.addingReportingOverflow(1)
            power.low = low
            power.high += carry ? 1 : 0
        }
        let scale: (UInt64) -> UInt64 = { roundToOdd(power, $0 << shift) }
        return pick(
            lower: scale(4 * significand - 2 + (isLowerCloser ? 1 : 0)), value: scale(4 * significand),
            upper: scale(4 * significand + 2), isEven: significand & 1 == 0, exponent: decimalExponent)
    }

    static func decimal(_ value: Float) -> (digits: UInt64, exponent: Int) {
        let bits = value.bitPattern
        let fraction = bits & (1 << 23 - 1)
        let biased = Int(bits >> 23 & 0xFF)
        let significand = UInt64(biased == 0 ? fraction : fraction | 1 << 23)
        let binaryExponent = biased == 0 ? -149 : biased - 150
        let isLowerCloser = fraction == 0 && biased > 1
        let decimalExponent = floorLog10(ofTwoTo: binaryExponent, threeQuarters: isLowerCloser)
        let shift = UInt64(binaryExponent + floorLog2(ofTenTo: -decimalExponent) + 1)
        // 64 bits of the power do for a binary32; 5^27 is the last power that they hold exactly.
        let entry = PowersOfTen.entry(-decimalExponent, in: PowersOfTen.table)
        let power = (0...27).contains(-decimalExponent) ? entry.high : entry.high + 1
        let scale: (UInt64) -> UInt64 = { factor in
            let (high, low) = power.multipliedFullWidth(by: factor << shift)
            // 32 fractional bits: what lies below the middle only tells odd from even.
            let whole = high << 32 | low >> 32
            let rest = UInt32(truncatingIfNeeded: whole)
            return whole >> 32 | (rest > 1 ? 1 : 0)
        }
        return pick(
            lower: scale(4 * significand - 2 + (isLowerCloser ? 1 : 0)), value: scale(4 * significand),
            upper: scale(4 * significand + 2), isEven: significand & 1 == 0, exponent: decimalExponent)
    }

    /// Chooses among the four candidates; all three positions are in quarters of the decimal unit.
    @inline(__always)
    private static func pick(
        lower: UInt64, value: UInt64, upper: UInt64, isEven: Bool, exponent: Int
    ) -> (digits: UInt64, exponent: Int) {
        // A number with an even significand owns the ends of its interval: ties read back to even.
        let low = isEven ? lower : lower + 1
        let high = isEven ? upper : upper - 1
        let unit = value / 4
        if unit >= 10 {
            let ten = unit / 10
            let isDownInside = low <= 40 * ten
            let isUpInside = 40 * ten + 40 <= high
            if isDownInside != isUpInside {
                return (ten + (isUpInside ? 1 : 0), exponent + 1)
            }
        }
        let isDownInside = low <= 4 * unit
        let isUpInside = 4 * unit + 4 <= high
        if isDownInside != isUpInside {
            return (unit + (isUpInside ? 1 : 0), exponent)
        }
        let middle = 4 * unit + 2
        let roundsUp = value > middle || (value == middle && unit & 1 == 1)
        return (unit + (roundsUp ? 1 : 0), exponent)
    }

    /// The upper 64 bits of `power · factor`, with the lowest bit set when anything but zero lies below.
    @inline(__always)
    private static func roundToOdd(_ power: PowersOfTen.Significand, _ factor: UInt64) -> UInt64 {
        let lower = power.low.multipliedFullWidth(by: factor)
        let upper = power.high.multipliedFullWidth(by: factor)
        let (middle, carry) = upper.low.addingReportingOverflow(lower.high)
        let high = upper.high + (carry ? 1 : 0)
        return high | (middle > 1 ? 1 : 0)
    }

    /// ⌊log10(2^e)⌋, or ⌊log10(3/4 · 2^e)⌋, for |e| <= 1500.
    @inline(__always)
    private static func floorLog10(ofTwoTo exponent: Int, threeQuarters: Bool) -> Int {
        (exponent * 1_262_611 - (threeQuarters ? 524_031 : 0)) >> 22
    }

    /// ⌊log2(10^e)⌋, for |e| <= 1233.
    @inline(__always)
    private static func floorLog2(ofTenTo exponent: Int) -> Int {
        (exponent * 1_741_647) >> 19
    }
}
