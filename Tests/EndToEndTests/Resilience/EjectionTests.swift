import Foundation
import Testing

extension EndToEnd {
    /// What outlier detection and checks do to a pool together, and what neither may.
    @Suite struct Ejections {
        private static func configuration(_ endpoints: [String], _ model: [String]) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(endpoints)
            configuration.workers = 1
            configuration.balancer = "round-robin"
            configuration.models += model.map { "    " + $0 }
            return configuration
        }

        private static func unhealthy(_ gateway: Gateway) -> Int {
            gateway.log.components(separatedBy: "endpoint is unhealthy").count - 1
        }

        /// Two of three are dead: what the third answers is better than nothing.
        @Test func theLastLivingEndpointIsNotEjected() throws {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/health" ? 200 : 500, "ill")
            }
            let dead = try (0..<2).map { _ in "http://127.0.0.1:\(try Ports.refusing())" }
            let gateway = try Gateway(
                Self.configuration(
                    [backend.endpoint] + dead,
                    [
                        "health_check: { path: /health, interval_ms: 20, unhealthy_after: 1 }",
                        "outlier_detection: { consecutive_errors: 2, base_ejection_ms: 300000 }",
                    ]))
            try waitUntil("the dead ones are out") { Self.unhealthy(gateway) == 2 }
            // Each second failure is told to who ejects.
            for _ in 0..<20 { #expect(try gateway.get("/").status == 500) }
            #expect(try gateway.metric("sluice_ejections_total", ["model=\"web\""]) == 0)
        }

        /// One was ejected while the others were well.
        @Test func whoWasEjectedIsBackWhenTheOthersDie() throws {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/health" ? 200 : 500, "ill")
            }
            let other = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    [backend.endpoint, other.endpoint],
                    [
                        "health_check: { path: /health, interval_ms: 20, unhealthy_after: 1 }",
                        "outlier_detection: { consecutive_errors: 2, base_ejection_ms: 300000 }",
                    ]))
            try waitUntil("the ejection") {
                _ = try gateway.get("/")
                return try gateway.metric("sluice_ejections_total", ["model=\"web\""]) == 1
            }
            other.stop()
            try waitUntil("the other is out") { Self.unhealthy(gateway) == 1 }
            for _ in 0..<20 { #expect(try gateway.get("/").status == 500) }
            try gateway.awaitLog("endpoint is back in its pool")
        }

        /// Each reload begins another generation, with timers of its own.
        @Test func endpointsAreComparedHoweverOftenTheConfigurationIsLoaded() throws {
            let ill = try ScriptedBackend { connection, _ in connection.answer(500, "ill") }
            let well = try (0..<4).map { _ in try ScriptedBackend.ordinary() }
            func configuration(_ timeout: Int) -> GatewayConfiguration {
                Self.configuration(
                    [ill.endpoint] + well.map(\.endpoint),
                    [
                        "timeout_ms: \(timeout)",
                        "outlier_detection: { consecutive_errors: 0, interval_ms: 3000, minimum_requests: 2, "
                            + "base_ejection_ms: 300000 }",
                    ])
            }
            let gateway = try Gateway(configuration(60_000))
            var reloads = 0
            try waitUntil("the ejection", .after(seconds: 120)) {
                reloads += 1
                try gateway.write(configuration(60_000 + reloads))
                try #require(try gateway.reload().status == 0)
                for _ in 0..<15 { _ = try gateway.get("/") }
                return try gateway.metric("sluice_ejections_total", ["model=\"web\""]) == 1
            }
        }

        /// The gateway has no descriptor left: that it cannot ask is no word on the endpoint.
        @Test(arguments: ["http", "tcp"]) func aCheckThatCannotBeMadeIsNoFailure(_ kind: String) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    [backend.endpoint],
                    ["health_check: { type: \(kind), interval_ms: 20, timeout_ms: 2000, unhealthy_after: 1 }"]))
            try waitUntil("checks") { try gateway.metric("sluice_health_checks_total") >= 2 }
            func limit(_ what: String...) throws -> String {
                let outcome = try ChildProcess.run("prlimit", ["--pid", "\(gateway.process.pid)"] + what)
                try #require(outcome.status == 0, "\(outcome.errors)")
                return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
            }
            let ordinary = try limit("--nofile", "-o", "SOFT", "--noheadings")
            try waitUntil("some checks find no socket", .after(seconds: 120)) {
                _ = try limit("--nofile=\(ordinary):")
                let missed = try gateway.metric("sluice_rejected_total", ["reason=\"memory\""])
                // What is open stays open.
                _ = try limit("--nofile=3:")
                return missed >= 3
            }
            _ = try limit("--nofile=\(ordinary):")
            #expect(try gateway.metric("sluice_health_checks_failed_total") == 0)
            #expect(Self.unhealthy(gateway) == 0)
            #expect(try gateway.get("/").status == 200)
        }
    }
}
