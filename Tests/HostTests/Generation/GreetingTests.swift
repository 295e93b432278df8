import Configuration
import Testing

@testable import Host

/// The line that `serve` prints for an operator to try.
@Suite struct GreetingTests {
    private func request(
        _ adapters: [String], models: [String] = [], routes: String = "[ { prefix: /, model: m } ]"
    ) throws -> String? {
        let named = ["open-inference", "rest-predict", "openai", "tf-serving", "passthrough"]
        var lines = ["plugins:"]
        for name in named {
            let config = name == "passthrough" ? ", config: { routes: \(routes) }" : ""
            lines.append("  - { name: \(name), library: /p/\(name).so\(config) }")
        }
        for name in ["linear-model", "round-robin"] { lines.append("  - { name: \(name), library: /p/\(name).so }") }
        lines.append("pipeline: { adapters: [ \(adapters.joined(separator: ", ")) ], balancer: round-robin }")
        if !models.isEmpty { lines.append("models:") }
        lines += models.map { "  " + $0 }
        let read = ConfigurationReader(environment: [:]).read(
            text: Array(lines.joined(separator: "\n").utf8), name: "plugins.yaml", directory: "/etc/sluice")
        let settings = try #require(read.settings, "\(read.diagnostics)")
        return Greeting.request(settings)
    }

    private func model(_ name: String, _ versions: String...) -> String {
        let list = versions.enumerated().map { "\"\($0.offset + 1)\": { \($0.element) }" }
        return "\(name): { versions: { \(list.joined(separator: ", ")) } }"
    }

    private func endpoints(_ adapter: String) -> String {
        "endpoints: [ \"http://127.0.0.1:1\" ], protocol: \(adapter)"
    }

    @Test func aModelIsTriedThatAnswersTheQuestion() throws {
        let own = "backend: linear-model"
        let chat = model("chat", endpoints("openai"))
        for (models, expected) in [
            ([], "/v2/models"), ([chat], "/v2/models"),
            ([chat, model("m", endpoints("open-inference"))], "/v2/models/m"),
            ([chat, model("own", own)], "/v2/models/own"),
            ([model("two", endpoints("openai"), own)], "/v2/models/two/versions/2"),
            ([model("two", own, own)], "/v2/models/two/versions/1"),
            ([model("\"org/m\"", own), model("m", own)], "/v2/models/m"), ([model("\"a b\"", own)], "/v2/models"),
            ([model("iris", endpoints("open-inference"))], "/v2/models/iris"),
        ] {
            #expect(try request(["openai", "open-inference"], models: models) == expected, "\(models)")
        }
        let iris = try #require(try request(["open-inference"], models: [chat, model("iris", own)]))
        #expect(iris.hasPrefix("/v2/models/iris/infer -H 'Content-Type: application/json' -d '{\"inputs\":[{"))
        #expect(!iris.contains("\n"))
    }

    @Test func elseAListIsTriedThatTheGatewayHas() throws {
        let models = [model("m", "backend: linear-model")]
        for (adapters, expected) in [
            (["rest-predict"], "/v1/models"), (["openai"], "/v1/models"), (["passthrough", "openai"], "/v1/models"),
            (["tf-serving"], nil), ([], nil),
        ] as [([String], String?)] {
            #expect(try request(adapters, models: models) == expected, "\(adapters)")
        }
    }

    @Test func aPrefixIsTriedThatPasses() throws {
        for (routes, expected) in [
            ("[ { prefix: /, model: m } ]", "/"), ("[ { prefix: /api/v3/, model: m } ]", "/api/v3/"),
            (
                "[ { prefix: /a, host: h, model: m }, { prefix: /b, header: { name: x }, model: m }, "
                    + "{ prefix: /c, model: m } ]", "/c"
            ),
            ("[ { host: h, model: m } ]", nil),
            ("[ { prefix: \"/a b\", model: m }, { prefix: \"/$x\", model: m } ]", nil),
            ("{}", nil),
        ] as [(String, String?)] {
            #expect(try request(["passthrough"], routes: routes) == expected, "\(routes)")
        }
    }
}
