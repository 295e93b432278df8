/// The buckets of every duration that the host measures: 1-2-5 steps from 100 µs to 10 s, then 30 s and 60 s.
///
/// Below 100 µs a proxied request is the kernel's own time, above 60 s the default timeout has cut it. The steps are
/// round numbers because service levels are ("99% within 200 ms"), and a quantile inside a bucket is off by at most a
/// factor of 3. Adjacent bounds differ by at least a factor of 2, so each power of two holds at most one of them: one
/// table entry and one comparison find the bucket.
enum LatencyBuckets {
    /// Upper bounds in nanoseconds, each inclusive (`le` of the Prometheus text format).
    static let bounds: [UInt64] = [
        100_000, 200_000, 500_000,
        1_000_000, 2_000_000, 5_000_000,
        10_000_000, 20_000_000, 50_000_000,
        100_000_000, 200_000_000, 500_000_000,
        1_000_000_000, 2_000_000_000, 5_000_000_000,
        10_000_000_000, 30_000_000_000, 60_000_000_000,
    ]

    /// `bounds` as the text format shows them, in seconds.
    static let labels: [String] = [
        "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5",
        "1", "2", "5", "10", "30", "60",
    ]

    /// `bounds` and +Inf.
    static let count = 19

    /// Cells of one histogram: the buckets, then the sum in nanoseconds. The number of observations is the sum of the
    /// buckets, so that a scrape in the middle of an observation is still consistent.
    static let cells = count + 1

    /// Entries of the table, one for each position of the highest bit.
    static let tableCells = 64

    /// 2^56 - 1 ns, more than two years: what is longer counts as this long, and the bound shares a word with an index.
    @inline(__always) static var longest: UInt64 { 1 << 56 - 1 }

    /// For each power of two: the bucket of its values up to the bound inside it, and that bound.
    static func fill(_ table: MetricCells) {
        for octave in 0..<tableCells {
            let low = UInt64(1) << UInt64(octave)
            let below = bounds.count(where: { $0 < low })
            var bound = longest
            if below < bounds.count, octave < 63, bounds[below] < low << 1 { bound = bounds[below] }
            table.set(UInt64(below) << 56 | bound, at: octave)
        }
    }

    /// The bucket of a duration, by a table that `fill` made: no division and no floating point.
    @inline(__always)
    static func index(of nanoseconds: UInt64, table: MetricCells) -> Int {
        let value = min(nanoseconds, longest)
        let entry = table[63 - (value | 1).leadingZeroBitCount]
        return Int(truncatingIfNeeded: entry >> 56) + (value > entry & longest ? 1 : 0)
    }
}

/// The buckets of a batch's rows: powers of two up to 1,024, since batch sizes are configured that way.
enum RowBuckets {
    static let labels = ["1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024"]
    static let count = 12
    static let cells = count + 1

    /// The smallest power of two that is not below `rows`.
    @inline(__always)
    static func index(of rows: UInt32) -> Int {
        rows <= 1 ? 0 : min(32 - (rows - 1).leadingZeroBitCount, count - 1)
    }
}

/// The buckets of what plugins record, which may be seconds, bytes or anything: powers of four from 4^-10 (about a
/// millionth) to 4^15 (about a thousand millions), found in the exponent of the value.
enum ValueBuckets {
    static let lowestPower = -10
    static let highestPower = 15
    /// The powers and +Inf.
    static let count = highestPower - lowestPower + 2

    static var labels: [String] {
        (lowestPower...highestPower).map { power in
            let bound = power < 0 ? 1 / Double(1 << (-2 * power)) : Double(1 << (2 * power))
            return PrometheusText.number(bound)
        }
    }

    /// The smallest power of four that is not below `value`.
    @inline(__always)
    static func index(of value: Double) -> Int {
        guard value > 0 else { return 0 }
        let bits = value.bitPattern
        let exponent = Int(truncatingIfNeeded: bits >> 52) - 1023
        // The power of two that is not below the value, halved upwards for the power of four.
        let powerOfTwo = exponent + (bits & (1 << 52 - 1) == 0 ? 0 : 1)
        let powerOfFour = (powerOfTwo + 1) >> 1
        return min(max(powerOfFour - lowestPower, 0), count - 1)
    }
}
