import SluiceHashing
import SluicePlugin

/// What the filter remembers of an exchange between its request and its answer.
struct PendingAnswer {
    var token: UInt64 = 0
    var digest = Digest256()
    /// In the exchange's arena: there as long as the token is the exchange's.
    var key = Bytes()
    /// Of its path, when it was asked.
    var epoch: UInt64 = 0
    /// That are to answer, in the generation's memory.
    var model = Bytes()
    var version = Bytes()
    /// Seconds that an answer may be old which stands in for an error; 0: none may.
    var ageAtMost: UInt64 = 0
    /// What is said of the answer, where that is known before it comes: it is one that was kept, or none of the cache's
    /// business.
    var status: StaticString?
    /// Seconds that it is old, of an answer that was kept.
    var age: UInt64?
    /// What it changed has been noted, while its answer is gathered.
    var isNoted = false
}

/// The exchanges of a worker that wait for their answer, each in the place that its number says. Not every one comes
/// back, its client may leave, so an older one is simply written over: then its answer is not kept.
struct PendingAnswers: ~Copyable {
    /// Exchanges of one model on one worker whose numbers differ in the last ten bits find room; beyond that some
    /// answers are not kept.
    private static let capacity = 1_024

    private let places: UnsafeMutablePointer<PendingAnswer>

    init() {
        places = .allocate(capacity: Self.capacity)
        places.initialize(repeating: PendingAnswer(), count: Self.capacity)
    }

    deinit { places.deallocate() }

    private func place(_ token: UInt64) -> UnsafeMutablePointer<PendingAnswer> {
        places + Int(truncatingIfNeeded: token & UInt64(Self.capacity - 1))
    }

    mutating func insert(_ pending: PendingAnswer) { place(pending.token).pointee = pending }

    func find(_ token: UInt64) -> PendingAnswer? {
        let found = place(token).pointee
        return found.token == token && token != 0 ? found : nil
    }

    mutating func remove(_ token: UInt64) {
        if place(token).pointee.token == token { place(token).pointee = PendingAnswer() }
    }
}
