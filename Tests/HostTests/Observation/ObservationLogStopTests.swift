import Glibc
import Testing

@testable import Host

/// A stop waits about a second for who reads the log, however much is queued.
@Suite struct ObservationLogStop {
    @Test func aReaderThatStandsStillHoldsAStopOnce() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let writer = LogWriter(descriptor: ends[1], capacity: 4 << 20)
        let text = [UInt8](repeating: UInt8(ascii: "x"), count: 200)
        for _ in 0..<15_000 {
            text.withUnsafeBytes { text in
                writer.write(rank: 1, source: UnsafeRawBufferPointer(rebasing: text[..<1]), message: text)
            }
        }
        #expect(writer.dropped == 0)
        #expect(writer.start() == 0)
        let begun = ContinuousClock.now
        writer.stop()
        // Some fifty times what a pipe holds are queued, each of which would have had its own second.
        #expect(ContinuousClock.now - begun < .seconds(20))
    }

    /// A write that finds no room ends in the middle of a line, and what comes behind it is lost and counted. What is
    /// written when there is room again is no part of that line.
    @Test func aFullDiskTearsNoLine() throws {
        var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        unlink(template)
        // A size that no other file of this process comes near; 40 bytes of room are left for lines of some 60.
        let bound = 1 << 40
        try #require(ftruncate(descriptor, bound - 40) == 0)
        lseek(descriptor, 0, SEEK_END)
        // The limit is the process's: who else sets it waits.
        let turn = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        try #require(flock(turn, LOCK_EX) == 0)
        defer { close(turn) }
        signal(SIGXFSZ, SIG_IGN)
        var before = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        var full = rlimit(rlim_cur: rlim_t(bound), rlim_max: before.rlim_max)
        let writer = LogWriter(descriptor: descriptor, format: .json, capacity: 1 << 16)
        func write(_ messages: [StaticString]) throws {
            for message in messages {
                let text = UnsafeRawBufferPointer(start: message.utf8Start, count: message.utf8CodeUnitCount)
                writer.write(rank: 1, source: text, message: text)
            }
            try #require(writer.start() == 0)
            writer.stop()
        }
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &full)
        try write(["torn", "lost"])
        try write(["lost"])
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        try write(["whole"])
        var content = [UInt8](repeating: 0, count: 4_096)
        let count = pread(descriptor, &content, content.count, bound - 40)
        let lines = String(decoding: content[..<max(count, 0)], as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2, "\(lines)")
        for (line, message) in zip(lines, ["torn", "whole"]) {
            #expect(line.hasPrefix("{\"time\":") && line.hasSuffix("\"message\":\"\(message)\"}"), "\(line)")
        }
        #expect(writer.dropped == 2)
        // The beginning of a torn line goes with the file's content.
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &full)
        try #require(ftruncate(descriptor, bound - 40) == 0)
        lseek(descriptor, bound - 40, SEEK_SET)
        try write(["torn"])
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        try #require(ftruncate(descriptor, 0) == 0)
        lseek(descriptor, 0, SEEK_SET)
        try write(["emptied"])
        let rest = pread(descriptor, &content, content.count, 0)
        let emptied = String(decoding: content[..<max(rest, 0)], as: UTF8.self)
        #expect(emptied.hasPrefix("{\"time\":") && emptied.hasSuffix("\"message\":\"emptied\"}\n"), "\(emptied)")
    }
}
