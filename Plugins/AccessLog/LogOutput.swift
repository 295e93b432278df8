import Glibc
import Synchronization

/// Where lines go: a file that is appended to, or one of the process's streams.
///
/// The file is opened, and made where there is none, with the first line: an instance that is made for a check, or for
/// a configuration that is refused, leaves nothing behind that would be another user's than the gateway's.
final class LogOutput: Sendable {
    /// What pipes take whole or not at all: lines of other writers don't get between (PIPE_BUF, pipe(7)). A pipe that
    /// polls writable takes as much at once.
    private static let chunk = 4_096
    /// A reader that takes nothing for so long stands still. The pool's few threads are all plugins', and the control
    /// thread waits as well when an instance goes.
    private static let stillness: Int32 = 100
    /// One call waits no longer in all, however slowly the reader takes. Nanoseconds.
    private static let patience: UInt64 = 200_000_000
    /// How often one looks for the turn, ten milliseconds between: as long as its holder waits for a reader, and again.
    private static let looks = 40

    let door: LogDoor
    private let path: String
    private let stream: Int32
    /// -1: not open yet.
    private let opened = Atomic<Int32>(-1)
    /// A regular file always has room, or fails.
    private let isRegular = Atomic<Bool>(false)

    /// - Parameter path: of a file, or `stdout` or `stderr`.
    init(_ path: String) {
        self.path = path
        stream = path == "stdout" ? STDOUT_FILENO : path == "stderr" ? STDERR_FILENO : -1
        door = LogDoor.of(path)
    }

    deinit {
        let descriptor = opened.load(ordering: .relaxed)
        if descriptor >= 0, descriptor != stream { close(descriptor) }
    }

    /// Why lines could not be written now, as far as that can be told without opening the file; nil: they could.
    var obstacle: String? {
        if stream >= 0 { return nil }
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

    // MARK: Opening

    /// The descriptor to write to, opened when there is none; -1 when that fails. In turn.
    private func descriptor() -> Int32 {
        let known = opened.load(ordering: .relaxed)
        if known >= 0 { return known }
        // A FIFO that nobody reads is refused (ENXIO) rather than waited for. Paths hold tokens and names of models:
        // for the operator's group at most.
        let made =
            stream >= 0
            ? ownStream() : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0o640)
        isRegular.store(made >= 0 && Self.kind(of: made) == S_IFREG, ordering: .relaxed)
        opened.store(made, ordering: .relaxed)
        return made
    }

