import Foundation
import Testing

extension EndToEnd {
    /// HTTP/1.1 Upgrade to WebSocket through `passthrough`, where a route allows it.
    @Suite struct WebSocket {
        static let route = "[ { prefix: /, model: web, upgrade: [ websocket ] } ]"
        static let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nKeep-Alive: timeout=5\r\n\r\n"

        static func asking(_ target: String = "/chat", _ more: String = "") -> String {
            "GET \(target) HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\(more)\r\n"
        }

        static func configuration(_ endpoints: [String], version: String = "") -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(endpoints, version: version)
            configuration.routes = route
            return configuration
        }

        /// Agrees to every request, then sends back what comes, and at the end of that says `bye`.
        static func echo() throws -> ScriptedBackend {
            let box = Box()
            let backend = try ScriptedBackend { connection in
                guard let request = try connection.reader.request(.ordinary) else { return }
                box.backend?.note(request)
                connection.socket.send(agreed)
                connection.socket.send(Array(connection.reader.left))
                while case .data(let data) = connection.socket.receive(.after(seconds: 60)) {
                    guard connection.socket.send(data) else { return }
                }
                connection.socket.send("bye")
            }
            box.backend = backend
            return backend
        }

        private final class Box: @unchecked Sendable { weak var backend: ScriptedBackend? }

        /// A connection that has been upgraded.
        static func open(_ gateway: Gateway) throws -> MessageReader {
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(asking())
            let answer = try #require(try reader.response())
            try #require(answer.status == 101)
            return reader
        }

