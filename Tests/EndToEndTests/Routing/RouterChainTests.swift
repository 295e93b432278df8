import Foundation
import Testing

extension EndToEnd {
    /// Routers and filters that change what others see, over the wire.
    @Suite struct RouterChains {
        private static func named(_ name: String, fields: [String] = []) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in connection.answer(200, name, fields: fields) }
        }

        private static func version(_ name: String, _ backend: ScriptedBackend) -> String {
            "      \"\(name)\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: passthrough }"
        }

        @Test func experimentsAreToldToBothEnds() throws {
            let backend = try Self.named("it")
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = [
                "  - name: ab-test", "    library: libABTest.so", "    config:", "      request_header: x-experiment",
                "      response_header: x-variant", "      experiments:",
                "        - { name: size, model: web, key: { header: x-user }, "
                    + "variants: [ { name: a, version: \"1\" }, { name: b, version: \"1\" } ] }",
            ]
            configuration.router = "[ ab-test, by-version ]"
            let gateway = try Gateway(configuration)
            var told: Set<String> = []
            for index in 0..<30 {
                let answer = try gateway.get("/", fields: ["X-User: \(index)", "X-Experiment: forged"])
                let variant = try #require(answer.field("x-variant"))
                #expect(backend.requests.last?.all("x-experiment") == [variant])
                told.insert(variant)
            }
            #expect(told == ["size=a", "size=b"])
            let without = try gateway.get("/", fields: ["X-Experiment: forged"])
            #expect(without.status == 200 && without.field("x-variant") == nil)
            #expect(backend.requests.last?.field("x-experiment") == nil)
            let counted = try ["a", "b"].map {
                try gateway.metric(
                    "sluice_plugin_ab_test_exposures_total", ["experiment=\"size\"", "variant=\"\($0)\""])
            }
            #expect(counted.reduce(0, +) == 30 && counted.allSatisfy { $0 > 0 })
        }

        /// Two entries of the plugin say what they have assigned in one field: what a client says there is gone, and
        /// what the first entry has said stays.
        @Test func twoEntriesMayTellByOneField() throws {
            let backend = try Self.named("it")
            var configuration = GatewayConfiguration.web([backend.endpoint])
            for (name, key) in [("first", "x-user"), ("second", "x-guest")] {
                configuration.plugins += [
                    "  - name: \(name)", "    library: libABTest.so", "    config:",
                    "      request_header: x-experiment", "      response_header: x-variant", "      experiments:",
                    "        - { name: \(name), model: web, key: { header: \(key) }, "
                        + "variants: [ { name: a, version: \"1\" } ] }",
                ]
            }
            configuration.router = "[ first, second, by-version ]"
            let gateway = try Gateway(configuration)
            for (user, variant) in [("X-User: u", "first=a"), ("X-Guest: g", "second=a"), ("X-None: n", nil)] {
                for fields in [[user], [user, "X-Experiment: forged"]] {
                    let answer = try gateway.get("/", fields: fields)
                    #expect(answer.all("x-variant") == (variant.map { [$0] } ?? []), "\(fields)")
                    #expect(backend.requests.last?.all("x-experiment") == (variant.map { [$0] } ?? []), "\(fields)")
                }
            }
        }

        @Test func aTenantGoesToItsPool() throws {
            let (slow, fast) = (try Self.named("slow"), try Self.named("fast"))
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = [
                "  - name: api-key", "    library: libApiKey.so",
                "    config: { keys: [ { key: k1, tenant: acme }, { key: k2, tenant: other } ] }",
                "  - name: priority", "    library: libPriority.so",
                "    config: { tenants: { acme: { priority: 0, pools: { web: { version: fast } } } } }",
            ]
            configuration.filters = ["api-key"]
            configuration.router = "[ priority, by-version ]"
            configuration.models = [
                "  web:", "    versions:", Self.version("1", slow), Self.version("fast", fast),
                "    labels: { stable: \"1\" }",
            ]
            configuration.plugins += [
                "  - { name: stable, library: libByVersion.so, config: { default: stable } }"
            ]
            configuration.router = "[ priority, stable ]"
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/", fields: ["X-API-Key: k1"]).bodyText == "fast")
            #expect(try gateway.get("/", fields: ["X-API-Key: k2"]).bodyText == "slow")
            let counted = try gateway.metric("sluice_plugin_priority_requests_total", ["priority=\"0\""])
            #expect(counted == 1)
        }

        /// What one router of the chain has decided, the rules of the next one see.
        @Test func rulesSeeThePriorityThatWasGiven() throws {
            let (slow, fast) = (try Self.named("slow"), try Self.named("fast"))
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = [
                "  - name: priority", "    library: libPriority.so",
                "    config: { header: x-priority, header_limit: { unauthenticated: 0 } }",
                "  - name: rules", "    library: libContentBased.so", "    config:",
                "      rules: [ { when: priority <= 2, then: { model: web, version: \"2\" } } ]",
                "  - { name: one, library: libByVersion.so, config: { default: \"1\" } }",
            ]
            configuration.router = "[ priority, rules, one ]"
            configuration.models = ["  web:", "    versions:", Self.version("1", slow), Self.version("2", fast)]
            let gateway = try Gateway(configuration)
            for (priority, name) in [(0, "fast"), (2, "fast"), (3, "slow"), (9, "slow")] {
                #expect(try gateway.get("/", fields: ["X-Priority: \(priority)"]).bodyText == name, "\(priority)")
            }
            #expect(try gateway.get("/").bodyText == "slow")
        }

        private static let headers = [
            "  - name: headers", "    library: libHeaders.so", "    config:", "      request:",
            "        remove: [ x-debug ]", "        rename: { x-user: x-client-user }",
            "        set: { x-model: $(model), x-from: \"$(method) $(path)\" }",
            "        append: { x-forwarded-for: $(peer_address) }", "      response:",
            "        set: { x-answered-by: $(model)/$(version), x-fixed: here }", "        remove: [ server ]",
            "        rename: { x-took: x-backend-took }", "        append: { set-cookie: seen=1 }",
        ]

        @Test func fieldsAreEditedInBothDirections() throws {
            let backend = try Self.named("it", fields: ["Server: theirs", "X-Took: 3", "Set-Cookie: a=1"])
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = Self.headers
            configuration.filters = ["headers"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get(
                "/p?q",
                fields: ["X-Debug: 1", "X-User: a", "X-Forwarded-For: 10.0.0.1", "X-User: b", "X-Model: forged"])
            #expect(answer.status == 200)
            let request = try #require(backend.requests.last)
            #expect(request.field("x-debug") == nil && request.field("x-user") == nil)
            #expect(request.all("x-client-user") == ["a", "b"])
            #expect(request.all("x-model") == ["web"])
            #expect(request.all("x-from") == ["GET /p"])
            #expect(request.all("x-forwarded-for") == ["10.0.0.1", "127.0.0.1"])
            #expect(answer.all("x-answered-by") == ["web/1"])
            #expect(answer.all("x-fixed") == ["here"])
            #expect(answer.field("server") == nil && answer.field("x-took") == nil)
            #expect(answer.all("x-backend-took") == ["3"])
            #expect(answer.all("set-cookie") == ["a=1", "seen=1"])
            // An error of the gateway has what needs no answer.
            backend.stop()
            let failed = try gateway.get("/")
            #expect(failed.status >= 500)
            #expect(failed.all("x-fixed") == ["here"])
            #expect(failed.field("x-answered-by") == nil)
        }

        /// What is added stands beside what was set before; what is set or removed later takes the place of both.
        @Test func editsCountInTheirOrder() throws {
            let backend = try Self.named("it", fields: ["X-List: theirs", "X-Late: theirs"])
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let edits = "set: { x-list: a }, append: { x-list: b, x-late: early, x-gone: early }"
            let later = "set: { x-late: final }, remove: [ x-gone ], append: { x-list: c }"
            for (name, edits) in [("first", edits), ("second", later)] {
                configuration.plugins += [
                    "  - name: \(name)", "    library: libHeaders.so",
                    "    config: { request: { \(edits) }, response: { \(edits) } }",
                ]
            }
            configuration.filters = ["first", "second"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/", fields: ["X-List: client", "X-Late: client", "X-Gone: client"])
            for message in [answer, try #require(backend.requests.last)] {
                #expect(message.all("x-list") == ["a", "b", "c"])
                #expect(message.all("x-late") == ["final"])
                #expect(message.all("x-gone") == [])
            }
        }

        /// The same where both ends speak HTTP/2: the endpoint tells what it was sent in its answer.
        @Test func fieldsAreEditedOverHTTP2() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let seen = (peer.answers[stream]?.fields ?? []).filter { !$0.name.hasPrefix(":") }
                    let told = seen.map { "\($0.name)=\($0.value)" }.joined(separator: "\n")
                    peer.respond(stream, 200, told, fields: [("x-took", "3"), ("set-cookie", "a=1"), ("server", "x")])
                }
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.plugins = Self.headers
            configuration.filters = ["headers"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.request(
                1, "GET", "/p",
                fields: [("x-debug", "1"), ("x-user", "a"), ("x-user", "b"), ("x-forwarded-for", "10.0.0.1")])
            let answer = try client.answer(1)
            #expect(answer.status == 200)
            let told = answer.bodyText.split(separator: "\n").filter { !$0.hasPrefix("via=") && !$0.hasPrefix("te=") }
            #expect(
                told.sorted() == [
                    "x-client-user=a", "x-client-user=b", "x-forwarded-for=10.0.0.1", "x-forwarded-for=127.0.0.1",
                    "x-from=GET /p", "x-model=web",
                ])
            #expect(answer.fields.filter { $0.name == "set-cookie" }.map(\.value) == ["a=1", "seen=1"])
            #expect(answer.field("x-backend-took") == "3")
            #expect(answer.field("x-answered-by") == "web/1")
            #expect(answer.field("server") == nil && answer.field("x-took") == nil)
        }
    }
}
