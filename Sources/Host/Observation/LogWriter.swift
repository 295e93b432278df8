import Glibc
import Logging
import Synchronization

/// Writes log records to a descriptor on a thread of its own, so that neither a worker nor the control thread waits
/// for a terminal or a pipe.
final class LogWriter: @unchecked Sendable {
    private let ring: LogRing
    private let descriptor: Int32
    private let levelRank: Atomic<UInt8>
    private let format: Atomic<UInt8>
    private let stopping = Atomic<Bool>(false)
    /// From `stop` on, of the monotonic clock: then nobody waits any more for who does not read.
    private let deadline = Atomic<UInt64>(0)
    /// Nanoseconds that a stop waits for a reader: longer than a busy one needs for a pipe's 64 KiB, and little beside
    /// the seconds that supervisors give a process to stop.
    private static let patience: UInt64 = 1_000_000_000
    /// Both ends of a pipe that wakes the thread; -1 when there is none.
    private var wakeUp: (read: Int32, write: Int32) = (-1, -1)
    private var thread: pthread_t?
    /// The rest of a line whose beginning is written, where what came behind that could not be, as on a full disk: it
    /// goes first when there is room again, or the next line would be none either. The writer's thread alone.
    private var torn: [UInt8] = []
    /// The size of the regular file that has the beginning, bytes; 0: it is none.
    private var tornSize = 0
    /// Lines that could not be written.
    private let lost = Atomic<UInt64>(0)

    /// - Parameter descriptor: where lines go; not closed.
    init(
        descriptor: Int32, level: Logger.Level = .info, format: LogFormatter.Format = .text,
        capacity: Int
    ) {
        ring = LogRing(capacity: capacity)
        self.descriptor = descriptor
        levelRank = Atomic(LogFormatter.rank(level))
        self.format = Atomic(format.rawValue)
    }

    /// Messages dropped since the process began, for want of room in the queue or where they go.
    var dropped: UInt64 { ring.dropped + lost.load(ordering: .relaxed) }

    /// Takes effect with the next message. [any]
    func configure(level: Logger.Level, format: LogFormatter.Format) {
        levelRank.store(LogFormatter.rank(level), ordering: .relaxed)
        self.format.store(format.rawValue, ordering: .relaxed)
    }

    /// Whether a message of this rank (see `LogFormatter.rank`) is written. [any]
    @inline(__always)
    func enabled(rank: UInt8) -> Bool {
        rank <= levelRank.load(ordering: .relaxed)
    }

    /// Copies a message into the queue, without an allocation and without waiting; cut where it is too long. [any]
    func write(
        rank: UInt8, source: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer,
        metadata: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        guard enabled(rank: rank) else { return }
        let source = UnsafeRawBufferPointer(rebasing: source.prefix(128))
        let metadata = metadata.count <= LogRecord.longestText / 2 ? metadata : .init(start: nil, count: 0)
        let room = LogRecord.longestText - source.count - metadata.count
        let message = UnsafeRawBufferPointer(rebasing: message.prefix(room))
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let wallNs = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
        let size = LogRecord.fixedBytes + source.count + message.count + metadata.count
        let wake = ring.put(size: size) { record in
            LogRecord.write(
                record, wallNs: wallNs, level: rank, source: source, message: message, metadata: metadata)
        }
        if wake { wakeThread() }
    }

    // MARK: The thread

    /// Starts the thread. Messages that were written before wait in the queue. [main]
    /// - Returns: 0, or the error number that kept the thread from starting.
    func start() -> Int32 {
        guard thread == nil else { return 0 }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return errno }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        wakeUp = (ends[0], ends[1])
        // Signals are the control thread's.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var created = pthread_t()
        let result = pthread_create(
            &created, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LogWriter>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        if result == 0 {
            thread = created
        } else {
            Unmanaged.passUnretained(self).release()
        }
        return result
    }

