import Synchronization

/// What all workers count of one endpoint in one pool, for `OutlierDetector`. 32 bytes.
public struct OutlierCell: ~Copyable {
    @usableFromInline let inARow = Atomic<UInt64>(0)
    /// Failures in the upper half, answers of any kind in the lower. Only differences are read, and those are exact
    /// however often the halves run over, since a carry is in both.
    @usableFromInline let answers = Atomic<UInt64>(0)
    /// Of answers that are no failures; nanoseconds, wrapping.
    @usableFromInline let latency = Atomic<UInt64>(0)

    public init() {}
}

/// What a cell held at one time. Meaningful as a difference of two.
public struct OutlierTotals: Sendable, Equatable {
    @usableFromInline var answers: UInt64
    @usableFromInline var latency: UInt64

    @inlinable
    public init() {
        answers = 0
        latency = 0
    }

    @inlinable
    init(answers: UInt64, latency: UInt64) {
        self.answers = answers
        self.latency = latency
    }

    /// Totals of an endpoint that has given so many answers, for those who do not count with a cell.
    public init(successes: UInt32, failures: UInt32, latency: UInt64) {
        self.init(answers: UInt64(failures) << 32 + UInt64(successes) + UInt64(failures), latency: latency)
    }

    /// What came between `earlier` and this.
    func since(_ earlier: OutlierTotals) -> (answers: UInt64, failures: UInt64, latency: UInt64) {
        let difference = answers &- earlier.answers
        return (difference & 0xffff_ffff, difference >> 32, latency &- earlier.latency)
    }
}

/// A view of a cell. Every function may be called by any worker at any time.
public struct OutlierCounter: @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<OutlierCell>

    /// The cell must outlive this value.
    @inlinable
    public init(_ cell: UnsafeMutablePointer<OutlierCell>) { self.cell = cell }

    /// Counts an answer that took `latency` nanoseconds. True when it is failure `threshold` in a row, or a multiple of
    /// that: the detector is to be told, who may have refused before. A threshold of 0 is never reached. [worker]
    @inlinable
    public func record(failed: Bool, latency: UInt64, threshold: UInt32) -> Bool {
        let cell = cell
        if !failed {
            cell.pointee.answers.wrappingAdd(1, ordering: .relaxed)
            cell.pointee.latency.wrappingAdd(latency, ordering: .relaxed)
            // Read first: a line that is written costs the other workers more than one that is read.
            if cell.pointee.inARow.load(ordering: .relaxed) != 0 { cell.pointee.inARow.store(0, ordering: .relaxed) }
            return false
        }
        cell.pointee.answers.wrappingAdd(1 << 32 | 1, ordering: .relaxed)
        let inARow = cell.pointee.inARow.wrappingAdd(1, ordering: .relaxed).newValue
        return threshold > 0 && inARow % UInt64(threshold) == 0
    }

    /// Counts an attempt that another one was faster than: its answer would have taken at least `latency` nanoseconds.
    /// It is no failure, and no success that would end a row of failures. [worker]
    @inlinable
    public func recordOutpaced(after latency: UInt64) {
        cell.pointee.answers.wrappingAdd(1, ordering: .relaxed)
        cell.pointee.latency.wrappingAdd(latency, ordering: .relaxed)
    }

    /// What led to an ejection must not count after it. [any]
    @inlinable
    public func forgetFailuresInARow() { cell.pointee.inARow.store(0, ordering: .relaxed) }

    /// [any]
    @inlinable
    public var totals: OutlierTotals {
        OutlierTotals(
            answers: cell.pointee.answers.load(ordering: .relaxed),
            latency: cell.pointee.latency.load(ordering: .relaxed))
    }
}
