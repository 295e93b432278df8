/// The queue of a pool: which of the requests that wait goes next.
///
/// - **Priority.** Ten levels, 0 first. A request begins at the level of its priority.
/// - **Ageing.** With each `ageing` that it waits a request moves up one level, and joins the others there.
/// - **Tenants** of one level share by their weights, by start-time fair queueing (P. Goyal, H. Vin, H. Cheng:
///   Start-time Fair Queueing, SIGCOMM 1996): each request costs its tenant 1 / weight of virtual time, and the tenant
///   with the earliest start goes next. While two tenants both have requests at a level, what they got there differs,
///   each divided by its weight, by no more than 1 / weight of the one and 1 / weight of the other.
/// - **The longest wait first** among the requests that a tenant has at a level; of all, where there is one tenant.
/// - **Deadlines.** What is too late leaves first of all.
///
/// So nothing starves: a request of priority p is at level 0 after p × `ageing` at the latest, and there it goes when
/// those of its tenant that have waited longer are gone. If those are n, at most n + (n + 1) × W / w + m requests go
/// before it, where w is its tenant's weight, and m and W are the number and the weights together of the other tenants
/// that are there meanwhile.
///
/// A value of pointers that one thread owns: all memory is taken at the beginning, and no operation allocates. Each is
/// O(log n), amortised. Times are nanoseconds of a monotonic clock; one that goes back is taken to stand still.
public struct AdmissionQueue {
    private struct Slot {
        var entry = AdmissionEntry(token: 0, priority: 0, waitingSince: 0)
        /// When it came to its level.
        var joined: UInt64 = 0
        /// Grows each time that the slot is given out; 0 never.
        var generation: UInt32 = 1
        var tenant: Int32 = 0
        var level: UInt8 = 0
        var isUsed = false
    }
    /// The requests of one tenant at one level.
    private struct Flow {
        /// Heap of slots by `waitingSince`.
        var root = HeapNode.none
        /// Virtual time at which its last request that went ends.
        var finish: UInt64 = 0
    }
    private struct Level {
        /// Heap of flows by the virtual start of their next request.
        var root = HeapNode.none
        /// The start of the request that went last.
        var virtualTime: UInt64 = 0
        /// In the order in which they came to the level.
        var list = IndexList()
    }
    /// The requests that came with one priority, in that order.
    private struct Priority {
        var list = IndexList()
        var count = 0
    }

    /// A request's cost at weight 1. Divided by 1000 it is still precise to a thousandth, and 2⁴⁴ of them do not run
    /// over.
    private static let cost: UInt64 = 1 << 20

    /// As it was made.
    public let settings: AdmissionSettings
    /// May be lowered and raised again, up to what `settings` say. Those who wait beyond a lower one wait on.
    public var capacity: Int
    /// May be changed at any time.
    public var fullPolicy: AdmissionSettings.FullPolicy
    /// May be changed at any time. Those who wait then go up by the new one, none before another of its level that came
    /// earlier.
    public var ageing: UInt64 { didSet { nextPromotion = 0 } }

    private let tenants: TenantTable
    private let slots: UnsafeMutablePointer<Slot>
    /// Of slots, in the heaps of flows.
    private let waiting: UnsafeMutablePointer<HeapNode>
    /// Of slots, in the heap of deadlines.
    private let deadlines: UnsafeMutablePointer<HeapNode>
    private let flows: UnsafeMutablePointer<Flow>
    /// Of flows, in the heaps of levels.
    private let starts: UnsafeMutablePointer<HeapNode>
    private let levels: UnsafeMutablePointer<Level>
    /// Of slots; those that were given back are linked by the first.
    private let inLevel: UnsafeMutablePointer<IndexList.Links>
    private let inPriority: UnsafeMutablePointer<IndexList.Links>
    private let priorities: UnsafeMutablePointer<Priority>

    private var firstDeadline = HeapNode.none
    private var free = IndexList.none
    /// Slots that were ever given out; the memory of the others was never touched.
    private var touched = 0
    private var order: UInt64 = 0
    private var now: UInt64 = 0
    /// No request moves up before.
    private var nextPromotion = UInt64.max
    /// A bit for each level, 1 when something is there.
    private var occupied: UInt32 = 0
    public private(set) var count = 0

    /// Reserves all memory that it will ever have; what belongs to a slot is touched when the slot is first given out,
    /// so that a queue that was never long takes little. `deallocate` belongs to it.
    public init(_ settings: AdmissionSettings) {
        self.settings = settings
        capacity = min(max(settings.capacity, 1), AdmissionSettings.capacityBound)
        fullPolicy = settings.fullPolicy
        ageing = settings.ageing
        tenants = TenantTable(count: min(max(settings.tenants, 1), AdmissionSettings.tenantBound))
        slots = .allocate(capacity: capacity)
        waiting = .allocate(capacity: capacity)
        deadlines = .allocate(capacity: capacity)
        inLevel = .allocate(capacity: capacity)
        inPriority = .allocate(capacity: capacity)
        let levelCount = AdmissionSettings.priorities
        flows = .allocate(capacity: levelCount * tenants.count)
        flows.initialize(repeating: Flow(), count: levelCount * tenants.count)
        starts = .allocate(capacity: levelCount * tenants.count)
        starts.initialize(repeating: HeapNode(), count: levelCount * tenants.count)
        levels = .allocate(capacity: levelCount)
        levels.initialize(repeating: Level(), count: levelCount)
        priorities = .allocate(capacity: levelCount)
        priorities.initialize(repeating: Priority(), count: levelCount)
    }

