import Foundation
import Testing

extension EndToEnd {
    /// Connections on both sides: kept, reused, timed, drained.
    @Suite struct Connections {
        @Test func backendConnectionsAreKept() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for index in 0..<20 { #expect(try gateway.get("/\(index)").status == 200) }
            #expect(backend.requests.count == 20)
            #expect(backend.connectionCount == 1)
        }

        @Test func aConnectionThatTheBackendClosedMeanwhileIsReplaced() throws {
            // Every connection answers one request as if it were kept, and closes.
            let backend = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                connection.answer(200, "connection \(connection.index)")
                connection.socket.shutdownBoth()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for _ in 0..<50 { #expect(try gateway.get("/").status == 200) }
        }

        @Test func aRequestOnAStaleConnectionIsSentAgain() throws {
            // The second request on a connection is read and never answered: only then is it seen to be dead.
            let backend = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                connection.answer(200, "first")
                guard try connection.reader.request() != nil else { return }
                connection.socket.reset()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/a").status == 200)
            #expect(try gateway.get("/b").status == 200)
            #expect(try gateway.metric("sluice_retries_total", ["model=\"web\""]) == 1)
            // What is not idempotent must not be sent twice once it was sent (RFC 9110, section 9.2.2).
            #expect(try gateway.post("/c", "x").status == 502)
        }

        @Test func theCapOfAPoolMakesRequestsWait() throws {
            let together = Counter()
            let most = Counter()
            let backend = try ScriptedBackend { connection, _ in
                together.add(1)
                most.raise(to: together.value)
                pauseBetweenLooks(milliseconds: 20)
                together.add(-1)
                connection.answer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 2")
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let sockets = try (0..<12).map { _ in try gateway.connect() }
            for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(backend.connectionCount == 2)
            #expect(most.value <= 2)
        }

        // MARK: Timeouts

        @Test func aHeadThatDoesNotEndIs408() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_timeout_ms: 200 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.response()?.status == 408)
            #expect(socket.closedByPeer())
        }

        @Test func aBodyThatStallsIs408() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { body_timeout_ms: 200 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
            #expect(try MessageReader(socket).response(to: "POST")?.status == 408)
            #expect(socket.closedByPeer())
        }

        @Test func anIdleConnectionIsClosedWithoutAWord() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { idle_timeout_ms: 200 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.response()?.status == 200)
            #expect(try reader.rest().isEmpty)
        }

