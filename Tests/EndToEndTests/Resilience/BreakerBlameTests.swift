import Foundation
import Testing

extension EndToEnd {
    /// Whose failure it is: what a client, a filter or a reload did must not open a breaker, and what an endpoint did
    /// in the middle of its answer must.
    @Suite struct BreakerBlame {
        enum Deed: CaseIterable {
            case malformedChunk, tooLarge, silentBody, readsNothing, refusedByFilter
        }

        /// Two failures are enough.
        private func configuration(_ endpoint: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 1
            configuration.gateway = [
                "  limits: { body_timeout_ms: 200, body_bytes: 1000 }",
                "  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600 }",
                "  concurrency_limit: { limit: 20, minimum: 1, window_ms: 1, minimum_requests: 1 }",
            ]
            return configuration
        }

        /// Answers as soon as the head is there; `/large` has no end.
        private func backend() throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                while let head = try connection.reader.head(.after(seconds: 600)) {
                    guard head.target != "/upload" else {
                        _ = connection.socket.closedByPeer()
                        return
                    }
                    guard head.target == "/large" else {
                        connection.answer()
                        continue
                    }
                    connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    let chunk = "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n"
                    while connection.socket.send(chunk) {}
                    return
                }
            }
        }

        private func upload(_ gateway: Gateway, _ backend: ScriptedBackend, _ framing: String) throws -> Socket {
            let before = backend.connectionCount
            let socket = try gateway.connect()
            socket.send("POST /upload HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n")
            if framing.hasPrefix("Transfer") { socket.send("5\r\nhello\r\n") }
            try waitUntil("the request is under way") {
                backend.connectionCount > before && backend.received[before].count > 0
            }
            return socket
        }

        private func status(_ socket: Socket) throws -> Int? { try MessageReader(socket).response(to: "POST")?.status }

        private func commit(_ deed: Deed, _ gateway: Gateway, _ backend: ScriptedBackend) throws {
            switch deed {
            case .malformedChunk:
                let socket = try upload(gateway, backend, "Transfer-Encoding: chunked")
                socket.send("no size\r\n")
                #expect(try status(socket) == 400)
            case .tooLarge:
                let socket = try upload(gateway, backend, "Transfer-Encoding: chunked")
                socket.send("7d0\r\n" + String(repeating: "x", count: 2_000) + "\r\n")
                #expect(try status(socket) == 413)
            case .silentBody:
                #expect(try status(upload(gateway, backend, "Content-Length: 100")) == 408)
            case .readsNothing:
                let before = try gateway.metric("sluice_timeouts_total", ["kind=\"body\""])
                let socket = try gateway.connect(receiveBuffer: 4_096)
                socket.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n")
                try waitUntil("the answer is cut") {
                    try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) > before
                }
                socket.close()
            case .refusedByFilter: #expect(try gateway.get("/refused").status == 403)
            }
            try waitUntil("the exchange has ended") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
        }

        @Test(arguments: Deed.allCases) func whatOthersDoIsNotTheEndpoints(_ deed: Deed) throws {
            let directory = try TemporaryDirectory()
            let backend = try backend()
            var configuration = configuration(backend.endpoint)
            if deed == .refusedByFilter {
                let library = try CompiledPlugin.c(Self.refusing, "refusing.so", in: directory)
                configuration.plugins = ["  - { name: refusing, library: \(library) }"]
                configuration.filters = ["refusing"]
            }
            let gateway = try Gateway(configuration)
            for _ in 0..<3 { try commit(deed, gateway, backend) }
            #expect(try gateway.metric("sluice_breaker_opened_total") == 0)
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"cancelled\""]) == 3)
            // Nor does it say how much the endpoint bears.
            if deed == .tooLarge { #expect(try gateway.metric("sluice_pool_limit") == 20) }
            #expect(try gateway.get("/").status == 200)
        }

        private static let refusing = CompiledPlugin.filter(
            "refusing", callbacks: ["on_response"],
            """
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)exchange, (void)response;
              return request->message->path.size > 1 ? SLUICE_PERMISSION_DENIED : SLUICE_OK;
            }
            """)

        @Test func aReloadThatEndsThemIsNotTheEndpoints() throws {
            let backend = try backend()
            var configuration = configuration(backend.endpoint)
            configuration.gateway[0] = "  reload: { drain_timeout_ms: 50 }"
            let gateway = try Gateway(configuration)
            let sockets = try (0..<3).map { _ in try upload(gateway, backend, "Content-Length: 100") }
            #expect(try gateway.reload().status == 0)
            for socket in sockets { #expect(try status(socket) == 503) }
            #expect(try gateway.metric("sluice_breaker_opened_total") == 0)
            #expect(try gateway.get("/").status == 200)
        }

        @Test(arguments: [
            ("chunks that are none", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
            ("a pause without an end", "Content-Length: 10\r\n\r\nabc"),
        ])
        func whatAnEndpointDoesToItsAnswerIsItsOwn(_ name: String, _ answer: String) throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\n" + answer)
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(configuration(backend.endpoint))
            for _ in 0..<2 {
                let socket = try gateway.connect()
                socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                #expect(socket.closedByPeer())
            }
            #expect(try gateway.metric("sluice_breaker_opened_total") == 1, "\(name)")
            #expect(try gateway.get("/").status == 503)
            #expect(backend.connectionCount == 2)
        }

        /// A proxy in front of the endpoint that says 502 in plain HTTP has none to offer; one that says 404 has been
        /// asked for what there is not.
        @Test(arguments: [(502, true), (200, true), (404, false)])
        func plainHTTPThatAnswersACallIsJudgedByItsStatus(_ http: Int, _ opens: Bool) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.respond(stream, http, "<html>", fields: [("content-type", "text/html")])
                }
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.gateway += ["  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600 }"]
            let gateway = try Gateway(configuration)
            for _ in 0..<3 { _ = try gateway.call("/a.B/C", fields: []) }
            #expect(try gateway.metric("sluice_breaker_opened_total") == (opens ? 1 : 0))
        }
    }
}
