import Synchronization

/// The memory of a pool's latencies: counts by size, which all workers add to. 2 KiB.
///
/// Sizes are sorted as in HdrHistogram (G. Tene): an octave of nanoseconds has 16 buckets, so that a bucket's edges lie
/// at most 6.25% apart. When there are `samplesAtMost` counts all are halved: what was lately counts more, and a pool
/// that has become faster is known as such after some thousands of answers.
public struct LatencyHistogramCell: ~Copyable {
    /// From 1 µs, below which nothing is told apart, to 2^40 ns, about 18 minutes, above which neither.
    static let octaves = 30
    static let bucketsOfOctave = 16
    static let buckets = octaves * bucketsOfOctave
    static let firstExponent = 10

    let counts: UnsafeMutablePointer<Atomic<UInt32>>
    let total = Atomic<UInt64>(0)

    public init() {
        counts = .allocate(capacity: Self.buckets)
        for bucket in 0..<Self.buckets { (counts + bucket).initialize(to: Atomic(0)) }
    }

    deinit { counts.deallocate() }
}

/// A view of a cell. Every function may be called by any worker at any time; what they race for is lost at most.
public struct LatencyHistogram: @unchecked Sendable {
    private let cell: UnsafeMutablePointer<LatencyHistogramCell>

    /// Enough for the 99.9th percentile to rest on several of them.
    static let samplesAtMost: UInt64 = 10_000

    /// The cell must outlive this value.
    public init(_ cell: UnsafeMutablePointer<LatencyHistogramCell>) { self.cell = cell }

    static func bucket(_ nanoseconds: UInt64) -> Int {
        let least = UInt64(1) << UInt64(LatencyHistogramCell.firstExponent)
        let value = max(nanoseconds, least)
        let exponent = 63 - value.leadingZeroBitCount
        let within = Int(value >> UInt64(exponent - 4)) & (LatencyHistogramCell.bucketsOfOctave - 1)
        let bucket = (exponent - LatencyHistogramCell.firstExponent) * LatencyHistogramCell.bucketsOfOctave + within
        return min(bucket, LatencyHistogramCell.buckets - 1)
    }

    /// The upper edge of a bucket.
    static func edge(_ bucket: Int) -> UInt64 {
        let (octave, within) = bucket.quotientAndRemainder(dividingBy: LatencyHistogramCell.bucketsOfOctave)
        let exponent = UInt64(octave + LatencyHistogramCell.firstExponent)
        return UInt64(1) << exponent + UInt64(within + 1) << (exponent - 4)
    }

    /// [worker]
    public func record(_ nanoseconds: UInt64) {
        cell.pointee.counts[Self.bucket(nanoseconds)].wrappingAdd(1, ordering: .relaxed)
        let total = cell.pointee.total.wrappingAdd(1, ordering: .relaxed).newValue
        // One of them halves: the others see another total.
        if total == Self.samplesAtMost { halve() }
    }

    private func halve() {
        var left: UInt64 = 0
        for bucket in 0..<LatencyHistogramCell.buckets {
            let half = cell.pointee.counts[bucket].load(ordering: .relaxed) / 2
            cell.pointee.counts[bucket].store(half, ordering: .relaxed)
            left += UInt64(half)
        }
        cell.pointee.total.store(left, ordering: .relaxed)
    }

    public var count: UInt64 { cell.pointee.total.load(ordering: .relaxed) }

    /// The latency that `share` of the samples, 0 to 1, do not exceed, rounded up to a bucket's edge; nil without any.
    /// A walk over all buckets: 0.5 µs.
    public func quantile(_ share: Double) -> UInt64? {
        var total: UInt64 = 0
        for bucket in 0..<LatencyHistogramCell.buckets {
            total += UInt64(cell.pointee.counts[bucket].load(ordering: .relaxed))
        }
        guard total > 0 else { return nil }
        let wanted = Double(total) * share
        var seen: UInt64 = 0
        for bucket in 0..<LatencyHistogramCell.buckets {
            seen += UInt64(cell.pointee.counts[bucket].load(ordering: .relaxed))
            if Double(seen) >= wanted, seen > 0 { return Self.edge(bucket) }
        }
        return Self.edge(LatencyHistogramCell.buckets - 1)
    }
}
