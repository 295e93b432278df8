import Foundation
import Testing

extension EndToEnd {
    /// Keys by their digests, and from a file that a reload reads again.
    @Suite struct ApiKeys {
        /// What the page's command for a new key prints: the key, and what stands for it in the configuration.
        private static func newKey() throws -> (key: String, digest: String) {
            let page = try String(contentsOfFile: Clients.root + "/Docs/plugins/api-key.md", encoding: .utf8)
            let block = try #require(page.components(separatedBy: "```sh\n").last?.components(separatedBy: "```").first)
            let result = try ChildProcess.run("bash", ["-euc", block])
            #expect(result.status == 0, "\(result.errors)")
            let lines = result.output.split(separator: "\n")
            let key = try #require(lines.first?.split(separator: " ").last)
            return (String(key), String(try #require(lines.last)))
        }

        @Test func aFileOfDigestsIsReadAtEachReload() throws {
            let (first, second) = (try Self.newKey(), try Self.newKey())
            #expect(first.key.count == 64 && first.digest.hasPrefix("sha256:") && first.key != second.key)
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            try directory.write("keys", "# the first\n\(first.digest) acme\n")
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.filters = ["api-key", "headers"]
            configuration.plugins = [
                "  - name: api-key", "    library: libApiKey.so",
                "    config: { keys: [ { key: plain, tenant: old } ], key_file: \(directory.file("keys")) }",
                "  - name: headers", "    library: libHeaders.so",
                "    config: { response: { set: { x-tenant: \"$(tenant)\" } } }",
            ]
            let gateway = try Gateway(configuration)
            func tenant(_ key: String) throws -> String {
                let answer = try gateway.get("/", fields: ["Authorization: Bearer \(key)"])
                return answer.status == 200 ? answer.field("x-tenant") ?? "" : "\(answer.status)"
            }
            #expect(try ["plain", first.key, second.key].map(tenant) == ["old", "acme", "401"])
            #expect(try tenant(first.digest) == "401", "a digest is no key")

            try directory.write("keys", "\(second.digest) globex\n")
            #expect(try tenant(first.key) == "acme", "nothing changes by itself")
            #expect(try gateway.reload().status == 0)
            #expect(try ["plain", first.key, second.key].map(tenant) == ["old", "401", "globex"])

            try directory.write("keys", "\(second.digest) globex\nplain too\n")
            let refused = try gateway.reload()
            #expect(refused.status == 1)
            #expect((refused.output + refused.errors).contains("keys:2: this key is there already"))
            #expect(try tenant(second.key) == "globex", "what it had goes on")
        }
    }
}
