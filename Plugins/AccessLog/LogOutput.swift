import Glibc
import Synchronization

/// Where lines go: a file that is appended to, or one of the process's streams.
///
/// The file is opened, and made where there is none, with the first line: an instance that is made for a check, or for
/// a configuration that is refused, leaves nothing behind that would be another user's than the gateway's.
final class LogOutput: Sendable {
    /// Of all outputs of this plugin: lines of two workers must not mix where a write may be split, as into a pipe.
    /// Only pool threads and the control thread take it.
    private static let order = Mutex(())

    private let path: String
    private let isStream: Bool
    /// -1: the file is not open yet.
    private let opened: Atomic<Int32>

    /// - Parameter path: of a file, or `stdout` or `stderr`.
    init(_ path: String) {
        self.path = path
        let stream: Int32 = path == "stdout" ? STDOUT_FILENO : path == "stderr" ? STDERR_FILENO : -1
        isStream = stream >= 0
        opened = Atomic(stream)
    }

    deinit {
        let descriptor = opened.load(ordering: .relaxed)
        if !isStream, descriptor >= 0 { close(descriptor) }
    }

    /// Why lines could not be written now, as far as that can be told without opening the file; nil: they could.
    var obstacle: String? {
        if isStream { return nil }
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { return String(cString: strerror(EISDIR)) }
            return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? nil : String(cString: strerror(errno))
        }
        guard errno == ENOENT else { return String(cString: strerror(errno)) }
        let end = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        let directory = end == path.startIndex ? "." : String(path[..<end])
        return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 ? nil : String(cString: strerror(errno))
    }

    /// The descriptor to write to, opened when there is none; -1 when that fails. Under `order`.
    private func descriptor() -> Int32 {
        let known = opened.load(ordering: .relaxed)
        if known >= 0 { return known }
        // Paths hold tokens and names of models: for the operator's group at most.
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        opened.store(descriptor, ordering: .relaxed)
        return descriptor
    }

    /// Writes all of `bytes`; false when it fails. Blocks.
    func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        LogOutput.order.withLock { _ in
            let descriptor = descriptor()
            guard descriptor >= 0 else { return false }
            var rest = bytes
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if written > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                } else if written == 0 || !waitsForRoom(descriptor) {
                    return false
                }
            }
            return true
        }
    }

    /// After a write that failed: whether to try again. A stream that somebody made non-blocking is waited for.
    private func waitsForRoom(_ descriptor: Int32) -> Bool {
        if errno == EINTR { return true }
        guard errno == EAGAIN else { return false }
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // 5 s without a byte taken: the reader is gone or stuck, and so would be this thread of the pool.
        return poll(&wanted, 1, 5_000) > 0
    }
}
