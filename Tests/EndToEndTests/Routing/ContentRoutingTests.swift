import Foundation
import Testing

extension EndToEnd {
    /// Rules over what requests say, and functions of libraries in them, with the real gateway.
    @Suite struct ContentRouting {
        private static func named(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in
                connection.answer(
                    200,
                    #"{"model_name":"\#(name)","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1]}]}"#,
                    fields: ["Content-Type: application/json"])
            }
        }

        private static func configuration(
            _ models: [(String, ScriptedBackend)], protocol adapter: String, rules: [String], functions: [String] = []
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.plugins = ["  - name: content-based", "    library: libContentBased.so"]
            configuration.plugins += ["    config:", "      rules:"] + rules.map { "        - \($0)" }
            if !functions.isEmpty { configuration.plugins += ["functions:"] + functions.map { "  - \($0)" } }
            configuration.router = "[ content-based, by-version ]"
            configuration.models = models.flatMap { name, backend in
                [
                    "  \(name):", "    versions:",
                    "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: \(adapter) }",
                ]
            }
            return configuration
        }

        private static func image(width: Int) -> String {
            let data = Array(repeating: "0", count: width).joined(separator: ",")
            return #"{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,\#(width)],"data":[\#(data)]}]}"#
        }

        @Test func imagesWiderThan1024GoToTheLargeModel() throws {
            let (small, large) = (try Self.named("image"), try Self.named("image-large"))
            let gateway = try Gateway(
                Self.configuration(
                    [("image", small), ("image-large", large)], protocol: "open-inference",
                    rules: [
                        #"{ name: wide, when: 'tensor("image").shape[-1] > 1024', then: { model: image-large } }"#
                    ]))
            for (width, backend) in [(1024, small), (1025, large), (3, small), (2000, large)] {
                let before = backend.requests.count
                let answer = try gateway.post("/v2/models/image/infer", Self.image(width: width))
                #expect(answer.status == 200, "\(answer.bodyText)")
                #expect(backend.requests.count == before + 1, "\(width)")
            }
            #expect(large.requests.allSatisfy { $0.target.contains("image-large") })
            #expect(try gateway.metric("sluice_plugin_content_based_matches_total", ["rule=\"wide\""]) == 2)
            #expect(try gateway.metric("sluice_plugin_content_based_unmatched_total") == 2)
        }

