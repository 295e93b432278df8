import Glibc

/// Runs `body` on `count` threads at once, each with its number, and returns when all have ended.
public func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let threads = (0..<count).map { index in begin { body(index) } }
    for thread in threads { pthread_join(thread, nil) }
}

/// Runs `body` on a thread of its own, for calls that block, and does not wait for it.
public func onThread(_ body: @escaping @Sendable () -> Void) {
    pthread_detach(begin(body))
}

private func begin(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    final class Job: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let result = pthread_create(
        &thread, nil,
        { job in
            if let job { Unmanaged<Job>.fromOpaque(job).takeRetainedValue().body() }
            return nil
        }, Unmanaged.passRetained(Job(body)).toOpaque())
    precondition(result == 0, "no thread: \(result)")
    return thread
}
