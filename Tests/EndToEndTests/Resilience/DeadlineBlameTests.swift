import Foundation
import Testing

extension EndToEnd {
    /// A deadline comes in the middle of an attempt: whether that is the endpoint's fault, and which one's of two.
    @Suite struct DeadlineBlame {
        /// Two endpoints that answer nothing; `order` has the names of those that were asked.
        private final class Silent: @unchecked Sendable {
            let never = Gate()
            let lock = NSLock()
            private var asked: [String] = []
            var order: [String] { lock.withLock { asked } }
            private(set) var backends: [ScriptedBackend] = []

            init() throws {
                for name in ["one", "two"] {
                    backends.append(
                        try ScriptedBackend { [unowned self] connection in
                            _ = try connection.reader.request()
                            lock.withLock { asked.append(name) }
                            never.wait()
                        })
                }
            }

            func endpoint(_ name: String) -> String { backends[name == "one" ? 0 : 1].endpoint }
        }

        private func hedged(_ silent: Silent, scope: String) -> GatewayConfiguration {
            var configuration = Hedging.configuration(silent.backends.map(\.endpoint))
            configuration.gateway = [
                "  routing: { default_timeout_ms: 400, hedge: { delay_ms: 20, percent: 100 } }",
                "  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600, scope: \(scope) }",
            ]
            return configuration
        }

        @Test func ofTwoAttemptsTheOlderIsToBlame() throws {
            let silent = try Silent()
            defer { silent.never.open() }
            let gateway = try Gateway(hedged(silent, scope: "endpoint"))
            #expect(try gateway.get("/").status == 504)
            let order = silent.order
            try #require(order.count == 2)
            func count(_ name: String, _ outcome: String) throws -> Double {
                try gateway.metric(
                    "sluice_attempts_total", ["endpoint=\"\(silent.endpoint(name))\"", "outcome=\"\(outcome)\""])
            }
            #expect(try count(order[0], "timeout") == 1)
            #expect(try count(order[0], "cancelled") == 0)
            #expect(try count(order[1], "timeout") == 0)
            #expect(try count(order[1], "cancelled") == 1)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        @Test func theModelsBreakerHearsOfIt() throws {
            let silent = try Silent()
            defer { silent.never.open() }
            let gateway = try Gateway(hedged(silent, scope: "model"))
            for _ in 0..<2 { #expect(try gateway.get("/").status == 504) }
            let answer = try gateway.get("/")
            #expect(answer.status == 503)
            #expect(answer.bodyText.contains("circuit breaker is open"))
        }

        /// The client's own deadline leaves an endpoint as little time as the client likes.
        @Test func aClientsHasteSaysNothingOfTheEndpoint() throws {
            let good = [("content-type", "application/grpc"), ("grpc-status", "0")]
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    guard peer.answers[stream]?.field(":path") == "/a.B/Good" else { continue }
                    peer.respond(stream, 200, "", fields: good)
                }
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.workers = 1
            configuration.gateway += [
                "  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 600, scope: both }",
                "  outlier_detection: { consecutive_errors: 1, base_ejection_ms: 600000 }",
                "  concurrency_limit: { algorithm: vegas, limit: 20, minimum: 1, window_ms: 1, minimum_requests: 1 }",
            ]
            let gateway = try Gateway(configuration)
            // More than one: whether the clock stands before or behind it at the moment that counts is chance.
            for _ in 0..<20 {
                let answer = try gateway.call("/a.B/C", fields: [("grpc-timeout", "5500u")])
                #expect(answer.field("grpc-status") == "4")
            }
            #expect(try gateway.metric("sluice_breaker_opened_total") == 0)
            #expect(try gateway.metric("sluice_ejections_total") == 0)
            #expect(try gateway.metric("sluice_pool_limit") == 20)
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"cancelled\""]) == 20)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"deadline\""]) == 20)
            #expect(try gateway.call("/a.B/Good", fields: []).field("grpc-status") == "0")
        }
    }
}
