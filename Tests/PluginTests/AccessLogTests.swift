import Glibc
import SluiceABI
import Testing

@Suite struct AccessLogTests {
    let host = FakeHost()

    @Test func writesALineOfJSONWhenTheTimerComes() throws {
        let file = try TemporaryFile()
        let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
        log.finish(path: "/v2/models/iris/infer", tenant: "acme")
        #expect(host.offloaded.isEmpty)
        host.advance(by: 999_000_000)
        #expect(host.offloaded.isEmpty)
        host.advance(by: 1_000_000)
        #expect(host.offloaded.count == 1)
        #expect(try file.read() == "")
        host.runOffloaded()
        #expect(
            try file.read() == """
                {"time":"2024-02-29T23:59:58.007Z","peer":"127.0.0.1:5012","method":"POST",\
                "path":"/v2/models/iris/infer","status":200,"model":"iris","version":"1","tenant":"acme",\
                "adapter":"open-inference","endpoint":"10.0.0.1:80","attempts":1,"request_bytes":120,\
                "response_bytes":64,"duration_ms":3.214,"queued_ms":0.010}

                """)
    }

    @Test func nothingFromOutsideBreaksALine() throws {
        let file = try TemporaryFile()
        let path = Array("/a\"b\\c\r\n{\u{1}é".utf8) + [0xC3, 0x28, 0xED, 0xA0, 0x80, 0x7F]
        do {
            let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
            log.finish(pathBytes: path)
            let plain = try ObserverUnderTest(host, config: ["path": .scalar(file.path), "format": "text"])
            plain.finish(pathBytes: path)
        }
        let lines = try file.read().split(separator: "\n")
        #expect(lines.count == 2)
        // Instances are destroyed in the order of their names' end; look for each by its shape.
        let json = try #require(lines.first { $0.hasPrefix("{") })
        #expect(json.contains(#""path":"/a\"b\\c\u000d\u000a{\u0001é\ufffd(\ufffd\ufffd\ufffd\u007f""#))
        let words = try #require(lines.first { !$0.hasPrefix("{") })
        #expect(words.contains(#" /a\x22b\x5cc\x0d\x0a{\x01\xc3\xa9\xc3(\xed\xa0\x80\x7f 200 "#))
    }

    @Test func aFieldIsCutAtItsLimit() throws {
        let file = try TemporaryFile()
        do {
            let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
            log.finish(pathBytes: [UInt8](repeating: 0x01, count: 70_000))
        }
        let line = try file.read()
        #expect(line.hasSuffix("}\n"))
        #expect(line.utf8.count < 13_000)
        #expect(line.contains(String(repeating: "\\u0001", count: 2048) + "\""))
    }

    @Test func linesAreDroppedAndCountedWhenThePoolDoesNotKeepUp() throws {
        let file = try TemporaryFile()
        let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path), "buffer_bytes": 65_536])
        let sent = 2_000
        for _ in 0..<sent { log.finish(path: "/x") }
        // One buffer is with the pool, which did not run; the other is full.
        #expect(host.offloaded.count == 1)
        let dropped = Int(try #require(host.metric("access_log_dropped_total")).value)
        #expect(dropped > 0)
        host.runOffloaded()
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        #expect(try file.read().split(separator: "\n").count == sent - dropped)
        // There is room again.
        log.finish(path: "/x")
        #expect(Int(host.metric("access_log_dropped_total")?.value ?? 0) == dropped)
    }

    @Test func nothingIsLostWhenTheQueueOfThePoolIsFull() throws {
        let file = try TemporaryFile()
        let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
        host.offloadBound = 0
        log.finish(path: "/x")
        host.advance(by: 1_000_000_000)
        host.offloadBound = 1
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        #expect(try file.read().split(separator: "\n").count == 1)
    }

    @Test func whatIsLeftIsWrittenWhenTheInstanceGoes() throws {
        let file = try TemporaryFile()
        do {
            let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
            log.finish(path: "/first")
            host.advance(by: 1_000_000_000)
            log.finish(path: "/second")
        }
        #expect(host.timers.isEmpty)
        // The pool still has the first buffer, which outlives the instance.
        host.runOffloaded()
        let lines = try file.read()
        #expect(lines.contains("/first"))
        #expect(lines.contains("/second"))
    }

    @Test func aFailedWriteIsCountedAndSaidOnce() throws {
        let log = try ObserverUnderTest(host, config: ["path": "/dev/full"])
        for _ in 0..<6 {
            log.finish(path: "/x")
            host.advance(by: 1_000_000_000)
            host.runOffloaded()
        }
        #expect((host.metric("access_log_failed_writes_total")?.value ?? 0) >= 4)
        #expect(host.log.filter { $0.level == UInt32(SLUICE_LOG_ERROR) }.count == 1)
    }

    /// A write that finds no room ends in the middle of a line: what comes when there is room again is no part of that.
    @Test func aFullDiskTearsNoLine() throws {
        let file = try TemporaryFile()
        // A size that no other file of this process comes near; 40 bytes of room are left for a line of some 250.
        let bound = 1 << 40
        truncate(file.path, bound - 40)
        // The limit is the process's: who else sets it waits.
        let turn = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        try #require(flock(turn, LOCK_EX) == 0)
        defer { close(turn) }
        signal(SIGXFSZ, SIG_IGN)
        var before = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        var full = rlimit(rlim_cur: rlim_t(bound), rlim_max: before.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &full)
        let log = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
        func write(_ path: String) {
            log.finish(path: path)
            host.advance(by: 1_000_000_000)
            host.runOffloaded()
        }
        write("/torn")
        write("/lost")
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        write("/whole")
        let lines = try file.read(from: bound - 40).split(separator: "\n")
        #expect(lines.count == 2, "\(lines)")
        for (line, path) in zip(lines, ["/torn", "/whole"]) {
            #expect(line.hasPrefix("{\"time\":") && line.hasSuffix("\"queued_ms\":0.010}") && line.contains(path))
        }
        // It is emptied after a torn line.
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &full)
        truncate(file.path, bound - 40)
        write("/torn")
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        truncate(file.path, 0)
        write("/emptied")
        #expect(try file.read().hasPrefix("{\"time\":"))
        // It is another file that comes in its place after a torn line.
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &full)
        truncate(file.path, bound - 40)
        write("/torn")
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
        unlink(file.path)
        let rotated = try ObserverUnderTest(host, config: ["path": .scalar(file.path)])
        rotated.finish(path: "/new")
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        #expect(try file.read().hasPrefix("{\"time\":"))
    }

    /// An instance that is made for a check only must not leave a file that is somebody else's.
    @Test func theFileIsMadeWithTheFirstLine() throws {
        let path: String
        do {
            let file = try TemporaryFile()
            path = file.path
        }
        defer { unlink(path) }
        do { _ = try ObserverUnderTest(host, config: ["path": .scalar(path)]) }
        #expect(access(path, F_OK) != 0)
        do {
            let log = try ObserverUnderTest(host, config: ["path": .scalar(path)])
            log.finish(path: "/x")
        }
        #expect(access(path, F_OK) == 0)
    }

    @Test(
        arguments: [
            ["path": "/nonexistent/directory/log"], ["path": "relative.log"], ["path": "/tmp"], ["format": "xml"],
            ["buffer_bytes": 1], ["flush_ms": 0],
            ["pth": "x"],
        ] as [ConfigTree])
    func aWrongConfigurationIsNamedByItsPlace(config: ConfigTree) throws {
        let table = try LoadedPlugin("AccessLog").table(SLUICE_OBSERVER, as: sluice_observer.self)
        #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        guard case .mapping(let members) = config else { return }
        #expect(host.configurationErrors.map(\.path) == members.map(\.0))
    }
}