    public func deallocate() {
        tenants.deallocate()
        slots.deallocate()
        waiting.deallocate()
        deadlines.deallocate()
        flows.deallocate()
        starts.deallocate()
        levels.deallocate()
        priorities.deallocate()
        inLevel.deallocate()
        inPriority.deallocate()
    }

    public var isEmpty: Bool { count == 0 }
    /// The earliest deadline of all that wait; `.max` when none has one.
    public var nextDeadline: UInt64 { firstDeadline >= 0 ? deadlines[Int(firstDeadline)].key : .max }
    /// Requests that came with this priority.
    public func count(priority: Int) -> Int { priorities[priority].count }

    /// Nanoseconds that the oldest has waited.
    public func longestWait(now: UInt64) -> UInt64 {
        guard let slot = oldest(from: 0) else { return 0 }
        let since = slots[Int(slot)].entry.waitingSince
        return now > since ? now - since : 0
    }

    // MARK: - Operations

    public mutating func push(_ entry: AdmissionEntry, now time: UInt64) -> AdmissionPush {
        advance(to: time)
        guard count >= capacity else { return .queued(add(entry)) }
        if nextDeadline <= now {
            let expired = take(firstDeadline)
            return .displaced(add(entry), expired, isExpired: true)
        }
        let victim: Int32? =
            switch fullPolicy {
            case .reject: nil
            case .dropOldest: oldest(from: Int(entry.priority))
            case .dropLowest: lowest(below: Int(entry.priority))
            }
        guard let victim else { return .refused }
        let dropped = take(victim)
        return .displaced(add(entry), dropped, isExpired: false)
    }

    /// What goes next, or a request that no longer may.
    public mutating func take(now time: UInt64) -> AdmissionTake {
        advance(to: time)
        if nextDeadline <= now { return .expired(take(firstDeadline)) }
        guard occupied != 0 else { return .empty }
        let level = occupied.trailingZeroBitCount
        let flow = Int(levels[level].root)
        let slot = flows[flow].root
        let start = starts[flow].key
        levels[level].virtualTime = start
        let weight = tenants.places[Int(slots[Int(slot)].tenant)].weight
        flows[flow].finish = start &+ Self.cost / UInt64(weight)
        let entry = take(slot)
        if flows[flow].root >= 0 {
            // The tenant's next request starts where this one ends.
            levels[level].root = PairingHeap.removeFirst(levels[level].root, starts)
            enqueue(flow: flow, level: level, start: flows[flow].finish)
        }
        return .next(entry)
    }

    /// A request whose deadline has passed, if there is one: for the timer of `nextDeadline`.
    public mutating func takeExpired(now time: UInt64) -> AdmissionEntry? {
        advance(to: time)
        return nextDeadline <= now ? take(firstDeadline) : nil
    }

    /// Takes a request out: its client has left. Nil when it is no longer queued.
    public mutating func remove(_ handle: AdmissionHandle) -> AdmissionEntry? {
        let index = Int(handle.bits & 0xffff_ffff)
        guard index < touched, slots[index].isUsed, UInt64(slots[index].generation) == handle.bits >> 32 else {
            return nil
        }
        return take(Int32(index))
    }

    /// Hands all who wait to another queue, which has room for them, and gives the memory back. They keep their order,
    /// and what they have gained by waiting; what tenants have had of their shares is forgotten.
    /// - Parameter moved: called for each, with its place there.
    public mutating func move(
        to other: inout AdmissionQueue, now time: UInt64, _ moved: (AdmissionEntry, AdmissionHandle) -> Void
    ) {
        for priority in 0..<AdmissionSettings.priorities {
            while priorities[priority].list.first >= 0 {
                let entry = take(priorities[priority].list.first)
                if case .queued(let handle) = other.push(entry, now: time) { moved(entry, handle) }
            }
        }
        deallocate()
    }

    // MARK: - Adding and taking

    private mutating func add(_ entry: AdmissionEntry) -> AdmissionHandle {
        let slot = freeSlot()
        let index = Int(slot)
        let place = tenants.place(of: entry.tenant, weight: entry.weight)
        tenants.places[place].count &+= 1
        slots[index].entry = entry
        slots[index].tenant = Int32(place)
        slots[index].isUsed = true
        waiting[index].key = entry.waitingSince
        waiting[index].order = order
        order &+= 1
        if entry.deadline != .max {
            deadlines[index].key = entry.deadline
            firstDeadline = PairingHeap.insert(slot, into: firstDeadline, deadlines)
        }
        priorities[Int(entry.priority)].list.append(slot, inPriority)
        priorities[Int(entry.priority)].count &+= 1
        count &+= 1
        join(slot, level: level(of: entry), at: now)
        return AdmissionHandle(bits: UInt64(slots[index].generation) << 32 | UInt64(index))
    }

