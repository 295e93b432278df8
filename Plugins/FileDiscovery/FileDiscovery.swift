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
        path = try config.required("path")
        // The gateway's directory is not the file's: a relative path would mean another file after a change of it.
        if !path.hasPrefix("/") { throw config["path"].error("the path must be absolute") }
        pollMs = Int(try config.integer("poll_seconds", default: 10, in: 1...3_600)) * 1_000
    }

    mutating func start(_ sink: EndpointSink) throws(PluginError) {
        let follower = FileFollower(path: path, sink: sink)
        // Read at once, so that the first requests find endpoints.
        follower.look()
        let pollMs = pollMs
        thread = try SourceThread(name: "sluice-file") { follower.run($0, pollMs: pollMs) }
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
    private let sink: EndpointSink
    private var seen: Identity?
    private var endpoints: [DiscoveredEndpoint]?
    private var complaint = ""

    /// Which file, and which content of it.
    private struct Identity: Equatable {
        var device: UInt
        var node: UInt
        var size: Int
        var modified: [Int]
    }

    init(path: String, sink: EndpointSink) {
        self.path = path
        self.sink = sink
        let slash = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
        directory = slash.isEmpty ? "/" : String(slash)
    }

    /// Follows the file until the signal. The directory is watched, not the file: a rename over it, and the exchange of
    /// a symbolic link beside it, as orchestrators do, are events of the directory.
    func run(_ signal: StopSignal, pollMs: Int) {
        let watch = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        defer { if watch >= 0 { close(watch) } }
        var isWatching = false
        var buffer = [UInt8](repeating: 0, count: 16_384)
        // Not IN_MODIFY: a file that is being written in place is read when its writer closes it.
        let events = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)
        while true {
            if watch >= 0, !isWatching { isWatching = inotify_add_watch(watch, directory, events) >= 0 }
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

    /// Reads the file when it is another one than at the last look, and says again what holds when it is not.
    func look() {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return fail("\(path) cannot be opened: \(String(cString: strerror(errno)))", nil) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return fail("\(path) is no regular file", nil)
        }
        let identity = Identity(
            device: UInt(status.st_dev), node: UInt(status.st_ino), size: Int(status.st_size),
            modified: [
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ])
        guard identity != seen else {
            if complaint.isEmpty, let endpoints { sink.set(endpoints) }
            return
        }
        guard let text = content(descriptor) else {
            return fail("\(path) is larger than \(EndpointList.bytesAtMost) bytes, or cannot be read", identity)
        }
        do throws(ListFault) {
            let found = try EndpointList.read(text).map {
                DiscoveredEndpoint(address: $0.address, weight: $0.weight, zone: $0.zone)
            }
            seen = identity
            complaint = ""
            endpoints = found
            sink.set(found)
        } catch { fail("\(path): \(error.text)", identity) }
    }

    private func fail(_ message: String, _ identity: Identity?) {
        // The same content is not complained of at each look.
        if message == complaint, identity != nil, identity == seen { return }
        seen = identity
        complaint = message
        sink.failed(message)
    }

    private func content(_ descriptor: Int32) -> [UInt8]? {
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &piece, piece.count)
            if count == 0 { return text }
            guard count > 0, text.count + count <= EndpointList.bytesAtMost else { return nil }
            text.append(contentsOf: piece[..<count])
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, FileDiscovery.self) }
