import Glibc
import Logging
import Synchronization
import TestThreads
import Testing

@testable import Host

@Suite struct ObservationLog {
    /// Runs `body` with a log that writes to a pipe, and returns what came out of it when the log was stopped.
    private func lines(
        level: Logger.Level = .info, format: LogFormatter.Format = .text, capacity: Int = 1 << 20,
        startAfter: Bool = false, _ body: (LogWriter) async throws -> Void
    ) async throws -> [String] {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let reading = ends[0]
        let writer = LogWriter(descriptor: ends[1], level: level, format: format, capacity: capacity)
        async let output = readAll(reading)
        if !startAfter { #expect(writer.start() == 0) }
        try await body(writer)
        if startAfter { #expect(writer.start() == 0) }
        writer.stop()
        close(ends[1])
        let text = String(decoding: await output, as: UTF8.self)
        close(reading)
        return text.split(separator: "\n").map(String.init)
    }

    /// Reads on a thread of its own: a read that blocks must not take a thread of the concurrency pool.
    private func readAll(_ descriptor: Int32) async -> [UInt8] {
        await withCheckedContinuation { continuation in
            onThread {
                var bytes: [UInt8] = []
                var piece = [UInt8](repeating: 0, count: 65_536)
                while true {
                    let count = read(descriptor, &piece, piece.count)
                    if count <= 0 { break }
                    bytes += piece[0..<count]
                }
                continuation.resume(returning: bytes)
            }
        }
    }

    private func put(_ writer: LogWriter, _ rank: UInt8, _ source: String, _ message: String) {
        Array(source.utf8).withUnsafeBytes { source in
            Array(message.utf8).withUnsafeBytes { message in
                writer.write(rank: rank, source: source, message: message)
            }
        }
    }

    @Test func textLineHasTimeLevelSourceMessageAndMetadata() async throws {
        let lines = try await lines { writer in
            var logger = Logger(label: "sluice", factory: { HostLogHandler(label: $0, writer: writer) })
            logger[metadataKey: "generation"] = "7"
            logger.warning("two\nlines \u{1B}[31m", metadata: ["file": "a b.yaml"])
        }
        let line = try #require(lines.first)
        let time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
        #expect(try time.prefixMatch(in: line) != nil)
        #expect(line.hasSuffix(#" warning sluice: two\x0alines \x1b[31m file=a b.yaml generation=7"#))
        #expect(lines.count == 1)
    }

    @Test func textLineIsTextWhateverTheBytes() async throws {
        let lines = try await lines { writer in
            // Broken off, overlong, a surrogate, beyond Unicode; a control of two bytes; and what is fine.
            let message: [UInt8] =
                [0xC3, 0x28, 0xC0, 0xAF, 0xED, 0xA0, 0x80, 0xF5, 0xC2, 0x9B] + Array("é€😀".utf8) + [0xE2, 0x82]
            message.withUnsafeBytes { message in
                writer.write(rank: 1, source: UnsafeRawBufferPointer(start: nil, count: 0), message: message)
            }
        }
        let line = try #require(lines.first)
        #expect(line.hasSuffix(#": \xc3(\xc0\xaf\xed\xa0\x80\xf5\xc2\x9bé€😀\xe2\x82"#), "\(line)")
    }

    @Test func jsonLineIsOneObjectWhateverTheBytes() async throws {
        let lines = try await lines(format: .json) { writer in
            let message: [UInt8] = Array("say \"hi\"\\\n".utf8) + [0xFF, 0x01]
            message.withUnsafeBytes { message in
                writer.write(rank: 1, source: UnsafeRawBufferPointer(start: nil, count: 0), message: message)
            }
            let logger = Logger(label: "s", factory: { HostLogHandler(label: $0, writer: writer) })
            logger.info("m", metadata: ["k": "v\""])
        }
        #expect(lines.count == 2)
        #expect(
            lines[0].hasSuffix(#","level":"error","source":"","message":"say \"hi\"\\\n"# + "\u{FFFD}" + #"\u0001"}"#))
        #expect(lines[1].hasSuffix(#","level":"info","source":"s","message":"m","metadata":{"k":"v\""}}"#))
        #expect(lines.allSatisfy { $0.hasPrefix(#"{"time":""#) })
    }

    @Test func levelIsOneForAllAndChangesAtOnce() async throws {
        let lines = try await lines(level: .warning) { writer in
            let logger = Logger(label: "sluice", factory: { HostLogHandler(label: $0, writer: writer) })
            logger.info("unseen")
            #expect(!writer.enabled(rank: LogFormatter.rank(.info)))
            writer.configure(level: .debug, format: .text)
            logger.debug("seen")
            logger.trace("unseen")
            put(writer, LogFormatter.rank(.trace), "p", "unseen")
        }
        #expect(lines.count == 1 && lines[0].hasSuffix("debug sluice: seen"))
    }

    @Test func longMessageIsCutAndSourceStays() async throws {
        let lines = try await lines { writer in
            put(writer, 1, "plugin", String(repeating: "x", count: 20_000))
        }
        #expect(lines.count == 1)
        #expect(lines[0].contains(" error plugin: xxx"))
        #expect(lines[0].utf8.count > 8_000 && lines[0].utf8.count < 8_400)
    }

    @Test func whatFindsNoRoomIsDroppedCountedAndSaid() async throws {
        // Nobody takes out before all is put in.
        let lines = try await lines(capacity: 1 << 14, startAfter: true) { writer in
            for index in 0..<1_000 { put(writer, 1, "p", "message \(index)") }
            #expect(writer.dropped > 0)
        }
        let kept = lines.filter { $0.contains(" p: message ") }
        let said = try #require(lines.last)
        #expect(kept.count > 100 && kept.count < 1_000)
        #expect(said.contains(" warning sluice: \(1_000 - kept.count) log messages dropped"))
        // The oldest are kept, whole and in order.
        #expect(kept.enumerated().allSatisfy { $1.hasSuffix("message \($0)") })
    }

    @Test func messagesOfManyThreadsAllComeEachThreadsInOrder() async throws {
        let each = 5_000
        let dropped = Atomic<UInt64>(0)
        let lines = try await lines { writer in
            await withTaskGroup(of: Void.self) { group in
                for thread in 0..<4 {
                    group.addTask {
                        for index in 0..<each {
                            put(writer, 4, "t\(thread)", "\(index) " + String(repeating: "y", count: index % 97))
                        }
                    }
                }
            }
            dropped.store(writer.dropped, ordering: .relaxed)
        }
        var next = [Int](repeating: -1, count: 4)
        var count = 0
        for line in lines {
            guard let match = line.firstMatch(of: /\ info t(\d): (\d+) (y*)$/), let thread = Int(match.1),
                let index = Int(match.2)
            else { continue }
            #expect(index > next[thread] && match.3.count == index % 97)
            next[thread] = index
            count += 1
        }
        #expect(count + Int(dropped.load(ordering: .relaxed)) == 4 * each)
        #expect(count > 1_000)
    }

    @Test(
        arguments: [
            (0, 1 << 14), (16_384, 1 << 14), (16_385, 1 << 15), (65_536, 1 << 16), (100_000, 1 << 17),
            (1 << 30, 1 << 30),
        ])
    func ringHasRoomForWhatIsAskedFor(bytes: Int, capacity: Int) {
        #expect(LogRing.capacity(of: bytes) == capacity)
    }

    /// Records of every size, whose bytes would all pass for a first word, over many rounds of the ring.
    @Test func ringGivesBackWhatWasPutAndKnowsWhenItIsEmpty() {
        let ring = LogRing(capacity: 1 << 14)
        var taken = 0
        for round in 0..<5_000 {
            let size = 1 + round * 37 % LogRing.longestRecord
            let byte = UInt8(truncatingIfNeeded: round | 1)
            #expect(!ring.put(size: size) { $0.initializeMemory(as: UInt8.self, repeating: byte) })
            let found = ring.take { record in
                if record.count == size, record.allSatisfy({ $0 == byte }) { taken += 1 }
            }
            #expect(found && ring.isEmpty)
            #expect(!ring.take { _ in })
        }
        #expect(taken == 5_000 && ring.dropped == 0)
        // Who sleeps is woken once.
        #expect(ring.prepareToSleep())
        #expect(ring.put(size: 1) { _ in })
        #expect(!ring.put(size: 1) { _ in })
        #expect(!ring.prepareToSleep())
        #expect(!ring.put(size: LogRing.longestRecord + 1) { _ in } && ring.dropped == 1)
    }

    @Test func levelsOfTheABIAndOfTheConfigurationAreKnown() {
        #expect(HostLog.level(named: "warning") == .warning)
        #expect(HostLog.level(named: "loud") == nil)
        for level in Logger.Level.allCases { #expect(HostLog.level(named: level.rawValue) == level) }
    }
}
