import Synchronization

/// What one worker took of buckets and has not told the fleet: a bounded queue from that worker to whoever tells it, in
/// memory that somebody else keeps. The worker alone pushes, and one thread at a time drains. Neither waits.
public struct ChargeRing: @unchecked Sendable {
    /// 192 KiB a worker: as many charges between two drainings, a tenth of a second apart, are 80,000 requests a
    /// second.
    public static let entries = 8_192
    public static let bytes = 128 + entries * entrySize
    private static let entrySize = 24

    /// The pushing side's count on a cache line of its own, then the draining side's, then the entries.
    private let start: UnsafeMutableRawPointer

    /// `start` was zeroed when it was new, is aligned to 64 bytes and has room for `bytes`.
    public init(_ start: UnsafeMutableRawPointer) { self.start = start }

    private var pushed: UnsafeMutablePointer<Atomic<UInt64>> { start.assumingMemoryBound(to: Atomic<UInt64>.self) }
    private var drained: UnsafeMutablePointer<Atomic<UInt64>> {
        (start + 64).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    private func entry(_ count: UInt64) -> UnsafeMutablePointer<UInt64> {
        (start + (128 &+ Int(count % UInt64(Self.entries)) &* Self.entrySize)).assumingMemoryBound(to: UInt64.self)
    }

    /// False when it is full. Nanoseconds; below 0 when they were given back. 0 asks how the bucket stands: that finds
    /// room in the first half alone, so that many who are refused leave some for those who are not. `time` is when, by
    /// the table's clock.
    public func push(_ key: UInt64, _ cost: Int64, at time: UInt64) -> Bool {
        let count = pushed.pointee.load(ordering: .relaxed)
        let used = count &- drained.pointee.load(ordering: .acquiring)
        guard used < UInt64(cost == 0 ? Self.entries / 2 : Self.entries) else { return false }
        let place = entry(count)
        place[0] = key
        place[1] = UInt64(bitPattern: cost)
        place[2] = time
        pushed.pointee.store(count &+ 1, ordering: .releasing)
        return true
    }

    /// Takes out all that was pushed before the call.
    public func drain(_ body: (_ key: UInt64, _ cost: Int64, _ time: UInt64) -> Void) {
        var count = drained.pointee.load(ordering: .relaxed)
        let end = pushed.pointee.load(ordering: .acquiring)
        while count != end {
            let place = entry(count)
            let (key, cost, time) = (place[0], Int64(bitPattern: place[1]), place[2])
            count &+= 1
            drained.pointee.store(count, ordering: .releasing)
            body(key, cost, time)
        }
    }
}
