import CLinux
import Glibc
import HTTP1
import SluiceABI
import Synchronization

/// The queue of a pool: who finds no connection to spare waits, the oldest first.
extension Worker {
    func enqueue(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action {
        let waiting = pool.pointee.shared.pointee.waiting
        let metricsID = PoolMetricsID(index: pool.pointee.shared.pointee.metrics)
        if waiting.pointee.wrappingAdd(1, ordering: .relaxed).newValue > pool.pointee.queueBound {
            waiting.pointee.wrappingSubtract(1, ordering: .relaxed)
            guard pool.pointee.dropsOldest, let oldest = pool.pointee.firstWaiting else {
                metrics.rejected(.queueFull)
                return fail(
                    exchange, SLUICE_RESOURCE_EXHAUSTED, 503, sluice_bytes("the model's queue is full"), retryAfter: 1)
            }
            drop(oldest)
            waiting.pointee.wrappingAdd(1, ordering: .relaxed)
        }
        exchange.pointee.isWaiting = true
        exchange.pointee.queuedAt = now
        exchange.pointee.nextWaiting = nil
        exchange.pointee.previousWaiting = pool.pointee.lastWaiting
        if let last = pool.pointee.lastWaiting {
            last.pointee.nextWaiting = exchange
        } else {
            pool.pointee.firstWaiting = exchange
        }
        pool.pointee.lastWaiting = exchange
        metrics.enqueued(pool: metricsID)
        if !pool.pointee.isInWaitingList {
            pool.pointee.isInWaitingList = true
            pool.pointee.nextWaitingPool = firstWaitingPool
            firstWaitingPool = pool
        }
        return exchange.pointee.machine.handle(.queued)
    }

    /// Takes the exchange out of the queue; the next turn of the loop answers it. Behind it on its connection the next
    /// request may wait, which would want a place in this queue before the one that this one was dropped for has it.
    private func drop(_ exchange: ExchangePointer) {
        metrics.rejected(.queueDropped)
        leaveQueue(exchange)
        exchange.pointee.isDropped = true
        timers.start(exchange.timer, at: nowMs &+ 1)
    }

    /// The turn of one that was dropped has come.
    func answerDropped(_ exchange: ExchangePointer) {
        exchange.pointee.isDropped = false
        let action = fail(
            exchange, SLUICE_RESOURCE_EXHAUSTED, 503,
            sluice_bytes("the model's queue is full, and newer requests took its place"), retryAfter: 1)
        perform(exchange, action)
    }

    func leaveQueue(_ exchange: ExchangePointer) {
        guard exchange.pointee.isWaiting, let pool = exchange.pointee.pool else { return }
        exchange.pointee.isWaiting = false
        let next = exchange.pointee.nextWaiting
        let previous = exchange.pointee.previousWaiting
        if let next { next.pointee.previousWaiting = previous } else { pool.pointee.lastWaiting = previous }
        if let previous { previous.pointee.nextWaiting = next } else { pool.pointee.firstWaiting = next }
        exchange.pointee.queuedFor &+= now &- exchange.pointee.queuedAt
        pool.pointee.shared.pointee.waiting.pointee.wrappingSubtract(1, ordering: .relaxed)
        metrics.dequeued(
            pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics),
            nanoseconds: now &- exchange.pointee.queuedAt)
    }

    /// Connections were given back or closed: those who wait for one try again, the oldest of each pool first. Called
    /// between events, never from within an exchange.
    func serveWaiting() {
        var link = firstWaitingPool
        firstWaitingPool = nil
        while let pool = link {
            link = pool.pointee.nextWaitingPool
            pool.pointee.isInWaitingList = false
            while let exchange = pool.pointee.firstWaiting {
                let action = acquire(exchange, fresh: false)
                // Nothing to spare: it stays first in the queue.
                if pool.pointee.firstWaiting == exchange { break }
                perform(exchange, action)
            }
            if pool.pointee.firstWaiting != nil, !pool.pointee.isInWaitingList {
                pool.pointee.isInWaitingList = true
                pool.pointee.nextWaitingPool = firstWaitingPool
                firstWaitingPool = pool
            }
        }
    }

    /// A generation goes: its pools, none of which can have waiters, leave the list.
    func forgetWaitingPools(of old: UnsafeMutablePointer<WorkerGeneration>) {
        let first = old.pointee.pools
        let last = first + old.pointee.poolCount
        var kept: UnsafeMutablePointer<WorkerPool>?
        var link = firstWaitingPool
        while let pool = link {
            link = pool.pointee.nextWaitingPool
            if pool >= first, pool < last { continue }
            pool.pointee.nextWaitingPool = kept
            kept = pool
        }
        firstWaitingPool = kept
    }
}
