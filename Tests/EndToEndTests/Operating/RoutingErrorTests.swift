import Foundation
import Testing

extension EndToEnd {
    /// What cannot be routed is told as the configuration is read, at the place where it stands, with what to do.
    @Suite struct RoutingErrors {
        /// A configuration in which `«` stands before what is wrong, and what is said of that.
        struct Mistake: Sendable, CustomTestStringConvertible {
            var plugin = ""
            var router = "by-version"
            var function = "{ name: crc32, library: libz.so.1, signature: \"u64(u64, bytes)\" }"
            var versions = Mistake.version("1", "weight: 1")
            var says: String

            var testDescription: String { says }

            static func version(_ name: String, _ more: String) -> String {
                "      \"\(name)\": { endpoints: [ \"http://127.0.0.1:1\" ], protocol: open-inference, \(more) }\n"
            }

            /// Both versions of the model, of which none is to get anything.
            static let weightless = version("1", "weight: 0") + version("2", "weight: 0")

            static func rule(_ when: String, then: String = "{ model: m }") -> String {
                "  - { name: rules, library: libContentBased.so, config: "
                    + "{ rules: [ { when: \(when), then: \(then) } ] } }\n"
            }

            var text: String {
                """
                plugins:
                  - { name: open-inference, library: libOpenInference.so }
                  - { name: by-version, library: libByVersion.so }
                \(plugin)functions:
                  - \(function)
                pipeline:
                  adapters: open-inference
                  router: \(router)
                models:
                  m:
                    versions:
                \(versions)
                """
            }
        }

        private static func rule(_ when: String, _ says: String) -> Mistake {
            Mistake(plugin: Mistake.rule("«'\(when)'"), router: "[ rules, by-version ]", says: says)
        }

        private static func function(_ function: String, _ says: String) -> Mistake {
            Mistake(
                plugin: Mistake.rule("'crc32(0, path) > 1'"), router: "[ rules, by-version ]", function: function,
                says: says)
        }

