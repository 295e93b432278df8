import CLinux
import Glibc
import HTTP1
import Resilience
import SluiceABI
import Synchronization

/// Who may go to a pool's endpoints, and who waits: the way of a request through its pool's gate and queue, as its own
/// worker sees it.
extension Worker {
    /// The chosen endpoint has no place to spare, and the exchange has a credit, so that any other has one: that is
    /// better than waiting. Where requests of other pools have taken them all, it is the chosen one after all.
    @inline(never)
    func other(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, than index: UInt32
    ) -> UInt32 {
        let (ticket, ticketMember) = (exchange.pointee.ticket, exchange.pointee.ticketMember)
        for other in 0..<UInt32(pool.pointee.endpointCount)
        where other != index && isEligible(other) && !isFull(pool, other) {
            exchange.pointee.ticket = .none
            guard pool.pointee.policy == nil || admits(exchange, pool, other) else { continue }
            let (taken, takenMember) = (exchange.pointee.ticket, exchange.pointee.ticketMember)
            (exchange.pointee.ticket, exchange.pointee.ticketMember) = (ticket, ticketMember)
            withdraw(exchange)
            (exchange.pointee.ticket, exchange.pointee.ticketMember) = (taken, takenMember)
            return other
        }
        (exchange.pointee.ticket, exchange.pointee.ticketMember) = (ticket, ticketMember)
        return index
    }

    /// The exchange holds a credit of its pool from here on, or has to wait for one: false.
    @inline(__always)
    func passesGate(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ count: UInt32, fresh: Bool
    ) -> Bool {
        if exchange.pointee.holdsCredit { return true }
        let gate = pool.pointee.shared.pointee.gate
        if fresh {
            gate.pointee.enter()
        } else {
            let places = places(pool, count)
            guard gate.pointee.tryEnter(places: places) || entersBeside(pool, places) else { return false }
        }
        exchange.pointee.holdsCredit = true
        return true
    }

    /// Not before those who wait, whom the home worker lets in.
    @inline(never)
    private func entersBeside(_ pool: UnsafeMutablePointer<WorkerPool>, _ places: Int) -> Bool {
        let gate = pool.pointee.shared.pointee.gate
        guard gate.pointee.waiting == 0 else { return false }
        return gate.pointee.tryEnter(places: placesBeside(pool, places))
    }

    /// The exchange needs no place at an endpoint any more.
    @inline(__always)
    func leaveGate(_ exchange: ExchangePointer) {
        guard exchange.pointee.holdsCredit, let pool = exchange.pointee.pool else { return }
        exchange.pointee.holdsCredit = false
        giveBack(pool.pointee.shared)
    }

    @inline(__always)
    func giveBack(_ shared: UnsafeMutablePointer<SharedPool>) {
        if shared.pointee.gate.pointee.leave() { askHome(shared) }
    }

    /// Somebody waits, and there may be something to hand on.
    @inline(never)
    func askHome(_ shared: UnsafeMutablePointer<SharedPool>) {
        if shared.pointee.homeWorker == index { return list(shared) }
        guard shared.pointee.gate.pointee.asksHome() else { return }
        peers[shared.pointee.homeWorker].mailbox.send(
            .poolServe, pointer: UnsafeMutableRawPointer(shared), from: mailbox)
    }

    /// Other endpoints than before may be picked: all workers make their masks anew, and for those who wait that may be
    /// room, or nobody left to wait for. [any]
    @inline(never)
    func availabilityChanged(_ shared: UnsafeMutablePointer<SharedPool>) {
        shared.pointee.state.changed()
        if shared.pointee.gate.pointee.waiting > 0 { askHome(shared) }
    }

    // MARK: Waiting

