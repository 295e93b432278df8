import Glibc
import Synchronization

/// Where lines go: a file that is appended to, or one of the process's streams.
final class LogOutput: Sendable {
    /// Of all outputs of this plugin: lines of two workers must not mix where a write may be split, as into a pipe.
    /// Only pool threads and the control thread take it.
    private static let order = Mutex(())

    private let descriptor: Int32
    private let isOwned: Bool

    /// Nil when the file cannot be opened; `lastError` says why.
    init?(_ path: String) {
        switch path {
        case "stdout": (descriptor, isOwned) = (STDOUT_FILENO, false)
        case "stderr": (descriptor, isOwned) = (STDERR_FILENO, false)
        default:
            // Paths hold tokens and names of models: for the operator's group at most.
            let opened = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
            guard opened >= 0 else { return nil }
            (descriptor, isOwned) = (opened, true)
        }
    }

    deinit {
        if isOwned { close(descriptor) }
    }

    static var lastError: String { String(cString: strerror(errno)) }

    /// Writes all of `bytes`; false when it fails. Blocks.
    func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        LogOutput.order.withLock { _ in
            var rest = bytes
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if written > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                } else if written == 0 || !waitsForRoom() {
                    return false
                }
            }
            return true
        }
    }

    /// After a write that failed: whether to try again. A stream that somebody made non-blocking is waited for.
    private func waitsForRoom() -> Bool {
        if errno == EINTR { return true }
        guard errno == EAGAIN else { return false }
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // 5 s without a byte taken: the reader is gone or stuck, and so would be this thread of the pool.
        return poll(&wanted, 1, 5_000) > 0
    }
}
