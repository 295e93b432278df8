import SluicePlugin

/// What was read of an endpoint's report last, as a pick uses it: a report is the same for many picks.
struct Reading {
    /// The report; 0: nothing was read yet.
    private(set) var word: UInt64 = 0
    /// Attempts under way here that what waits there counts as.
    private(set) var waiting: Float = 0
    /// One over the share of the pool's requests that it should have; 0: it tells nothing.
    private(set) var scale: Float = 0
    /// The same by its weight alone.
    let perWeight: Float
    /// Its place in the table, -1 without one.
    var slot: Int32
    /// The host's, until the next change of the pool.
    private let load: EndpointLoad
    /// The attempts under way, and the one to come.
    @inline(__always)
    var underWay: Float {
        // Attempts are below 2^31; from a signed number a float is made in one instruction.
        Float(Int32(truncatingIfNeeded: load.inFlight &+ 1))
    }

    /// It has told something that is not too old.
    @inline(__always)
    func holds(at now: UInt32, _ maxAge: UInt32) -> Bool {
        scale > 0 && Report(word: word).isInTime(at: now, limit: maxAge)
    }

    /// By what it has told.
    @inline(__always)
    var cost: Float { (underWay + waiting) * scale }

    init(slot: Int, _ endpoint: Endpoint) {
        self.slot = Int32(truncatingIfNeeded: slot)
        perWeight = 1 / Float(max(endpoint.weight, 1))
        load = endpoint.load
    }

    @inline(never)
    mutating func read(_ word: UInt64, queueWeight: Float, cacheWeight: Float) {
        let report = Report(word: word)
        self.word = word
        waiting = queueWeight * report.queue
        scale = report.tells ? perWeight / (1 - cacheWeight * report.cache) : 0
    }
}
