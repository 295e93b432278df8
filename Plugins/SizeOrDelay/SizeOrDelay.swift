import SluicePlugin

/// Sends a batch when it is full, when its oldest request has waited long enough, or when a deadline comes near.
///
/// "Near" is as long as batches of this pool have lately taken, and a reserve: a batch sent later would answer too
/// late. Before one has ended it is half of the time there is.
///
///     config: { deadline_reserve_ms: 2 }
struct SizeOrDelay: BatchingPolicy {
    static let plugin = PluginDescription(
        name: "size-or-delay", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Nanoseconds.
    private let reserve: UInt64
    /// Moving average of how long a batch takes, in nanoseconds; 0 until one has ended.
    private var usual: UInt64 = 0

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["deadline_reserve_ms"])
        // 2 ms: twice the resolution of the host's timers.
        reserve = UInt64(try context.config.integer("deadline_reserve_ms", default: 2, in: 0...60_000)) * 1_000_000
    }

    mutating func requestAdded(_ queue: BatchQueue) -> BatchDecision { decide(queue) }

    mutating func timeCame(_ queue: BatchQueue) -> BatchDecision { decide(queue) }

    mutating func batchEnded(count: Int, rows: Int, _ outcome: Outcome) {
        if outcome.error == .deadlineExceeded {
            // It would have taken longer. Without this each one after it would be sent as late, and fail as well.
            usual = max(usual, min(outcome.total, UInt64.max / 4)) &* 2
            return
        }
        // A batch that failed in another way tells nothing of how long one takes.
        guard outcome.error == nil else { return }
        // One eighth of the new value, as TCP smooths round trips (RFC 6298 section 2).
        usual = usual == 0 ? outcome.total : usual &- usual / 8 &+ outcome.total / 8
    }

    private func decide(_ queue: BatchQueue) -> BatchDecision {
        guard queue.count > 0 else { return .hold }
        if queue.rows >= queue.maximumRows { return .flush(queue.count) }
        var time = sum(queue.oldest, queue.maximumDelay)
        if queue.earliestDeadline != UInt64.max {
            let deadline = queue.earliestDeadline
            let half = usual == 0 && deadline > queue.oldest ? (deadline &- queue.oldest) / 2 : 0
            let needed = sum(max(usual, half), reserve)
            time = min(time, deadline > needed ? deadline &- needed : 0)
        }
        return time <= queue.now ? .flush(queue.count) : .wait(until: time)
    }

    private func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let (value, overflow) = left.addingReportingOverflow(right)
        return overflow ? UInt64.max : value
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, SizeOrDelay.self) }
