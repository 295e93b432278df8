import SluicePlugin
import Synchronization

/// Two buffers of one worker: one that lines are added to, one that is being written. Bounded; when both are full,
/// lines are dropped.
final class LineBuffers: TimerTarget {
    private let output: LogOutput
    private let host: Host
    private let delay: UInt64
    private let dropped: Counter
    private let failed: Counter
    private let first: LineBuffer
    private let second: LineBuffer
    private var current: LineBuffer
    private var timer: Timers.Timer?
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

    /// What has not been written is, on the control thread, which may wait. A buffer that the pool has writes itself.
    deinit {
        if let timer { host.timers.cancel(timer) }
        current.write()
    }

    /// The place for one line; nil when there is none, which is counted.
    func line() -> Line? {
        if let line = current.line() { return line }
        flush()
        if let line = current.line() { return line }
        dropped.add()
        return nil
    }

    /// Takes a line that was filled in.
    func end(_ line: Line) {
        current.end(line)
        if current.isHalfFull { flush() }
        if !current.isEmpty, timer == nil { timer = host.timers.start(after: delay, self) }
    }

    override func fire() {
        timer = nil
        flush()
        // The pool or the other buffer was busy: once more later.
        if !current.isEmpty { timer = host.timers.start(after: delay, self) }
    }

    /// Hands the current buffer to the pool and goes on with the other, unless that is still being written.
    private func flush() {
        let other = current === first ? second : first
        guard !current.isEmpty, !other.isBusy else { return }
        noteFailure(of: other)
        current.setBusy()
        if host.offload.run(current) {
            current = other
        } else {
            current.clearBusy()
        }
    }

    private func noteFailure(of buffer: LineBuffer) {
        let hasFailed = buffer.takeFailure()
        if hasFailed {
            failed.add()
            if !isFailing { host.log.write(.error, Bytes("the access log cannot be written; its lines are lost")) }
        }
        isFailing = hasFailed
    }
}

/// Lines one after the other. The worker adds to it until it is busy; then a thread of the pool has it, writes it and
/// empties it.
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

    deinit { memory.deallocate() }

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

    func write() {
        guard count > 0 else { return }
        if !output.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<count])) {
            hasFailed.store(true, ordering: .relaxed)
        }
        count = 0
    }

    override func run() {
        write()
        clearBusy()
    }
}
