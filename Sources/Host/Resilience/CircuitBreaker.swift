import Synchronization

/// The memory of one breaker: two cache lines that all workers share. Made with the endpoint or pool that it guards and
/// kept for the life of the process, so that a reload does not forget that something is broken. Zeroed, it is closed.
///
/// Align it to 64 bytes, and let nothing that changes often share its lines.
public struct CircuitBreakerCell: ~Copyable {
    @usableFromInline let word = Atomic<UInt64>(0)
    /// Closed: failures in a row; half open: probes that succeeded. Below the epoch that they belong to, in the upper
    /// half.
    @usableFromInline let tally = Atomic<UInt64>(0)
    @usableFromInline let window = InlineArray<6, Atomic<UInt64>> { _ in Atomic(0) }
    @usableFromInline let places = InlineArray<8, Atomic<UInt64>> { _ in Atomic(0) }

    public init() {}
}

/// A circuit breaker (M. Nygard: Release It!, 2nd ed. 2018, ch. 5): closed it lets all through and watches; too many
/// failures open it, and all are refused; after a time it is half open and lets a bounded number of probes through,
/// whose results close it or open it again, for longer.
///
/// A view of a cell with the settings of the caller's generation: sixteen bytes, made on the spot. Every function may
/// be called by any worker at any time. The clock is monotonic, in nanoseconds; `random` is 64 random bits.
///
/// Results count for the state that their request was let through in. Those of requests from before a change are late,
/// and change nothing.
public struct CircuitBreaker: @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<CircuitBreakerCell>
    @usableFromInline let settings: UnsafePointer<CircuitBreakerSettings>

    /// Both must outlive this value.
    @inlinable
    public init(_ cell: UnsafeMutablePointer<CircuitBreakerCell>, _ settings: UnsafePointer<CircuitBreakerSettings>) {
        self.cell = cell
        self.settings = settings
    }

    /// Whether a request may go now. What is let through must be reported, by `record` or `cancel`, once. [worker]
    @inlinable
    public func admits(now: UInt64, random: UInt64) -> CircuitBreakerAdmission {
        let word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
        if word.phase == .closed { return .closed(.closed(epoch: word.epoch)) }
        return admitsProbe(word, ticks: BreakerWord.ticks(now), now: now, random: random)
    }

    /// Whether `admits` would let a request through, without taking a probe's place: for the choice among endpoints.
    /// [worker]
    @inlinable
    public func wouldAdmit(now: UInt64) -> Bool {
        let word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
        if word.phase == .closed { return true }
        return hasPlace(word, ticks: BreakerWord.ticks(now))
    }

    /// What became of a request that was let through. The change that it made, if any, is this caller's to tell.
    /// [worker]
    @inlinable
    public func record(
        failed: Bool, _ ticket: CircuitBreakerTicket, now: UInt64, random: UInt64
    ) -> CircuitBreakerChange {
        guard ticket.bits != 0 else { return .none }
        if ticket.isProbe { return recordProbe(failed: failed, ticket, now: now, random: random) }
        let word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
        guard word.phase == .closed, word.epoch == ticket.epoch else { return .none }
        if settings.pointee.failurePercent > 0 { count(failed: failed, now: now) }
        if !failed {
            // Read first: a line that is only read stays in every worker's cache. When the swap fails, a failure came
            // at the same time, and which of the two was first nobody can say.
            let tally = cell.pointee.tally.load(ordering: .relaxed)
            if tally != 0 && tally >> 32 == word.epoch {
                _ = cell.pointee.tally.compareExchange(expected: tally, desired: 0, ordering: .relaxed)
            }
            return .none
        }
        return recordFailure(word, now: now, random: random)
    }

    /// The request ended without saying anything about what is guarded: its client left, say. [worker]
    @inlinable
    public func cancel(_ ticket: CircuitBreakerTicket) {
        if ticket.isProbe { _ = release(ticket) }
    }

    /// For status and metrics. [any]
    public func state(now: UInt64) -> CircuitBreakerState {
        let word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
        let ticks = BreakerWord.ticks(now)
        switch word.phase {
        case .closed: return .closed
        case .open:
            let end = word.openUntil << BreakerWord.tickShift
            return .open(remaining: word.openUntil > ticks ? end - now : 0)
        case .halfOpen:
            var probes = 0
            for index in cell.pointee.places.indices
            where !ProbePlace.isFree(cell.pointee.places[index].load(ordering: .relaxed), ticks: ticks) { probes += 1 }
            let tally = cell.pointee.tally.load(ordering: .relaxed)
            return .halfOpen(
                probes: probes, successes: tally >> 32 == word.epoch ? Int(truncatingIfNeeded: tally & 0xffff_ffff) : 0)
        }
    }

    // MARK: - Opening

    /// `closed` saw a failure: opens the breaker when it was one too many.
    @usableFromInline
    func recordFailure(_ word: BreakerWord, now: UInt64, random: UInt64) -> CircuitBreakerChange {
        let threshold = settings.pointee.failureThreshold
        let inARow = addToTally(of: word) ?? 0
        guard threshold > 0 && inARow >= UInt64(threshold) || rateIsTooHigh(now: now) else { return .none }
        return open(from: word, streak: 0, now: now, random: random)
    }

    private func open(from word: BreakerWord, streak: UInt64, now: UInt64, random: UInt64) -> CircuitBreakerChange {
        let until = openUntil(streak, now: now, random: random)
        let opened = BreakerWord(phase: .open, streak: streak, epoch: word.epoch &+ 1, openUntil: until)
        guard swap(word, for: opened) else { return .none }
        // What led to this must not count against it when it is closed again. A result that is being counted right now
        // may survive; it ages like any other.
        for index in cell.pointee.window.indices { cell.pointee.window[index].store(0, ordering: .relaxed) }
        return .opened
    }

    /// Rounded up to a tick, and one more: never earlier than the settings say.
    private func openUntil(_ streak: UInt64, now: UInt64, random: UInt64) -> UInt64 {
        let cap = max(settings.pointee.resetCap, settings.pointee.resetTimeout)
        var time = settings.pointee.resetTimeout
        var step: UInt64 = 0
        while step < streak && time < cap {
            time = Draw.scaled(time, by: max(settings.pointee.resetGrowth, 1), cap: cap)
            step &+= 1
        }
        let spread = Draw.scaled(time, by: settings.pointee.jitter, cap: time)
        return BreakerWord.ticks(now &+ time &+ Draw.upTo(spread, random)) &+ 1
    }

    // MARK: - Half open

    @usableFromInline
    func admitsProbe(_ seen: BreakerWord, ticks: UInt64, now: UInt64, random: UInt64) -> CircuitBreakerAdmission {
        var word = seen
        if word.phase == .open {
            guard word.openUntil <= ticks else { return .refused }
            let halfOpen = BreakerWord(phase: .halfOpen, streak: word.streak, epoch: word.epoch &+ 1, openUntil: 0)
            // Whoever loses goes on with what the winner made of it, or is refused.
            _ = swap(word, for: halfOpen)
            word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
            guard word.phase == .halfOpen else { return .refused }
        }
        let count = Int(truncatingIfNeeded: placeCount)
        // Each begins elsewhere, so that workers which come at once do not all want the same place.
        let start = Int(truncatingIfNeeded: Draw.upTo(UInt64(placeCount) &- 1, random))
        let until = BreakerWord.ticks(now &+ settings.pointee.probeTimeout) &+ 1
        for step in 0..<count {
            let place = (start &+ step) % count
            let old = cell.pointee.places[place].load(ordering: .acquiring)
            guard ProbePlace.isFree(old, ticks: ticks) else { continue }
            let serial = (ProbePlace.serial(old) &+ 1) & ProbePlace.serialMask
            let taken = ProbePlace.word(serial: serial, until: until)
            guard exchange(place, old, for: taken) else { continue }
            // The breaker may have changed before the place was taken; then this is no longer the time for a probe.
            if cell.pointee.word.load(ordering: .sequentiallyConsistent) == word.bits {
                return .probe(.probe(epoch: word.epoch, place: place, serial: serial))
            }
            _ = exchange(place, taken, for: ProbePlace.word(serial: serial, until: 0))
            return .refused
        }
        return .refused
    }

    @usableFromInline
    func hasPlace(_ word: BreakerWord, ticks: UInt64) -> Bool {
        if word.phase == .open && word.openUntil > ticks { return false }
        for place in 0..<Int(truncatingIfNeeded: placeCount)
        where ProbePlace.isFree(cell.pointee.places[place].load(ordering: .relaxed), ticks: ticks) { return true }
        return false
    }

    @usableFromInline
    func recordProbe(
        failed: Bool, _ ticket: CircuitBreakerTicket, now: UInt64, random: UInt64
    ) -> CircuitBreakerChange {
        // A probe that lost its place has been given up; another is under way instead of it.
        guard release(ticket) else { return .none }
        let word = BreakerWord(bits: cell.pointee.word.load(ordering: .acquiring))
        guard word.phase == .halfOpen, word.epoch == ticket.epoch else { return .none }
        if failed {
            return open(
                from: word, streak: min(word.streak &+ 1, BreakerWord.streakMask), now: now, random: random)
        }
        guard let successes = addToTally(of: word), successes >= UInt64(settings.pointee.successesToClose) else {
            return .none
        }
        let closed = BreakerWord(phase: .closed, streak: 0, epoch: word.epoch &+ 1, openUntil: 0)
        return swap(word, for: closed) ? .closed : .none
    }

    /// False when the place has gone to another probe.
    @usableFromInline
    func release(_ ticket: CircuitBreakerTicket) -> Bool {
        let word = cell.pointee.places[ticket.place].load(ordering: .acquiring)
        guard ProbePlace.serial(word) == ticket.serial, word & BreakerWord.tickMask != 0 else { return false }
        return exchange(ticket.place, word, for: ProbePlace.word(serial: ticket.serial, until: 0))
    }

    @inlinable var placeCount: UInt32 {
        min(max(settings.pointee.halfOpenProbes, 1), CircuitBreakerSettings.maximumProbes)
    }

    private func exchange(_ place: Int, _ old: UInt64, for new: UInt64) -> Bool {
        cell.pointee.places[place].compareExchange(
            expected: old, desired: new, ordering: .sequentiallyConsistent
        ).exchanged
    }

    private func swap(_ old: BreakerWord, for new: BreakerWord) -> Bool {
        cell.pointee.word.compareExchange(
            expected: old.bits, desired: new.bits, ordering: .sequentiallyConsistent
        ).exchanged
    }

    // MARK: - Counting

    /// One more in the tally of `word`'s epoch; nil when that is over.
    private func addToTally(of word: BreakerWord) -> UInt64? {
        var old = cell.pointee.tally.load(ordering: .relaxed)
        while true {
            let isOurs = old >> 32 == word.epoch
            if !isOurs && cell.pointee.word.load(ordering: .acquiring) != word.bits { return nil }
            let count = isOurs ? min(old & 0xffff_ffff &+ 1, 0xffff_ffff) : 1
            let (exchanged, original) = cell.pointee.tally.compareExchange(
                expected: old, desired: word.epoch << 32 | count, ordering: .acquiringAndReleasing)
            if exchanged { return count }
            old = original
        }
    }

    /// The part of the window that `now` is in, counted from the beginning of the clock.
    @inlinable
    func part(_ now: UInt64) -> UInt64 {
        let length = settings.pointee.window / 6
        return now / (length == 0 ? 1 : length)
    }

    @usableFromInline
    func count(failed: Bool, now: UInt64) {
        let part = part(now)
        let index = Int(truncatingIfNeeded: part % 6)
        let stamp = part & WindowPart.stampMask
        var old = cell.pointee.window[index].load(ordering: .relaxed)
        while true {
            let base = WindowPart.stamp(old) == stamp ? old : stamp << 40
            let (exchanged, original) = cell.pointee.window[index].compareExchange(
                expected: old, desired: WindowPart.adding(failed: failed, to: base), ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    private func rateIsTooHigh(now: UInt64) -> Bool {
        let percent = settings.pointee.failurePercent
        guard percent > 0 else { return false }
        let newest = part(now)
        var requests: UInt64 = 0
        var failures: UInt64 = 0
        for index in cell.pointee.window.indices {
            let word = cell.pointee.window[index].load(ordering: .relaxed)
            let age = (newest &- WindowPart.stamp(word)) & WindowPart.stampMask
            guard age < 6 else { continue }
            requests &+= WindowPart.requests(word)
            failures &+= WindowPart.failures(word)
        }
        guard requests >= UInt64(max(settings.pointee.minimumRequests, 1)) else { return false }
        // Not as a fraction, which binary digits do not hold: 7 of 25 would be less than 28 percent.
        return Double(failures) * 100 >= percent * Double(requests)
    }
}
