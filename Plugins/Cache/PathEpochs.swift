import SluiceHashing
import SluicePlugin

/// When what an endpoint has at a path was last changed through this gateway (RFC 9111 §4.4): a count for each path,
/// which an answer is kept with. Once it has moved on, the answer is used no more. Workers and generations share the
/// counts, while each worker keeps answers of its own: nobody has to be told.
///
/// Paths share a count when their hashes meet, so that memory has a bound: then an answer goes that need not have gone.
/// So do those of all hosts, queries, tenants and models of a path: what a change of one view of a thing means for the
/// others only its endpoint knows.
struct PathEpochs {
    /// Which answers of a path are meant: a model that is asked by POST changes nothing that the next one asks for, and
    /// who changes something by POST does not ask a cache for what it answers.
    enum Kind: Int {
        case reads = 0
        case questions = 1
    }

    /// Two counts each, and the key: 256 KiB. While a hundred changes a second go to as many paths, an answer goes
    /// for another's change once in 160 s, longer than most answers live.
    private static let paths = 16_384

    private let words: SharedCounters

    init(_ state: StateBlocks) throws(PluginError) {
        words = try state.counters("epochs", count: 2 + 2 * Self.paths)
        // Drawn once a process, so that no client can choose paths whose hashes meet. On the control thread, where all
        // instances are made.
        var random = SystemRandomNumberGenerator()
        while words.load(0) == 0 { words.store(0, random.next()) }
        while words.load(1) == 0 { words.store(1, random.next()) }
    }

    private func place(of path: Bytes, _ kind: Kind) -> Int {
        var hash = KeyedHash(key: (words.load(0), words.load(1)))
        path.withUnsafeBytes { hash.feed($0) }
        return 2 + 2 * Int(truncatingIfNeeded: hash.finish() % UInt64(Self.paths)) + kind.rawValue
    }

    /// The epoch that an answer to `message` is kept with, as of before it is asked for: what was asked for before the
    /// change and comes after it may be from before.
    func epoch(of message: Message) -> UInt64 {
        words.load(place(of: message.path, message.method == "POST" ? .questions : .reads))
    }

    /// A request of the method that `message` has was carried out.
    func advance(_ message: Message) {
        words.add(place(of: message.path, .reads))
        if message.method != "POST" { words.add(place(of: message.path, .questions)) }
    }
}

extension Message {
    /// Whether its method asks for no change (RFC 9110 §9.2.1). One that nobody knows may change something.
    var isSafe: Bool { method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" }
}
