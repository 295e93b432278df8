import OpenAICodec

/// What the filter remembers of an answer while it streams: in the exchange's arena.
struct Answer: BitwiseCopyable {
    var watch: UsageWatch
    /// In the filter's counters.
    var place: Int
}

/// The answers that are under way on one worker, by their exchanges' tokens.
///
/// The host does not say when an answer has ended well, and not every answer's text does. What is left of such a one
/// does no harm: no exchange gets its token again, so nobody follows its pointer. It is pushed out by newer ones.
struct AnswerTable: ~Copyable {
    private struct Entry: BitwiseCopyable {
        var token: UInt64 = 0
        var answer: UnsafeMutablePointer<Answer>?
    }

    /// Sets times entries: 4,096 answers a worker at once, four times what a worker's share of streams is likely to be,
    /// in 64 KiB. Beyond it the oldest one of a set goes uncounted.
    private static let sets = 512
    private static let entries = 8

    private let start: UnsafeMutablePointer<Entry>

    init() {
        start = .allocate(capacity: Self.sets * Self.entries)
        start.initialize(repeating: Entry(), count: Self.sets * Self.entries)
    }

    func deallocate() { start.deallocate() }

    /// The set of a token. The host numbers the exchanges that live at one time from below, so the lowest bits spread
    /// them evenly; any others would be right, too.
    private func set(_ token: UInt64) -> UnsafeMutablePointer<Entry> {
        start + Int(token % UInt64(Self.sets)) * Self.entries
    }

    func insert(_ token: UInt64, _ answer: UnsafeMutablePointer<Answer>) {
        let set = set(token)
        // The newest first; the last one falls out.
        for index in stride(from: Self.entries - 1, to: 0, by: -1) { set[index] = set[index - 1] }
        set[0] = Entry(token: token, answer: answer)
    }

    func find(_ token: UInt64) -> UnsafeMutablePointer<Answer>? {
        let set = set(token)
        for index in 0..<Self.entries where set[index].token == token { return set[index].answer }
        return nil
    }

    func remove(_ token: UInt64) {
        let set = set(token)
        guard let found = (0..<Self.entries).first(where: { set[$0].token == token }) else { return }
        for index in found..<(Self.entries - 1) { set[index] = set[index + 1] }
        set[Self.entries - 1] = Entry()
    }
}
