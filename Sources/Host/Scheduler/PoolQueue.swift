import Resilience
import SluiceABI
import Synchronization

/// How the requests of a pool wait; in the memory of a generation.
struct QueueLimits {
    var admission = AdmissionSettings()
    /// Nil: nobody is refused before the queue is full.
    var shedding: LoadShedderSettings?
    /// Tenants that have a weight of their own, and those weights; all others have 1.
    var tenants: NameTable?
    var weights = UnsafePointer<UInt32>(bitPattern: 64).unsafelyUnwrapped

    /// The share of a tenant, relative to the others'.
    func weight(of tenant: sluice_bytes) -> UInt32 {
        guard let tenants else { return 1 }
        let index = tenants.find(tenant)
        return index == SLUICE_NONE ? 1 : weights[Int(index)]
    }
}

/// One request in a pool's queue, as it goes between its own worker and the pool's home worker.
///
/// Its worker makes it and sends it; it comes back once, with a verdict. A request that leaves meanwhile says so with a
/// second message, which has a reference of its own: whichever of the two is read last frees it.
struct QueuePlace: ~Copyable {
    enum Verdict: UInt8 {
        case waits
        /// A credit is taken for it.
        case granted
        case full
        case dropped
        case shed
        case expired
        /// Its worker had it taken out.
        case left
    }

    let shared: UnsafeMutablePointer<SharedPool>
    /// Of the exchange, on its worker.
    let exchange: UInt64
    let worker: Int
    /// `token` is the place's own address.
    var entry: AdmissionEntry
    /// The home worker's: where the queue has it, `none` when it has it no more.
    fileprivate(set) var handle = AdmissionHandle.none
    var verdict = Verdict.waits
    /// Seconds, for who is refused.
    var retryAfter: UInt32 = 1
    private let references = Atomic<Int>(1)

    init(shared: UnsafeMutablePointer<SharedPool>, exchange: UInt64, worker: Int, entry: AdmissionEntry) {
        self.shared = shared
        self.exchange = exchange
        self.worker = worker
        self.entry = entry
    }

    func retain() { references.wrappingAdd(1, ordering: .relaxed) }

    /// Gives a reference back. True: it was the last.
    fileprivate func letGo() -> Bool {
        references.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
    }

    /// The place that an entry of the queue is of.
    static func of(_ entry: AdmissionEntry) -> UnsafeMutablePointer<QueuePlace> {
        UnsafeMutablePointer(bitPattern: UInt(entry.token)).unsafelyUnwrapped
    }
}

/// Of the pointer and not of the place: changing all of it, if only in name, while its own worker reads what never
/// changes would be a race by the language's rules.
extension UnsafeMutablePointer where Pointee == QueuePlace {
    /// The queue has it. [home worker]
    func stands(at handle: AdmissionHandle) { pointee.handle = handle }

    /// The queue has it no more, or never had. Its handle goes with that: a queue of another size gives the same ones
    /// anew, and a request that leaves late would take out somebody else by it. [home worker]
    func judge(_ verdict: QueuePlace.Verdict) {
        pointee.verdict = verdict
        pointee.handle = .none
    }
}

/// Memory of places that nobody needs any more, for those that follow: who waits costs no call of the system's
/// allocator. Each worker has its own; memory that another one has made is as good.
struct QueuePlaceStore: ~Copyable {
    /// More than mostly wait for one worker at a time, and together no more than 40 KiB.
    static let keptAtMost = 256
    private var first: UnsafeMutableRawPointer?
    private(set) var kept = 0

    deinit {
        var link = first
        while let memory = link {
            link = memory.load(as: UnsafeMutableRawPointer?.self)
            memory.deallocate()
        }
    }

    /// Memory for one place, not initialized. `release` belongs to it.
    mutating func take() -> UnsafeMutablePointer<QueuePlace> {
        guard let memory = first else { return .allocate(capacity: 1) }
        first = memory.load(as: UnsafeMutableRawPointer?.self)
        kept &-= 1
        return memory.bindMemory(to: QueuePlace.self, capacity: 1)
    }

    /// Gives a reference to the place back; with the last one goes the place.
    mutating func release(_ place: UnsafeMutablePointer<QueuePlace>) {
        guard place.pointee.letGo() else { return }
        place.deinitialize(count: 1)
        guard kept < Self.keptAtMost else { return place.deallocate() }
        let memory = UnsafeMutableRawPointer(place)
        memory.storeBytes(of: first, as: UnsafeMutableRawPointer?.self)
        first = memory
        kept &+= 1
    }
}

/// The queue of a pool as its home worker has it, which alone touches it. As lasting as the pool.
struct PoolHome {
    /// Runs while somebody waits and the pool's mask holds for a time only. The first field: see `timer` of its
    /// pointer.
    var timer = TimerNode()
    /// As the newest generation says.
    var limits = QueueLimits()
    /// The pool in the home worker's newest generation; nil: that has no such pool any more.
    var pool: UnsafeMutablePointer<WorkerPool>?
    /// What its endpoints had room for when that was last so: those who still wait in a pool that is gone from the
    /// configuration go on by it.
    var lastRoom = Int.max
    /// Made for the first who waits.
    var queue: AdmissionQueue?
    /// Links pools that have something to hand on.
    var nextToServe: UnsafeMutablePointer<SharedPool>?
    var isListed = false

    /// A queue as the configuration says now. Who waits in one of another size goes over to it, as soon as all of them
    /// find room there.
    mutating func prepare(now: UInt64) {
        guard var old = queue else {
            queue = AdmissionQueue(limits.admission)
            return
        }
        old.fullPolicy = limits.admission.fullPolicy
        old.ageing = limits.admission.ageing
        old.capacity = min(limits.admission.capacity, old.settings.capacity)
        queue = old
        let isOther =
            old.isEmpty
            ? old.settings != limits.admission
            : old.settings.capacity < limits.admission.capacity || old.settings.tenants != limits.admission.tenants
        guard isOther, old.count <= limits.admission.capacity else { return }
        var next = AdmissionQueue(limits.admission)
        old.move(to: &next, now: now) { QueuePlace.of($0).stands(at: $1) }
        queue = next
    }

    /// Takes a place out of the queue; false when the queue has it no more.
    mutating func remove(_ place: UnsafeMutablePointer<QueuePlace>) -> Bool {
        guard queue?.remove(place.pointee.handle) != nil else { return false }
        place.judge(.left)
        return true
    }
}

extension UnsafeMutablePointer<PoolHome> {
    /// The home's timer: its first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}
