import Glibc
import SluicePlugin
import Synchronization

/// Two buffers of one worker: one that lines are added to, one that is being written. Bounded; when both are full,
/// lines are dropped. What a slow reader has not taken stays in its buffer and is tried again before anything newer.
final class LineBuffers: TimerTarget {
    /// Nanoseconds between two tries to write what the reader did not take: a pipe of 64 KiB that is emptied between
    /// them takes 1.2 MiB a second, and a reader that stands still costs the pool next to nothing.
    private static let retryDelay: UInt64 = 50_000_000

    private let output: LogOutput
    private let host: Host
    private let delay: UInt64
    private let dropped: Counter
    private let failed: Counter
    private let first: LineBuffer
    private let second: LineBuffer
    private var current: LineBuffer
    private var timer: Timers.Timer?
    /// The timer waits for the other buffer, not for lines to grow old.
    private var isLookingBack = false
    /// Said once in the log until a write succeeds again.
    private var isFailing = false

    init(output: LogOutput, host: Host, size: Int, delay: UInt64, dropped: Counter, failed: Counter) {
        self.output = output
        self.host = host
        self.delay = delay
        self.dropped = dropped
        self.failed = failed
        first = LineBuffer(size, output)
        second = LineBuffer(size, output)
        current = first
    }

    /// What has not been written is, on the control thread, as far as the reader takes it; the rest is lost, and
    /// counted by the next instance. A buffer that the pool has writes itself.
    deinit {
        if let timer { host.timers.cancel(timer) }
        if !other.isBusy { other.write() }
        current.write()
    }

    private var other: LineBuffer { current === first ? second : first }

    /// The place for one line; nil when there is none, which is counted.
    func line() -> Line? {
        if let line = current.line() { return line }
        flush()
        if let line = current.line() { return line }
        dropped.add()
        startTimer()
        return nil
    }

    /// Takes a line that was filled in.
    func end(_ line: Line) {
        current.end(line)
        if current.isHalfFull { flush() }
        startTimer()
    }

    override func fire() {
        timer = nil
        // While the timer waited for the pool, lines of the current buffer grew only so old.
        let age = isLookingBack ? Self.retryDelay : delay
        if age >= delay || !other.isBusy && !other.isEmpty { flush() }
        startTimer(age: age < delay ? age : 0)
    }

    /// As long as there is something to write: also what the pool has, of which some may be left.
    /// - Parameter age: of the oldest line, in nanoseconds.
    private func startTimer(age: UInt64 = 0) {
        guard timer == nil else { return }
        isLookingBack = other.isBusy || !other.isEmpty
        if isLookingBack {
            timer = host.timers.start(after: min(delay, Self.retryDelay), self)
        } else if !current.isEmpty {
            timer = host.timers.start(after: delay - age, self)
        }
    }

    /// Hands what is left of the other buffer to the pool, or else the current one, and goes on with the other; unless
    /// that is still being written.
    private func flush() {
        let other = other
        guard !other.isBusy else { return }
        noteFailure(of: other)
        let full = other.isEmpty ? current : other
        guard !full.isEmpty else { return }
        full.setBusy()
        if host.offload.run(full) {
            if full === current { current = other }
        } else {
            full.clearBusy()
        }
    }

    private func noteFailure(of buffer: LineBuffer) {
        let hasFailed = buffer.takeFailure()
        if hasFailed {
            failed.add()
            if !isFailing { host.log.write(.error, Bytes("the access log cannot be written; its lines are lost")) }
        }
        isFailing = hasFailed
        let lost = output.door.lost.exchange(0, ordering: .relaxed)
        if lost > 0 { dropped.add(Double(lost)) }
    }
}

/// Lines one after the other. The worker adds to it until it is busy; then a thread of the pool has it and writes it.
final class LineBuffer: OffloadTarget, @unchecked Sendable {
    private let memory: UnsafeMutableBufferPointer<UInt8>
    private let output: LogOutput
    private let busy = Atomic<Bool>(false)
    private let hasFailed = Atomic<Bool>(false)
    private var count = 0

    init(_ size: Int, _ output: LogOutput) {
        memory = UnsafeMutableBufferPointer.allocate(capacity: size)
        self.output = output
    }

    deinit {
        let lost = memory[..<count].count { $0 == 0x0A }
        if lost > 0 { output.door.lost.add(lost, ordering: .relaxed) }
        memory.deallocate()
    }

    /// Not while it is busy.
    var isEmpty: Bool { count == 0 }
    var isHalfFull: Bool { count > memory.count / 2 }
    var isBusy: Bool { busy.load(ordering: .acquiring) }

    /// Whether a write failed since this was last asked.
    func takeFailure() -> Bool { hasFailed.exchange(false, ordering: .relaxed) }
    func setBusy() { busy.store(true, ordering: .releasing) }
    func clearBusy() { busy.store(false, ordering: .releasing) }

    func line() -> Line? {
        guard memory.count - count >= Line.limit, let start = memory.baseAddress else { return nil }
        return Line(UnsafeMutableBufferPointer(start: start + count, count: Line.limit))
    }

    func end(_ line: Line) { count += line.count }

    /// Keeps what the reader does not take.
    func write() {
        guard count > 0, let start = memory.baseAddress else { return }
        let done = output.write(UnsafeRawBufferPointer(start: start, count: count))
        if done == nil { hasFailed.store(true, ordering: .relaxed) }
        count -= done ?? count
        if count > 0, let done, done > 0 { memmove(start, start + done, count) }
    }

    override func run() {
        write()
        clearBusy()
    }
}
