import Foundation
import Testing

extension EndToEnd {
    /// What is open while configurations and certificates change stays whole.
    @Suite struct TLSReload {
        @Test func reloadsBreakNothingOverTLS() throws {
            let certificates = try Certificates()
            for name in ["one", "two"] { try certificates.make(name, "DNS:localhost,IP:127.0.0.1") }
            var behind = GatewayConfiguration()
            behind.listeners = [certificates.listener("one")]
            behind.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let second = try Gateway(behind)
            func write(_ gateway: Gateway?, _ index: Int) throws -> GatewayConfiguration {
                var front = GatewayConfiguration()
                front.adapters = ["passthrough"]
                front.listeners = [certificates.listener(index % 2 == 0 ? "one" : "two")]
                front.balancer = index % 3 == 0 ? "round-robin" : "least-request"
                let scheme = index % 4 < 2 ? "https" : "grpcs"
                front.models = [
                    "  web: { versions: { \"1\": { endpoints: [ \"\(scheme)://localhost:\(second.port)\" ], protocol: "
                        + "passthrough, tls: { ca: \(certificates.file("ca.pem")) } } } }"
                ]
                try gateway?.write(front)
                return front
            }
            let gateway = try Gateway(write(nil, 0))
            let url = "https://localhost:\(gateway.port)/v2/models"
            let loads = try [["--h1"], ["-m", "8"]].map {
                try ChildProcess("h2load", $0 + ["-c", "8", "-t", "1", "-n", "12000", url])
            }
            try waitUntil("both loads run") { try gateway.metric("sluice_requests_total") > 200 }
            var count = 0
            while loads.contains(where: { $0.poll() == nil }) {
                count += 1
                if count % 10 == 0 {
                    try gateway.directory.write("plugins.yaml", "gateway: { servers: {} }\n")
                    try #require(gateway.reload().status == 1)
                    continue
                }
                _ = try write(gateway, count)
                let outcome = try gateway.reload()
                try #require(outcome.status == 0, "reload \(count): \(outcome)")
            }
            #expect(count >= 10)
            for load in loads {
                // Its last lines are read a moment after its end.
                try load.wait()
                let report = load.standardOutput
                #expect(report.contains("12000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(report)")
                #expect(report.contains("12000 2xx"), "\(report)")
            }
            #expect(try gateway.metric("sluice_tls_handshakes_total", ["client"]) == 16)
        }
    }
}
