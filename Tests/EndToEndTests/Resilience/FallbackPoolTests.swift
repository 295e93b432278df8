import Foundation
import Testing

extension EndToEnd {
    /// A request that has come to another pool is that pool's: its time, its hedges, its counts.
    @Suite struct FallbackPools {
        private static func model(_ name: String, _ endpoints: [String], _ keys: [String] = []) -> [String] {
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            let version = "    versions: { \"1\": { endpoints: [ \(list) ], protocol: passthrough } }"
            return ["  \(name):"] + keys.map { "    \($0)" } + [version]
        }

        private static func configuration(_ models: [[String]]) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.workers = 1
            configuration.balancer = "round-robin"
            configuration.models = models.flatMap { $0 }
            return configuration
        }

        private static func silent(_ gate: Gate) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                _ = try connection.reader.request(.after(seconds: 600))
                gate.wait()
            }
        }

        /// The shorter of two times holds: the request's as a whole, and that of the pool it has come to.
        @Test(arguments: [(60_000, 200), (200, 60_000)])
        func theShorterTimeoutHolds(_ first: Int, _ second: Int) throws {
            let gate = Gate()
            defer { gate.open() }
            let dead = "http://127.0.0.1:\(try Ports.refusing())"
            let silent = try Self.silent(gate)
            let gateway = try Gateway(
                Self.configuration([
                    Self.model("web", [dead], ["timeout_ms: \(first)", "fallback: { model: other }"]),
                    Self.model("other", [silent.endpoint], ["timeout_ms: \(second)"]),
                ]))
            let answer = try gateway.get("/")
            #expect(answer.status == 504)
            #expect(silent.connectionCount == 1)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"response\""]) == 1)
        }

        /// It begins when the request comes to the pool.
        @Test func itsTimeBeginsWithIt() throws {
            let gate = Gate()
            defer { gate.open() }
            let silent = try Self.silent(gate)
            let other = try ScriptedBackend.ordinary()
            let policy = "retry_policy: { max_attempts: 1, per_try_timeout_ms: 600 }"
            let gateway = try Gateway(
                Self.configuration([
                    Self.model("web", [silent.endpoint], [policy, "fallback: { model: other }"]),
                    Self.model("other", [other.endpoint], ["timeout_ms: 500"]),
                ]))
            #expect(try gateway.get("/").status == 200)
        }

        @Test func itsHedgesAreMade() throws {
            let gate = Gate()
            defer { gate.open() }
            let dead = "http://127.0.0.1:\(try Ports.refusing())"
            let (slow, fast) = (try Hedging.gated(gate, "slow"), try Hedging.named("fast"))
            let gateway = try Gateway(
                Self.configuration([
                    Self.model("web", [dead], ["fallback: { model: other }"]),
                    Self.model("other", [slow.endpoint, fast.endpoint], ["hedge: { delay_ms: 20, percent: 100 }"]),
                ]))
            let answer = try Hedging.askSlow(slow) { try gateway.get("/") }
            #expect(answer.bodyText == "fast 0")
            #expect(try gateway.metric("sluice_hedges_won_total", ["model=\"other\""]) == 1)
        }

        /// A chain of pools with a hundred attempts each.
        @Test func itsRetriesAreCounted() throws {
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            let policy = "retry_policy: { max_attempts: 100, backoff_ms: 0, max_backoff_ms: 0 }"
            let gateway = try Gateway(
                Self.configuration([
                    Self.model("web", [failing.endpoint], [policy, "fallback: [ { model: b }, { model: c } ]"]),
                    Self.model("b", [failing.endpoint], [policy]), Self.model("c", [failing.endpoint], [policy]),
                ]))
            #expect(try gateway.get("/").status == 503)
            for name in ["web", "b", "c"] {
                #expect(try gateway.metric("sluice_retries_total", ["model=\"\(name)\""]) == 99, "\(name)")
            }
            #expect(failing.requests.count == 300)
        }
    }
}
