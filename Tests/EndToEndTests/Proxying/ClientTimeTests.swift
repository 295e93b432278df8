import Testing

extension EndToEnd {
    /// How long a client may take between two requests of its connection, and for the head of one.
    @Suite struct ClientTimes {
        private func gateway(_ limits: String, _ backend: ScriptedBackend) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { \(limits) }"]
            // Limits that begin one after the other pass one after the other.
            configuration.workers = 1
            return try Gateway(configuration)
        }

        private func answeredOnce(_ gateway: Gateway) throws -> MessageReader {
            let reader = MessageReader(try gateway.connect())
            reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.status == 200)
            return reader
        }

        @Test func anIdleTimeShorterThanThatOfAHeadIsKept() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try gateway("idle_timeout_ms: 200, header_timeout_ms: 600000", backend)
            #expect(try answeredOnce(gateway).rest().isEmpty)
            #expect(try gateway.metric("sluice_timeouts_total", ["idle"]) == 1)
        }

        @Test func aHeadThatBeginsLateInTheIdleTimeHasAllOfItsOwn() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try gateway("idle_timeout_ms: 300, header_timeout_ms: 600000", backend)
            let late = try answeredOnce(gateway)
            late.socket.send("GET /la")
            // Its idle time began later: when that has passed, so has the other one's.
            #expect(try answeredOnce(gateway).rest().isEmpty)
            late.socket.send("te HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try late.response()?.bodyText == "GET /late 0")
        }

        @Test func moreBytesOfAHeadBuyNoTime() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try gateway("idle_timeout_ms: 600000, header_timeout_ms: 200", backend)
            let slow = try answeredOnce(gateway)
            slow.socket.send("GET /")
            var answer: [UInt8] = []
            try waitUntil("the head's time is over") {
                slow.socket.send("a")
                guard case .data(let bytes) = slow.socket.receive(.after(seconds: 0.02)) else { return false }
                answer = bytes
                return true
            }
            #expect(text(answer).hasPrefix("HTTP/1.1 408 "))
        }
    }
}
