import Foundation
import Testing

extension EndToEnd {
    /// Limits hold over all workers and connections, and outlive reloads.
    @Suite struct RateLimits {
        private static func configuration(
            _ endpoint: String, _ limits: String, more: String = ""
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 4
            configuration.filters = ["rate-limit"]
            configuration.plugins = [
                "  - name: rate-limit", "    library: libRateLimit.so",
                "    config: { limits: [ \(limits) ]\(more) }",
            ]
            return configuration
        }

        /// Statuses of `count` requests on each of so many connections at once.
        private static func crowd(_ gateway: Gateway, connections: Int, _ count: Int, fields: String = "") throws
            -> [Int]
        {
            let port = gateway.port
            return try concurrently(connections) { _ in
                let reader = MessageReader(try Socket.connect(port: port))
                return try (0..<count).map { _ in
                    reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
                    return try reader.response()?.status ?? 0
                }
            }.flatMap { $0 }
        }

        @Test func clientsOfAllWorkersGetExactlyTheBurst() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(backend.endpoint, "{ name: all, requests: 137, per: day }"))
            let statuses = try Self.crowd(gateway, connections: 32, 10)
            #expect(statuses.count { $0 == 200 } == 137)
            #expect(statuses.count { $0 == 429 } == 320 - 137)
            #expect(try gateway.metric("sluice_plugin_rate_limit_allowed_total", ["limit=\"all\""]) == 137)
            #expect(try gateway.metric("sluice_plugin_rate_limit_limited_total", ["limit=\"all\""]) == 183)
        }

        /// A client goes by what it is told: of two filters both.
        @Test func severalFiltersTellTheirLimitsSideBySide() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(200, "ok", fields: ["RateLimit: \"endpoint\";r=1"])
            }
            var configuration = Self.configuration(
                backend.endpoint, "{ name: few, requests: 2, per: day }", more: ", headers: always")
            configuration.filters.append("second")
            configuration.plugins += [
                "  - name: second", "    library: libRateLimit.so",
                "    config: { headers: always, limits: [ { name: many, requests: 9, per: day } ] }",
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/")
            func names(_ field: String) -> [Substring?] { answer.all(field).map { $0.split(separator: "\"").first } }
            #expect(answer.status == 200)
            #expect(Set(names("ratelimit")) == ["few", "many", "endpoint"])
            #expect(names("ratelimit-policy") == ["few", "many"])
        }

        @Test func aReloadKeepsWhatWasTaken() throws {
            let backend = try ScriptedBackend.ordinary()
            let limits = "{ name: kept, by: { header: x-key }, requests: 10, per: day }"
            var configuration = Self.configuration(backend.endpoint, limits)
            let gateway = try Gateway(configuration)
            #expect(try Self.crowd(gateway, connections: 4, 1, fields: "X-Key: a\r\n") == [200, 200, 200, 200])
            configuration = Self.configuration(backend.endpoint, "{ name: new, requests: 8, per: day }, " + limits)
            try gateway.write(configuration)
            let outcome = try gateway.reload()
            #expect(outcome.status == 0, "\(outcome)")
            let statuses = try Self.crowd(gateway, connections: 8, 2, fields: "X-Key: a\r\n")
            #expect(statuses.count { $0 == 200 } == 6)
            // The new limit has two left: it gave back what the other refused.
            let others = try Self.crowd(gateway, connections: 8, 2, fields: "X-Key: b\r\n")
            #expect(others.count { $0 == 200 } == 2)
        }

        @Test func aRefusalHasTheShapeOfItsProtocol() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200, #"{"usage":{"prompt_tokens":30,"completion_tokens":71}}"#,
                    fields: ["Content-Type: application/json"])
            }
            var configuration = Self.configuration(
                backend.endpoint, "{ name: tokens, by: model, tokens: 100, per: day }")
            configuration.adapters = ["openai"]
            configuration.plugins += ["  - { name: openai, library: libOpenAI.so }"]
            configuration.models = [
                "  gpt:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: openai } }",
                "  llama:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: openai } }",
            ]
            let gateway = try Gateway(configuration)
            func ask(_ model: String) throws -> HTTPMessage {
                try gateway.post("/v1/chat/completions", "{\"model\":\"\(model)\"}")
            }
            #expect(try ask("gpt").status == 200)
            let refused = try ask("gpt")
            #expect(refused.status == 429)
            // One and a bit of 100 tokens a day, 864 s each.
            let seconds = try #require(Int(refused.field("retry-after") ?? ""))
            #expect((1_000...1_728).contains(seconds))
            #expect(refused.field("ratelimit-policy") == "\"tokens\";q=100;w=86400")
            #expect(refused.bodyText.contains("\"error\""))
            #expect(refused.bodyText.contains("the limit \\\"tokens\\\" is reached; try again in \(seconds) s"))
            #expect(try ask("llama").status == 200)
            #expect(try gateway.metric("sluice_plugin_rate_limit_tokens_total", ["limit=\"tokens\""]) == 202)
        }

        @Test func tokensOfAStreamAreCountedAsItGoesBy() throws {
            let backend = try ScriptedBackend { connection, _ in
                let events = (0..<5).map { _ in "data: {\"choices\":[]}\n\n" }.joined() + "data: [DONE]\n\n"
                connection.answer(200, events, fields: ["Content-Type: text/event-stream"])
            }
            var configuration = Self.configuration(
                backend.endpoint, "{ name: tokens, tokens: 12, per: day }", more: ", headers: always")
            configuration.adapters = ["openai"]
            configuration.plugins += ["  - { name: openai, library: libOpenAI.so }"]
            configuration.models = [
                "  gpt:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: openai } }",
            ]
            let gateway = try Gateway(configuration)
            let answers = try (0..<4).map { _ in
                try gateway.post("/v1/chat/completions", "{\"model\":\"gpt\",\"stream\":true}")
            }
            #expect(answers.map(\.status) == [200, 200, 200, 429])
            #expect(
                answers.map { $0.field("ratelimit")?.split(separator: ";")[1] ?? "" } == ["r=12", "r=7", "r=2", "r=0"])
            #expect(try gateway.metric("sluice_plugin_rate_limit_unmetered_answers_total") == 3)
        }

        /// A filter that has answers gathered may stand on either side: each answer is counted once, as it would be
        /// without it. One that the cache gives counts where the limit stands before the cache.
        @Test(arguments: [
            ("", "rate-limit"), ("", "rate-limit, cache"), ("", "cache, rate-limit"), ("rate-limit", "cache"),
        ])
        func answersThatACacheGathersAreCounted(own: String, ofModel: String) throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200, #"{"usage":{"prompt_tokens":5,"completion_tokens":5}}"#,
                    fields: ["Content-Type: application/json"])
            }
            let limit = "{ name: tokens, tokens: 1000, per: day, reserve: 200 }"
            var configuration = Self.configuration(backend.endpoint, limit, more: ", headers: always")
            configuration.workers = 1
            configuration.filters = own.isEmpty ? [] : [own]
            configuration.adapters = ["openai"]
            configuration.plugins += [
                "  - { name: openai, library: libOpenAI.so }", "  - { name: cache, library: libCache.so }",
            ]
            configuration.models = [
                "  gpt:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: openai } }",
                "    filters: [ \(ofModel) ]",
            ]
            let gateway = try Gateway(configuration)
            func ask(_ question: String) throws -> HTTPMessage {
                try gateway.post("/v1/chat/completions", "{\"model\":\"gpt\",\"user\":\"\(question)\"}")
            }
            for asked in 0..<7 {
                let answer = try ask("\(asked)")
                #expect(answer.status == 200)
                #expect(answer.field("ratelimit")?.split(separator: ";")[1] == "r=\(800 - 10 * asked)")
            }
            #expect(try gateway.metric("sluice_plugin_rate_limit_tokens_total", ["limit=\"tokens\""]) == 70)
            guard ofModel.contains("cache") else { return }
            for _ in 0..<7 { #expect(try ask("0").field("cache-status") == "sluice; hit") }
            let isBefore = ofModel != "cache, rate-limit"
            #expect(backend.requests.count == 7)
            #expect(
                try gateway.metric("sluice_plugin_rate_limit_tokens_total", ["limit=\"tokens\""])
                    == (isBefore ? 140 : 70))
            let last = try ask("new").field("ratelimit")?.split(separator: ";")[1]
            #expect(last == (isBefore ? "r=660" : "r=730"))
            #expect(try gateway.metric("sluice_plugin_rate_limit_unmetered_answers_total") == 0)
        }

        @Test func aCallOfGRPCIsRefusedAsOne() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.configuration(backend.endpoint, "{ name: calls, requests: 1, per: day }"))
            #expect(try gateway.get("/").status == 200)
            let answer = try gateway.call("/x.Y/Z", fields: [])
            #expect(answer.field("grpc-status") == "8")
            #expect(answer.field("retry-after") != nil)
        }
    }
}
