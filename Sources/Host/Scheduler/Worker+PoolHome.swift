import Glibc
import Resilience
import SluiceABI

/// The queue of a pool, at its home worker.
extension Worker {
    // MARK: Generations

    /// The pools of a new generation that have their home here wait as it says from now on.
    func takeHomes(_ next: UnsafeMutablePointer<WorkerGeneration>, from old: UnsafeMutablePointer<WorkerGeneration>) {
        for index in 0..<old.pointee.poolCount {
            let pool = old.pointee.pools + index
            let shared = pool.pointee.shared
            guard shared.pointee.homeWorker == self.index else { continue }
            shared.pointee.home.pointee.lastRoom = roomNow(pool)
            shared.pointee.home.pointee.pool = nil
        }
        for index in 0..<next.pointee.poolCount {
            let pool = next.pointee.pools + index
            let shared = pool.pointee.shared
            guard shared.pointee.homeWorker == self.index else { continue }
            shared.pointee.home.pointee.pool = pool
            shared.pointee.home.pointee.limits = pool.pointee.queue.pointee
            var limit = Int.max
            if let settings = pool.pointee.concurrency {
                limit = shared.pointee.meter.pointee.restart(settings.pointee)
            }
            shared.pointee.gate.pointee.setLimit(limit)
        }
        letGoOfStrays(next)
        // Room that the new configuration makes is for those who wait.
        for index in 0..<next.pointee.poolCount { servesAgain(next.pointee.pools[index].shared) }
        for index in 0..<old.pointee.poolCount { servesAgain(old.pointee.pools[index].shared) }
    }

    /// Of a pool that has its home here: something is different about what may be handed on.
    func servesAgain(_ shared: UnsafeMutablePointer<SharedPool>) {
        guard shared.pointee.homeWorker == index, shared.pointee.gate.pointee.waiting > 0 else { return }
        list(shared)
    }

    // MARK: Entering and leaving

    func receivePlace(_ pointer: UnsafeMutableRawPointer) {
        let place = pointer.assumingMemoryBound(to: QueuePlace.self)
        admit(place)
        if place.pointee.verdict != .waits { send(place) }
    }

    /// Puts a place into the queue of its pool; where that is refused, its verdict says why.
    func admit(_ place: UnsafeMutablePointer<QueuePlace>) {
        let shared = place.pointee.shared
        let home = shared.pointee.home
        home.pointee.prepare(now: now)
        if sheds(place, home) {
            shared.pointee.gate.pointee.endWaiting()
            return
        }
        switch home.pointee.queue?.push(place.pointee.entry, now: now) {
        case .queued(let handle): place.stands(at: handle)
        case .displaced(let handle, let other, let isExpired):
            place.stands(at: handle)
            judge(QueuePlace.of(other), isExpired ? .expired : .dropped)
            send(QueuePlace.of(other))
        case .refused, nil:
            judge(place, .full)
            return
        }
        list(shared)
    }

    /// Refuses the less urgent before the queue is full, so that the others still find room.
    private func sheds(_ place: UnsafeMutablePointer<QueuePlace>, _ home: UnsafeMutablePointer<PoolHome>) -> Bool {
        guard let settings = home.pointee.limits.shedding, let queue = home.pointee.queue else { return false }
        let pressure = LoadShedder.pressure(
            queued: queue.count, capacity: queue.capacity, longestWait: queue.longestWait(now: now), settings)
        let isAdmitted = LoadShedder.admits(
            priority: place.pointee.entry.priority, pressure: pressure, random: nextRandom(), settings)
        if isAdmitted { return false }
        place.judge(.shed)
        place.pointee.retryAfter = LoadShedder.retryAfter(pressure: pressure, random: nextRandom(), settings)
        return true
    }

    /// A request of another worker leaves the queue.
    func receiveLeave(_ pointer: UnsafeMutableRawPointer) {
        let place = pointer.assumingMemoryBound(to: QueuePlace.self)
        if withdraw(place) { send(place) }
        queuePlaces.release(place)
    }

    /// Takes a place out of the queue; false when the queue has it no more.
    func withdraw(_ place: UnsafeMutablePointer<QueuePlace>) -> Bool {
        let shared = place.pointee.shared
        guard shared.pointee.home.pointee.remove(place) else { return false }
        shared.pointee.gate.pointee.endWaiting()
        return true
    }

