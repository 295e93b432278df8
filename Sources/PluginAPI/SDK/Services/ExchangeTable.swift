/// What a filter remembers of the exchanges that are under way on one worker, by their tokens (`Suspension.token`): a
/// pointer each, into the exchange's arena. Bounded, and nothing is allocated once it is made.
///
/// The host does not say when an answer has ended well, and not every answer's text does. What is left of such a one
/// does no harm: no exchange gets its token again, so nobody follows its pointer. It is pushed out by newer ones.
public struct ExchangeTable<Value>: ~Copyable {
    @usableFromInline
    struct Entry: BitwiseCopyable {
        @usableFromInline var token: UInt64
        @usableFromInline var value: UnsafeMutableRawPointer?

        @inlinable
        init(token: UInt64 = 0, value: UnsafeMutableRawPointer? = nil) {
            self.token = token
            self.value = value
        }
    }

    /// Sets times entries: 4,096 exchanges a worker at once, four times what a worker's share of streams is likely to
    /// be, in 64 KiB. Beyond it the oldest one of a set is forgotten.
    @usableFromInline static var sets: Int { 512 }
    @usableFromInline static var entries: Int { 8 }

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

    /// The value must live as long as the exchange.
    @inlinable
    public func insert(_ token: UInt64, _ value: UnsafeMutablePointer<Value>) {
        let set = set(token)
        // The newest first; the last one falls out.
        var index = Self.entries &- 1
        while index > 0 {
            set[index] = set[index &- 1]
            index &-= 1
        }
        set[0] = Entry(token: token, value: UnsafeMutableRawPointer(value))
    }

    @inlinable
    public func find(_ token: UInt64) -> UnsafeMutablePointer<Value>? {
        let set = set(token)
        for index in 0..<Self.entries where set[index].token == token {
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
