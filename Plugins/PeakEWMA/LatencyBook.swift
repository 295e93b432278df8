import Glibc
import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// The costs of endpoints: a moving average of latency that jumps to a peak at once and forgets it over time, as
/// Finagle's (com.twitter.finagle.loadbalancer.PeakEwma). In the host's memory, so that all workers see what one has
/// learned, and a reload forgets nothing.
///
/// A cost is one word: the natural logarithm of nanoseconds as a binary32 in the upper half, milliseconds (of 2^20 ns)
/// of the monotonic clock in the lower one; 0 when nothing was seen. So a reader never meets the halves of two costs.
/// Of logarithms, since then a pick needs no exponential: the cost falls by 1 in each time of decay.
struct LatencyBook: ~Copyable {
    /// A key and a cost each. 16,384 addresses are as many as a gateway keeps in its life; the rest leaves the table
    /// half empty. A block of the host's has room for 131,072 words.
    private static var slots: Int { 32_768 }
    /// Slots that are tried for a key. In a table half full fewer than one key in 10^9 finds none.
    private static var triesAtMost: Int { 64 }

    private let shared: SharedCounters
    /// 1 over the nanoseconds of decay.
    private let perDecay: Double
    /// Of each endpoint: its word in the shared memory, or -1 for one of `own`.
    private let words: UnsafeMutablePointer<Int32>
    private let own: UnsafeMutablePointer<UInt64>
    let count: Int

    /// The memory that all instances share. In `init` of a plugin only.
    static func memory(_ context: Context) throws(PluginError) -> SharedCounters {
        try context.state.counters("costs", count: slots * 2)
    }

    /// - Parameters:
    ///   - purpose: tells apart costs of one endpoint for different models.
    ///   - decay: nanoseconds after which a cost has fallen to 1/e of what it was.
    init(_ pool: borrowing EndpointTable, of purpose: UInt64, in shared: SharedCounters, decay: Double) {
        self.shared = shared
        perDecay = 1 / decay
        count = pool.count
        words = .allocate(capacity: max(count, 1))
        own = .allocate(capacity: max(count, 1))
        own.initialize(repeating: 0, count: max(count, 1))
        for index in 0..<count {
            // 0 is a slot that is free.
            let key = XXHash64.hash(pool.identities[index], seed: purpose) | 1
            (words + index).initialize(to: Self.claim(key, shared))
        }
    }

    deinit {
        words.deallocate()
        own.deallocate()
    }

    private static func claim(_ key: UInt64, _ shared: SharedCounters) -> Int32 {
        var slot = Int(key >> 32) & (slots - 1)
        for _ in 0..<triesAtMost {
            let found = shared.exchange(slot * 2, expected: 0, desired: key)
            if found == 0 || found == key { return Int32(slot * 2 + 1) }
            slot = (slot + 1) & (slots - 1)
        }
        return -1
    }

    private func word(_ index: Int) -> UInt64 {
        let place = Int(words[index])
        return place >= 0 ? shared.load(place) : own[index]
    }

    /// The logarithm of the cost of endpoint `index` at the time `now`; nil when nothing was seen. It falls while
    /// nothing is heard, so that an endpoint that was slow is tried again.
    func logarithm(_ index: Int, now: UInt64) -> Double? {
        let word = word(index)
        if word == 0 { return nil }
        return Self.logarithm(word) - Self.age(word, now) * perDecay
    }

    /// Nanoseconds, as they were at the last sample; 0 when nothing was seen.
    func last(_ index: Int) -> Double {
        let word = word(index)
        return word == 0 ? 0 : exp(Self.logarithm(word))
    }

    /// Adds a sample: nanoseconds, above 0. A greater one than the average takes its place, a smaller one weighs as
    /// much as time has passed since the last.
    func add(_ sample: Double, to index: Int, now: UInt64) {
        let place = Int(words[index])
        // Who loses against other workers this often may lose its sample.
        for _ in 0..<4 {
            let old = word(index)
            var cost = sample
            if old != 0 {
                let before = exp(Self.logarithm(old))
                if sample < before {
                    let kept = exp(-Self.age(old, now) * perDecay)
                    cost = before * kept + sample * (1 - kept)
                }
            }
            // Above 1, or its logarithm would be 0, and the word might read as nothing seen.
            let bits = UInt64(Float(log(max(cost, 2))).bitPattern) << 32 | now >> 20 & 0xFFFF_FFFF
            guard place >= 0 else {
                own[index] = bits
                return
            }
            if shared.exchange(place, expected: old, desired: bits) == old { return }
        }
    }

    private static func logarithm(_ word: UInt64) -> Double {
        Double(Float(bitPattern: UInt32(truncatingIfNeeded: word >> 32)))
    }

    /// Nanoseconds. The clock's lower bits come around after 52 days.
    private static func age(_ word: UInt64, _ now: UInt64) -> Double {
        let ticks = UInt32(truncatingIfNeeded: now >> 20) &- UInt32(truncatingIfNeeded: word)
        // Another worker's clock may be a moment ahead.
        return ticks > UInt32.max - 1_000 ? 0 : Double(ticks) * 1_048_576
    }
}