    /// Writes what is queued, for at most about a second, and ends the thread: what nobody has read by then is lost.
    /// [main]
    func stop() {
        guard let running = thread else { return }
        thread = nil
        deadline.store(Self.now() + Self.patience, ordering: .relaxed)
        stopping.store(true, ordering: .sequentiallyConsistent)
        wakeThread()
        pthread_join(running, nil)
        close(wakeUp.read)
        close(wakeUp.write)
        wakeUp = (-1, -1)
        stopping.store(false, ordering: .sequentiallyConsistent)
    }

    private func wakeThread() {
        var byte: UInt8 = 1
        if wakeUp.write >= 0 { _ = Glibc.write(wakeUp.write, &byte, 1) }
    }

    private func run() {
        var reported: UInt64 = 0
        var output: [UInt8] = []
        while true {
            let last = stopping.load(ordering: .sequentiallyConsistent)
            let format = LogFormatter.Format(rawValue: format.load(ordering: .relaxed)) ?? .text
            while ring.take({ LogFormatter.append($0, as: format, to: &output) }) {
                // One write for up to 64 KiB of lines: a pipe's whole capacity.
                if output.count >= 65_536, !flush(&output) { return }
            }
            let dropped = ring.dropped
            if dropped != reported {
                reportDrops(dropped - reported, format, &output)
                reported = dropped
            }
            if !flush(&output) || last { return }
            if ring.prepareToSleep(), !stopping.load(ordering: .sequentiallyConsistent) {
                var bytes: (UInt64, UInt64) = (0, 0)
                _ = Glibc.read(wakeUp.read, &bytes, 16)
            }
        }
    }

    private func reportDrops(_ count: UInt64, _ format: LogFormatter.Format, _ output: inout [UInt8]) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let wallNs = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
        let message = Array("\(count) log messages dropped: they came faster than they could be written".utf8)
        let source = Array("sluice".utf8)
        var record = [UInt8](repeating: 0, count: LogRecord.fixedBytes + source.count + message.count)
        source.withUnsafeBytes { source in
            message.withUnsafeBytes { message in
                record.withUnsafeMutableBytes {
                    LogRecord.write(
                        $0, wallNs: wallNs, level: LogFormatter.rank(.warning), source: source, message: message,
                        metadata: UnsafeRawBufferPointer(start: nil, count: 0))
                }
            }
        }
        record.withUnsafeBytes { LogFormatter.append($0, as: format, to: &output) }
    }

    private static func now() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    /// Writes all of `output` and empties it. False when the thread is to stop and its time is over.
    private func flush(_ output: inout [UInt8]) -> Bool {
        defer { output.removeAll(keepingCapacity: output.capacity <= 1 << 18) }
        // Whoever makes room on a disk that logs have filled cuts them, and the beginning with them.
        if !torn.isEmpty, fileSize() < tornSize { torn = [] }
        let begun = torn.count
        output.insert(contentsOf: torn, at: 0)
        torn = []
        var written = 0
        while written < output.count {
            var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let isLate =
                stopping.load(ordering: .sequentiallyConsistent) && Self.now() >= deadline.load(ordering: .relaxed)
            if Glibc.poll(&poll, 1, isLate ? 0 : 100) == 0 {
                if isLate { return false }
                continue
            }
            // A pipe that polls writable takes 4,096 bytes (PIPE_BUF) without blocking, so that the deadline holds.
            let count = output[written...].withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress, min(bytes.count, 4_096))
            }
            if count > 0 {
                written += count
            } else if errno != EINTR, errno != EAGAIN {
                lose(output[written...], isTorn: written < begun || written > 0 && output[written - 1] != 0x0A)
                return true
            }
        }
        return true
    }

    private func fileSize() -> Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : 0
    }

    /// Counts the lines that were not written, and keeps the end of one that was begun.
    private func lose(_ rest: ArraySlice<UInt8>, isTorn: Bool) {
        let end = isTorn ? rest.firstIndex(of: 0x0A).map { $0 + 1 } ?? rest.endIndex : rest.startIndex
        torn = Array(rest[..<end])
        tornSize = fileSize()
        lost.add(UInt64(rest[end...].count { $0 == 0x0A }), ordering: .relaxed)
    }
}