        static func noise(_ count: Int) -> [UInt8] {
            var state: UInt64 = 7
            return (0..<count).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt8(truncatingIfNeeded: state >> 56)
            }
        }

        /// Sends it from one thread while another reads what comes back: neither side is made for holding all of it.
        static func echoes(_ reader: MessageReader, _ content: [UInt8]) throws -> Bool {
            let socket = reader.socket
            let thread = Thread { socket.send(content, .after(seconds: 60)) }
            thread.start()
            return try reader.take(content.count, .after(seconds: 60)) == content
        }

        @Test func bytesGoBothWays() throws {
            let backend = try Self.echo()
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(Self.asking("/chat?room=1", "Origin: http://test\r\n"))
            let answer = try #require(try reader.response())
            #expect(answer.status == 101)
            #expect(answer.all("upgrade") == ["websocket"] && answer.all("connection") == ["Upgrade"])
            #expect(answer.field("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            #expect(answer.field("keep-alive") == nil && answer.field("transfer-encoding") == nil)
            let request = try #require(backend.requests.first)
            #expect(request.target == "/chat?room=1" && request.field("origin") == "http://test")
            #expect(request.all("upgrade") == ["websocket"] && request.all("connection") == ["Upgrade"])
            #expect(request.field("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ==")
            #expect(request.field("content-length") == nil)
            // A frame of text, masked; and what looks like a request is none here.
            for piece in [[0x81, 0x85, 1, 2, 3, 4, 0x69, 0x67, 0x6f, 0x68, 0x6e], bytes(Self.asking())] {
                reader.socket.send(piece)
                #expect(try reader.take(piece.count, .ordinary) == piece)
            }
            #expect(try Self.echoes(reader, Self.noise(8_000_000)))
            #expect(try gateway.metric("sluice_tunnels_open") == 1)
            #expect(backend.requests.count == 1)
            reader.socket.close()
            try waitUntil("the tunnel is gone") { try gateway.metric("sluice_tunnels_open") == 0 }
            #expect(try gateway.metric("sluice_requests_total", ["model=\"web\"", "status=\"101\""]) == 1)
            try waitUntil("the endpoint is left") { backend.openCount == 0 }
            #expect(try gateway.metric("sluice_endpoint_in_flight") == 0)
        }

        @Test func eachEndIsCarriedOnItsOwn() throws {
            let backend = try Self.echo()
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let reader = try Self.open(gateway)
            reader.socket.send("last words")
            reader.socket.shutdownSending()
            #expect(text(try reader.rest()) == "last wordsbye")
            // And the other way round: the endpoint ends first, and still hears the client.
            let heard = Counter()
            let talker = try ScriptedBackend { connection in
                _ = try connection.reader.request(.ordinary)
                connection.socket.send(Self.agreed + "farewell")
                connection.socket.shutdownSending()
                if text(try connection.reader.rest()) == "still here" { heard.add(1) }
            }
            let second = try Gateway(Self.configuration([talker.endpoint]))
            let listener = try Self.open(second)
            #expect(text(try listener.rest()) == "farewell")
            listener.socket.send("still here")
            listener.socket.shutdownSending()
            try waitUntil("the endpoint has heard it") { heard.value == 1 }
            try waitUntil("the tunnel is gone") { try second.metric("sluice_tunnels_open") == 0 }
        }

        /// Bytes behind either head belong to the tunnel.
        @Test func nothingSentEarlyIsLost() throws {
            let asked = Gate()
            let mayAnswer = Gate()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request(.ordinary)
                asked.open()
                mayAnswer.wait()
                // Nothing of the client comes before the endpoint has agreed.
                guard connection.reader.left.isEmpty else { return }
                connection.socket.send(Self.agreed + "welcome ")
                let said = try connection.reader.take(17, .ordinary) ?? []
                connection.socket.send(said)
            }
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(Self.asking() + "with it, ")
            asked.wait()
            reader.socket.send("after it")
            mayAnswer.open()
            #expect(try reader.response()?.status == 101)
            #expect(text(try reader.take(25, .ordinary) ?? []) == "welcome with it, after it")
        }

        /// An endpoint may refuse. What the client sent ahead was never meant as a request.
        @Test(arguments: ["", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"])
        func aRefusalIsAnOrdinaryAnswer(_ ahead: String) throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(403, "no") }
            var configuration = Self.configuration([backend.endpoint])
            // Each worker has connections of its own.
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send(Self.asking() + ahead)
            let reader = MessageReader(socket)
            let answer = try #require(try reader.response())
            #expect(answer.status == 403 && answer.bodyText == "no")
            #expect(answer.field("connection") == "close" && answer.field("upgrade") == nil)
            socket.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.rest().isEmpty)
            #expect(backend.requests.map(\.target) == ["/chat"])
            // The endpoint's connection is kept as ever.
            #expect(try gateway.get("/next").bodyText == "no")
            #expect(backend.connectionCount == 1)
        }

        /// A 426 has to say what it wants (RFC 9110 §15.5.22): the gateway says it anew, where it would let it through.
        @Test(arguments: [
            ("Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13", "/chat", "1.1", true),
            ("Connection: close\r\nUpgrade: h2c\r\nUpgrade: TLS/1.0, WebSocket", "/chat", "1.1", true),
            ("Upgrade: h2c\r\nConnection: Upgrade, close", "/chat", "1.1", false),
            ("Connection: close", "/chat", "1.1", false),
            ("Upgrade: websocket\r\nConnection: Upgrade, close", "/plain", "1.1", false),
            ("Upgrade: websocket\r\nConnection: Upgrade, close", "/chat", "1.0", false),
        ])
        func anAnswerThatDemandsWebSocketSaysSo(fields: String, target: String, minor: String, isKept: Bool) throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 426 Upgrade Required\r\n\(fields)\r\nContent-Length: 2\r\n\r\nno")
                connection.socket.close()
            }
            var configuration = Self.configuration([backend.endpoint])
            configuration.routes =
                "[ { prefix: /chat, model: web, upgrade: [ websocket ] }, { prefix: /, model: web } ]"
            let gateway = try Gateway(configuration)
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(Self.asking(target).replacingOccurrences(of: "HTTP/1.1", with: "HTTP/\(minor)"))
            let answer = try #require(try reader.response())
            #expect(answer.status == 426 && answer.bodyText == "no")
            #expect(answer.all("upgrade") == (isKept ? ["websocket"] : []))
            let closes = isKept ? "Upgrade, close" : "close"
            // On a route that allows no upgrade the connection goes on.
            #expect(answer.field("connection") == (target == "/plain" ? nil : minor == "1.0" ? "keep-alive" : closes))
            #expect(answer.field("sec-websocket-version") == (fields.contains("Version") ? "13" : nil))
        }

        /// Requests that ask for no WebSocket, or on no route that allows it, go on without Upgrade, and no answer may
        /// switch their connection.
        @Test(arguments: [
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                + "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
            "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET /chat HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "POST /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
            asking("/plain"),
        ])
        func otherRequestsAreNotUpgraded(_ request: String) throws {
            let backend = try ScriptedBackend { connection, _ in connection.socket.send(Self.agreed + "stolen") }
            var configuration = Self.configuration([backend.endpoint])
            configuration.routes =
                "[ { prefix: /chat, model: web, upgrade: [ websocket ] }, { prefix: /, model: web } ]"
            let gateway = try Gateway(configuration)
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(request)
            #expect(try reader.response()?.status == 502)
            let seen = try #require(backend.requests.first)
            #expect(seen.field("upgrade") == nil && seen.field("http2-settings") == nil)
            #expect(seen.field("connection") == nil)
            #expect(!text(reader.received).contains("stolen"))
        }

        /// What is no agreement to WebSocket is no answer at all.
        @Test(arguments: [
            "HTTP/1.1 101 Some\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 101 Some\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 101 Some\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 Some\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.0 101 Some\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ])
        func otherSwitchesAreRefused(_ head: String) throws {
            let backend = try ScriptedBackend { connection, _ in connection.socket.send(head + "stolen") }
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send(Self.asking())
            #expect(try reader.response()?.status == 502)
            #expect(!text(try reader.rest()).contains("stolen"))
            #expect(try gateway.metric("sluice_parse_errors_total", ["upstream"]) == 1)
        }

        @Test func whoeverBreaksItEndsItForBoth() throws {
            let leave = Gate()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request(.ordinary)
                connection.socket.send(Self.agreed)
                if connection.index == 0 {
                    leave.wait()
                    connection.socket.reset()
                } else {
                    _ = connection.socket.closedByPeer()
                }
            }
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let left = try Self.open(gateway)
            leave.open()
            #expect(left.socket.closedByPeer())
            let leaving = try Self.open(gateway)
            leaving.socket.reset()
            try waitUntil("the endpoint is left") { backend.openCount == 0 }
            try waitUntil("no tunnel is open") { try gateway.metric("sluice_tunnels_open") == 0 }
            #expect(try gateway.metric("sluice_endpoint_in_flight") == 0)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// What one side does not take stays with the other.
        @Test func aSlowReaderHoldsTheSenderBack() throws {
            // Several times what the sockets' buffers hold.
            let content = [UInt8](repeating: 97, count: 48_000_000)
            let stuck = Gate()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request(.ordinary)
                connection.socket.send(Self.agreed)
                if !connection.socket.send(content, .after(seconds: 1)) { stuck.open() }
                connection.socket.shutdownSending()
                _ = connection.socket.closedByPeer(.after(seconds: 60))
            }
            let gateway = try Gateway(Self.configuration([backend.endpoint]))
            let before = gateway.process.residentBytes
            let socket = try gateway.connect(receiveBuffer: 65_536)
            socket.send(Self.asking())
            #expect(stuck.wait())
            if ChildProcess.memoryIsItsOwn { #expect(gateway.process.residentBytes <= before + 2 << 20) }
            let reader = MessageReader(socket)
            #expect(try reader.response()?.status == 101)
            let arrived = try reader.rest(.after(seconds: 60))
            #expect(arrived.count > 0 && arrived.count < content.count)
            let isWhatWasSent = arrived == [UInt8](repeating: 97, count: arrived.count)
            #expect(isWhatWasSent)
        }

        @Test func aSilentTunnelIsClosed() throws {
            let backend = try Self.echo()
            var configuration = Self.configuration([backend.endpoint])
            configuration.gateway = ["  limits: { tunnel_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let reader = try Self.open(gateway)
            #expect(reader.socket.closedByPeer())
            try waitUntil("the endpoint is left") { backend.openCount == 0 }
            #expect(try gateway.metric("sluice_timeouts_total", ["idle"]) == 1)
        }

        @Test func aTunnelOutlivesAReloadButNotItsDrain() throws {
            let backend = try Self.echo()
            var configuration = Self.configuration([backend.endpoint])
            configuration.gateway = ["  reload: { drain_timeout_ms: 60000 }"]
            let gateway = try Gateway(configuration)
            let reader = try Self.open(gateway)
            #expect(try gateway.reload().status == 0)
            #expect(try Self.echoes(reader, Self.noise(100_000)))
            #expect(try gateway.metric("sluice_generations_live") == 2)
            configuration.gateway = ["  reload: { drain_timeout_ms: 200 }"]
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            let newer = try Self.open(gateway)
            #expect(try gateway.reload().status == 0)
            #expect(newer.socket.closedByPeer())
            // The first one was promised a minute; the end of the process waits no longer than it says now.
            #expect(try Self.echoes(reader, bytes("on and on")))
            #expect(try gateway.metric("sluice_tunnels_open") == 1)
            #expect(try gateway.stop() == 0)
            #expect(reader.socket.closedByPeer())
            try waitUntil("the endpoint is left") { backend.openCount == 0 }
        }

        /// One gateway speaks TLS with the other, so that each of them has it on one side of the tunnel.
        @Test func tunnelsGoOverTLS() throws {
            let backend = try Self.echo()
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost,IP:127.0.0.1")
            var behind = Self.configuration([backend.endpoint])
            behind.listeners = [certificates.listener("server")]
            let second = try Gateway(behind)
            let first = try Gateway(
                Self.configuration(
                    ["https://127.0.0.1:\(second.port)"], version: ", tls: { ca: \(certificates.file("ca.pem")) }"))
            let reader = try Self.open(first)
            #expect(try Self.echoes(reader, Self.noise(8_000_000)))
            reader.socket.send("last words")
            reader.socket.shutdownSending()
            #expect(text(try reader.rest()) == "last wordsbye")
            for gateway in [first, second] {
                try waitUntil("no tunnel is open") { try gateway.metric("sluice_tunnels_open") == 0 }
            }
        }

        /// A client and a server that people use, which check each other's frames.
        @Test(.enabled(if: Clients.wanted)) func whatPeopleUseGoesThrough() throws {
            let server = try PythonServer("serve_websocket.py")
            let gateway = try Gateway(Self.configuration(["http://127.0.0.1:\(server.port)"]))
            try Clients.run("drive_websocket.py", ["\(gateway.port)"])
            try waitUntil("no tunnel is open") { try gateway.metric("sluice_tunnels_open") == 0 }
        }

        @Test func endpointsOfHTTP2AreSaidToHaveNone() throws {
            let backend = try ScriptedBackend.http2 { _, peer in while try peer.nextRequest() != nil {} }
            let gateway = try Gateway(Self.configuration([backend.grpcEndpoint]))
            let answer = try gateway.exchange(Self.asking())
            #expect(answer.status == 501 && answer.bodyText.contains("WebSocket"))
        }

        @Test func otherProtocolsAreAConfigurationError() throws {
            let directory = try TemporaryDirectory()
            var configuration = Self.configuration(["http://127.0.0.1:1"])
            configuration.routes = "[ { prefix: /, model: web, upgrade: [ h2c ] } ]"
            let file = try directory.write("plugins.yaml", configuration.text(in: directory))
            let outcome = try Gateway.command(["check", "--config", file])
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("'websocket' is the only protocol that may be upgraded to"))
        }
    }
}
