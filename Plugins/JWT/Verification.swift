import SluiceHashing
import SluicePlugin
import Synchronization
import TokenFormat
import TokenKeys

/// Whether an instance still lives. Work of the pool may outlast it, and must then not use its services.
final class Lifeline: Sendable {
    let isAlive = Mutex<Bool>(true)
}

/// Ends a lifeline together with the instance that keeps it.
final class LifelineEnd {
    let line = Lifeline()
    deinit { line.isAlive.withLock { $0 = false } }
}

/// The room that verifications take in the queue of the host's pool, which holds 1,024 jobs of all plugins: discovery,
/// the looks at files, rounds with Redis. None of these must find it full because somebody sends bad tokens.
final class PoolShare: Sendable {
    /// Of one worker, by default. A client's burst, some hundred streams of a connection with a token that is new, has
    /// room twice, and only a flood on three workers turns away what the others are shown.
    static let ofWorker: Int64 = 256
    /// Of all workers and generations, by default: three quarters of the queue, so 256 places are others' at any time.
    /// Other work is queued one job at a time by each instance. At 100 µs for a signature, 768 take the two threads
    /// 40 ms.
    static let ofAll: Int64 = 768
    /// That many may be configured at most: discovery and the looks at files need a place each.
    static let atMost: Int64 = 1_000

    private let own = Atomic<Int>(0)
    private let all: SharedCounters
    private let ownAtMost: Int
    private let allAtMost: UInt64

    init(_ all: SharedCounters, ownAtMost: Int, allAtMost: Int) {
        self.all = all
        self.ownAtMost = ownAtMost
        self.allAtMost = UInt64(allAtMost)
    }

    /// Takes a place; false when there is none. [worker]
    func enter() -> Bool {
        guard own.load(ordering: .relaxed) < ownAtMost else { return false }
        guard all.add(0) <= allAtMost else {
            all.add(0, .max)
            return false
        }
        own.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    /// Gives it back. Any thread.
    func leave() {
        own.wrappingSubtract(1, ordering: .relaxed)
        all.add(0, .max)
    }
}

/// One token on its way through the pool, used again for the next. The worker fills it in before it is queued and reads
/// the outcome after it has been resumed; in between it is the pool's.
final class Verification: OffloadTarget, @unchecked Sendable {
    private let memory: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private var size = 0
    private let verifier: Verifier
    private let lifeline: Lifeline
    private let share: PoolShare
    private(set) var keys: KeySet?
    private(set) var digest = Digest256()
    private var now: UInt64 = 0
    private var suspension: Suspension?
    private let isDone = Atomic<Bool>(false)
    private var outcome: Result<VerifiedToken, Refusal> = .failure(.malformed)

    init(capacity: Int, _ verifier: Verifier, _ lifeline: Lifeline, _ share: PoolShare) {
        memory = .allocate(capacity: max(capacity, 1))
        self.capacity = capacity
        self.verifier = verifier
        self.lifeline = lifeline
        self.share = share
    }

    deinit { memory.deallocate() }

    /// Takes a copy of the token, whose bytes end with the exchange. [worker]
    func prepare(_ token: Bytes, _ digest: Digest256, _ keys: KeySet, now: UInt64, _ suspension: Suspension) {
        precondition(token.count <= capacity, "the token is longer than the bound that was checked")
        if let data = token.raw.data { memory.update(from: data, count: token.count) }
        size = token.count
        self.digest = digest
        self.keys = keys
        self.now = now
        self.suspension = suspension
        isDone.store(false, ordering: .relaxed)
    }

    override func run() {
        // It waits no more.
        share.leave()
        guard let keys else { return }
        do throws(Refusal) {
            outcome = .success(
                try verifier.verify(UnsafeBufferPointer(start: memory, count: size), with: keys, now: now))
        } catch { outcome = .failure(error) }
        isDone.store(true, ordering: .releasing)
        lifeline.isAlive.withLock { if $0 { suspension?.resume() } }
    }

    /// What came of it; nil while it is not known yet. [worker]
    var result: Result<VerifiedToken, Refusal>? { isDone.load(ordering: .acquiring) ? outcome : nil }

    /// Forgets what it held, before it serves again. [worker]
    func clear() {
        memory.update(repeating: 0, count: size)
        size = 0
        keys = nil
        suspension = nil
        outcome = .failure(.malformed)
    }
}

/// The verifications of a worker: those under way, by the exchange that waits, and those that may be used again.
struct Verifications {
    /// Kept for later; more were needed only in a burst. Each has the memory of one token.
    private static let sparesAtMost = 64

    private let make: () -> Verification
    private var spares: [Verification] = []
    private var waiting: [UInt64: Verification] = [:]

    init(_ make: @escaping () -> Verification) {
        self.make = make
        spares.reserveCapacity(Self.sparesAtMost)
        waiting.reserveCapacity(2 * Self.sparesAtMost)
    }

    mutating func take() -> Verification { spares.popLast() ?? make() }

    mutating func give(_ verification: Verification) {
        verification.clear()
        if spares.count < Self.sparesAtMost { spares.append(verification) }
    }

    mutating func wait(_ token: UInt64, for verification: Verification) { waiting[token] = verification }

    func awaited(by token: UInt64) -> Verification? { waiting[token] }

    /// The exchange waits no more. One that the pool still has is left to it.
    mutating func end(_ token: UInt64) { waiting.removeValue(forKey: token) }
}
