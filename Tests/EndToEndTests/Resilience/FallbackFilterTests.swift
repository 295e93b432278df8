import Foundation
import Testing

extension EndToEnd {
    /// Whose filters see an answer that another model gives.
    @Suite struct FallbackFilters {
        private static func configuration(
            _ first: String, _ second: String, filters: (String, String) = ("", "")
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.workers = 1
            configuration.models = [
                "  web:", "    versions: { \"1\": { endpoints: [ \"\(first)\" ], protocol: passthrough } }",
                "    fallback: { model: other }", "    filters: [ \(filters.0) ]",
                "  other:", "    versions: { \"7\": { endpoints: [ \"\(second)\" ], protocol: passthrough } }",
                "    filters: [ \(filters.1) ]",
            ]
            return configuration
        }

        private static func headers(_ name: String, _ config: String) -> [String] {
            ["  - name: \(name)", "    library: libHeaders.so", "    config: { \(config) }"]
        }

        private static func deadEndpoint() throws -> String { "http://127.0.0.1:\(try Clients.freePort())" }

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
    }
}
