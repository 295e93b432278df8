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
