import Foundation

/// What went wrong in the harness itself, or a promise that was not kept in time.
struct HarnessError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A moment on the monotonic clock by which something has to have happened.
struct Deadline: Sendable {
    let moment: UInt64

    /// Twenty seconds is far beyond what any step takes, also under a sanitizer on a busy machine; a test that hits
    /// it has found a hang.
    static var ordinary: Deadline { .after(seconds: 20) }

    static func after(seconds: Double) -> Deadline {
        Deadline(moment: monotonicNanoseconds() + UInt64(seconds * 1e9))
    }

    var isPast: Bool { monotonicNanoseconds() >= moment }

    /// What is left, for `poll`: at least 0.
    var milliseconds: Int32 {
        let now = monotonicNanoseconds()
        return now >= moment ? 0 : Int32(min((moment - now) / 1_000_000 + 1, 1_000_000))
    }
}

/// The monotonic clock.
func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Waits until `condition` holds. Polling is every 2 ms: fine enough not to slow tests down, coarse enough to leave
/// the processor to what is waited for.
func waitUntil(
    _ what: String, _ deadline: Deadline = .ordinary, _ condition: () throws -> Bool
) throws {
    while true {
        if try condition() { return }
        if deadline.isPast { throw HarnessError("not in time: \(what)") }
        usleep(2_000)
    }
}

/// Bytes of a text.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Text of bytes; what is not UTF-8 is replaced.
func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

/// A directory that goes with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = bytes((NSTemporaryDirectory() as NSString).appendingPathComponent("sluice-test-XXXXXX")) + [0]
        guard template.withUnsafeMutableBufferPointer({ mkdtempOf($0) }) else {
            throw HarnessError("no temporary directory: errno \(errno)")
        }
        path = text(template.dropLast())
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    @discardableResult
    func write(_ name: String, _ content: String) throws -> String {
        let full = file(name)
        try FileManager.default.createDirectory(
            atPath: (full as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try content.write(toFile: full, atomically: true, encoding: .utf8)
        return full
    }
}

private func mkdtempOf(_ template: UnsafeMutableBufferPointer<UInt8>) -> Bool {
    template.withMemoryRebound(to: CChar.self) { pointer in
        pointer.baseAddress.map { mkdtemp($0) != nil } ?? false
    }
}

/// Keeps a descriptor from the processes that tests start.
func closeOnExec(_ descriptor: Int32) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }

/// Lets time pass between two looks at something that should no longer change.
func pauseBetweenLooks(milliseconds: UInt32) { usleep(milliseconds * 1_000) }

/// Opened once; a script of a backend waits for it, or the test for the script.
final class Gate: @unchecked Sendable {
    private let condition = NSCondition()
    private var isOpen = false

    func open() {
        condition.lock()
        isOpen = true
        condition.broadcast()
        condition.unlock()
    }

    /// False when it was not opened in a time that is long for anything on this machine.
    @discardableResult
    func wait() -> Bool {
        condition.lock()
        defer { condition.unlock() }
        let limit = Date(timeIntervalSinceNow: 30)
        while !isOpen { if !condition.wait(until: limit) { return false } }
        return true
    }
}
