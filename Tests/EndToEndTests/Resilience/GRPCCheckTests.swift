import Foundation
import Testing

extension EndToEnd {
    /// Checks of health by grpc.health.v1, against grpcio's own implementation of it.
    @Suite(.enabled(if: Clients.wanted)) struct GRPCChecks {
        private static func check(_ more: String) -> String {
            "    health_check: { type: grpc, interval_ms: 20, timeout_ms: 10000, \(more) }"
        }

        @Test func whoSaysThatItDoesNotServeIsOutUntilItDoes() throws {
            let backends = try PatientBackend.some(2, .grpc)
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.balancer = "round-robin"
            let list = backends.map { "\"\($0.endpoint)\"" }.joined(separator: ", ")
            configuration.models = [
                "  m:", "    versions: { \"1\": { endpoints: [ \(list) ], protocol: open-inference } }",
                Self.check("unhealthy_after: 2, healthy_after: 2"),
            ]
            let gateway = try Gateway(configuration)
            func isHealthy(_ backend: PatientBackend) throws -> Bool {
                try gateway.metric("sluice_endpoint_healthy", [backend.label]) == 1
            }
            func successes(_ backend: PatientBackend) throws -> Double {
                try gateway.metric("sluice_attempts_total", [backend.label, "outcome=\"success\""])
            }
            func ask(_ times: Int) throws {
                for _ in 0..<times {
                    let answer = try gateway.call(Faults.call, fields: [], message: Faults.message)
                    #expect(answer.grpcStatus == "0", "\(answer)")
                }
            }
            try waitUntil("checks") { try gateway.metric("sluice_health_checks_total", ["model=\"m\""]) >= 4 }
            #expect(try gateway.metric("sluice_health_checks_failed_total") == 0)
            try ask(10)
            for backend in backends { #expect(try successes(backend) > 0) }

            let tired = backends[0]
            tired.toggleServing()
            try waitUntil("it is out") { try !isHealthy(tired) }
            #expect(try isHealthy(backends[1]))
            let before = try successes(tired)
            try ask(10)
            // It would have served them: it is left alone for what it says of itself.
            #expect(try successes(tired) == before)
            #expect(try gateway.metric("sluice_health_checks_failed_total") >= 2)

            tired.toggleServing()
            try waitUntil("it is back") { try isHealthy(tired) }
            try waitUntil("it is asked") {
                try ask(1)
                return try successes(tired) > before
            }
        }

        /// The service that is asked about, and whether the endpoint is then healthy. Of "other" the server knows
        /// nothing; as a whole it says that it does not serve.
        @Test(arguments: [("good", true), ("tired", false), ("other", false), ("", false)])
        func theServiceThatIsNamedCounts(_ service: String, _ serves: Bool) throws {
            let server = try PythonServer("serve_grpc.py")
            var configuration = GatewayConfiguration.web(["grpc://127.0.0.1:\(server.port)"])
            configuration.models.append(Self.check("service: \"\(service)\", unhealthy_after: 1"))
            let gateway = try Gateway(configuration)
            try waitUntil("checks") { try gateway.metric("sluice_health_checks_total") >= 2 }
            #expect(try gateway.metric("sluice_endpoint_healthy") == (serves ? 1 : 0))
            #expect(try gateway.metric("sluice_health_checks_failed_total") == 0 || !serves)
            let answer = try gateway.call("/test.Echo/Unary", fields: [])
            #expect(answer.grpcStatus == (serves ? "0" : "14"), "\(answer)")
        }

        /// A server of HTTP/2 that has no such service says UNIMPLEMENTED: it cannot be said to serve.
        @Test func aServerWithoutTheServiceIsNotHealthy() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 600)) {
                    peer.respond(
                        stream, 200, "", fields: [("content-type", "application/grpc"), ("grpc-status", "12")])
                }
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.models.append(Self.check("unhealthy_after: 1"))
            let gateway = try Gateway(configuration)
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy") == 0 }
        }
    }
}
