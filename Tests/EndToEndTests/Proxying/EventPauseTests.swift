import Foundation
import Testing

extension EndToEnd {
    /// A model that thinks sends no events: its stream stands still for longer than other bodies may, and its client
    /// may not.
    @Suite struct EventPauses {
        private static let limitMs = 300

        private static func gateway(_ backend: String) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend])
            configuration.gateway = ["  limits: { body_timeout_ms: \(limitMs), idle_timeout_ms: 60000 }"]
            return try Gateway(configuration)
        }

        /// Answers in two pieces, with a pause between them that is longer than one in a body.
        private static func pausing(_ type: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                while try connection.reader.request() != nil {
                    connection.socket.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + "7\r\ndata:1\n\r\n")
                    pauseBetweenLooks(milliseconds: UInt32(4 * limitMs))
                    connection.socket.send("7\r\ndata:2\n\r\n0\r\n\r\n")
                }
            }
        }

        @Test(arguments: ["text/event-stream", "Text/Event-Stream;charset=utf-8", "text/event-stream ; x=y"])
        func eventsMayPause(_ type: String) throws {
            let backend = try Self.pausing(type)
            let gateway = try Self.gateway(backend.endpoint)
            let answer = try gateway.get("/")
            #expect(answer.complete && answer.bodyText == "data:1\ndata:2\n", "\(answer.bodyText)")
            let client = try gateway.http2()
            client.request(1)
            #expect(try client.answer(1).isWhole)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) == 0)
        }

        @Test(arguments: ["text/plain", "text/event-streams", "application/json"])
        func otherBodiesMayNot(_ type: String) throws {
            let backend = try Self.pausing(type)
            let gateway = try Self.gateway(backend.endpoint)
            #expect(try !gateway.get("/").complete)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) == 1)
        }

        @Test func aClientThatReadsNoEventsIsCut() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200, String(repeating: "data:1\n\n", count: 4 << 20), fields: ["Content-Type: text/event-stream"])
            }
            let gateway = try Self.gateway(backend.endpoint)
            let socket = try gateway.connect(receiveBuffer: 8_192)
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the client is cut") {
                try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) == 1
            }
        }
    }
}