    private func judge(_ place: UnsafeMutablePointer<QueuePlace>, _ verdict: QueuePlace.Verdict) {
        place.judge(verdict)
        place.pointee.shared.pointee.gate.pointee.endWaiting()
    }

    /// Sends a place back. To this worker, too: who is called in the middle of something must not be answered there.
    private func send(_ place: UnsafeMutablePointer<QueuePlace>) {
        peers[place.pointee.worker].mailbox.send(.queueVerdict, pointer: UnsafeMutableRawPointer(place), from: mailbox)
    }

    // MARK: Handing on

    /// Another worker says that there is something to hand on.
    func receiveServe(_ pointer: UnsafeMutableRawPointer) {
        let shared = pointer.assumingMemoryBound(to: SharedPool.self)
        shared.pointee.gate.pointee.homeIsAsked()
        list(shared)
    }

    /// The pool has its turn at the end of this turn of the loop.
    func list(_ shared: UnsafeMutablePointer<SharedPool>) {
        connectionsFreed = true
        let home = shared.pointee.home
        guard !home.pointee.isListed else { return }
        home.pointee.isListed = true
        home.pointee.nextToServe = firstToServe
        firstToServe = shared
    }

    /// Credits were given back: those who wait for them go on. Called between events, never from within an exchange.
    func serveWaiting() {
        var link = firstToServe
        firstToServe = nil
        while let shared = link {
            let home = shared.pointee.home
            link = home.pointee.nextToServe
            home.pointee.nextToServe = nil
            home.pointee.isListed = false
            serve(shared, home)
        }
    }

    private func serve(_ shared: UnsafeMutablePointer<SharedPool>, _ home: UnsafeMutablePointer<PoolHome>) {
        let gate = shared.pointee.gate
        let room = home.pointee.pool.map { roomNow($0) } ?? home.pointee.lastRoom
        // Listed anew: whom it let go has come back, or has ended at once, and there may be other room than before.
        while home.pointee.queue?.isEmpty == false, !home.pointee.isListed {
            guard gate.pointee.tryTake(places: room) else { return lookAgain(shared, home) }
            switch home.pointee.queue?.take(now: now) {
            case .next(let entry): answer(QueuePlace.of(entry), .granted)
            case .expired(let entry):
                _ = gate.pointee.leave()
                answer(QueuePlace.of(entry), .expired)
            case .empty, nil: _ = gate.pointee.leave()
            }
        }
    }

    /// What the pool's endpoints have room for at present.
    private func roomNow(_ pool: UnsafeMutablePointer<WorkerPool>) -> Int {
        let count = eligibleCount(pool)
        // Without any endpoint there is nothing to wait for: they shall hear so.
        return count > 0 ? placesBeside(pool, places(pool, count)) : .max
    }

    /// How often, milliseconds, those who wait beside an endpoint that is out are looked after: much less than an
    /// inference takes, and a hundred walks over a pool's endpoints a second are nothing.
    private static let besideLookMs: UInt64 = 10

    /// An ejection or a breaker's time ends without a word: where somebody waits, who would hear of nothing else, this
    /// worker looks when the mask is good no more. Beside endpoints that are out the room is what stands on the others,
    /// the requests of other pools included, and their ends nobody tells this one: it looks now and then.
    private func lookAgain(_ shared: UnsafeMutablePointer<SharedPool>, _ home: UnsafeMutablePointer<PoolHome>) {
        guard let pool = home.pointee.pool, let policy = pool.pointee.policy else { return }
        var look = policy.pointee.until == .max ? .max : max(policy.pointee.until / 1_000_000, nowMs) &+ 1
        if Int(policy.pointee.count) < pool.pointee.endpointCount { look = min(look, nowMs &+ Self.besideLookMs) }
        guard look < .max else { return }
        home.pointee.timer.kind = TimerKind.poolRoom
        home.pointee.timer.owner = UnsafeMutableRawPointer(shared)
        timers.start(home.timer, at: look)
    }

    func roomTimerExpired(_ owner: UnsafeMutableRawPointer) {
        servesAgain(owner.assumingMemoryBound(to: SharedPool.self))
    }

    private func answer(_ place: UnsafeMutablePointer<QueuePlace>, _ verdict: QueuePlace.Verdict) {
        judge(place, verdict)
        if place.pointee.worker == index { settle(place) } else { send(place) }
    }
}
