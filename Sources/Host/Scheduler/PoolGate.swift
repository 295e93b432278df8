import Synchronization

/// How many requests of a pool are under way, and how many may be: one cache line that all workers share.
///
/// A request holds a credit from when it looks for an endpoint until it needs its connection no more. While nobody
/// waits and a credit is left it takes one here, without asking anybody; otherwise it waits in the pool's queue, at the
/// pool's home worker, which alone hands on what comes free. So nobody overtakes those who wait.
///
/// Whoever waits is counted before the count of credits is looked at for it, and whoever gives a credit back looks for
/// somebody who waits after that: in one order for all (sequentially consistent), or each could miss the other's step.
struct PoolGate: ~Copyable {
    private let taken = Atomic<Int>(0)
    private let queued = Atomic<Int>(0)
    private let limit = Atomic<Int>(.max)
    private let isAsked = Atomic<Bool>(false)

    /// Requests under way. [any]
    var underWay: Int { taken.load(ordering: .relaxed) }
    /// Requests that wait, those on their way to the queue included. [any]
    var waiting: Int { queued.load(ordering: .relaxed) }
    /// Requests that may be under way, whatever the endpoints have room for; `.max` when nothing limits them. [any]
    var limitNow: Int { limit.load(ordering: .relaxed) }
    /// The configuration's word. [home worker, main before the pool is served]
    func setLimit(_ value: Int) { limit.store(value, ordering: .relaxed) }

    /// What was measured moves the limit, where there is one: attempts of an earlier configuration that had one go on
    /// being measured, and must not bring it back. True when it grows. [worker]
    func moveLimit(to value: Int) -> Bool {
        var seen = limit.load(ordering: .relaxed)
        while seen != .max {
            let (done, now) = limit.weakCompareExchange(expected: seen, desired: value, ordering: .relaxed)
            if done { return value > seen }
            seen = now
        }
        return false
    }

    /// Takes a credit where one is left and nobody waits for it. `places`: what the endpoints have room for. [worker]
    @inline(__always)
    func tryEnter(places: Int) -> Bool {
        queued.load(ordering: .sequentiallyConsistent) == 0 && tryTake(places: places)
    }

    /// Takes a credit for one who waits. The count never says more than were taken, not for a moment: whoever saw it so
    /// would wait for a credit that nobody holds and nobody gives back. [home worker]
    @inline(__always)
    func tryTake(places: Int) -> Bool {
        var count = taken.load(ordering: .sequentiallyConsistent)
        while count < places, count < limit.load(ordering: .relaxed) {
            let (done, now) = taken.weakCompareExchange(
                expected: count, desired: count &+ 1, ordering: .sequentiallyConsistent)
            if done { return true }
            count = now
        }
        return false
    }

    /// Takes a credit although none may be left: a request that has just held one goes on. [worker]
    func enter() { taken.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// Gives a credit back. True: somebody waits, and the home worker has to be told. [worker]
    @inline(__always)
    func leave() -> Bool {
        taken.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        return queued.load(ordering: .sequentiallyConsistent) > 0
    }

    /// Before a request goes to the queue. [worker]
    func beginWaiting() { queued.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    /// The queue has it no more. [home worker]
    func endWaiting() { queued.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

    /// True when the home worker does not know yet that there is something to hand on: one message for many. [worker]
    func asksHome() -> Bool { !isAsked.exchange(true, ordering: .acquiringAndReleasing) }
    /// The message has come; what happens from now on needs another. [home worker]
    func homeIsAsked() { isAsked.store(false, ordering: .releasing) }
}
