import SluiceBalancing
import SluicePlugin

/// What one look at a pool has found: the least of those that tell their load, and of those that do not. -1: there is
/// none.
struct Survey {
    var known = -1
    var cost = Float.infinity
    var silent = -1
    var silentCost = Float.infinity

    @inline(__always)
    mutating func see(_ reading: UnsafeMutablePointer<Reading>, _ index: Int, _ isFresh: Bool) {
        if isFresh {
            let cost = reading.pointee.cost
            if cost < self.cost { (known, self.cost) = (index, cost) }
        } else {
            let cost = reading.pointee.underWay * reading.pointee.perWeight
            if cost < silentCost { (silent, silentCost) = (index, cost) }
        }
    }
}

/// The readings of a pool's endpoints, of one instance, and how a pick compares them. A class, since a pick would take
/// a copy of the whole plugin for what it hands to a closure.
final class Readings {
    /// Endpoints that one pick looks at. Of more, as many from a random place on: the least of 64 is hardly worse than
    /// the least of all (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001, shows how little
    /// each further choice adds), and 1,000 would take several times a microsecond.
    static let looksAtMost = 64

    private let base: UnsafeMutablePointer<Reading>
    private let count: Int
    private let table: ReportTable
    private let queueWeight: Float
    private let cacheWeight: Float
    private let maxAge: UInt32

    init(_ readings: [Reading], _ table: ReportTable, _ options: borrowing Options) {
        count = readings.count
        base = .allocate(capacity: max(count, 1))
        base.initialize(from: readings, count: count)
        self.table = table
        queueWeight = options.queueWeight
        cacheWeight = options.cacheWeight
        maxAge = options.maxAge
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

    /// - Parameter from: where the comparison begins, below the candidates' count.
    @inline(__always)
    func survey(_ candidates: Candidates, from: Int, now: UInt32) -> Survey {
        var found = Survey()
        let count = min(candidates.count, self.count)
        guard candidates.allEligible, count <= Self.looksAtMost else {
            look(candidates, from: from, now: now) { found.see($1, $0, $2) }
            return found
        }
        // Most pools, most of the time: neither a bit to test for each endpoint nor looks to count. What is new is read
        // before, and those that tell nothing are compared behind: a call in the loop, or more to keep, would have it
        // compare in memory, one endpoint waiting for another.
        let (base, middle, maxAge) = (base, min(from, count), maxAge)
        var news: UInt64 = 0
        for index in 0..<count { news |= latest(base + index) ^ base[index].word }
        if news != 0 { for index in 0..<count { _ = refresh(base + index, now) } }
        var (known, cost, silent) = (-1, Float.infinity, 0)
        for part in 0..<2 {
            for index in part == 0 ? middle..<count : 0..<middle {
                guard base[index].holds(at: now, maxAge) else {
                    silent &+= 1
                    continue
                }
                let here = base[index].cost
                if here < cost { (known, cost) = (index, here) }
            }
        }
        (found.known, found.cost) = (known, cost)
        if silent > 0 { compareSilent(&found, count, middle, now) }
        return found
    }

    @inline(never)
    private func compareSilent(_ found: inout Survey, _ count: Int, _ middle: Int, _ now: UInt32) {
        for part in 0..<2 {
            for index in part == 0 ? middle..<count : 0..<middle where !base[index].holds(at: now, maxAge) {
                found.see(base + index, index, false)
            }
        }
    }

    /// What those that tell their load tell on average. Only asked for where some do not, and nobody is heard of by
    /// being asked something.
    @inline(never)
    func mean(_ candidates: Candidates, from: Int, now: UInt32) -> (queue: Float, cache: Float) {
        var (told, queue, cache): (Float, Float, Float) = (0, 0, 0)
        look(candidates, from: from, now: now) { _, reading, isFresh in
            guard isFresh else { return }
            let report = Report(word: reading.pointee.word)
            told += 1
            queue += report.queue
            cache += report.cache
        }
        return told == 0 ? (0, 0) : (queue / told, cache / told)
    }

    /// Shows as many eligible endpoints as one pick looks at.
    @inline(__always)
    private func look(
        _ candidates: Candidates, from: Int, now: UInt32, _ show: (Int, UnsafeMutablePointer<Reading>, Bool) -> Void
    ) {
        let (words, base) = (candidates.words, base)
        let count = min(candidates.count, self.count)
        var looks = min(candidates.eligibleCount, Self.looksAtMost)
        var index = from
        for _ in 0..<count {
            if words[index &>> 6] &>> UInt64(index & 63) & 1 != 0 {
                show(index, base + index, refresh(base + index, now))
                looks &-= 1
                if looks == 0 { break }
            }
            index = index &+ 1 < count ? index &+ 1 : 0
        }
    }

    /// The report of an endpoint as it is now; 0: none.
    @inline(__always)
    private func latest(_ reading: UnsafeMutablePointer<Reading>) -> UInt64 {
        let slot = Int(reading.pointee.slot)
        return slot >= 0 ? table.report(at: slot).word : 0
    }

    /// Reads what an endpoint has told since, and says whether that holds at `now`.
    @inline(__always)
    private func refresh(_ reading: UnsafeMutablePointer<Reading>, _ now: UInt32) -> Bool {
        let word = latest(reading)
        if word != reading.pointee.word {
            reading.pointee.read(word, queueWeight: queueWeight, cacheWeight: cacheWeight)
        }
        return reading.pointee.holds(at: now, maxAge)
    }
}
