import Testing

extension EndToEnd {
    /// A prediction may be asked for twice, in whichever protocol: OpenAI's, which are all POST.
    @Suite struct PredictionRetries {
        private static let asked = [
            ("/v1/chat/completions", #"{"model":"web","messages":[{"role":"user","content":"hello"}]}"#),
            ("/v1/completions", #"{"model":"web","prompt":"hello"}"#),
            ("/v1/embeddings", #"{"model":"web","input":"hello"}"#),
        ]

        private static func configuration(_ endpoints: [String], _ policy: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.adapters = ["openai"]
            configuration.balancer = "round-robin"
            configuration.plugins = ["  - { name: openai, library: libOpenAI.so }"]
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            configuration.models = [
                "  web:", "    \(policy)", "    versions: { \"1\": { endpoints: [ \(list) ], protocol: openai } }",
            ]
            return configuration
        }

        private static func named(_ name: String, status: Int = 200) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in
                connection.answer(status, "{\"from\":\"\(name)\"}", fields: ["Content-Type: application/json"])
            }
        }

        @Test func theyAreTriedAgain() throws {
            let (bad, good) = (try Self.named("bad", status: 503), try Self.named("good"))
            let policy = "retry_policy: { max_attempts: 2, backoff_ms: 0 }"
            let gateway = try Gateway(Self.configuration([bad.endpoint, good.endpoint], policy))
            for (path, body) in Self.asked {
                for _ in 0..<2 { #expect(try gateway.post(path, body).bodyText == #"{"from":"good"}"#, "\(path)") }
            }
            #expect(good.requests.map(\.bodyText) == Self.asked.flatMap { [$0.1, $0.1] })
        }

        @Test func anotherModelStandsIn() throws {
            let (bad, good) = (try Self.named("bad", status: 503), try Self.named("good"))
            var configuration = Self.configuration([bad.endpoint], "fallback: { model: other }")
            configuration.models += [
                "  other:", "    versions: { \"1\": { endpoints: [ \"\(good.endpoint)\" ], protocol: openai } }",
            ]
            let gateway = try Gateway(configuration)
            for (path, body) in Self.asked {
                #expect(try gateway.post(path, body).bodyText == #"{"from":"good"}"#, "\(path)")
            }
        }

        @Test func theyAreHedged() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Hedging.gated(gate, "slow"), try Self.named("good"))
            let hedge = "hedge: { delay_ms: 20, percent: 100 }"
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint], hedge))
            let (path, body) = Self.asked[0]
            let answer = try Hedging.askSlow(slow) { try gateway.post(path, body) }
            #expect(answer.bodyText == #"{"from":"good"}"#)
            #expect(try gateway.metric("sluice_hedges_won_total") == 1)
        }
    }
}
