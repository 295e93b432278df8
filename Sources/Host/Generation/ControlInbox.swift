import CLinux
import Glibc

/// What workers tell the main thread: a list under a lock, off the way of a request, and an eventfd to wait on.
final class ControlInbox: @unchecked Sendable {
    enum Note: Sendable {
        /// No exchange of that generation is left on that worker.
        case generationLeft(number: UInt64, worker: Int)
        /// The worker's loop has ended.
        case workerLeft(Int)
        /// A discovery told something.
        case discovered
        /// The worker has nothing left of an endpoint.
        case forgotten(EndpointRegistry.Question)
    }

    let descriptor: Int32
    private var mutex = pthread_mutex_t()
    private var notes: [Note] = []

    init?() {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { return nil }
        pthread_mutex_init(&mutex, nil)
    }

    func send(_ note: Note) {
        pthread_mutex_lock(&mutex)
        notes.append(note)
        pthread_mutex_unlock(&mutex)
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    func take() -> [Note] {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        let taken = notes
        notes = []
        return taken
    }
}

/// A question to one worker that the main thread waits for. The answer also proves that the worker has done with all
/// messages sent before.
final class SnapshotRequest: @unchecked Sendable {
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var result: WorkerSnapshot?

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    /// [worker]
    func answer(_ snapshot: WorkerSnapshot) {
        pthread_mutex_lock(&mutex)
        result = snapshot
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }

    /// Nil when the worker has not answered within a second: it is busy, or has left. [main]
    func wait() -> WorkerSnapshot? {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += 1
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while result == nil {
            if pthread_cond_timedwait(&condition, &mutex, &deadline) == ETIMEDOUT { break }
        }
        return result
    }
}