    /// The stream's pipe or terminal, opened once more: others have the process's own description of it, and must not
    /// find it non-blocking; and what the gateway itself logs may be written to the same pipe between a look for room
    /// and the write. What cannot be opened so, a socket say, is used as it is.
    private func ownStream() -> Int32 {
        let kind = Self.kind(of: stream)
        guard kind == S_IFIFO || kind == S_IFCHR else { return stream }
        let made = open("/proc/self/fd/\(stream)", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        return made >= 0 ? made : stream
    }

    private static func kind(of descriptor: Int32) -> mode_t {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    // MARK: Writing

    /// Writes whole lines of `bytes`, all that the reader takes within the bounds above. [any]
    /// - Returns: how many bytes are done with; the rest may be tried again. Nil when writing fails.
    func write(_ bytes: UnsafeRawBufferPointer) -> Int? {
        for _ in 0..<Self.looks {
            // Nil within, when writing fails; nil without, when another has the turn.
            let done: Int?? = door.turn.withLockIfAvailable { turn -> Int? in write(bytes, &turn) }
            if let done { return done }
            poll(nil, 0, 10)
        }
        return 0
    }

    private func write(_ bytes: UnsafeRawBufferPointer, _ turn: inout LogDoor.Turn) -> Int? {
        let descriptor = descriptor()
        guard descriptor >= 0 else { return nil }
        if isRegular.load(ordering: .relaxed) {
            guard Self.endLine(in: descriptor, &turn) else { return nil }
            let done = Self.writeAll(bytes, to: descriptor)
            guard done < bytes.count else { return done }
            turn.tear(bytes[..<done], bytes[done...], FileIdentity(descriptor))
            return nil
        }
        let deadline = Self.now() + Self.patience
        if turn.file != nil { turn.forget() }
        // The end of a line that another call began.
        let end = turn.unfinished
        let ended = end.withUnsafeBytes { Self.write($0, to: descriptor, until: deadline, &turn) }
        guard let ended else {
            turn.unfinished = []
            return nil
        }
        turn.unfinished = Array(end[ended...])
        guard turn.unfinished.isEmpty else { return 0 }
        guard let done = Self.write(bytes, to: descriptor, until: deadline, &turn) else { return nil }
        guard done < bytes.count else {
            turn.isSlow = false
            return done
        }
        turn.tear(bytes[..<done], bytes[done...], nil)
        return done + turn.unfinished.count
    }

    /// The end of a line that a full disk has torn, once there is room again: else the next would be no line either.
    /// Another file, as after a rotation, has no such line, nor has one that was emptied.
    private static func endLine(in descriptor: Int32, _ turn: inout LogDoor.Turn) -> Bool {
        if turn.unfinished.isEmpty { return true }
        if let file = turn.file, let present = FileIdentity(descriptor), present.hasStill(file) {
            let done = turn.unfinished.withUnsafeBytes { writeAll($0, to: descriptor) }
            turn.unfinished.removeFirst(done)
            if !turn.unfinished.isEmpty { return false }
        }
        turn.forget()
        return true
    }

    /// Bytes that were written: all, unless that failed.
    private static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int {
        var done = 0
        while done < bytes.count {
            let written = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
            if written > 0 {
                done += written
            } else if written == 0 || errno != EINTR {
                break
            }
        }
        return done
    }

    /// As many bytes as go until the deadline, or until the reader stands still; nil when a write fails.
    private static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, until deadline: UInt64, _ turn: inout LogDoor.Turn
    ) -> Int? {
        var done = 0
        while done < bytes.count {
            let now = now()
            let left = now < deadline ? Int32((deadline - now) / 1_000_000) : 0
            var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if poll(&wanted, 1, turn.isSlow ? 0 : min(stillness, left)) == 0 {
                // Nobody waits again until all was taken once.
                turn.isSlow = true
                return done
            }
            let chunk = wholeLines(UnsafeRawBufferPointer(rebasing: bytes[done...].prefix(chunk)))
            let written = Glibc.write(descriptor, chunk.baseAddress, chunk.count)
            if written > 0 {
                done += written
            } else if written == 0 || errno != EINTR && errno != EAGAIN {
                return nil
            }
        }
        return done
    }

    /// Up to the last line's end; all, where none ends.
    private static func wholeLines(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let end = bytes.lastIndex(of: 0x0A) else { return bytes }
        return UnsafeRawBufferPointer(rebasing: bytes[...end])
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// What all outputs of one path share, of every worker and generation: lines of two must not mix where a write may be
/// split, as into a pipe.
final class LogDoor: Sendable {
    struct Turn {
        /// What is left of a line whose beginning is written; at most `Line.limit` bytes.
        var unfinished: [UInt8] = []
        /// Of a regular file, the one that has the beginning.
        var file: FileIdentity?
        /// The reader did not take all when a writer last waited for it.
        var isSlow = false

        /// The beginning is not where lines go now.
        mutating func forget() {
            unfinished = []
            file = nil
        }

        /// A line that is begun ends before any other begins, whosever it is.
        mutating func tear(
            _ written: Slice<UnsafeRawBufferPointer>, _ rest: Slice<UnsafeRawBufferPointer>, _ file: FileIdentity?
        ) {
            guard let last = written.last, last != 0x0A else { return }
            let end = rest.firstIndex(of: 0x0A).map { $0 + 1 } ?? rest.endIndex
            unfinished = Array(rest[..<end])
            self.file = file
        }
    }
    /// Taken by threads of the pool and by the control thread only, who look for it and don't wait.
    let turn = Mutex(Turn())
    /// Lines that went with their instance, to be counted by whoever comes after it.
    let lost = Atomic<Int>(0)

    /// As many as paths were named since the plugin was loaded.
    private static let doors = Mutex<[String: LogDoor]>([:])

    static func of(_ path: String) -> LogDoor {
        doors.withLock { doors in
            if let known = doors[path] { return known }
            let made = LogDoor()
            doors[path] = made
            return made
        }
    }
}

/// Which file a descriptor is of, whatever its name is by now, and its size.
struct FileIdentity {
    private let device: UInt
    private let node: UInt
    private let size: Int

    /// Nil: it is none.
    init?(_ descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        (device, node, size) = (UInt(status.st_dev), UInt(status.st_ino), Int(status.st_size))
    }

    /// Whether it is that file, and what stood at its end then is there still: whoever makes room on a disk that logs
    /// have filled cuts them.
    func hasStill(_ earlier: Self) -> Bool {
        device == earlier.device && node == earlier.node && size >= earlier.size
    }
}