        @Test func aBackendThatDoesNotAnswerIs504() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                _ = connection.socket.closedByPeer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  routing: { default_timeout_ms: 200 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.response()?.status == 504)
            // The client's connection was not at fault and goes on.
            socket.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.status == 504)
            try waitUntil("the backend's connections are given up") { backend.openCount == 0 }
        }

        @Test func aBackendThatDoesNotAcceptIs503Or504() throws {
            // A listener whose backlog is full answers no connection.
            let (listener, port) = try Socket.listen(backlog: 0)
            let fillers = (0..<4).compactMap { _ in NonBlockingConnect(port: port) }
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:\(port)"])
            configuration.gateway = ["  routing: { connect_timeout_ms: 200, default_timeout_ms: 5000 }"]
            let gateway = try Gateway(configuration)
            let response = try gateway.get("/")
            #expect([502, 503, 504].contains(response.status))
            withExtendedLifetime((listener, fillers)) {}
        }

        @Test func aBackendThatIsNotThereIs502Or503() throws {
            let (listener, port) = try Socket.listen()
            listener.close()
            let gateway = try Gateway(.web(["http://127.0.0.1:\(port)"]))
            #expect([502, 503].contains(try gateway.get("/").status))
        }

        // MARK: Limits

        @Test func aHeadBeyondItsLimitIs431() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_bytes: 4096, body_bytes: 1000 }"]
            let gateway = try Gateway(configuration)
            let filling = String(repeating: "x", count: 5_000)
            #expect(try gateway.get("/", fields: ["X-Long: \(filling)"]).status == 431)
            #expect([414, 431].contains(try gateway.get("/\(filling)").status))
            #expect(try gateway.post("/", String(repeating: "y", count: 1_001)).status == 413)
            #expect(try gateway.post("/", String(repeating: "y", count: 1_000)).status == 200)
            #expect(backend.requests.count == 1)
        }

        @Test func aChunkedBodyBeyondItsLimitIsCut() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { body_bytes: 1000 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<11 { socket.send("64\r\n" + String(repeating: "z", count: 100) + "\r\n") }
            socket.send("0\r\n\r\n")
            let response = try MessageReader(socket).response(to: "POST")
            #expect(response?.status == 413)
            // What was sent on before it was known to be too long has no end.
            #expect(!backend.requests.contains { $0.complete })
        }

        @Test func aLineBeyondItsLimitIsRefusedBeforeItEnds() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect()
            // More than a head may have; the head's time of ten seconds has not passed.
            socket.send("GET /" + String(repeating: "a", count: 70_000))
            let status = try MessageReader(socket).response(.after(seconds: 5))?.status ?? 0
            #expect([400, 414, 431].contains(status))
        }

        @Test func connectionsBeyondTheirLimitAreRefused() throws {
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let text = GatewayConfiguration.web([backend.endpoint]).text(in: directory)
                .replacingOccurrences(of: "worker_threads: 2", with: "worker_threads: 1, max_connections: 3")
            let gateway = try Gateway(text: text, in: directory)
            let kept = try (0..<3).map { _ in try gateway.connect() }
            for socket in kept {
                socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try MessageReader(socket).response()?.status == 200)
            }
            let beyond = try gateway.connect()
            beyond.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try? MessageReader(beyond).response()
            #expect(answer?.status ?? 503 == 503)
            #expect(beyond.closedByPeer())
            kept[0].close()
            try waitUntil("a place is free again") {
                let socket = try gateway.connect()
                socket.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return (try? MessageReader(socket).response())?.status == 200
            }
        }

        // MARK: Ending

        @Test func sigtermDrainsAndExitsWithZero() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection, _ in
                try? waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.answer(200, "late but whole")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let idle = try gateway.connect()
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the request is under way") { backend.requests.count == 1 }
            gateway.process.signal(SIGTERM)
            try waitUntil("no new connection is taken") { (try? gateway.connect()) == nil }
            #expect(idle.closedByPeer())
            #expect(gateway.process.poll() == nil)
            release.add(1)
            let response = try #require(try MessageReader(socket).response())
            #expect(response.bodyText == "late but whole")
            #expect(response.field("connection")?.lowercased() == "close")
            #expect(try gateway.process.wait() == 0)
        }

        @Test func aSecondProcessOnTheSamePortIsRefused() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            var second = GatewayConfiguration.web([backend.endpoint])
            second.listeners = ["127.0.0.1:\(gateway.port)"]
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", second.text(in: directory))
            let result = try Gateway.command(["serve", "--config", directory.file("plugins.yaml")])
            #expect(result.status == 1)
            #expect(result.errors.contains("\(gateway.port)"))
            #expect(try gateway.get("/").status == 200)
        }

        /// The connection is reset, and not before the client has what was sent before.
        @Test func anAnswerBeforeOneThatBreaksOffArrives() throws {
            // More than the client's kernel takes, and less than the gateway's.
            let size = 300_000
            let backend = try ScriptedBackend { connection in
                while let request = try connection.reader.request() {
                    guard request.target == "/whole" else {
                        connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                        return
                    }
                    connection.answer(200, String(repeating: "x", count: size))
                }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect(receiveBuffer: 4_096)
            socket.send(["/whole", "/half"].map { "GET \($0) HTTP/1.1\r\nHost: t\r\n\r\n" }.joined())
            try waitUntil("both are over for the gateway") {
                try gateway.metric("sluice_requests_total", ["model=\"web\""]) == 2
            }
            let reader = MessageReader(socket)
            let whole = try reader.response()
            #expect(whole?.complete == true)
            #expect(whole?.body.count == size)
            #expect(try reader.response()?.complete == false)
        }
    }
}

/// A connection that is asked for and not waited for.
private final class NonBlockingConnect {
    let descriptor: Int32

    init?(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
        guard descriptor >= 0 else { return nil }
        closeOnExec(descriptor)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    deinit { close(descriptor) }
}
