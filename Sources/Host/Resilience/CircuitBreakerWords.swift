/// The word that says in which state a breaker is. All of the state is in one word, so that every change is one
/// compare-and-swap with one winner, whoever else tries.
///
///       2       5       19              38
///     phase   streak   epoch    open until, in ticks
///
/// Zero is a closed breaker that was never open.
@usableFromInline
struct BreakerWord: Equatable {
    @usableFromInline var bits: UInt64

    @inlinable
    init(bits: UInt64) { self.bits = bits }

    @inlinable
    init(phase: Phase, streak: UInt64, epoch: UInt64, openUntil: UInt64) {
        bits = phase.rawValue << 62 | streak << 57 | (epoch & Self.epochMask) << 38 | openUntil
    }

    @usableFromInline
    enum Phase: UInt64 { case closed, open, halfOpen }

    /// Each change of phase begins a new epoch. Nineteen bits come round after half a million changes, which takes
    /// hours even when a breaker opens every few milliseconds; a ticket would have to be as old, to the change.
    @usableFromInline static let epochMask: UInt64 = 1 << 19 - 1
    @usableFromInline static let tickMask: UInt64 = 1 << 38 - 1
    /// Times in a row that the breaker opened without having been closed, at most.
    @usableFromInline static let streakMask: UInt64 = 31
    /// A tick is 2²⁰ ns, a little over a millisecond: 38 bits of them last nine years of the clock.
    @usableFromInline static let tickShift: UInt64 = 20

    @inlinable var phase: Phase { Phase(rawValue: bits >> 62) ?? .closed }
    @inlinable var streak: UInt64 { bits >> 57 & Self.streakMask }
    @inlinable var epoch: UInt64 { bits >> 38 & Self.epochMask }
    @inlinable var openUntil: UInt64 { bits & Self.tickMask }

    @inlinable
    static func ticks(_ time: UInt64) -> UInt64 { time >> tickShift & tickMask }
}

/// One place for a probe.
///
///       26            38
///     serial    taken until, in ticks; 0 when free
///
/// A place stays taken through later states of the breaker until its probe reports or its time is up, so that no
/// sequence of states puts more probes under way than there are places. The serial tells a late report of a probe whose
/// place went to another.
@usableFromInline
enum ProbePlace {
    @usableFromInline static let serialMask: UInt64 = 1 << 26 - 1

    @inlinable
    static func isFree(_ word: UInt64, ticks: UInt64) -> Bool { word & BreakerWord.tickMask <= ticks }
    @inlinable
    static func serial(_ word: UInt64) -> UInt64 { word >> 38 }
    @inlinable
    static func word(serial: UInt64, until: UInt64) -> UInt64 { (serial & serialMask) << 38 | until }
}

/// Requests and failures of one part of the window.
///
///       24              20         20
///     which part     failures   requests
@usableFromInline
enum WindowPart {
    @usableFromInline static let countMask: UInt64 = 1 << 20 - 1
    @usableFromInline static let stampMask: UInt64 = 1 << 24 - 1

    @inlinable
    static func requests(_ word: UInt64) -> UInt64 { word & countMask }
    @inlinable
    static func failures(_ word: UInt64) -> UInt64 { word >> 20 & countMask }
    @inlinable
    static func stamp(_ word: UInt64) -> UInt64 { word >> 40 }

    /// With one request more. A full count is halved, failures with it: what matters is their ratio.
    @inlinable
    static func adding(failed: Bool, to word: UInt64) -> UInt64 {
        var requests = requests(word)
        var failures = failures(word)
        if requests == countMask {
            requests /= 2
            failures /= 2
        }
        return stamp(word) << 40 | (failures &+ (failed ? 1 : 0)) << 20 | (requests &+ 1)
    }
}
