/// What an endpoint last said of its load, in one word, so that workers exchange it without a lock.
///
/// From the top: 32 bits of time in milliseconds, 0 for nothing; 20 bits of queue depth; 12 bits of cache use. Time
/// wraps after 49.7 days: an endpoint that has been silent for just that long passes for fresh for `aheadAtMost` and as
/// long as a report counts, then it is old again.
struct Report {
    /// Nobody counts so many waiting requests; more are as bad as these.
    static let queueAtMost: UInt64 = (1 << 20) - 2
    private static let noQueue: UInt64 = (1 << 20) - 1
    /// Cache use in steps of 1/4000.
    private static let steps = 4000.0
    private static let noCache: UInt64 = (1 << 12) - 1

    /// Milliseconds that a report may be ahead of who reads it: another worker wrote it after this one had looked at
    /// the clock. More than a worker is ever kept from running in between.
    private static let aheadAtMost: UInt32 = 10_000

    let word: UInt64

    @inline(__always)
    init(word: UInt64) { self.word = word }

    /// - Parameters:
    ///   - queue: requests that wait at the endpoint; nil: not said.
    ///   - cache: share of its KV cache that is in use, cut to 0...1; nil: not said.
    ///   - time: `Report.time` of when it was true.
    init(queue: Double?, cache: Double?, time: UInt32) {
        var depth = Self.noQueue
        if let queue, !queue.isNaN {
            depth = queue <= 0 ? 0 : queue >= Double(Self.queueAtMost) ? Self.queueAtMost : UInt64(queue.rounded())
        }
        var use = Self.noCache
        if let cache, !cache.isNaN { use = UInt64((min(max(cache, 0), 1) * Self.steps).rounded()) }
        word = UInt64(time) << 32 | depth << 12 | use
    }

    /// Milliseconds of a monotonic clock as reports keep them; never 0.
    @inline(__always)
    static func time(nanoseconds: UInt64) -> UInt32 {
        let milliseconds = UInt32(truncatingIfNeeded: nanoseconds / 1_000_000)
        return milliseconds == 0 ? 1 : milliseconds
    }

    /// Whether it says anything.
    @inline(__always)
    var tells: Bool { word >> 32 != 0 && word & 0xFFFF_FFFF != Self.noQueue << 12 | Self.noCache }

    /// Whether it is not older than `limit` milliseconds at `now`. One from a moment ahead, which another worker wrote
    /// meanwhile, is not.
    @inline(__always)
    func isInTime(at now: UInt32, limit: UInt32) -> Bool {
        // One comparison for both ends: a time from ahead wraps to less than `aheadAtMost` here.
        (now &- UInt32(truncatingIfNeeded: word >> 32)) &+ Self.aheadAtMost <= limit &+ Self.aheadAtMost
    }

    /// Both.
    func isFresh(at now: UInt32, limit: UInt32) -> Bool { tells && isInTime(at: now, limit: limit) }

    /// Milliseconds since it was written, or since its place was taken; `UInt32.max` when nobody has.
    func age(at now: UInt32) -> UInt32 {
        let time = UInt32(truncatingIfNeeded: word >> 32)
        return time == 0 ? UInt32.max : Self.age(of: time, at: now)
    }

    @inline(__always)
    private static func age(of time: UInt32, at now: UInt32) -> UInt32 {
        let age = now &- time
        return age > UInt32.max - aheadAtMost ? 0 : age
    }

    /// Requests that wait; 0 when it was not said.
    @inline(__always)
    var queue: Float {
        let depth = word >> 12 & Self.noQueue
        // From a signed number: that is one instruction.
        return depth == Self.noQueue ? 0 : Float(Int32(truncatingIfNeeded: depth))
    }

    /// Share of the cache in use, 0...1; 0 when it was not said.
    @inline(__always)
    var cache: Float {
        let use = word & Self.noCache
        return use == Self.noCache ? 0 : Float(Int32(truncatingIfNeeded: use)) * Float(1 / Self.steps)
    }

    /// This report, with what it does not say from `older`.
    func completed(by older: Report) -> Report {
        var word = word
        if word >> 12 & Self.noQueue == Self.noQueue {
            word = word & ~(Self.noQueue << 12) | older.word & (Self.noQueue << 12)
        }
        if word & Self.noCache == Self.noCache { word = word & ~Self.noCache | older.word & Self.noCache }
        return Report(word: word)
    }
}
