import CLinux
import Glibc

/// Threads for work that blocks. Started with the first job; they end with the process.
final class OffloadPool: @unchecked Sendable {
    typealias Work = @convention(c) (UnsafeMutableRawPointer?) -> Void

    private let name: String
    private let threads: Int
    private let waiting: Int
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var queue: [(work: Work, user: UnsafeMutableRawPointer?)] = []
    private var isStarted = false

    /// - Parameters:
    ///   - name: of its threads, at most 15 bytes.
    ///   - threads: at least 1.
    ///   - waiting: jobs that may wait for a thread.
    init(name: String, threads: Int, waiting: Int) {
        self.name = name
        self.threads = threads
        self.waiting = waiting
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    /// False when the queue is full. Any thread.
    func run(_ work: @escaping Work, _ user: UnsafeMutableRawPointer?) -> Bool {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        guard queue.count < waiting else { return false }
        if !isStarted {
            isStarted = true
            for _ in 0..<threads { startThread(name: name) { [self] in serve() } }
        }
        queue.append((work, user))
        pthread_cond_signal(&condition)
        return true
    }

    private func serve() {
        while true {
            pthread_mutex_lock(&mutex)
            while queue.isEmpty { pthread_cond_wait(&condition, &mutex) }
            let job = queue.removeFirst()
            pthread_mutex_unlock(&mutex)
            job.work(job.user)
        }
    }
}

/// Waits on a condition for at most 50 ms, and not beyond `deadline`, in nanoseconds of the monotonic clock. With the
/// mutex locked. The condition's own clock is the wall's: waits are short, so that a step of it does no harm. [any]
func waitBriefly(_ condition: inout pthread_cond_t, _ mutex: inout pthread_mutex_t, until deadline: UInt64) {
    let now = clinux_monotonic_ns()
    var until = timespec()
    clock_gettime(CLOCK_REALTIME, &until)
    let next = UInt64(until.tv_nsec) + min(deadline &- min(deadline, now), 50_000_000)
    until.tv_sec += Int(next / 1_000_000_000)
    until.tv_nsec = Int(next % 1_000_000_000)
    pthread_cond_timedwait(&condition, &mutex, &until)
}

/// Starts a detached thread that runs `body`. All signals stay with the main thread, which has blocked them before.
func startThread(name: String, _ body: @escaping @Sendable () -> Void) {
    final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(Body(name, body)).toOpaque()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
            clinux_name_thread(body.name)
            body.run()
            return nil
        }, argument)
    precondition(status == 0, "the system has no thread left")
    pthread_attr_destroy(&attributes)
}
