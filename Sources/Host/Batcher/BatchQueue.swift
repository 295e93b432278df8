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
    private var rowSum: UInt64 = 0
    private(set) var bytes: UInt64 = 0

    /// Clients say how many rows they send, and rows of no bytes cost nothing: the sum may exceed what batchers are
    /// shown, but never wraps.
    var rows: UInt32 { UInt32(clamping: rowSum) }

    var isEmpty: Bool { entries.isEmpty }
    /// Entries that it has memory for.
    var capacity: Int { entries.capacity }

    mutating func add(_ entry: Entry) {
        entries.append(entry)
        rowSum &+= UInt64(entry.rows)
        bytes &+= entry.bytes
    }

    /// What a batcher is shown. Times in nanoseconds of the monotonic clock.
    func view(now: UInt64, maxRows: UInt32, maxDelay: UInt64, inFlight: UInt32) -> sluice_batch {
        sluice_batch(
            count: UInt32(entries.count), rows: rows, bytes: bytes, oldest_ns: entries.first?.enqueued ?? now,
            now_ns: now, earliest_deadline_ns: entries.reduce(.max) { min($0, $1.deadline) }, max_rows: maxRows,
            in_flight: inFlight, max_delay_ns: maxDelay)
    }

    /// Takes up to `count` of the oldest, but no more rows than `maxRows` and no more bytes than `maxBytes`; the first
    /// one goes in any case. `body` gets one after the other.
    mutating func flush(_ count: UInt32, maxRows: UInt32, maxBytes: UInt64 = .max, _ body: (Entry) -> Void) {
        var taken = 0
        var sum: UInt64 = 0
        var size: UInt64 = 0
        while taken < min(Int(count), entries.count) {
            let next = entries[taken]
            if taken > 0, sum + UInt64(next.rows) > UInt64(maxRows) || next.bytes > maxBytes - min(size, maxBytes) {
                break
            }
            sum += UInt64(next.rows)
            size += next.bytes
            taken += 1
        }
        for index in 0..<taken {
            subtract(entries[index])
            body(entries[index])
        }
        entries.removeFirst(taken)
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
        rowSum &-= UInt64(entry.rows)
        bytes &-= entry.bytes
    }
}