    /// Who waited before, and comes back after a failed attempt, keeps the levels that it has gained. It stands there
    /// from now on, as each level's list is in the order of coming: no more than one step is lost by that.
    private func level(of entry: AdmissionEntry) -> Int {
        guard ageing > 0, now > entry.waitingSince else { return Int(entry.priority) }
        let gained = (now &- entry.waitingSince) / ageing
        return Int(entry.priority) - Int(min(gained, UInt64(entry.priority)))
    }

    private mutating func freeSlot() -> Int32 {
        if free >= 0 {
            let slot = free
            free = inLevel[Int(slot)].next
            return slot
        }
        (slots + touched).initialize(to: Slot())
        (waiting + touched).initialize(to: HeapNode())
        (deadlines + touched).initialize(to: HeapNode())
        (inLevel + touched).initialize(to: IndexList.Links())
        (inPriority + touched).initialize(to: IndexList.Links())
        touched += 1
        return Int32(touched - 1)
    }

    private mutating func take(_ slot: Int32) -> AdmissionEntry {
        let index = Int(slot)
        let entry = slots[index].entry
        leave(slot)
        priorities[Int(entry.priority)].list.remove(slot, inPriority)
        priorities[Int(entry.priority)].count &-= 1
        if entry.deadline != .max { firstDeadline = PairingHeap.remove(slot, from: firstDeadline, deadlines) }
        tenants.places[Int(slots[index].tenant)].count &-= 1
        slots[index].isUsed = false
        slots[index].generation = slots[index].generation == .max ? 1 : slots[index].generation + 1
        inLevel[index].next = free
        free = slot
        count &-= 1
        return entry
    }

    // MARK: - Levels

    /// Moves up whoever has waited long enough, from the lowest level on, so that one who has waited for several goes
    /// all the way. Each level's list is in the order of `joined`, since whoever comes to it joined after all who were
    /// there when this was last done.
    private mutating func advance(to time: UInt64) {
        if time > now { now = time }
        guard now >= nextPromotion, ageing > 0 else { return }
        nextPromotion = .max
        for level in stride(from: AdmissionSettings.priorities - 1, to: 0, by: -1) {
            while let joined = firstJoined(level) {
                let due = joined &+ ageing
                guard due <= now else {
                    nextPromotion = min(nextPromotion, due)
                    break
                }
                let slot = levels[level].list.first
                leave(slot)
                join(slot, level: level - 1, at: due)
            }
        }
    }

    private func firstJoined(_ level: Int) -> UInt64? {
        let first = levels[level].list.first
        return first >= 0 ? slots[Int(first)].joined : nil
    }

    private mutating func join(_ slot: Int32, level: Int, at joined: UInt64) {
        let index = Int(slot)
        slots[index].level = UInt8(level)
        slots[index].joined = joined
        levels[level].list.append(slot, inLevel)
        let flow = level &* tenants.count &+ Int(slots[index].tenant)
        if flows[flow].root < 0 {
            enqueue(flow: flow, level: level, start: max(levels[level].virtualTime, flows[flow].finish))
        }
        flows[flow].root = PairingHeap.insert(slot, into: flows[flow].root, waiting)
        occupied |= 1 << UInt32(level)
        if level > 0 && ageing > 0 { nextPromotion = min(nextPromotion, joined &+ ageing) }
    }

    /// Among flows of the same start, the one that has waited longest for its turn is the first.
    private mutating func enqueue(flow: Int, level: Int, start: UInt64) {
        starts[flow].key = start
        starts[flow].order = order
        order &+= 1
        levels[level].root = PairingHeap.insert(Int32(flow), into: levels[level].root, starts)
    }

    /// Takes a slot out of its flow and level.
    private mutating func leave(_ slot: Int32) {
        let level = Int(slots[Int(slot)].level)
        levels[level].list.remove(slot, inLevel)
        let flow = level &* tenants.count &+ Int(slots[Int(slot)].tenant)
        flows[flow].root = PairingHeap.remove(slot, from: flows[flow].root, waiting)
        if flows[flow].root < 0 {
            levels[level].root = PairingHeap.remove(Int32(flow), from: levels[level].root, starts)
        }
        if levels[level].root < 0 { occupied &= ~(1 << UInt32(level)) }
    }

    // MARK: - Whom to drop

    /// The oldest of those who came with `priority` or a lower one.
    private func oldest(from priority: Int) -> Int32? {
        var found: Int32?
        var since = UInt64.max
        for index in priority..<AdmissionSettings.priorities {
            let first = priorities[index].list.first
            guard first >= 0, slots[Int(first)].entry.waitingSince < since || found == nil else { continue }
            found = first
            since = slots[Int(first)].entry.waitingSince
        }
        return found
    }

    /// The last who came with the lowest priority, if that is below `priority`.
    private func lowest(below priority: Int) -> Int32? {
        for index in stride(from: AdmissionSettings.priorities - 1, to: priority, by: -1)
        where priorities[index].list.last >= 0 { return priorities[index].list.last }
        return nil
    }
}
