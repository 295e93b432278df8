import Glibc
import Synchronization

@testable import Host

/// A control plane that answers from a script, turned on a thread of its own.
final class TestGateway: ControlPlane, @unchecked Sendable {
    let socket: String
    private(set) var metricsPort: UInt16 = 0
    /// What the next reloads answer. Set before anybody asks.
    var outcome = ReloadOutcome(succeeded: true, generation: 9, diagnostics: [])
    /// What a reload takes its time for. Set before anybody asks.
    var duringReload: () -> Void = {}
    /// Bytes of the metrics.
    var metrics = Array("# HELP a b\n".utf8)
    let reloads = Atomic<Int>(0)
    /// Set by `stop`, and by what arrives at the caller's own descriptor.
    private var stopPipe: [Int32] = [-1, -1]
    private var thread = pthread_t()
    private var server: AdminServer?

    init(socket: String, patienceMs: UInt64 = AdminServer.defaultPatienceMs) throws {
        self.socket = socket
        let server = AdminServer(plane: self, patienceMs: patienceMs)
        try server.listen(path: socket)
        metricsPort = try server.listenForMetrics(at: ("127.0.0.1", 0)) ?? 0
        self.server = server
        guard pipe(&stopPipe) == 0 else { throw AdminError("pipe") }
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let gateway = Unmanaged<TestGateway>.fromOpaque(context).takeUnretainedValue()
                while let server = gateway.server {
                    if server.turn(waitingFor: [gateway.stopPipe[0]]) == [gateway.stopPipe[0]] { break }
                }
                return nil
            }, Unmanaged.passUnretained(self).toOpaque())
        guard result == 0 else { throw AdminError("thread") }
    }

    /// Ends the thread and closes everything. Must be called.
    func stop() {
        var byte: UInt8 = 0
        _ = write(stopPipe[1], &byte, 1)
        pthread_join(thread, nil)
        server?.close()
        server = nil
        for end in stopPipe { close(end) }
    }

    func status() -> StatusReport { .example }

    func reload() -> ReloadOutcome {
        reloads.wrappingAdd(1, ordering: .relaxed)
        duringReload()
        return outcome
    }

    func metricsText() -> [UInt8] { metrics }

    /// A directory of its own, short enough for a socket's path.
    static func temporaryDirectory() throws -> String {
        var template = Array("/tmp/sluice-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw AdminError("mkdtemp") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A blocking TCP or Unix connection of a test. Every wait is bounded by the socket's own timeout.
struct TestConnection: ~Copyable {
    private let descriptor: Int32

    /// To 127.0.0.1.
    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw AdminError("connect") }
    }

    /// To a Unix socket.
    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard let place = SocketAddress.unix(path), place.withPointer({ connect(descriptor, $0, $1) }) == 0 else {
            throw AdminError("connect")
        }
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// All until the peer closes.
    func receive() throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            guard count > 0 else { throw AdminError("recv: \(String(cString: strerror(errno)))") }
            bytes += piece[0..<count]
        }
    }

    deinit { close(descriptor) }
}