    func enqueue(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action {
        // A copy takes no place from anybody who waits.
        if exchange.pointee.shadow != nil {
            return fail(exchange, SLUICE_RESOURCE_EXHAUSTED, 503, "no endpoint had a connection to spare for a copy")
        }
        let shared = pool.pointee.shared
        // Who waited before, and then had a failed attempt, waits on from there.
        if exchange.pointee.waitsSince == 0 { exchange.pointee.waitsSince = now }
        let place = queuePlaces.take()
        place.initialize(
            to: QueuePlace(
                shared: shared, exchange: token(of: exchange), worker: index,
                entry: entry(exchange, pool, UInt64(UInt(bitPattern: place)))))
        shared.pointee.gate.pointee.beginWaiting()
        if shared.pointee.homeWorker == index {
            admit(place)
            if place.pointee.verdict != .waits {
                let verdict = place.pointee.verdict
                let retryAfter = place.pointee.retryAfter
                queuePlaces.release(place)
                return refuse(exchange, verdict, retryAfter: retryAfter)
            }
        } else {
            peers[shared.pointee.homeWorker].mailbox.send(
                .queueEnter, pointer: UnsafeMutableRawPointer(place), from: mailbox)
        }
        exchange.pointee.place = place
        exchange.pointee.queuedAt = now
        exchange.pointee.batch?.pointee.waits(from: now)
        metrics.enqueued(pool: PoolMetricsID(index: shared.pointee.metrics))
        let action = exchange.pointee.machine.handle(.queued)
        // A failed attempt may have used up the timer.
        armTimer(exchange)
        return action
    }

    private func entry(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ token: UInt64
    ) -> AdmissionEntry {
        let request = exchange.pointee.request.unsafelyUnwrapped
        let tenant = exchange.pointee.batch?.pointee.tenant ?? request.pointee.tenant
        return AdmissionEntry(
            token: token, worker: UInt32(index), priority: UInt8(truncatingIfNeeded: min(request.pointee.priority, 9)),
            tenant: tenant.isEmpty ? 0 : Self.hash(tenant), weight: pool.pointee.queue.pointee.weight(of: tenant),
            deadline: limitNs(exchange), waitingSince: exchange.pointee.waitsSince)
    }

    /// FNV-1a (Fowler, Noll, Vo), begun with a number that clients cannot know: who could choose a name with the hash
    /// of another's would share its turns.
    private static func hash(_ text: sluice_bytes) -> UInt64 {
        var hash = seed
        if let data = text.data {
            for index in 0..<text.size { hash = (hash ^ UInt64(data[index])) &* 0x100_0000_01b3 }
        }
        return hash ^ hash >> 32 | 1
    }

    private static let seed = UInt64.random(in: .min ... .max)

    /// Takes the exchange out of the queue.
    func leaveQueue(_ exchange: ExchangePointer) {
        guard let place = exchange.pointee.place else { return }
        stopsWaiting(exchange)
        let home = place.pointee.shared.pointee.homeWorker
        if home == index {
            // Where the queue has it no more, a verdict is on its way, and that frees it.
            if withdraw(place) { queuePlaces.release(place) }
        } else {
            place.pointee.retain()
            peers[home].mailbox.send(.queueLeave, pointer: UnsafeMutableRawPointer(place), from: mailbox)
        }
    }

    private func stopsWaiting(_ exchange: ExchangePointer) {
        guard let place = exchange.pointee.place else { return }
        exchange.pointee.place = nil
        let waited = now &- exchange.pointee.queuedAt
        exchange.pointee.queuedFor &+= waited
        exchange.pointee.batch?.pointee.goesOn(at: now)
        metrics.dequeued(pool: PoolMetricsID(index: place.pointee.shared.pointee.metrics), nanoseconds: waited)
    }

    func receiveVerdict(_ pointer: UnsafeMutableRawPointer) {
        settle(pointer.assumingMemoryBound(to: QueuePlace.self))
    }

    /// A place has come back from the pool's home worker.
    func settle(_ place: UnsafeMutablePointer<QueuePlace>) {
        let verdict = place.pointee.verdict
        let retryAfter = place.pointee.retryAfter
        let shared = place.pointee.shared
        let exchange = exchange(of: place.pointee.exchange)
        guard let exchange, exchange.pointee.place == place else {
            // It left meanwhile.
            if verdict == .granted { giveBack(shared) }
            queuePlaces.release(place)
            return
        }
        stopsWaiting(exchange)
        queuePlaces.release(place)
        guard verdict == .granted else { return perform(exchange, refuse(exchange, verdict, retryAfter: retryAfter)) }
        exchange.pointee.holdsCredit = true
        perform(exchange, acquire(exchange, fresh: false))
    }

    private func refuse(
        _ exchange: ExchangePointer, _ verdict: QueuePlace.Verdict, retryAfter: UInt32
    ) -> ExchangeMachine.Action {
        var message = sluice_bytes("the model's queue is full")
        switch verdict {
        case .dropped:
            metrics.rejected(.queueDropped)
            message = sluice_bytes("the model's queue is full, and other requests took its place")
        case .shed:
            metrics.rejected(.shed)
            message = sluice_bytes("the model has more requests than it can serve")
        case .expired:
            countTimeout(exchange, .queue)
            exchange.pointee.status = SLUICE_DEADLINE_EXCEEDED
            return exchange.pointee.machine.handle(.deadlinePassed)
        default: metrics.rejected(.queueFull)
        }
        return fail(exchange, SLUICE_RESOURCE_EXHAUSTED, 503, message, retryAfter: retryAfter)
    }

    // MARK: The limit that finds itself

    /// An attempt has ended.
    @inline(never)
    func measure(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ settings: UnsafePointer<ConcurrencyLimitSettings>, _ outcome: AttemptOutcome, _ firstByte: UInt64
    ) {
        guard settings.pointee.algorithm != .fixed else { return }
        let http = exchange.pointee.httpStatus
        // The status of an exchange that ended before its attempt is not the endpoint's word.
        let status = outcome == .cancelled ? SLUICE_OK : exchange.pointee.status
        let isRefused =
            http == 429 || http == 503 || status == SLUICE_RESOURCE_EXHAUSTED
            || status == SLUICE_UNAVAILABLE && exchange.pointee.isGRPC
        let dropped = outcome == .timeout || isRefused
        // What ended without an answer for another reason says nothing of how much is too much.
        guard dropped || firstByte > 0 else { return }
        let shared = pool.pointee.shared
        let gate = shared.pointee.gate
        // Its own credit may have been given back already; it is counted all the same.
        let underWay = gate.pointee.underWay &+ (exchange.pointee.holdsCredit ? 0 : 1)
        let limit = shared.pointee.meter.pointee.record(
            firstByte, underWay: underWay, dropped: dropped, now: now, settings.pointee, random: nextRandom())
        guard let limit else { return }
        if gate.pointee.moveLimit(to: limit), gate.pointee.waiting > 0 { askHome(shared) }
    }
}