        @Test func fieldsOfJSONChooseTheModel() throws {
            let (web, pro) = (try Self.named("web"), try Self.named("pro"))
            let gateway = try Gateway(
                Self.configuration(
                    [("web", web), ("pro", pro)], protocol: "passthrough",
                    rules: [
                        #"{ when: 'method == "POST" and json("user.plan") == "pro"', then: { model: pro } }"#
                    ]))
            _ = try gateway.post("/a", #"{"user": {"plan": "pro"}}"#)
            _ = try gateway.post("/b", #"{"user": {"plan": "free"}}"#)
            _ = try gateway.post("/c", "no JSON")
            _ = try gateway.get("/d")
            #expect(pro.requests.map(\.target) == ["/a"])
            #expect(pro.requests.first?.bodyText == #"{"user": {"plan": "pro"}}"#)
            #expect(web.requests.map(\.target) == ["/b", "/c", "/d"])
        }

        private static let library = """
            #include <stdint.h>
            #include <stdbool.h>
            #include <stddef.h>
            uint32_t vowels(const uint8_t *text, size_t size) {
              uint32_t found = 0;
              for (size_t i = 0; i < size; i++)
                for (const char *v = "aeiou"; *v; v++) found += text[i] == (uint8_t)*v;
              return found;
            }
            bool is_between(int8_t low, double value, float high, uint16_t more) {
              return low < value && value < high + more;
            }
            int version = 7;
            """

        @Test func functionsOfLibrariesDecide() throws {
            let directory = try TemporaryDirectory()
            let path = try CompiledPlugin.c(Self.library, "libvowels.so", in: directory)
            let backends = try ["web", "zlib", "libm", "own"].map { ($0, try Self.named($0)) }
            let gateway = try Gateway(
                Self.configuration(
                    backends, protocol: "passthrough",
                    rules: [
                        // The check value of CRC-32: that of the nine digits.
                        "{ when: 'crc32(0, body) == 3421780262', then: { model: zlib } }",
                        #"{ when: 'pow(number(header("x-base")), 10) == 1024 and fabs(-2.5) == 2.5', "#
                            + "then: { model: libm } }",
                        #"{ when: 'vowels(path) == 5 and is_between(-3, integer(query("n")), 2.5, 7)', "#
                            + "then: { model: own } }",
                    ],
                    functions: [
                        #"{ name: crc32, library: libz.so.1, signature: "u64(u64, bytes)" }"#,
                        #"{ name: pow, library: libm.so.6, signature: "f64(f64, f64)" }"#,
                        #"{ name: fabs, library: libm.so.6, symbol: fabs, signature: "f64(f64)" }"#,
                        #"{ name: vowels, library: "\#(path)", signature: "u32(bytes)" }"#,
                        #"{ name: is_between, library: "\#(path)", signature: "bool(i8, f64, f32, u16)" }"#,
                    ]))
            _ = try gateway.post("/a", "123456789")
            _ = try gateway.post("/b", "987654321", fields: ["X-Base: 2"])
            _ = try gateway.get("/aeiou?n=9")
            _ = try gateway.get("/aeiou?n=10")
            _ = try gateway.get("/aeiou?n=-3")
            let targets = backends.map { $0.1.requests.map(\.target) }
            #expect(targets == [["/aeiou?n=10", "/aeiou?n=-3"], ["/a"], ["/b"], ["/aeiou?n=9"]])
        }

        @Test func mistakesInFunctionsAreToldAtTheirPlace() throws {
            let directory = try TemporaryDirectory()
            let path = try CompiledPlugin.c(Self.library, "libvowels.so", in: directory)
            let open = try CompiledPlugin.c(Self.library, "libopen.so", in: directory)
            #expect(chmod(open, 0o777) == 0)
            let text = try directory.write("libtext.so", "no library")
            let web = try Self.named("web")
            let cases: [(function: String, message: String)] = [
                (#"{ name: f, library: libnone.so.9, signature: "u8()" }"#, "it cannot be loaded"),
                (#"{ name: f, library: "\#(path)", symbol: vowel, signature: "u8()" }"#, "has no symbol `vowel`"),
                (#"{ name: f, library: "\#(path)", symbol: version, signature: "u8()" }"#, "is data, not a function"),
                (#"{ name: f, library: "\#(path)", symbol: vowels, signature: "u8(byte)" }"#, "column 4 of the sign"),
                (#"{ name: exists, library: libm.so.6, signature: "u8()" }"#, "is a word of the rule language"),
                (#"{ name: f, library: "\#(open)", symbol: vowels, signature: "u8()" }"#, "every user may write it"),
                (#"{ name: f, library: "\#(text)", symbol: vowels, signature: "u8()" }"#, "libtext.so: "),
                (#"{ name: crc33, library: libz.so.1, symbol: crc32, signature: "u64(u64)" }"#, "takes 1 argument"),
            ]
            for (function, message) in cases {
                let configuration = Self.configuration(
                    [("web", web)], protocol: "passthrough",
                    rules: ["{ when: 'crc33(0, body) == 1', then: { priority: 1 } }"], functions: [function])
                try directory.write("plugins.yaml", configuration.text(in: directory))
                let outcome = try Gateway.command(
                    ["check", "--config", directory.file("plugins.yaml")], directory: directory.path)
                #expect(outcome.status == 1, "\(function)")
                #expect(outcome.errors.contains(#/plugins\.yaml:\d+:\d+: error: /#), "\(outcome.errors)")
                #expect(outcome.errors.contains(message), "\(function): \(outcome.errors)")
            }
        }

        @Test func aRuleIsCheckedAtItsColumn() throws {
            let directory = try TemporaryDirectory()
            let web = try Self.named("web")
            let configuration = Self.configuration(
                [("web", web)], protocol: "passthrough",
                rules: [#"{ when: 'method == "GET" and priorty > 3', then: { priority: 1 } }"#])
            try directory.write("plugins.yaml", configuration.text(in: directory))
            let outcome = try Gateway.command(
                ["check", "--config", directory.file("plugins.yaml")], directory: directory.path)
            #expect(outcome.status == 1)
            let wanted = "column 21 of the rule: `priorty` is no field; did you mean `priority`?"
            #expect(outcome.errors.contains(wanted), "\(outcome.errors)")
        }
    }
}
