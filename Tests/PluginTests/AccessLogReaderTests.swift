import Glibc
import SluiceABI
import Testing

/// Who reads the log may be slow, stand still or be gone: no thread waits long for them, and no line is broken.
@Suite struct AccessLogReaderTests {
    let host = FakeHost()

    @Test func aPipeThatNobodyReadsIsAFailureAndNoWait() throws {
        let pipe = try NamedPipe()
        let log = try ObserverUnderTest(host, config: ["path": .scalar(pipe.path)])
        log.finish(path: "/x")
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        host.advance(by: 1_000_000_000)
        log.finish(path: "/y")
        host.advance(by: 1_000_000_000)
        #expect((host.metric("access_log_failed_writes_total")?.value ?? 0) == 1)
    }

    @Test func aReaderThatStandsStillGetsWholeLinesOnceItGoesOn() throws {
        let pipe = try NamedPipe()
        let reader = try pipe.reader()
        defer { close(reader) }
        let path: ConfigTree = ["path": .scalar(pipe.path), "buffer_bytes": 262_144]
        let log = try ObserverUnderTest(host, config: path)
        // More than both buffers and the pipe hold; among them lines longer than a pipe takes whole.
        let long = [UInt8](repeating: 0x01, count: 2_000)
        var sent = 0
        for _ in 0..<40 {
            for _ in 0..<40 { log.finish(path: "/short") }
            log.finish(pathBytes: long)
            sent += 41
            host.runOffloaded()
        }
        #expect((host.metric("access_log_dropped_total")?.value ?? 0) > 0)
        var text = ""
        for _ in 0..<200 {
            text += drain(reader)
            host.advance(by: 50_000_000)
            host.runOffloaded()
        }
        text += drain(reader)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.last == "")
        for line in lines.dropLast() where !line.hasPrefix("{\"time\"") || !line.hasSuffix("}") {
            Issue.record("a broken line: \(line)")
        }
        #expect(lines.count - 1 + Int(host.metric("access_log_dropped_total")?.value ?? 0) == sent)
        #expect((host.metric("access_log_failed_writes_total")?.value ?? 0) == 0)
        #expect(host.timers.isEmpty)
    }

    /// The control thread destroys instances: it must not wait for a reader either.
    @Test func whatGoesWithAnInstanceIsCountedByTheNext() throws {
        let pipe = try NamedPipe()
        let reader = try pipe.reader()
        defer { close(reader) }
        let path: ConfigTree = ["path": .scalar(pipe.path), "buffer_bytes": 262_144]
        var sent = 0
        do {
            let log = try ObserverUnderTest(host, config: path)
            while (host.metric("access_log_dropped_total")?.value ?? 0) == 0 {
                log.finish(path: "/x")
                sent += 1
            }
            host.runOffloaded()
        }
        let log = try ObserverUnderTest(host, config: path)
        var text = drain(reader)
        log.finish(path: "/last")
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        text += drain(reader)
        let written = text.split(separator: "\n").count
        #expect(text.contains("/last"))
        #expect(written + Int(host.metric("access_log_dropped_total")?.value ?? 0) == sent + 1)
    }

    private func drain(_ reader: Int32) -> String {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(reader, &chunk, chunk.count)
            if count <= 0 { return String(decoding: content, as: UTF8.self) }
            content += chunk[..<count]
        }
    }
}

/// A FIFO that is gone when the test is over.
final class NamedPipe {
    let path: String

    init() throws {
        var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw LoadedPlugin.Failure(description: "no temporary directory") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/pipe"
        guard mkfifo(path, 0o600) == 0 else { throw LoadedPlugin.Failure(description: "no FIFO") }
    }

    deinit {
        unlink(path)
        rmdir(String(path.dropLast("/pipe".count)))
    }

    /// Its reading end, which does not block.
    func reader() throws -> Int32 {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw LoadedPlugin.Failure(description: "the FIFO cannot be opened") }
        return descriptor
    }
}
