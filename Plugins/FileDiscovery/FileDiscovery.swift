import FileDiscoveryCodec
import Glibc
import SluicePlugin

/// Follows a list of endpoints in a file, by inotify and by a look now and then. What cannot be read leaves the last
/// set in force.
///
///     discovery:
///       plugin: endpoint-file
///       config: { path: /etc/sluice/iris.yaml, poll_seconds: 10 }
struct FileDiscovery: Discovery {
    static let plugin = PluginDescription(
        name: "file-discovery", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let path: String
    private let pollMs: Int
    private var thread: SourceThread?

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        let config = context.modelConfig
        try config.allow(["path", "poll_seconds"])
        _ = try config.required("path")
        path = try config["path"].absolutePath()
        pollMs = Int(try config.integer("poll_seconds", default: 10, in: 1...3_600)) * 1_000
    }

    mutating func start(_ sink: EndpointSink) throws(PluginError) {
        let follower = FileFollower(path: path, pollMs: pollMs, sink: sink)
        // Read at once, so that the first requests find endpoints.
        follower.look()
        thread = try SourceThread(name: "sluice-file") { follower.run($0) }
    }

    mutating func stop() {
        thread?.stop()
        thread = nil
    }
}

/// One file and what was read of it last. On the thread that `start` makes, and before in `start`.
final class FileFollower: @unchecked Sendable {
    private let path: String
    private let directory: String
    private let pollMs: Int
    private let sink: EndpointSink
    private var seen: RegularFile.Identity?
    /// What was told last, and when, in nanoseconds of the monotonic clock.
    private var told: Finding?
    private var toldAt: UInt64 = 0

    private enum Finding: Equatable {
        case set([DiscoveredEndpoint])
        case complaint(String)
    }

    /// Which directory.
    private struct Place: Equatable {
        let device: UInt
        let node: UInt

        /// Nil: there is none by that name.
        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            (device, node) = (UInt(status.st_dev), UInt(status.st_ino))
        }
    }

    init(path: String, pollMs: Int, sink: EndpointSink) {
        self.path = path
        self.pollMs = pollMs
        self.sink = sink
        let slash = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
        directory = slash.isEmpty ? "/" : String(slash)
    }

    /// Follows the file until the signal. The directory is watched, not the file: a rename over it, and the exchange of
    /// a symbolic link beside it, as orchestrators do, are events of the directory.
    func run(_ signal: StopSignal) {
        var watch: Int32 = -1
        defer { if watch >= 0 { close(watch) } }
        var isWatching = false
        var watched: Place?
        var buffer = [UInt8](repeating: 0, count: 16_384)
        // Not IN_MODIFY: a file that is being written in place is read when its writer closes it.
        let events = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)
        while true {
            // A link on the way may lead to another directory, while the one that is watched stays and says nothing.
            let place = Place(directory)
            if isWatching, place != watched { isWatching = false }
            if !isWatching {
                // A new one: it has no events of the watch before.
                if watch >= 0 { close(watch) }
                watch = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
                // As it was before the watch began: a link that changes in between is noticed the next time.
                watched = place
                isWatching = watch >= 0 && inotify_add_watch(watch, directory, events) >= 0
                // What changed between the last look and now is no event of this watch.
                if isWatching { look() }
            }
            let outcome = signal.wait(
                for: isWatching ? watch : -1, events: Int32(POLLIN), milliseconds: isWatching ? pollMs : 1_000)
            if outcome == .stopped { return }
            var count = read(watch, &buffer, buffer.count)
            while count > 0 {
                if Self.endsWatch(buffer, count) { isWatching = false }
                count = read(watch, &buffer, buffer.count)
            }
            look()
        }
    }

    /// Whether the directory itself has gone: then the watch has, too.
    private static func endsWatch(_ buffer: [UInt8], _ count: Int) -> Bool {
        var offset = 0
        let header = MemoryLayout<inotify_event>.size
        while offset + header <= count {
            let event = buffer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: inotify_event.self) }
            if event.mask & UInt32(IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF) != 0 { return true }
            offset += header + Int(event.len)
        }
        return false
    }

    /// Tells what holds when that has changed, and otherwise when the time between two looks has passed: other files of
    /// the directory may come and go far more often.
    func look() {
        let found = find()
        let now = StopSignal.now
        guard found != told || now >= toldAt + UInt64(pollMs) * 1_000_000 else { return }
        told = found
        toldAt = now
        switch found {
        case .set(let endpoints): sink.set(endpoints)
        case .complaint(let message): sink.failed(message)
        }
    }

    /// What the file says. It is read when it is another one than at the last look.
    private func find() -> Finding {
        do throws(RegularFile.Failure) {
            let file = try RegularFile(path)
            if file.identity == seen, let told { return told }
            seen = file.identity
            let text = try file.content(atMost: EndpointList.bytesAtMost)
            do throws(ListFault) {
                return .set(
                    try EndpointList.read(text).map {
                        DiscoveredEndpoint(address: $0.address, weight: $0.weight, zone: $0.zone)
                    })
            } catch { return .complaint("\(path): \(error.text)") }
        } catch {
            // Looked at again even if it is the same one: what could not be read may be readable the next time.
            seen = nil
            return .complaint("\(path) \(error.text)")
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, FileDiscovery.self) }
