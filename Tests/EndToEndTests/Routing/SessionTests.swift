import Foundation
import Testing

extension EndToEnd {
    /// Sessions over the wire: cookies that are given, keys that later routers stick to, and what a busy version
    /// spills.
    @Suite struct Sessions {
        private static func version(_ name: String, _ backend: ScriptedBackend) -> String {
            "      \"\(name)\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: passthrough }"
        }

        /// A session that one router finds is what the next sticks to.
        @Test func theSessionOfOneRouterIsTheKeyOfTheNext() throws {
            let backends = try ["1", "2"].map {
                name in
                try ScriptedBackend { connection, _ in
                    connection.answer(200, name, fields: ["Set-Cookie: theirs=1", "Set-Cookie: b=2"])
                }

            }
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = [
                "  - { name: session, library: libSession.so, config: { set_cookie: { name: sid, max_age: 60 } } }",
                "  - { name: canary, library: libCanary.so }",
            ]
            configuration.router = "[ session, canary ]"
            configuration.models = ["  web:", "    versions:"]
            configuration.models += zip(["1", "2"], backends).map(Self.version)
            let gateway = try Gateway(configuration)
            var seen: Set<String> = []
            for _ in 0..<20 {
                let first = try gateway.get("/")
                let cookies = first.all("set-cookie")
                // The endpoint's own are not replaced.
                #expect(cookies.prefix(2) == ["theirs=1", "b=2"])
                let own = try #require(cookies.dropFirst(2).first)
                let cookie = try #require(own.split(separator: ";").first)
                #expect(own.hasPrefix("sid=") && own.hasSuffix("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"))
                let second = try gateway.get("/", fields: ["Cookie: a=b; \(cookie)"])
                #expect(second.bodyText == first.bodyText)
                #expect(second.all("set-cookie") == ["theirs=1", "b=2"])
                seen.insert(first.bodyText)
            }
            #expect(seen == ["1", "2"])
            #expect(try gateway.metric("sluice_plugin_canary_unkeyed_requests_total") == 0)
            #expect(try gateway.metric("sluice_plugin_session_issued_cookies_total") == 20)
        }

        /// A balancer that hashes goes by the session that the router found, where a query is all that says it.
        @Test func aBalancerThatHashesKeepsASessionOnItsEndpoint() throws {
            let backends = try ["a", "b", "c"].map { name in
                try ScriptedBackend { connection, _ in connection.answer(200, name) }
            }
            var configuration = GatewayConfiguration.web(backends.map(\.endpoint))
            configuration.plugins = [
                "  - { name: session, library: libSession.so, config: { key: { query: user } } }",
                "  - { name: ring-hash, library: libRingHash.so }",
            ]
            configuration.router = "[ session, by-version ]"
            configuration.balancer = "ring-hash"
            let gateway = try Gateway(configuration)
            var seen: Set<String> = []
            for user in 0..<30 {
                let first = try gateway.get("/?user=\(user)").bodyText
                for page in 0..<3 { #expect(try gateway.get("/\(page)?x=1&user=\(user)").bodyText == first) }
                seen.insert(first)
            }
            #expect(seen == ["a", "b", "c"])
        }

        /// While all of a version's share of attempts is under way, its sessions go elsewhere, and then come back.
        @Test func aBusyVersionSpillsItsSessions() throws {
            let release = Counter()
            let backends = try ["1", "2"].map { name in
                try ScriptedBackend { connection, request in
                    if request.target == "/slow" { try? waitUntil("the test lets it answer") { release.value > 0 } }
                    connection.answer(200, name)
                }
            }
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = [
                "  - { name: session, library: libSession.so, config: { key: { header: x-s }, "
                    + "choose: { web: versions }, load_factor: 1.0 } }"
            ]
            configuration.router = "session"
            // One worker has counted an attempt's end before it reads the next request.
            configuration.workers = 1
            configuration.gateway = ["  routing: { default_timeout_ms: 60000 }"]
            configuration.models = ["  web:", "    versions:"]
            configuration.models += zip(["1", "2"], backends).map(Self.version)
            let gateway = try Gateway(configuration)
            let own = try gateway.get("/", fields: ["X-S: me"]).bodyText
            for _ in 0..<5 { #expect(try gateway.get("/", fields: ["X-S: me"]).bodyText == own) }
            var waiting: [MessageReader] = []
            // With a factor of 1 the second attempt in a row finds its version with more than half of all.
            for _ in 0..<2 {
                let reader = MessageReader(try gateway.connect())
                reader.socket.send("GET /slow HTTP/1.1\r\nHost: a\r\nX-S: me\r\n\r\n")
                waiting.append(reader)
                try waitUntil("it is under way") {
                    backends.reduce(0) { $0 + $1.requests.count { $0.target == "/slow" } } == waiting.count
                }
            }
            release.add(1)
            let answers = try waiting.map { try #require(try $0.response()).bodyText }
            #expect(answers == [own, own == "1" ? "2" : "1"])
            #expect(try gateway.metric("sluice_plugin_session_spilled_requests_total") == 1)
            try waitUntil("nothing is under way") { try gateway.get("/", fields: ["X-S: me"]).bodyText == own }
        }
    }
}
