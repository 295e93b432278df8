import Synchronization

/// The memory of one pool's retry budget: one word that all workers share, since a check of both counts must not fall
/// between two changes.
///
///        32            32
///     retries        requests        both under way, the retries among the requests
public struct RetryBudgetCell: ~Copyable {
    @usableFromInline let word = Atomic<UInt64>(0)

    public init() {}
}

/// How many retries a pool may have under way. When endpoints fail, retries multiply the load on those that are left;
/// a share of the load bounds that, where a number of attempts for each request does not (Google: Site Reliability
/// Engineering, ch. 21, "Deciding to Retry").
public struct RetryBudgetSettings: Sendable, Equatable {
    /// Retries under way, as a share of all requests under way, in percent. Twenty: at the worst an endpoint sees a
    /// fifth more than its clients send.
    public var percent: Double = 20
    /// So many are always allowed, so that a quiet pool can retry at all.
    public var minimum: UInt32 = 10

    public init() {}

    /// Retries that may be under way beside `requests`.
    @inlinable
    public func allowed(requests: UInt64) -> UInt64 {
        // 29 percent of 100 are 28.999…, as doubles have them.
        max(UInt64(minimum), UInt64(Double(requests) * percent / 100 + 1e-9))
    }
}

/// A view of a budget's cell. Every function may be called by any worker at any time.
public struct RetryBudget: @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<RetryBudgetCell>

    @usableFromInline static let oneRetry: UInt64 = 1 << 32

    /// The cell must outlive this value.
    @inlinable
    public init(_ cell: UnsafeMutablePointer<RetryBudgetCell>) { self.cell = cell }

    /// A request begins; retries of it are not told. `requestEnds` belongs to it. [worker]
    @inlinable
    public func requestBegins() { cell.pointee.word.wrappingAdd(1, ordering: .relaxed) }

    @inlinable
    public func requestEnds() { cell.pointee.word.wrappingSubtract(1, ordering: .relaxed) }

    /// Takes one retry out of the budget; false when there is none left. `retryEnds` belongs to each that was taken:
    /// from the decision on, so that one waiting for its time counts as well. [worker]
    @inlinable
    public func takeRetry(_ settings: RetryBudgetSettings) -> Bool {
        var old = cell.pointee.word.load(ordering: .relaxed)
        while true {
            guard old >> 32 < settings.allowed(requests: old & 0xffff_ffff) else { return false }
            let (exchanged, original) = cell.pointee.word.compareExchange(
                expected: old, desired: old &+ Self.oneRetry, ordering: .relaxed)
            if exchanged { return true }
            old = original
        }
    }

    @inlinable
    public func retryEnds() { cell.pointee.word.wrappingSubtract(Self.oneRetry, ordering: .relaxed) }

    /// For status and metrics. [any]
    @inlinable
    public var underWay: (requests: Int, retries: Int) {
        let word = cell.pointee.word.load(ordering: .relaxed)
        return (Int(truncatingIfNeeded: word & 0xffff_ffff), Int(truncatingIfNeeded: word >> 32))
    }
}
