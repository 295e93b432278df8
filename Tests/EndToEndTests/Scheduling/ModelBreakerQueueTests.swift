import Testing

extension EndToEnd {
    /// A model that is given a rest lets nobody wait.
    @Suite struct ModelBreakerQueue {
        @Test func nobodyWaitsForAPlaceThatIsRefused() throws {
            let ends = Gate()
            let backend = try ScriptedBackend { connection, request in
                guard request.target == "/held" else { return connection.answer(500, "ill") }
                _ = ends.wait()
                connection.answer()
            }
            defer { ends.open() }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 2")
            configuration.gateway = [
                "  circuit_breaker: { scope: model, failure_threshold: 2, reset_timeout_sec: 0.05, jitter_percent: 0 }"
            ]
            let gateway = try Gateway(configuration)
            func hold() throws -> Socket {
                let socket = try gateway.connect()
                socket.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
                return socket
            }
            func held() -> Int { backend.requests.count { $0.target == "/held" } }
            var sockets = [try hold()]
            try waitUntil("one place is taken") { held() == 1 }
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            try waitUntil("a probe has the other") {
                sockets.append(try hold())
                return try gateway.metric("sluice_pool_under_way", ["web"]) == 2 || held() == 2
            }
            try waitUntil("it is there") { held() == 2 }
            let refused = try gateway.get("/")
            #expect(refused.status == 503)
            #expect(refused.bodyText.contains("circuit breaker"))
            #expect(refused.field("retry-after") == "1")
            #expect(try gateway.metric("sluice_queue_depth", ["web"]) == 0)
        }
    }
}
