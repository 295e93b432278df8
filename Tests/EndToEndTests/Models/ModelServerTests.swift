import Foundation
import Testing

extension EndToEnd {
    /// Real clients, and real model servers behind the gateway.
    @Suite(.enabled(if: Clients.wanted, "`make test` makes the environment that these need"))
    struct ModelServers {
        private func gateway(_ server: ModelServer, protocol adapter: String = "open-inference") throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.gateway = ["  routing: { default_timeout_ms: 20000 }"]
            configuration.models = [
                "  iris:", "    versions:",
                // MLServer and kserve know their model by its name alone.
                "      \"1\": { endpoints: [ \"\(server.endpoint)\" ], protocol: \(adapter) }",
            ]
            return try Gateway(configuration)
        }

        @Test func clientsOfTheModelInThisProcess() throws {
            let gateway = try Gateway(Iris.configuration())
            try Clients.run("drive_tritonclient.py", ["127.0.0.1:\(gateway.port)", "0.9", "binary"])
            try Clients.run("drive_kserve.py", ["http://127.0.0.1:\(gateway.port)", "0.9", "v2"])
            try Clients.run("drive_kserve.py", ["http://127.0.0.1:\(gateway.port)", "0.9", "v1"])
        }

        @Test func mlserverBehindTheGateway() throws {
            let server = try ModelServer.mlserver()
            let gateway = try gateway(server)
            try Clients.run("drive_tritonclient.py", ["127.0.0.1:\(gateway.port)", "0.9", "json"])
            // Another protocol toward the client than toward the server.
            let rows = HeldOut.rows.map { "\($0.measurements)" }.joined(separator: ", ")
            let response = try gateway.post("/v1/models/iris:predict", "{\"instances\": [\(rows)]}")
            #expect(response.status == 200, "\(response.bodyText)")
            // MLServer gives a column, [n, 1].
            let predictions = try JSON(response.bodyText)["predictions"].array.compactMap {
                $0.integer ?? $0[0].integer
            }
            #expect(zip(predictions, HeldOut.rows).count { $0 == $1.label } >= 46)
        }

        @Test func kserveBehindTheGateway() throws {
            let server = try ModelServer.kserve()
            let second = try gateway(server)
            try Clients.run("drive_kserve.py", ["http://127.0.0.1:\(second.port)", "0.9", "v2"])
            let first = try gateway(server, protocol: "rest-predict")
            try Clients.run("drive_kserve.py", ["http://127.0.0.1:\(first.port)", "0.9", "v1"])
        }
    }
}
