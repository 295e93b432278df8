import Foundation

/// What a script of a `ScriptedBackend` sees of one connection.
final class BackendConnection: @unchecked Sendable {
    /// Counts from 0 in the order of arrival.
    let index: Int
    let socket: Socket
    let reader: MessageReader

    init(index: Int, socket: Socket) {
        self.index = index
        self.socket = socket
        reader = MessageReader(socket)
    }

    /// Answers with a whole, well-formed response.
    func answer(_ status: Int = 200, _ body: String = "ok", fields: [String] = []) {
        let lines = ["HTTP/1.1 \(status) Some", "Content-Length: \(body.utf8.count)"] + fields
        socket.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }
}

/// A backend that does what its script says, byte for byte, and remembers what it was sent. One thread a connection.
final class ScriptedBackend: @unchecked Sendable {
    let port: UInt16
    /// Nil for a TCP backend.
    let path: String?
    private let listener: Socket
    private let script: @Sendable (BackendConnection) throws -> Void
    private let lock = NSLock()
    private var connections: [BackendConnection] = []
    private var seen: [HTTPMessage] = []
    private var open = 0
    private var stopping = false

    /// `script` runs for each connection; when it returns the connection is closed.
    init(
        path: String? = nil, port: UInt16? = nil, _ script: @escaping @Sendable (BackendConnection) throws -> Void
    ) throws {
        self.path = path
        self.script = script
        if let path {
            listener = try Socket.listen(path: path)
            self.port = 0
        } else {
            // As long a queue as servers have: a flood must not fill it.
            (listener, self.port) = try Socket.listen(port: port, backlog: 1_024)
        }
        let thread = Thread { [weak self, listener] in
            while true {
                guard let accepted = listener.accept(.after(seconds: 3_600)) else { return }
                guard let self, self.admit(accepted) else { return }
            }
        }
        thread.start()
    }

    /// Speaks HTTP/2; `script` runs for each connection, which counts from 0.
    static func http2(
        settings: [(UInt16, UInt32)] = [], _ script: @escaping @Sendable (Int, HTTP2Client) throws -> Void
    ) throws -> ScriptedBackend {
        try ScriptedBackend { connection in
            try script(connection.index, HTTP2Client(serving: connection.socket, settings: settings))
        }
    }

    /// Gives back what calls of gRPC say, piece by piece as it comes; a connection serves so many seconds.
    static func echoOfCalls(seconds: Double) throws -> ScriptedBackend {
        try http2 { _, peer in
            try peer.read(.after(seconds: seconds)) { frame in
                switch frame.kind {
                case .headers where !frame.endsStream:
                    peer.send(
                        HTTP2Frame(
                            .headers, flags: 4, stream: frame.stream,
                            HTTP2Client.block([(":status", "200"), ("content-type", "application/grpc")])))
                case .data where !frame.payload.isEmpty:
                    peer.send(HTTP2Frame(.data, stream: frame.stream, frame.payload))
                default: break
                }
                if frame.endsStream {
                    peer.send(
                        HTTP2Frame(
                            .headers, flags: 5, stream: frame.stream, HTTP2Client.block([("grpc-status", "0")])))
                }
                return false
            }
        }
    }

    /// Where it is, for a gateway that is to speak HTTP/2.
    var grpcEndpoint: String { "grpc://127.0.0.1:\(port)" }

    /// Answers every request with `respond`, keeping the connection.
    convenience init(
        path: String? = nil, port: UInt16? = nil, respond: @escaping @Sendable (BackendConnection, HTTPMessage) -> Void
    ) throws {
        let box = WeakBackend()
        try self.init(path: path, port: port) { connection in
            while let request = try connection.reader.request(.after(seconds: 600)) {
                box.value?.note(request)
                respond(connection, request)
                if request.field("connection")?.lowercased() == "close" { return }
            }
        }
        box.value = self
    }

    /// Answers every request with 200 and a text that names its method and target.
    static func ordinary(path: String? = nil, port: UInt16? = nil) throws -> ScriptedBackend {
        try ScriptedBackend(path: path, port: port) { connection, request in
            let body = "\(request.method) \(request.target) \(request.body.count)"
            let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
            connection.socket.send(request.method == "HEAD" ? head : head + body)
        }
    }

    deinit { stop() }

    func stop() {
        lock.lock()
        let wasStopping = stopping
        stopping = true
        let all = connections
        lock.unlock()
        guard !wasStopping else { return }
        listener.shutdownBoth()
        for connection in all { connection.socket.shutdownBoth() }
    }

    /// Takes no further connection; those that are open live on.
    func stopListening() { listener.shutdownBoth() }

    var endpoint: String { path.map { "unix:\($0)" } ?? "http://127.0.0.1:\(port)" }

    /// Requests that came, in the order in which they were read.
    var requests: [HTTPMessage] { locked { seen } }
    var connectionCount: Int { locked { connections.count } }
    var openCount: Int { locked { open } }
    /// Everything that came, a list of bytes for each connection.
    var received: [[UInt8]] { locked { connections.map(\.reader.received) } }

    func note(_ request: HTTPMessage) { locked { seen.append(request) } }

    private func admit(_ socket: Socket) -> Bool {
        let connection: BackendConnection? = locked {
            guard !stopping else { return nil }
            let connection = BackendConnection(index: connections.count, socket: socket)
            connections.append(connection)
            open += 1
            return connection
        }
        guard let connection else { return false }
        let thread = Thread { [weak self, script] in
            // A script that fails has lost its peer: nothing is left to do but to close.
            try? script(connection)
            connection.socket.close()
            self?.locked { self?.open -= 1 }
        }
        thread.start()
        return true
    }

    private func locked<Result>(_ work: () -> Result) -> Result {
        lock.lock()
        defer { lock.unlock() }
        return work()
    }
}

private final class WeakBackend: @unchecked Sendable {
    weak var value: ScriptedBackend?
}
