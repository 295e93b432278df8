import Foundation
import Testing

extension EndToEnd {
    /// Endpoints over TLS.
    @Suite(.enabled(if: Clients.wanted)) struct EndpointTLS {
        private struct Bench {
            let certificates: Certificates
            let server: PythonServer

            init(verifiesClients: Bool = false, days: Int = 20, version: String = "1.3") throws {
                certificates = try Certificates()
                try certificates.make("model", "DNS:model.test,IP:127.0.0.1", days: days)
                try certificates.make("gateway", "DNS:gateway", subject: "/CN=the gateway")
                server = try PythonServer(
                    "serve_tls.py",
                    [certificates.file("model.pem"), certificates.file("model.key")]
                        + (verifiesClients ? [certificates.file("ca.pem"), version] : []))
            }

            func gateway(_ tls: String, host: String = "127.0.0.1") throws -> Gateway {
                try Gateway(
                    .web(["https://\(host):\(server.port)"], version: tls.isEmpty ? "" : ", tls: { \(tls) }"))
            }

            var ca: String { "ca: \(certificates.file("ca.pem"))" }
        }

        @Test func theEndpointIsVerified() throws {
            let bench = try Bench()
            #expect(try bench.gateway(bench.ca).get("/").bodyText == "ok")
            #expect(try bench.gateway("\(bench.ca), server_name: model.test").get("/").bodyText == "ok")
            for wrong in ["\(bench.ca), server_name: other.test", ""] {
                let gateway = try bench.gateway(wrong)
                #expect(try gateway.get("/").status == 503)
                #expect(try gateway.metric("sluice_parse_errors_total", ["upstream", "tls"]) == 1)
                try waitUntil("the log says why") { gateway.log.contains("its certificate is not accepted") }
            }
            let unverified = try bench.gateway("verify: false")
            try unverified.awaitLog("endpoints are not verified")
            #expect(try unverified.get("/").bodyText == "ok")
        }

        @Test func anExpiredCertificateIsRefused() throws {
            let bench = try Bench(days: -1)
            let gateway = try bench.gateway(bench.ca)
            #expect(try gateway.get("/").status == 503)
            try waitUntil("the log says why") { gateway.log.contains("certificate has expired") }
        }

        @Test func theGatewayShowsItsCertificate() throws {
            let bench = try Bench(verifiesClients: true)
            let own =
                "certificate: \(bench.certificates.file("gateway.pem")), key: \(bench.certificates.file("gateway.key"))"
            #expect(try bench.gateway("\(bench.ca), \(own)").get("/subject").bodyText == "the gateway")
        }

        /// TLS 1.2 says so in the handshake, TLS 1.3 behind it.
        @Test(arguments: ["1.2", "1.3"]) func anEndpointThatDoesNotAdmitTheGatewayIsAFailedConnect(
            _ version: String
        ) throws {
            let bench = try Bench(verifiesClients: true, version: version)
            let gateway = try bench.gateway(bench.ca)
            for _ in 0..<3 {
                let answer = try gateway.get("/subject")
                #expect(answer.status == 503 && answer.bodyText.contains("could not be reached"), "\(answer.bodyText)")
            }
            // An alert whose connection is reset behind it may be lost: then it is a broken one, and no fault of TLS.
            #expect((1...3).contains(try gateway.metric("sluice_parse_errors_total", ["upstream", "tls"])))
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"connect_failed\""]) == 3)
            try waitUntil("the log says why") { gateway.log.contains("no TLS with https://127.0.0.1") }
            // Another endpoint is asked in its place, as nothing was processed.
            let open = try Bench()
            var configuration = GatewayConfiguration.web(
                ["https://127.0.0.1:\(bench.server.port)", "https://127.0.0.1:\(open.server.port)"],
                version: ", tls: { verify: false }")
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, backoff_ms: 0 } }"]
            let other = try Gateway(configuration)
            for _ in 0..<4 { #expect(try other.get("/").bodyText == "ok") }
        }

        @Test func anEndpointOfHTTP2DoesNotAdmitTheGateway() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost,IP:127.0.0.1")
            var behind = GatewayConfiguration()
            behind.listeners = [certificates.listener("server", ", client_ca: \(certificates.file("ca.pem"))")]
            behind.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let second = try Gateway(behind)
            let gateway = try Gateway(
                .web(
                    ["grpcs://127.0.0.1:\(second.port)"],
                    version: ", tls: { ca: \(certificates.file("ca.pem")) }"))
            #expect(try gateway.get("/v2/models").status == 503)
            #expect(try gateway.metric("sluice_parse_errors_total", ["upstream", "tls"]) == 1)
            try waitUntil("the log says why") { gateway.log.contains("no TLS with grpcs://127.0.0.1") }
        }

        @Test func sessionsAreResumedAndConnectionsKept() throws {
            let bench = try Bench()
            let gateway = try bench.gateway(bench.ca)
            #expect(try gateway.get("/resumed").bodyText == "False")
            #expect(try gateway.get("/").bodyText == "ok")
            // /whole ends the connection each time: the next one is made by the ticket of an earlier one.
            for _ in 0..<6 { #expect(try gateway.get("/whole").bodyText == "half of it") }
            #expect(try gateway.metric("sluice_tls_handshakes_total", ["upstream", "resumed"]) > 0)
            #expect(try gateway.metric("sluice_upstream_connections_reused_total", ["web"]) > 0)
        }

        /// Two pools of one endpoint that trust differently, of so many connections each.
        private func poolsThatTrustDifferently(_ bench: Bench, connections: Int) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["passthrough"]
            configuration.workers = 1
            configuration.routes = "[ { prefix: /a, model: a }, { prefix: /b, model: b } ]"
            for (name, tls) in [("a", bench.ca), ("b", "verify: false")] {
                configuration.models += [
                    "  \(name):", "    versions:",
                    "      \"1\": { endpoints: [ \"https://127.0.0.1:\(bench.server.port)\" ], "
                        + "protocol: passthrough, tls: { \(tls) }, max_connections: \(connections) }",
                ]
            }
            return try Gateway(configuration)
        }

        /// One connection each: the other pool's must neither be closed nor stand in the way.
        @Test func poolsThatTrustDifferentlyKeepTheirConnectionsToOneEndpoint() throws {
            let bench = try Bench()
            let gateway = try poolsThatTrustDifferently(bench, connections: 2)
            for _ in 0..<3 {
                for target in ["/a", "/b"] { #expect(try gateway.get(target).bodyText == "ok") }
            }
            #expect(try gateway.metric("sluice_upstream_connections_opened_total") == 2)
            #expect(try gateway.metric("sluice_upstream_connections_reused_total") == 4)
        }

        @Test func anIdleConnectionOfAnotherPoolGivesWay() throws {
            let bench = try Bench()
            let gateway = try poolsThatTrustDifferently(bench, connections: 1)
            for target in ["/a", "/b", "/a"] { #expect(try gateway.get(target).bodyText == "ok") }
        }

        /// The answer that makes the one pool give up comes on the connection that is to give way to the other's.
        @Test func aConnectionOfHTTP2GivesWayToTheFallbackOfItsOwnCall() throws {
            let certificates = try Certificates()
            try certificates.make("model", "IP:127.0.0.1")
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            var server = GatewayConfiguration.web([failing.endpoint])
            server.listeners = [certificates.listener("model")]
            let endpoint = try Gateway(server)
            var configuration = GatewayConfiguration()
            configuration.adapters = ["passthrough"]
            configuration.workers = 1
            configuration.routes = "[ { prefix: /, model: a } ]"
            for (name, tls) in [("a", "ca: \(certificates.file("ca.pem"))"), ("b", "verify: false")] {
                configuration.models += [
                    "  \(name):", "    versions:",
                    "      \"1\": { endpoints: [ \"grpcs://127.0.0.1:\(endpoint.port)\" ], "
                        + "protocol: passthrough, tls: { \(tls) }, max_connections: 1 }",
                ]
                if name == "a" { configuration.models.append("    fallback: { model: b }") }
            }
            let gateway = try Gateway(configuration)
            for turn in 1...4 {
                let answer = try gateway.get("/")
                #expect(answer.status == 503 && answer.bodyText == "not now")
                #expect(failing.requests.count == 2 * turn)
            }
            #expect(gateway.process.poll() == nil)
        }

        @Test func aBodyThatIsCutOffIsNoWholeOne() throws {
            let bench = try Bench()
            let gateway = try bench.gateway(bench.ca)
            #expect(try gateway.get("/whole").bodyText == "half of it")
            let socket = try gateway.connect()
            socket.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try? MessageReader(socket).response()
            #expect(response?.complete != true)
        }

        @Test(arguments: ["--http1.1", "--http2"]) func largeBodiesGoThroughBothEnds(_ version: String) throws {
            let bench = try Bench()
            try bench.certificates.make("server", "DNS:localhost")
            var configuration = GatewayConfiguration.web(
                ["https://127.0.0.1:\(bench.server.port)"], version: ", tls: { \(bench.ca) }")
            configuration.listeners = [bench.certificates.listener("server")]
            let gateway = try Gateway(configuration)
            var state: UInt64 = 42
            let body = Data(
                (0..<8_000_000).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 56)
                })
            let (sent, received) = (bench.certificates.file("sent"), bench.certificates.file("received"))
            try body.write(to: URL(fileURLWithPath: sent))
            _ = try curl([
                version, "--cacert", bench.certificates.file("ca.pem"), "--data-binary", "@\(sent)", "--output",
                received,
                "https://localhost:\(gateway.port)/",
            ])
            let same = try Data(contentsOf: URL(fileURLWithPath: received)) == body
            #expect(same)
        }

        /// gRPC over TLS on both ends, to a second gateway that has the model.
        @Test func callsGoOverTLS() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost,IP:127.0.0.1")
            var behind = GatewayConfiguration()
            behind.listeners = [certificates.listener("server", ", client_ca: \(certificates.file("ca.pem"))")]
            behind.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let second = try Gateway(behind)
            var front = GatewayConfiguration()
            front.listeners = [certificates.listener("server")]
            let pair = "certificate: \(certificates.file("server.pem")), key: \(certificates.file("server.key"))"
            front.models = [
                "  iris: { versions: { \"1\": { endpoints: [ \"grpcs://localhost:\(second.port)\" ], protocol: "
                    + "open-inference, tls: { ca: \(certificates.file("ca.pem")), \(pair) } } } }"
            ]
            let gateway = try Gateway(front)
            let input =
                "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,4],\"data\":[5.1,3.5,1.4,0.2]}]}"
            for _ in 0..<3 {
                let answer = try curl([
                    "--cacert", certificates.file("ca.pem"), "--data", input,
                    "https://localhost:\(gateway.port)/v2/models/iris/infer",
                ])
                #expect(answer.contains("\"model_name\":\"iris\""))
            }
            #expect(try gateway.metric("sluice_tls_handshakes_total", ["upstream", "full"]) >= 1)
            try Clients.run("drive_grpc_tls.py", ["\(gateway.port)", certificates.file("ca.pem")])
        }
    }
}
