import Glibc
import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// The costs of endpoints: a moving average of latency that jumps to a peak at once and forgets it over time, as
/// Finagle's (com.twitter.finagle.loadbalancer.PeakEwma). In the host's memory, so that all workers see what one has
/// learned, and a reload forgets nothing.
///
/// A cost is one word: the natural logarithm of nanoseconds as a binary32 in the upper half, 0 when nothing was seen;
/// milliseconds of the monotonic clock in the lower one. So a reader never meets the halves of two costs.
/// Of logarithms, since then a pick needs no exponential: the cost falls by 1 in each time of decay.
///
/// A slot whose cost nobody has touched for `abandonedAfter` goes to whoever finds no free one. A book that still holds
/// it finds another key there, knows nothing of its endpoint, and takes a slot anew with the next sample.
struct LatencyBook: ~Copyable {
    /// A key and a cost each, for endpoints of all pools: half of them would be as many as a gateway keeps at one time.
    /// A block of the host's has room for 131,072 words.
    private static var slots: Int { 32_768 }
    /// Slots that are tried for a key. In a table half full fewer than one key in 10^9 finds none.
    private static var triesAtMost: Int { 64 }
    /// In milliseconds, an hour: six times the longest decay, after which a cost says nothing any more.
    private static var abandonedAfter: UInt32 { 3_600_000 }

    /// Of a time of decay, what must have passed for a smaller sample to count: 1.2 ms of 10 s. Most samples of a busy
    /// endpoint change nothing, which costs nothing; and a step is never lost in the 24 bits of a cost.
    private static var leastStep: Double { 1.0 / 8_192 }

    private let shared: SharedCounters
    /// 1 over the milliseconds of decay.
    private let perDecay: Double
    private let entries: UnsafeMutablePointer<Entry>
    let count: Int

    /// What is kept of one endpoint: half a cache line.
    private struct Entry {
        let key: UInt64
        /// The cost's word where `place` is -1.
        var own: UInt64 = 0
        /// e to the power of the logarithm whose bits are `powerOf`: a cost in nanoseconds. Most samples change
        /// nothing, and what they are compared with is then the same again.
        var power = 0.0
        var powerOf: UInt32 = 0
        /// Of the cost's word in the shared memory, behind the one of the key; -1: there is none.
        var place: Int32
    }

    /// The memory that all instances share. In `init` of a plugin only.
    static func memory(_ context: Context) throws(PluginError) -> SharedCounters {
        try context.state.counters("costs", count: slots * 2)
    }

    /// - Parameters:
    ///   - purpose: tells apart costs of one endpoint for different models.
    ///   - decay: milliseconds after which a cost has fallen to 1/e of what it was.
    ///   - now: as `milliseconds(_:)` has it.
    init(_ pool: borrowing EndpointTable, of purpose: UInt64, in shared: SharedCounters, decay: Double, now: UInt32) {
        self.shared = shared
        perDecay = 1 / decay
        count = pool.count
        entries = .allocate(capacity: max(count, 1))
        for index in 0..<count {
            // 0 is a slot that is free.
            let key = XXHash64.hash(pool.identities[index], seed: purpose) | 1
            (entries + index).initialize(to: Entry(key: key, place: Self.claim(key, shared, now)))
        }
    }

    deinit { entries.deallocate() }

    /// The word of a key's cost: where it is, else a slot that was never taken, else one that is abandoned.
    private static func claim(_ key: UInt64, _ shared: SharedCounters, _ now: UInt32) -> Int32 {
        var slot = Int(key >> 32) & (slots - 1)
        var abandoned: (slot: Int, key: UInt64)?
        for _ in 0..<triesAtMost {
            let found = shared.load(slot * 2)
            if found == key { return Int32(slot * 2 + 1) }
            if found == 0 {
                if take(slot, of: 0, for: key, shared, now) { return Int32(slot * 2 + 1) }
            } else if abandoned == nil, isAbandoned(shared.load(slot * 2 + 1), now) {
                abandoned = (slot, found)
            }
            slot = (slot + 1) & (slots - 1)
        }
        guard let abandoned, take(abandoned.slot, of: abandoned.key, for: key, shared, now) else { return -1 }
        return Int32(abandoned.slot * 2 + 1)
    }

    /// False when another worker was faster, with another key; or has just heard of the endpoint whose slot it was.
    private static func take(
        _ slot: Int, of old: UInt64, for key: UInt64, _ shared: SharedCounters, _ now: UInt32
    ) -> Bool {
        // A young cost of nothing first: who reads the new key must find neither the old cost nor an abandoned slot.
        let cost = shared.load(slot * 2 + 1)
        if old != 0 {
            guard isAbandoned(cost, now), shared.exchange(slot * 2 + 1, expected: cost, desired: UInt64(now)) == cost
            else { return false }
        } else if cost == 0 {
            _ = shared.exchange(slot * 2 + 1, expected: 0, desired: UInt64(now))
        }
        let met = shared.exchange(slot * 2, expected: old, desired: key)
        return met == old || met == key
    }

