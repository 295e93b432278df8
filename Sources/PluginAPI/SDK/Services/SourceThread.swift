import Glibc

/// A thread of the plugin's own, for work that waits on something outside: begun in `start` of a discovery, joined in
/// its `stop`; or begun by an instance in service and joined when it is destroyed, on the control thread. What it waits
/// for, it waits for through the `StopSignal`, so that the end is never far.
public final class SourceThread: @unchecked Sendable {
    private var thread = pthread_t()
    private var isRunning = false
    private let signal: StopSignal
    private let writeEnd: Int32

    /// - Parameters:
    ///   - name: at most 15 bytes, as the kernel shows it.
    ///   - body: runs on the new thread; it returns soon after the signal says so.
    public init(name: String, _ body: @escaping @Sendable (StopSignal) -> Void) throws(PluginError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw PluginError(.resourceExhausted, "the process has no descriptor left") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        signal = StopSignal(descriptor: ends[0])
        writeEnd = ends[1]
        let job = Unmanaged.passRetained(Job(name: name, signal: signal, body: body))
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let job = Unmanaged<Job>.fromOpaque(argument).takeRetainedValue()
                SourceThread.show(name: job.name)
                job.body(job.signal)
                return nil
            }, job.toOpaque())
        isRunning = status == 0
        guard isRunning else {
            job.release()
            close(ends[0])
            close(ends[1])
            throw PluginError(.resourceExhausted, "the process has no thread left")
        }
    }

    /// Tells the thread to end and waits until it has. More than one call is harmless. One thread at a time.
    public func stop() {
        guard isRunning else { return }
        isRunning = false
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
        pthread_join(thread, nil)
        close(signal.descriptor)
        close(writeEnd)
    }

    deinit { stop() }

    private final class Job {
        let name: String
        let signal: StopSignal
        let body: @Sendable (StopSignal) -> Void
        init(name: String, signal: StopSignal, body: @escaping @Sendable (StopSignal) -> Void) {
            self.name = name
            self.signal = signal
            self.body = body
        }
    }

    /// The present thread's, for `ps` and debuggers; `pthread_setname_np` is not in Glibc's module. Without a name it
    /// serves as well.
    static func show(name: String) {
        let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = write(descriptor, name, name.utf8.count)
        close(descriptor)
    }
}

/// Tells a `SourceThread` when it is to end.
public struct StopSignal: Sendable {
    /// Readable from then on.
    public let descriptor: Int32

    public enum Outcome: Sendable { case ready, timedOut, stopped }

    public init(descriptor: Int32) { self.descriptor = descriptor }

    /// Lets time pass, and no more of it once the end has come.
    public func wait(milliseconds: Int) -> Outcome { wait(for: -1, events: 0, milliseconds: milliseconds) }

    /// Waits until `other` is ready for `events` (POLLIN, POLLOUT) or broken. A negative descriptor: until time is up.
    public func wait(for other: Int32, events: Int32, milliseconds: Int) -> Outcome {
        // 35 years at most: nanoseconds of more do not fit in 64 bits.
        let deadline = Self.now + UInt64(min(max(milliseconds, 0), 1 << 40)) * 1_000_000
        while true {
            var watched = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: other, events: Int16(events), revents: 0),
            ]
            let now = Self.now
            let left = now >= deadline ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
            let count = poll(&watched, 2, left)
            if watched[0].revents != 0 { return .stopped }
            if count > 0, watched[1].revents != 0 { return .ready }
            // Interrupted by a signal, or early.
            if count == 0 && left == 0 { return .timedOut }
            if count < 0 && errno != EINTR { return .timedOut }
        }
    }

    /// Nanoseconds of the monotonic clock.
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
