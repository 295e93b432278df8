/// What a filter remembers of the exchanges that are under way on one worker, by their tokens (`Suspension.token`): a
/// pointer each, into the exchange's arena. Bounded, and nothing is allocated once it is made.
///
/// The host does not say when an answer has ended well, and not every answer's text does. What is left of such a one is
/// pushed out by newer ones. Where those are rare it stays, and its token comes again after 2^27 exchanges in its place
/// (`sluice.exchange/1`); a filter hears of the ends of requests, too, that it has not seen. So what nobody has
/// looked for within half an hour is not followed: in that time its place would have to see 74,000 exchanges a second.
public struct ExchangeTable<Value>: ~Copyable {
    @usableFromInline
    struct Entry: BitwiseCopyable {
        @usableFromInline var token: UInt64
        @usableFromInline var value: UnsafeMutableRawPointer?
        @usableFromInline var soughtAt: UInt64

        @inlinable
        init(token: UInt64 = 0, value: UnsafeMutableRawPointer? = nil, soughtAt: UInt64 = 0) {
            self.token = token
            self.value = value
            self.soughtAt = soughtAt
        }
    }

    /// Sets times entries: 4,096 exchanges a worker at once, four times what a worker's share of streams is likely to
    /// be, in 96 KiB. Beyond it the oldest one of a set is forgotten.
    @usableFromInline static var sets: Int { 512 }
    @usableFromInline static var entries: Int { 8 }
    /// Nanoseconds.
    @usableFromInline static var forgottenAfter: UInt64 { 1_800_000_000_000 }

    @usableFromInline let start: UnsafeMutablePointer<Entry>

    public init() {
        start = .allocate(capacity: Self.sets * Self.entries)
        start.initialize(repeating: Entry(), count: Self.sets * Self.entries)
    }

    deinit { start.deallocate() }

    /// The set of a token. The host numbers the exchanges that live at one time from below, so the lowest bits spread
    /// them evenly; any others would be right, too.
    @inlinable
    func set(_ token: UInt64) -> UnsafeMutablePointer<Entry> {
        start + Int(token % UInt64(Self.sets)) &* Self.entries
    }

    /// The value must live as long as the exchange. `now`: nanoseconds of the monotonic clock.
    @inlinable
    public func insert(_ token: UInt64, _ value: UnsafeMutablePointer<Value>, now: UInt64) {
        let set = set(token)
        // The newest first; the last one falls out.
        var index = Self.entries &- 1
        while index > 0 {
            set[index] = set[index &- 1]
            index &-= 1
        }
        set[0] = Entry(token: token, value: UnsafeMutableRawPointer(value), soughtAt: now)
    }

    /// `now`: nanoseconds of the monotonic clock.
    @inlinable
    public func find(_ token: UInt64, now: UInt64) -> UnsafeMutablePointer<Value>? {
        let set = set(token)
        for index in 0..<Self.entries where set[index].token == token {
            guard now &- min(set[index].soughtAt, now) < Self.forgottenAfter else { return nil }
            set[index].soughtAt = now
            return set[index].value?.assumingMemoryBound(to: Value.self)
        }
        return nil
    }

    @inlinable
    public func remove(_ token: UInt64) {
        let set = set(token)
        var found = 0
        while found < Self.entries, set[found].token != token { found &+= 1 }
        guard found < Self.entries else { return }
        while found &+ 1 < Self.entries {
            set[found] = set[found &+ 1]
            found &+= 1
        }
        set[Self.entries &- 1] = Entry()
    }
}
