import SluiceABI
import Synchronization

/// How one pool batches, as one worker sees it. Only the home worker's has queues.
struct PoolBatching {
    /// The same pool on its home worker, in the same generation.
    var home: UnsafeMutablePointer<WorkerPool>
    var homeWorker: Int
    var batcher: BatcherLink
    var maxRows: UInt32
    var maxDelayNs: UInt64
    var groups: [BatchGroup] = []
    /// Empty ones for those to come.
    private var spares: [BatchGroup] = []
    /// Batches that were sent and have no answer yet.
    var inFlight: UInt32 = 0

    /// Shapes that wait at the same time; one more is sent alone. A model has few, and a client that varies them must
    /// not make the home worker search a long list.
    static let groupsAtMost = 64
    /// Shapes that take turns find their group's memory as they left it: a model has few at a time.
    private static let sparesAtMost = 4
    /// So long a queue comes of a burst, and its memory does not stay.
    private static let spareEntriesAtMost = 256

    init(
        home: UnsafeMutablePointer<WorkerPool>, homeWorker: Int, batcher: BatcherLink, maxRows: UInt32,
        maxDelayNs: UInt64
    ) {
        self.home = home
        self.homeWorker = homeWorker
        self.batcher = batcher
        self.maxRows = maxRows
        self.maxDelayNs = maxDelayNs
    }

    /// Begins a group at the end of the list.
    mutating func addGroup(_ key: UInt64, of pool: UnsafeMutablePointer<WorkerPool>) {
        if var spare = spares.popLast() {
            spare.key = key
            spare.timer.pointee.key = key
            groups.append(spare)
            return
        }
        let timer = UnsafeMutablePointer<BatchTimer>.allocate(capacity: 1)
        timer.initialize(to: BatchTimer(pool: pool, key: key))
        timer.pointee.node.kind = TimerKind.batching
        timer.pointee.node.owner = UnsafeMutableRawPointer(timer)
        groups.append(BatchGroup(key: key, queue: BatchQueue(), timer: timer))
    }

    /// Of an empty group, whose timer does not run.
    mutating func removeGroup(_ position: Int) {
        let group = groups.remove(at: position)
        if spares.count < Self.sparesAtMost, group.queue.capacity <= Self.spareEntriesAtMost {
            spares.append(group)
        } else {
            group.timer.deallocate()
        }
    }

    /// Once no group has members.
    mutating func deallocate() {
        for spare in spares { spare.timer.deallocate() }
        spares = []
    }
}

/// Requests that are alike but for their first dimension.
struct BatchGroup {
    var key: UInt64
    var queue: BatchQueue<UnsafeMutablePointer<BatchMember>>
    var timer: UnsafeMutablePointer<BatchTimer>
}

/// The timer of a group; at a fixed address, for the wheel links it.
struct BatchTimer {
    /// First, so that a timer's address is its group's.
    var node = TimerNode()
    var pool: UnsafeMutablePointer<WorkerPool>
    var key: UInt64
}

/// A request on its way to the pool's home worker, in its queue, in a batch, and on its way back. Its home has it, but
/// for what is said to be for both; freed by whoever of the home and the exchange lets go of it last.
struct BatchMember: ~Copyable {
    var pool: UnsafeMutablePointer<WorkerPool>
    var worker: Int
    var token: UInt64
    var rows: UInt32
    var bytes: UInt64
    var key: UInt64
    var deadline: UInt64
    /// What its client said itself, as an exchange has it.
    var callDeadline: UInt64
    var enqueued: UInt64
    var block: TensorBlock
    var operation: UInt32
    var priority: UInt32
    /// Its client has asked for a version by name.
    var namesVersion: Bool
    /// The next one in the list that it stands in. The home's.
    var next: UnsafeMutablePointer<BatchMember>?
    /// The home's, until it is handed to the member's worker.
    var reply: BatchReply?
    /// The exchange that carries the batch in which it stands; nil: it waits for one, or has its reply. The home's.
    var carrier: ExchangePointer?
    /// Nobody waits for its reply. The home's.
    var hasLeft = false
    /// For the batcher's `group_key`, of one that is on its way to another worker.
    var request: RequestCopy?
    /// In the batcher, and with its batch in the scheduler. For both.
    let wait = WaitClock()
    /// Rows of the batch that it stands in; 0: it does not yet. For both.
    let batchRows = Atomic<UInt32>(0)
    /// The home's, which a reply hands on, and the exchange's.
    let references = Atomic<UInt32>(2)
}

extension UnsafeMutablePointer where Pointee == BatchMember {
    static func make(_ member: consuming BatchMember) -> Self {
        let memory = SharedBlocks.take(MemoryLayout<BatchMember>.stride).bindMemory(to: BatchMember.self, capacity: 1)
        memory.initialize(to: member)
        return memory
    }

    func retain() { pointee.references.wrappingAdd(1, ordering: .relaxed) }

    func release() {
        guard pointee.references.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
        deinitialize(count: 1)
        SharedBlocks.give(self, MemoryLayout<BatchMember>.stride)
    }
}

/// Members in the order in which they came, linked through themselves: each stands in one list at a time.
struct MemberList: Sequence {
    private(set) var first: UnsafeMutablePointer<BatchMember>?
    private var last: UnsafeMutablePointer<BatchMember>?
    private(set) var count = 0

    init() {}
    init(_ member: UnsafeMutablePointer<BatchMember>) { append(member) }

    mutating func append(_ member: UnsafeMutablePointer<BatchMember>) {
        member.pointee.next = nil
        if let last { last.pointee.next = member } else { first = member }
        last = member
        count += 1
    }

    /// Who has a member may let go of it, or put it into another list.
    struct Iterator: IteratorProtocol {
        fileprivate var place: UnsafeMutablePointer<BatchMember>?

        mutating func next() -> UnsafeMutablePointer<BatchMember>? {
            guard let member = place else { return nil }
            place = member.pointee.next
            return member
        }
    }

    func makeIterator() -> Iterator { Iterator(place: first) }
}

/// What a member's worker gets back. Exactly one of `block` and an error.
struct BatchReply {
    var status: sluice_status
    /// As the answer or the error has it.
    var httpStatus: UInt32
    var block: TensorBlock?
    /// The error is answered: no fallback stands in for it.
    var answersErrors = false
    /// What went wrong.
    var message: [UInt8] = []
    /// Seconds after which the client may ask again; 0: not said.
    var retryAfter: UInt32 = 0
}

/// The members of the batch that an exchange of the home worker carries, in the order of their rows.
struct Batch {
    var pool: UnsafeMutablePointer<WorkerPool>
    var members: MemberList
    var rows: UInt32
    /// It or its answer came to more than one request may; alone each of them may do.
    var isTooLarge = false
    /// An error of it is each member's answer: no fallback stands in for it.
    var answersErrors = false
    /// Members whose client waits still.
    var awaited: Int
    /// In whose turn it waits in the scheduler; in the memory of its exchange.
    var tenant = sluice_bytes.empty

    init(pool: UnsafeMutablePointer<WorkerPool>, members: MemberList, rows: UInt32) {
        self.pool = pool
        self.members = members
        self.rows = rows
        awaited = members.count
    }

    /// It waits in the scheduler, and its members with it.
    func waits(from now: UInt64) { for member in members { member.pointee.wait.begin(at: now) } }
    func goesOn(at now: UInt64) { for member in members { member.pointee.wait.end(at: now) } }
}
