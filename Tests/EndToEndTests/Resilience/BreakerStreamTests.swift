import Testing

extension EndToEnd {
    /// Probes of breakers whose answers are streams: what is to be learned of them is known when they begin.
    @Suite struct BreakerStreams {
        /// Answers 500 until it is well.
        private final class Convalescent: Sendable {
            let well = Counter()
            /// Streams wait for it before they end.
            let ends = Gate()

            var isWell: Bool { well.value > 0 }
        }

        private static func configuration(_ endpoint: String, _ scope: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            let keys = "failure_threshold: 2, reset_timeout_sec: 0.05, jitter_percent: 0"
            configuration.gateway = ["  circuit_breaker: { scope: \(scope), \(keys) }"]
            return configuration
        }

        @Test(arguments: ["endpoint", "model"]) func theHeadOfAProbesAnswerClosesIt(_ scope: String) throws {
            let backend = Convalescent()
            let server = try ScriptedBackend { connection, request in
                guard backend.isWell else { return connection.answer(500, "ill") }
                guard request.target == "/stream" else { return connection.answer() }
                connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                _ = backend.ends.wait()
                connection.socket.send("0\r\n\r\n")
            }
            defer { backend.ends.open() }
            let gateway = try Gateway(Self.configuration(server.endpoint, scope))
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            backend.well.add(1)
            var stream: MessageReader?
            try waitUntil("a probe that streams") {
                let reader = MessageReader(try gateway.connect())
                reader.socket.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
                stream = reader
                return try reader.head(.ordinary)?.status == 200
            }
            #expect(try gateway.get("/").status == 200)
            #expect(try gateway.metric("sluice_breaker_state") == 0)
            backend.ends.open()
            #expect(try stream?.line(.ordinary) == "5")
        }

        /// A tunnel is there for hours.
        @Test func aTunnelThatIsThereClosesIt() throws {
            let backend = Convalescent()
            let server = try ScriptedBackend { connection, request in
                guard backend.isWell else { return connection.answer(500, "ill") }
                guard request.target == "/tunnel" else { return connection.answer() }
                connection.socket.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                _ = backend.ends.wait()
            }
            defer { backend.ends.open() }
            var configuration = Self.configuration(server.endpoint, "endpoint")
            configuration.routes = "[ { prefix: /, model: web, upgrade: [ websocket ] } ]"
            let gateway = try Gateway(configuration)
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            backend.well.add(1)
            var tunnel: MessageReader?
            try waitUntil("a probe that becomes a tunnel") {
                let reader = MessageReader(try gateway.connect())
                reader.socket.send(
                    "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                tunnel = reader
                return try reader.head(.ordinary)?.status == 101
            }
            #expect(try gateway.get("/").status == 200)
            withExtendedLifetime(tunnel) {}
        }

        /// The head of a call says nothing of how it goes, its first message does.
        @Test func aCallsFirstMessageClosesIt() throws {
            let backend = Convalescent()
            let (failing, message) = (Gate(), Gate())
            let calls = Counter()
            let server = try ScriptedBackend.http2 { _, peer in
                let head = HTTP2Client.block([(":status", "200"), ("content-type", "application/grpc")])
                let unavailable = HTTP2Client.block([("grpc-status", "14")])
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    guard backend.isWell else {
                        peer.respond(
                            stream, 200, "", fields: [("content-type", "application/grpc"), ("grpc-status", "14")])
                        continue
                    }
                    peer.send(HTTP2Frame(.headers, flags: 4, stream: stream, head))
                    switch calls.increment() {
                    case 1:
                        _ = failing.wait()
                        peer.send(HTTP2Frame(.headers, flags: 5, stream: stream, unavailable))
                    case 2:
                        _ = message.wait()
                        peer.send(HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 0]))
                    default:
                        peer.send(
                            HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block([("grpc-status", "0")])))
                    }
                }
            }
            defer { for gate in [failing, message] { gate.open() } }
            var configuration = Self.configuration(server.grpcEndpoint, "endpoint")
            configuration.workers = 1
            configuration.routes = "[ { prefix: /test.Echo/, model: web } ]"
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            var last: UInt32 = 1
            func begin() -> UInt32 {
                defer { last += 2 }
                client.request(
                    last, "POST", "/test.Echo/Call", fields: [("content-type", "application/grpc"), ("te", "trailers")])
                return last
            }
            func status(_ stream: UInt32) throws -> String? {
                let answer = try client.answer(stream)
                return (answer.trailers + answer.fields).first { $0.name == "grpc-status" }?.value
            }
            func probe(_ call: Int) throws -> UInt32 {
                var stream: UInt32 = 0
                try waitUntil("probe \(call)") {
                    stream = begin()
                    try client.read { $0.kind == .headers && $0.stream == stream }
                    return calls.value == call
                }
                return stream
            }
            for _ in 0..<2 { #expect(try status(begin()) == "14") }
            backend.well.add(1)
            let first = try probe(1)
            #expect(try status(begin()) == "14")
            #expect(calls.value == 1)
            failing.open()
            #expect(try status(first) == "14")
            #expect(try gateway.metric("sluice_breaker_opened_total", ["model=\"web\""]) == 2)
            let second = try probe(2)
            message.open()
            try client.read { $0.kind == .data && $0.stream == second }
            #expect(try status(begin()) == "0")
        }
    }
}
