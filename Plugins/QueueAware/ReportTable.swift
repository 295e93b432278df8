import SluicePlugin

/// The reports of a pool's endpoints, shared by all workers and by generations: a hash table of atomics, an endpoint's
/// id in one word and its report in the next. Ids are stable, so a reload finds what the old generation knew.
///
/// A place whose endpoint has not been heard of for `abandonedAfter` goes to whoever needs one. A worker that still
/// holds such a place finds another owner there before it writes, and looks again.
struct ReportTable {
    /// Ten minutes: an endpoint that is only down for a deployment keeps its place.
    private static let abandonedAfter: UInt32 = 600_000
    /// A table half full at most has hardly a longer run of taken places.
    private static let probes = 32

    /// Two a place, and behind them when the next round of scraping is due. One block for both: the host keeps 256 for
    /// a plugin, and each pool takes its own.
    private let words: SharedCounters
    private let due: Int
    private let mask: UInt64
    private let maxAge: UInt32

    /// - Parameters:
    ///   - endpoints: as many as have a place for sure; the table has at least twice that.
    ///   - maxAge: of a report, in milliseconds.
    init(_ state: StateBlocks, name: String, endpoints: Int, maxAge: UInt32) throws(PluginError) {
        var places = 32
        while places < endpoints * 2 { places *= 2 }
        words = try state.counters("reports/\(name)", count: places * 2 + 1)
        due = places * 2
        mask = UInt64(places - 1)
        self.maxAge = maxAge
    }

    /// Where the search for an endpoint's place begins. Fibonacci hashing: ids follow one another, in the low half or,
    /// where an endpoint has taken the place of another, in the high one.
    private func start(of id: UInt64) -> UInt64 { (id &* 0x9E37_79B9_7F4A_7C15) >> 32 }

    /// The place of an endpoint, which is taken for it when it has none; nil when the table is full.
    func place(of id: UInt64, now: UInt32) -> Int? {
        let owner = id &+ 1
        let start = start(of: id)
        var free: Int?
        for step in 0..<Self.probes {
            let place = Int((start &+ UInt64(step)) & mask)
            let found = words.load(place &* 2)
            if found == owner { return place }
            // Nobody is behind a place that was never taken; and it is better than an abandoned one.
            if found == 0 {
                free = place
                break
            }
            if free == nil, report(at: place).age(at: now) > Self.abandonedAfter { free = place }
        }
        guard let free else { return nil }
        let found = words.load(free &* 2)
        if found == owner { return free }
        guard found == 0 || report(at: free).age(at: now) > Self.abandonedAfter else { return nil }
        // A young and empty report first: who reads the new owner must not find the place abandoned.
        words.store(free &* 2 &+ 1, Report(queue: nil, cache: nil, time: now).word)
        let met = words.exchange(free &* 2, expected: found, desired: owner)
        // Another worker was faster: for the same endpoint, or for another, which the next look passes over.
        return met == found || met == owner ? free : nil
    }

    /// Says that an endpoint is still there, however long it has been silent: it keeps its place.
    func keep(_ id: UInt64, now: UInt32) {
        let start = start(of: id)
        for step in 0..<Self.probes {
            let place = Int((start &+ UInt64(step)) & mask)
            let found = words.load(place &* 2)
            if found == 0 { return }
            guard found == id &+ 1 else { continue }
            if report(at: place).age(at: now) > Self.abandonedAfter / 2 {
                words.store(place &* 2 &+ 1, Report(queue: nil, cache: nil, time: now).word)
            }
            return
        }
    }

    /// True for one caller in an interval, of all generations that have this table: one of them scrapes while the old
    /// and the new are both there. In nanoseconds.
    func takesRound(at now: UInt64, interval: UInt64) -> Bool {
        let next = words.load(due)
        return next <= now && words.exchange(due, expected: next, desired: now &+ interval) == next
    }

    @inline(__always)
    func report(at place: Int) -> Report { Report(word: words.load(place &* 2 &+ 1)) }

    /// Writes a report; what it does not say stays as an earlier one that is still fresh said it. False when the place
    /// has gone to another endpoint. Two writers at once: one of them wins, and the next report is never far.
    func write(_ report: Report, at place: Int, of id: UInt64, now: UInt32) -> Bool {
        guard words.load(place &* 2) == id &+ 1 else { return false }
        let old = self.report(at: place)
        let new = old.isFresh(at: now, limit: maxAge) ? report.completed(by: old) : report
        words.store(place &* 2 &+ 1, new.word)
        return true
    }
}