    private static func isAbandoned(_ word: UInt64, _ now: UInt32) -> Bool {
        let age = now &- UInt32(truncatingIfNeeded: word)
        // Another worker's clock may be a moment ahead.
        return age > abandonedAfter && age <= UInt32.max - 1_000
    }

    /// A time in nanoseconds as the book takes it, which is as `Candidates.milliseconds`: the low 32 bits.
    static func milliseconds(_ nanoseconds: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: nanoseconds / 1_000_000) }

    /// The word of its cost, which may be that of nothing.
    private func word(_ index: Int) -> UInt64 {
        let place = Int(entries[index].place)
        guard place >= 0 else { return entries[index].own }
        return shared.load(place - 1) == entries[index].key ? shared.load(place) : 0
    }

    private static func isNothing(_ word: UInt64) -> Bool { word >> 32 == 0 }

    /// The logarithm of the cost of endpoint `index` at the time `now`; nil when nothing was seen. It falls while
    /// nothing is heard, so that an endpoint that was slow is tried again.
    func logarithm(_ index: Int, now: UInt32) -> Double? {
        let word = word(index)
        if Self.isNothing(word) { return nil }
        return Double(Self.logarithm(word)) - Self.age(word, now) * perDecay
    }

    /// Nanoseconds, as they were at the last sample; 0 when nothing was seen.
    func last(_ index: Int) -> Double {
        let word = word(index)
        return Self.isNothing(word) ? 0 : exp(Double(Self.logarithm(word)))
    }

    /// Adds a sample: nanoseconds, above 0. A greater one than the average takes its place, a smaller one weighs as
    /// much as time has passed since the last that counted.
    func add(_ sample: Double, to index: Int, now: UInt32) {
        let entry = entries + index
        if entry.pointee.place >= 0, shared.load(Int(entry.pointee.place) - 1) != entry.pointee.key {
            // It was not heard of for so long that its slot has gone to another.
            entry.pointee.place = Self.claim(entry.pointee.key, shared, now)
        }
        let place = Int(entry.pointee.place)
        // Who loses against other workers this often may lose its sample.
        for _ in 0..<4 {
            let old = word(index)
            // Above 1, or its logarithm would be 0, and the word would read as nothing seen.
            guard let cost = logarithm(of: max(sample, 2), after: old, entry, now) else { return }
            let bits = UInt64(cost.bitPattern) << 32 | UInt64(now)
            guard place >= 0 else {
                entry.pointee.own = bits
                return
            }
            if shared.exchange(place, expected: old, desired: bits) == old { return }
        }
    }

    /// The logarithm of the cost when a sample follows what a word says; nil when it changes nothing.
    private func logarithm(
        of sample: Double, after old: UInt64, _ entry: UnsafeMutablePointer<Entry>, _ now: UInt32
    ) -> Float? {
        if Self.isNothing(old) { return Float(log(sample)) }
        let before = Double(Self.logarithm(old))
        if entry.pointee.powerOf != UInt32(truncatingIfNeeded: old >> 32) {
            entry.pointee.powerOf = UInt32(truncatingIfNeeded: old >> 32)
            entry.pointee.power = exp(before)
        }
        if sample >= entry.pointee.power { return Float(log(sample)) }
        let passed = Self.age(old, now) * perDecay
        if passed < Self.leastStep { return nil }
        let ratio = sample / entry.pointee.power
        // log(kept + (1 - kept) × ratio) where kept is e^-passed: by its series, of which what is left out is below
        // passed^3, or as it stands.
        if passed < 1.0 / 64 {
            let step = (passed - passed * passed / 2) * (1 - ratio)
            return Float(before - step - step * step / 2)
        }
        let kept = exp(-passed)
        return Float(before + log(kept + (1 - kept) * ratio))
    }

    private static func logarithm(_ word: UInt64) -> Float {
        Float(bitPattern: UInt32(truncatingIfNeeded: word >> 32))
    }

    /// Milliseconds. The clock's lower bits come around after 49 days.
    private static func age(_ word: UInt64, _ now: UInt32) -> Double {
        let age = now &- UInt32(truncatingIfNeeded: word)
        // Another worker's clock may be a moment ahead.
        return age > UInt32.max - 1_000 ? 0 : Double(age)
    }
}