/// The observer's library with one instance of it.
final class ObserverUnderTest {
    private let plugin: LoadedPlugin
    private let table: UnsafePointer<sluice_observer>
    private let instance: UnsafeMutableRawPointer

    init(_ host: FakeHost, config: ConfigTree = .null) throws {
        plugin = try LoadedPlugin("AccessLog")
        table = try plugin.table(SLUICE_OBSERVER, as: sluice_observer.self)
        let made = host.create(table.pointee.base, config: config)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(
                description: "no instance: status \(made.status), \(host.failure), \(host.configurationErrors)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    func finish(path: String, tenant: String = "") { finish(pathBytes: Array(path.utf8), tenant: tenant) }

    func finish(pathBytes: [UInt8], tenant: String = "") {
        let texts = CTexts()
        var summary = sluice_summary()
        summary.model = texts.bytes("iris")
        summary.version = texts.bytes("1")
        summary.tenant = texts.bytes(tenant)
        summary.adapter = texts.bytes("open-inference")
        summary.method = texts.bytes("POST")
        summary.path = texts.bytes(pathBytes)
        summary.peer = texts.bytes("127.0.0.1:5012")
        summary.endpoint = texts.bytes("10.0.0.1:80")
        summary.http_status = 200
        summary.attempts = 1
        summary.request_bytes = 120
        summary.response_bytes = 64
        // 2024-02-29T23:59:58.007Z: the leap day.
        summary.started_wall_ns = 1_709_251_198_007_999_999
        summary.duration_ns = 3_214_999
        summary.queued_ns = 10_000
        withExtendedLifetime(texts) { table.pointee.on_finish(instance, &summary) }
    }
}

/// A file that is gone when the test is over.
final class TemporaryFile {
    let path: String

    init() throws {
        var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw LoadedPlugin.Failure(description: "no temporary file") }
        close(descriptor)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { unlink(path) }

    func read(from offset: Int = 0) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw LoadedPlugin.Failure(description: "\(path) cannot be read") }
        defer { close(descriptor) }
        lseek(descriptor, offset, SEEK_SET)
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count <= 0 { return String(decoding: content, as: UTF8.self) }
            content += chunk[..<count]
        }
    }
}
