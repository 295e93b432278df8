import Glibc
import Synchronization
import Testing

@testable import Host

/// What its jobs share with the test. They hold no reference: it lives until the last of them has run.
private final class Jobs: Sendable {
    let begun = Atomic(0)
    let ended = Atomic(0)
    let mayEnd = Atomic(false)

    /// Asks the pool for a job that stays on its thread until `mayEnd`. False when it is refused.
    func ask(_ pool: OffloadPool) -> Bool {
        pool.run(
            {
                guard let user = $0 else { return }
                let jobs = Unmanaged<Jobs>.fromOpaque(user).takeUnretainedValue()
                jobs.begun.wrappingAdd(1, ordering: .sequentiallyConsistent)
                while !jobs.mayEnd.load(ordering: .sequentiallyConsistent) { sched_yield() }
                jobs.ended.wrappingAdd(1, ordering: .sequentiallyConsistent)
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}

@Suite struct OffloadPoolTests {
    @Test(.timeLimit(.minutes(1)), arguments: [(1, 1), (1, 4), (3, 2)])
    func jobsBeyondTheThreadsWaitAndThoseBeyondTheQueueAreRefused(threads: Int, waiting: Int) {
        let pool = OffloadPool(name: "test-offload", threads: threads, waiting: waiting)
        let jobs = Jobs()
        // One after the other, so that none of them waits.
        for number in 1...threads {
            #expect(jobs.ask(pool))
            while jobs.begun.load(ordering: .sequentiallyConsistent) < number { sched_yield() }
        }
        for _ in 0..<waiting { #expect(jobs.ask(pool)) }
        #expect(!jobs.ask(pool))
        #expect(jobs.begun.load(ordering: .sequentiallyConsistent) == threads, "no thread is left")
        jobs.mayEnd.store(true, ordering: .sequentiallyConsistent)
        while jobs.ended.load(ordering: .sequentiallyConsistent) < threads + waiting { sched_yield() }
        #expect(jobs.ask(pool), "there is room again")
        while jobs.ended.load(ordering: .sequentiallyConsistent) <= threads + waiting { sched_yield() }
    }
}
