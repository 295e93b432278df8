import SluiceABI

/// The queue of requests that may stand in one batch: a pure value under its owner's clock. It keeps order and sums;
/// when to flush is the batcher plugin's decision, who is flushed is first come first served.
struct BatchQueue<Member> {
    struct Entry {
        var member: Member
        var rows: UInt32
        var bytes: UInt64
        var enqueued: UInt64
        var deadline: UInt64
    }

    private(set) var entries: [Entry] = []
    private(set) var rows: UInt32 = 0
    private(set) var bytes: UInt64 = 0

    var isEmpty: Bool { entries.isEmpty }

    mutating func add(_ entry: Entry) {
        entries.append(entry)
        rows &+= entry.rows
        bytes &+= entry.bytes
    }

    /// What a batcher is shown. Times in nanoseconds of the monotonic clock.
    func view(now: UInt64, maxRows: UInt32, maxDelay: UInt64, inFlight: UInt32) -> sluice_batch {
        sluice_batch(
            count: UInt32(entries.count), rows: rows, bytes: bytes, oldest_ns: entries.first?.enqueued ?? now,
            now_ns: now, earliest_deadline_ns: entries.map(\.deadline).min() ?? .max, max_rows: maxRows,
            in_flight: inFlight, max_delay_ns: maxDelay)
    }

    /// Takes up to `count` of the oldest, but no more rows than `maxRows`; the first one goes in any case.
    mutating func flush(_ count: UInt32, maxRows: UInt32) -> [Entry] {
        var taken = 0
        var sum: UInt32 = 0
        while taken < min(Int(count), entries.count) {
            let next = entries[taken].rows
            let (total, overflows) = sum.addingReportingOverflow(next)
            if taken > 0, overflows || total > maxRows { break }
            sum = total
            taken += 1
        }
        let flushed = Array(entries[..<taken])
        entries.removeFirst(taken)
        for entry in flushed { subtract(entry) }
        return flushed
    }

    /// Takes out whoever `leaves` names: a client that left, a deadline that passed.
    mutating func remove(where leaves: (Member) -> Bool) -> [Entry] {
        let removed = entries.filter { leaves($0.member) }
        guard !removed.isEmpty else { return [] }
        entries.removeAll { leaves($0.member) }
        for entry in removed { subtract(entry) }
        return removed
    }

    private mutating func subtract(_ entry: Entry) {
        rows &-= entry.rows
        bytes &-= entry.bytes
    }
}
