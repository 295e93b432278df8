import Foundation
import SluiceABI
import SluicePlugin
import Testing

/// Follows a file through the C ABI, and hears what it tells.
@Suite struct FileDiscoveryTests {
    /// A host's sink: all that was told, in order.
    final class Listener: @unchecked Sendable {
        private let condition = NSCondition()
        private var heard: [String] = []
        private let place = UnsafeMutablePointer<sluice_endpoint_sink_2>.allocate(capacity: 1)

        init() {
            var sink = sluice_endpoint_sink_2()
            sink.struct_size = UInt32(MemoryLayout<sluice_endpoint_sink_2>.size)
            sink.context = Unmanaged.passUnretained(self).toOpaque()
            sink.set = { context, endpoints, count in
                let addresses = (0..<Int(count)).compactMap { endpoints?[$0].address }.map(text)
                Listener.of(context).hear(addresses.joined(separator: " "))
            }
            sink.failed = { context, message in Listener.of(context).hear("! " + text(message)) }
            place.initialize(to: sink)
        }

        deinit { place.deallocate() }

        var sink: UnsafePointer<sluice_endpoint_sink_2> { UnsafePointer(place) }
        var all: [String] { condition.withLock { heard } }

        private static func of(_ context: UnsafeMutableRawPointer?) -> Listener {
            Unmanaged<Listener>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
        }

        private func hear(_ words: String) {
            condition.withLock {
                heard.append(words)
                condition.broadcast()
            }
        }

        /// Whether the last word was, or within a minute becomes, this one.
        func hears(_ words: String) -> Bool {
            let deadline = Date(timeIntervalSinceNow: 60)
            return condition.withLock {
                while heard.last != words { if !condition.wait(until: deadline) { return false } }
                return true
            }
        }
    }

    /// A list in a directory of its own, followed from the begin.
    final class Followed {
        let listener = Listener()
        let directory = NSTemporaryDirectory() + "sluice-file-discovery-\(UUID().uuidString)"
        private let host = FakeHost()
        private let table: UnsafePointer<sluice_discovery_2>
        private let instance: UnsafeMutableRawPointer?

        /// - Parameters:
        ///   - path: of the list in the directory.
        ///   - prepare: what else is in it before.
        init(
            _ list: String?, at path: String = "list", prepare: (_ directory: String) throws -> Void = { _ in }
        ) throws {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try prepare(directory)
            table = try LoadedPlugin("FileDiscovery").table(SLUICE_DISCOVERY_2, as: sluice_discovery_2.self)
            // An hour between two looks: what is told before was told for an event.
            let (status, instance) = host.create(
                table.pointee.base,
                modelConfig: ["path": .scalar(directory + "/" + path), "poll_seconds": 3_600], worker: .max)
            self.instance = instance
            try #require(status == SLUICE_OK, "\(host.failure)")
            if let list { try write(list) }
            try #require(table.pointee.start(instance, listener.sink) == SLUICE_OK)
        }

        deinit {
            table.pointee.base.destroy(instance)
            try? FileManager.default.removeItem(atPath: directory)
        }

        func write(_ text: String, to name: String = "list") throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)"), options: .atomic)
        }

        func stop() { table.pointee.stop(instance) }
    }

    /// The list changes while the watch begins: whether the first look sees it, the watch, or the look behind that.
    @Test(arguments: 0..<20) func aChangeRightAfterTheStartIsSeen(_ round: Int) throws {
        let followed = try Followed("- 10.0.0.1:80\n")
        try followed.write("- 10.0.0.2:80\n")
        #expect(followed.listener.hears("10.0.0.2:80"))
        followed.stop()
        #expect(followed.listener.all == ["10.0.0.1:80", "10.0.0.2:80"])
    }

    @Test func otherFilesOfTheDirectoryAreNoNews() throws {
        let followed = try Followed("- 10.0.0.1:80\n")
        for index in 0..<200 { try followed.write("it", to: "other-\(index)") }
        // The same list written anew is none either.
        try followed.write("- 10.0.0.1:80\n")
        try followed.write("- 10.0.0.2:80\n")
        #expect(followed.listener.hears("10.0.0.2:80"))
        followed.stop()
        #expect(followed.listener.all == ["10.0.0.1:80", "10.0.0.2:80"])
    }

    /// The link to the directory leads to another from now on, and the one that was watched stays.
    @Test func aDirectoryBehindALinkIsWatchedAnew() throws {
        let followed = try Followed(nil, at: "current/list") { directory in
            for (name, address) in [("one", "10.0.0.1"), ("two", "10.0.0.2")] {
                try FileManager.default.createDirectory(
                    atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
                try Data("- \(address):80\n".utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)/list"))
            }
            try #require(symlink("one", directory + "/current") == 0)
        }
        try followed.write("- 10.0.0.3:80\n", to: "one/list")
        #expect(followed.listener.hears("10.0.0.3:80"))
        try #require(symlink("two", followed.directory + "/next") == 0)
        try #require(rename(followed.directory + "/next", followed.directory + "/current") == 0)
        // Something else happens where it still watches, in place of a look that is due.
        try followed.write("it", to: "one/other")
        #expect(followed.listener.hears("10.0.0.2:80"))
        try followed.write("- 10.0.0.4:80\n", to: "two/list")
        #expect(followed.listener.hears("10.0.0.4:80"))
        followed.stop()
    }

    @Test func aFileThatIsMissingIsComplainedOfOnce() throws {
        let followed = try Followed(nil)
        for index in 0..<200 { try followed.write("it", to: "other-\(index)") }
        try followed.write("- 10.0.0.1:80\n")
        #expect(followed.listener.hears("10.0.0.1:80"))
        followed.stop()
        let all = followed.listener.all
        #expect(all.count == 2 && all[0].hasPrefix("! ") && all[0].contains("cannot be opened"), "\(all)")
    }
}

@Suite struct StopSignalTests {
    @Test(arguments: [-1, 0, 1, Int.max]) func aWaitOfAnyLengthEndsWithTheSignal(_ milliseconds: Int) {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        close(ends[1])
        ends.removeLast()
        // The other end is closed: readable from now on.
        #expect(StopSignal(descriptor: ends[0]).wait(milliseconds: milliseconds) == .stopped)
    }
}