        private static let mistakes = [
            // Weights that sum to zero.
            Mistake(
                plugin: "  - { name: «canary, library: libCanary.so }\n", router: "canary",
                versions: Mistake.weightless,
                says:
                    "the weights of the versions of model 'm' sum to zero, so that none could be chosen; give at least "
                    + "one of them a `weight` above 0"),
            Mistake(
                plugin: "  - { name: session, library: libSession.so, "
                    + "config: { key: { peer: true }, choose: { m: «versions } } }\n",
                router: "session", versions: Mistake.weightless,
                says:
                    "the weights of the versions of model 'm' sum to zero, so that none could be chosen; give at least "
                    + "one of them a `weight` above 0"),
            Mistake(
                plugin: "  - { name: ab, library: libABTest.so, config: { experiments: [ { name: e, model: m, "
                    + "key: { peer: true }, variants: «[ { name: a, version: \"1\", weight: 0 } ] } ] } }\n",
                router: "[ ab, by-version ]",
                says: "the weights of the variants sum to zero; give at least one of them a `weight` above 0"),
            Mistake(
                versions: Mistake.version("1", "weight: «-1"),
                says: "`weight` takes a whole number from 0 to 1000000, not `-1`"),
            // An empty pool.
            Mistake(
                versions: "      \"1\": { endpoints: «[ ], protocol: open-inference }\n",
                says: "`endpoints` takes a list of at least 1 item"),
            Mistake(
                versions: "      \"1\": «{ protocol: open-inference }\n",
                says: "one of `endpoints`, `discovery` or `backend` is missing; a version is served by endpoints, by "
                    + "those that a discovery finds, or in this process by a backend plugin"),
            // A model that is not there.
            Mistake(
                plugin: "  - { name: pass, library: libPassthrough.so, "
                    + "config: { routes: [ { prefix: /, model: «nobody } ] } }\n",
                versions: "      \"1\": { endpoints: [ \"http://127.0.0.1:1\" ], protocol: pass }\n",
                says: "no model is named 'nobody'; list it under `models`"),
            // Rules with wrong types.
            rule("method > 5", "column 1 of the rule: `>` compares numbers, and this is a text; write integer(…)"),
            rule(
                "tensor(\"x\").shape[0] == \"a\"", "column 22 of the rule: a whole number is never equal to a text; put"
            ),
            rule("header(\"x\")", "column 1 of the rule: a rule takes a condition, and this is a text; compare it"),
            rule(
                "tenant in [1, 2]", "column 12 of the rule: a text is never equal to a whole number; list values of one"
            ),
            rule("crc32(\"a\", path) > 1", "column 7 of the rule: `crc32` takes u64 here, and this is a text; write"),
            rule("nobody(1) > 1", "column 1 of the rule: no function is named `nobody`; declare it under `functions`"),
            Mistake(
                plugin: Mistake.rule("'path == \"/\"'", then: "{ model: «nobody }"), router: "[ rules, by-version ]",
                says: "no model is named 'nobody'; known are m"),
            Mistake(
                plugin: Mistake.rule("'path == \"/\"'", then: "{ model: m, priority: «high }"),
                router: "[ rules, by-version ]", says: "plugin `rules`: expected a whole number, not text"),
            // A function whose library, symbol or signature is wrong.
            function(
                "{ name: crc32, library: libz.so.1, symbol: «crc33, signature: \"u64(u64, bytes)\" }",
                "function `crc32`: /lib/"),
            function(
                "{ name: crc32, library: «libnobody.so.1, signature: \"u64(u64, bytes)\" }",
                "function `crc32`: it cannot be loaded: libnobody.so.1: "),
            function(
                "{ name: crc32, library: «/nonexistent/libz.so, signature: \"u64(u64, bytes)\" }",
                "function `crc32`: /nonexistent/libz.so: there is no such file; check the path"),
            function(
                "{ name: crc32, library: libz.so.1, signature: «\"u64(u64, byte)\" }",
                "function `crc32`: column 10 of the signature: `byte` is no type; did you mean `bytes`?"),
            function(
                "{ name: crc32, library: libz.so.1, signature: «\"u64 u64, bytes\" }",
                "function `crc32`: column 5 of the signature: expected `(`, not `u64`; a signature reads like"),
            function(
                "{ name: crc32, library: libz.so.1, signature: «\"\" }",
                "function `crc32`: column 1 of the signature: expected a type, not the end of the signature; a"),
            function(
                "{ name: crc32, library: libz.so.1, signature: «\"bytes(u64)\" }",
                "function `crc32`: column 1 of the signature: a function cannot return bytes; it returns a number"),
        ]

        @Test(arguments: mistakes) func isToldAtItsPlace(_ mistake: Mistake) throws {
            let directory = try TemporaryDirectory()
            let marked = mistake.text
            let before = try #require(marked.range(of: "«")?.lowerBound)
            let lines = marked[..<before].split(separator: "\n", omittingEmptySubsequences: false)
            let place = "plugins.yaml:\(lines.count):\((lines.last?.count ?? 0) + 1): error: "
            let path = try directory.write("plugins.yaml", marked.replacingOccurrences(of: "«", with: ""))
            for command in ["check", "serve"] {
                let outcome = try Gateway.command([command, "--config", path], directory: directory.path)
                #expect(outcome.status == 1)
                let errors = outcome.errors.split(separator: "\n").filter { $0.contains(": error: ") }
                // One mistake is one error.
                #expect(errors.count == 1, "\(outcome.errors)")
                #expect(errors.first?.contains(place) == true, "expected \(place)\n\(outcome.errors)")
                #expect(errors.first?.contains(mistake.says) == true, "\(outcome.errors)")
            }
        }

        /// A pool that is empty at run time, since discovery has found nobody: it is told, and nothing is stalled.
        @Test func aPoolThatDiscoveryLeavesEmptyAnswersAtOnce() throws {
            let directory = try TemporaryDirectory()
            let list = try directory.write("endpoints.yaml", "[]\n")
            let gateway = try Gateway(text: Discovery.configuration(list).text(in: directory), in: directory)
            let answer = try gateway.get("/")
            #expect(answer.status == 503)
            #expect(answer.bodyText.contains("the model has no healthy endpoint"))
            #expect(try gateway.metric("sluice_rejected_total", ["reason=\"no_endpoint\""]) == 1)
        }
    }
}
