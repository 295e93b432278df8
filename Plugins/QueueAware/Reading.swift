/// What was read of an endpoint's report last, as a pick uses it: a report is the same for many picks.
struct Reading: BitwiseCopyable {
    /// The report; 0: nothing was read yet.
    private(set) var word: UInt64 = 0
    /// Attempts under way here that what waits there counts as.
    private(set) var waiting: Float = 0
    /// One over the share of the pool's requests that it should have; 0: it tells nothing.
    private(set) var scale: Float = 0
    /// The same by its weight alone.
    let perWeight: Float
    /// Its place in the table, -1 without one.
    var slot: Int32

    init(slot: Int, weight: UInt32) {
        self.slot = Int32(truncatingIfNeeded: slot)
        perWeight = 1 / Float(max(weight, 1))
    }

    @inline(never)
    mutating func read(_ word: UInt64, _ options: borrowing Options) {
        let report = Report(word: word)
        self.word = word
        waiting = options.queueWeight * report.queue
        scale = report.tells ? perWeight / (1 - options.cacheWeight * report.cache) : 0
    }
}

/// The readings of a pool's endpoints, of one instance.
final class Readings {
    let base: UnsafeMutablePointer<Reading>
    let count: Int

    init(_ readings: [Reading]) {
        count = readings.count
        base = .allocate(capacity: max(count, 1))
        base.initialize(from: readings, count: count)
    }

    deinit { base.deallocate() }

    subscript(index: Int) -> Reading {
        precondition(index >= 0 && index < count)
        return base[index]
    }

    /// The endpoint has another place in the table now.
    func move(_ index: Int, to slot: Int) {
        precondition(index >= 0 && index < count)
        base[index].slot = Int32(truncatingIfNeeded: slot)
    }
}
