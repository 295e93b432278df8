import RateLimitBuckets
import SluicePlugin

/// The buckets and their secret, which all workers and generations of a plugin's entry share.
final class SharedState: Sendable {
    let table: BucketTable
    /// Of the hash of keys: drawn once a process, so that nobody outside can choose keys that meet.
    private let ownKey: (UInt64, UInt64)
    /// The same of all gateways of a fleet.
    private let fleetKey: (UInt64, UInt64)?
    private nonisolated(unsafe) let segments: UnsafeMutablePointer<UnsafeMutableRawPointer>

    /// - Parameter fleet: the key of a fleet, for the limits that it shares.
    init(_ state: StateBlocks, buckets: Int, fleet: (UInt64, UInt64)?) throws(PluginError) {
        let words = try state.counters("key", count: 2)
        // On the control thread, where all instances are made.
        var random = SystemRandomNumberGenerator()
        while words.load(0) == 0 { words.store(0, random.next()) }
        while words.load(1) == 0 { words.store(1, random.next()) }

        let groups = BucketTable.groups(buckets: buckets)
        let inSegment = min(groups, BucketTable.groupsInSegment)
        let count = groups / inSegment
        // Checked first: what has been allocated would be lost with an error.
        var blocks: [UnsafeMutableRawPointer] = []
        for index in 0..<count {
            blocks.append(try state.memory("buckets/\(groups)/\(index)", bytes: BucketTable.bytes(groups: inSegment)))
        }
        ownKey = (words.load(0), words.load(1))
        fleetKey = fleet
        segments = .allocate(capacity: count)
        segments.initialize(from: blocks, count: count)
        table = BucketTable(segments: segments, groups: groups)
    }

    deinit { segments.deallocate() }

    /// Of limits that are not shared names nobody could find in the store, were they told.
    func key(isShared: Bool) -> (UInt64, UInt64) { isShared ? fleetKey ?? ownKey : ownKey }

    /// Whether both are of the same buckets.
    func isSame(as other: SharedState) -> Bool { segments[0] == other.segments[0] }

    /// The queue of one worker's charges to the fleet.
    static func ring(_ state: StateBlocks, worker: Int) throws(PluginError) -> ChargeRing {
        // Five fit in a block of 1 MiB: there are at most 256 blocks, and many workers.
        let inBlock = 5
        let block = try state.memory("rings/\(worker / inBlock)", bytes: inBlock * ChargeRing.bytes)
        return ChargeRing(block + worker % inBlock * ChargeRing.bytes)
    }
}
