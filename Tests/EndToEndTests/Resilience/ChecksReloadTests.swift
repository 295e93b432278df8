import Foundation
import Testing

extension EndToEnd {
    /// What plugins see of checks, across a reload.
    @Suite struct ChecksReload {
        @Test func whoIsCheckedNoMoreCountsAsHealthy() throws {
            let ill = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/health" ? 500 : 200, "ill")
            }
            let well = try ScriptedBackend { connection, _ in connection.answer(200, "well") }
            let plugins = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.looking, "looking.so", in: plugins)
            func configuration(_ check: String) -> GatewayConfiguration {
                var made = GatewayConfiguration.web([ill.endpoint, well.endpoint])
                made.workers = 1
                made.balancer = "looking"
                made.plugins = ["  - { name: looking, library: \(library) }"]
                if !check.isEmpty { made.models.append("    health_check: { \(check) }") }
                return made
            }
            let gateway = try Gateway(configuration("path: /health, interval_ms: 20, unhealthy_after: 1"))
            try waitUntil("the first is out") { try gateway.get("/").bodyText == "well" }
            try gateway.write(configuration(""))
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").bodyText == "ill")
        }

        /// What another check had said of an endpoint is no longer anybody's to take back.
        @Test func aCheckThatCannotBeMadeAnyMoreLeavesNobodyOut() throws {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/health" ? 500 : 200, "well")
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.models.append("    health_check: { path: /health, interval_ms: 20, unhealthy_after: 1 }")
            let gateway = try Gateway(configuration)
            try waitUntil("it is out") { try gateway.get("/").status == 503 }
            configuration.models[configuration.models.count - 1] = "    health_check: { type: ready, interval_ms: 20 }"
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            try waitUntil("it is back") { try gateway.get("/").status == 200 }
        }

        /// A reload may wait for what it has named, and the checks of before go on meanwhile: what they say in the end
        /// is no longer anybody's to take back.
        @Test func whatChecksSayWhileTheirEndIsAwaitedIsForgotten() throws {
            let ill = Counter()
            let backend = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/health" && ill.value > 0 ? 500 : 200, "well")
            }
            let silent = try ScriptedBackend { connection in _ = connection.socket.closedByPeer(.after(seconds: 60)) }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let models = configuration.models
            configuration.plugins = ["  - { name: etcd, library: libEtcdDiscovery.so }"]
            configuration.models.append("    health_check: { path: /health, interval_ms: 20, unhealthy_after: 1 }")
            let gateway = try Gateway(configuration)
            let source = "prefix: /x/, endpoints: [ \"\(silent.endpoint)\" ]"
            let discovery = "discovery: { plugin: etcd, first_set_ms: 4000, config: { \(source) } }"
            configuration.models = models
            configuration.models += ["  late:", "    versions: { \"1\": { \(discovery), protocol: passthrough } }"]
            try gateway.write(configuration)
            gateway.process.signal(SIGHUP)
            try waitUntil("the reload waits") { silent.connectionCount > 0 }
            ill.add(1)
            try gateway.awaitLog("endpoint is unhealthy")
            try gateway.awaitLog("generation 2 is in force")
            #expect(try gateway.metric("sluice_endpoint_healthy", [backend.endpoint]) == 1)
        }

        /// The protocol has no question whether a model is ready: that is no word on its endpoints.
        @Test func aCheckThatCannotBeMadeTakesNobodyOut() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "well") }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.models.append("    health_check: { type: ready, interval_ms: 20, unhealthy_after: 1 }")
            let gateway = try Gateway(configuration)
            try waitUntil("the log says so") { gateway.log.contains("no health check of type ready") }
            #expect(try gateway.get("/").bodyText == "well")
            #expect(try gateway.metric("sluice_endpoint_healthy", [backend.endpoint]) == 1)
            #expect(backend.requests.map(\.target) == ["/"])
        }

        /// Nobody has named a version: neither has the check, and the endpoint may know none.
        @Test func aCheckNamesAVersionOnlyWhereTheConfigurationDoes() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "{}") }
            var configuration = GatewayConfiguration()
            for upstream in ["", ", upstream: { version: \"7\" }"] {
                configuration.models = [
                    "  m:", "    versions:",
                    "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference\(upstream) }",
                    "    health_check: { type: ready, interval_ms: 20 }",
                ]
                let gateway = try Gateway(configuration)
                let path = upstream.isEmpty ? "/v2/models/m/ready" : "/v2/models/m/versions/7/ready"
                try waitUntil("it is asked") { backend.requests.contains { $0.target == path } }
                #expect(try gateway.stop() == 0)
            }
            #expect(!backend.requests.contains { $0.target.contains("versions/1") })
        }

        /// Takes the first endpoint whose load says that it is healthy.
        private static let looking = CompiledPlugin.balancer(build: "looking", highest: false)
            .replacingOccurrences(
                of: "if (!sluice_pick_eligible(pick, i)) continue;",
                with: """
                    if (!sluice_pick_eligible(pick, i)) continue;
                    if (!sluice_load_u32(&pick->endpoints[i].load->healthy)) continue;
                    """)
    }
}
