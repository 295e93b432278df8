import Foundation
import Testing

extension EndToEnd {
    /// Whose filters see an answer that another model gives, and how it is told that another one gave it.
    @Suite struct FallbackFilters {
        private static func configuration(
            _ first: String, _ second: String, filters: (String, String) = ("", ""), timeout: Int = 60_000
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.workers = 1
            configuration.models = [
                "  web:", "    versions: { \"1\": { endpoints: [ \"\(first)\" ], protocol: passthrough } }",
                "    fallback: { model: other }", "    filters: [ \(filters.0) ]",
                "  other:", "    versions: { \"7\": { endpoints: [ \"\(second)\" ], protocol: passthrough } }",
                "    timeout_ms: \(timeout)", "    filters: [ \(filters.1) ]",
            ]
            return configuration
        }

        private static func headers(_ name: String, _ config: String) -> [String] {
            ["  - name: \(name)", "    library: libHeaders.so", "    config: { \(config) }"]
        }

        private static func deadEndpoint() throws -> String { "http://127.0.0.1:\(try Ports.refusing())" }

        @Test func theAnswerIsSeenByTheFiltersOfTheModelThatWasAsked() throws {
            let other = try ScriptedBackend.ordinary()
            var configuration = Self.configuration(
                try Self.deadEndpoint(), other.endpoint, filters: ("of-web", "of-other"))
            configuration.plugins = ["of-web", "of-other"].flatMap {
                Self.headers($0, "request: { set: { x-\($0): yes } }, response: { set: { x-\($0): $(model) } }")
            }
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.bodyText == "GET /a 0" && answer.field("x-sluice-fallback") == "other/7")
            #expect(answer.all("x-of-web") == ["other"] && answer.field("x-of-other") == nil, "\(answer)")
            let request = try #require(other.requests.last)
            #expect(request.field("x-of-web") == "yes" && request.field("x-of-other") == nil)
        }

        /// What a filter has taken from the request beforehand it settles by the answer.
        @Test func aReserveIsSettledByTheOtherModelsAnswer() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200, #"{"usage":{"prompt_tokens":5,"completion_tokens":5}}"#,
                    fields: ["Content-Type: application/json"])
            }
            var configuration = Self.configuration(
                try Self.deadEndpoint(), backend.endpoint, filters: ("rate-limit", ""))
            configuration.adapters = ["openai"]
            configuration.models = configuration.models.map { $0.replacing("passthrough", with: "openai") }
            configuration.plugins = [
                "  - { name: openai, library: libOpenAI.so }", "  - name: rate-limit", "    library: libRateLimit.so",
                "    config: { headers: always, limits: [ { name: t, tokens: 1000, per: day, reserve: 200 } ] }",
            ]
            let gateway = try Gateway(configuration)
            for asked in 0..<7 {
                let answer = try gateway.post("/v1/chat/completions", "{\"model\":\"web\"}")
                #expect(answer.status == 200 && answer.field("x-sluice-fallback") == "other/7", "\(answer)")
                #expect(answer.field("ratelimit")?.split(separator: ";")[1] == "r=\(800 - 10 * asked)")
            }
        }

        /// Edits of fields are counted, and the gateway's own is none of those that plugins may make.
        @Test func theFieldIsThereWhenFiltersHaveMadeAllTheirEdits() throws {
            let other = try ScriptedBackend.ordinary()
            var configuration = Self.configuration(try Self.deadEndpoint(), other.endpoint)
            for (name, count) in [("a", 12), ("b", 12), ("c", 8)] {
                let fields = (0..<count).map { "x-\(name)-\($0): 1" }.joined(separator: ", ")
                configuration.plugins += Self.headers(name, "request: { set: { \(fields) } }")
            }
            configuration.filters = ["a", "b", "c"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.status == 200 && answer.all("x-sluice-fallback") == ["other/7"], "\(answer)")
            #expect(other.requests.last?.field("x-c-7") == "1")
            // Over HTTP/2 there is room for one more, too.
            let client = try gateway.http2()
            client.request(1, "GET", "/a")
            #expect(try client.answer(1).field("x-sluice-fallback") == "other/7")
        }

        /// The model that was asked in place of the first one has not answered either: what the client gets is the
        /// gateway's, and nobody gave it.
        @Test func anErrorOfTheGatewayIsNobodysAnswer() throws {
            let gate = Gate()
            defer { gate.open() }
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
            for (endpoint, status) in [(silent.endpoint, 504), (try Self.deadEndpoint(), 503)] {
                var configuration = Self.configuration(
                    try Self.deadEndpoint(), endpoint, filters: ("of-web", ""), timeout: 200)
                configuration.plugins = Self.headers("of-web", "response: { set: { x-own: a } }")
                let gateway = try Gateway(configuration)
                let answer = try gateway.get("/a")
                #expect(answer.status == status && answer.field("x-sluice-fallback") == nil, "\(answer)")
                // What a filter has set before stays, and that alone is taken away.
                #expect(answer.field("x-own") == "a")
                #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) == 1)
            }
            // An answer that the other model's endpoint gave is its own, whatever it says.
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            let gateway = try Gateway(Self.configuration(try Self.deadEndpoint(), failing.endpoint))
            let answer = try gateway.get("/a")
            #expect(answer.bodyText == "not now" && answer.field("x-sluice-fallback") == "other/7")
        }
    }
}
