import SluiceHashing
import SluicePlugin

/// Where a balancer begins to compare a pool's endpoints. Allocates nothing.
public struct SearchStart {
    @usableFromInline let looksAtMost: Int
    @usableFromInline var start: Int
    @usableFromInline var numbers: SplitMix64

    /// - Parameter looksAtMost: endpoints that one pick compares.
    public init(_ context: Context, looksAtMost: Int) {
        self.looksAtMost = looksAtMost
        // Workers that pick at one moment shall not all look at the same endpoints.
        start = context.worker ?? 0
        numbers = SplitMix64(seed: context.seed)
    }

    /// A place below `count`: one further each time, so that ties go around; anywhere, when not all endpoints are
    /// looked at.
    @inlinable
    public mutating func next(of count: Int) -> Int {
        if count > looksAtMost { return numbers.below(count) }
        start = start &+ 1 < count ? start &+ 1 : 0
        return start
    }
}
