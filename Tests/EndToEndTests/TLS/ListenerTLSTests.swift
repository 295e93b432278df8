import Foundation
import Testing

extension EndToEnd {
    /// Clients over TLS.
    @Suite struct ListenerTLS {
        /// A gateway that serves its own answers on one listener with TLS.
        private static func gateway(_ certificates: Certificates, _ more: String = "") throws -> Gateway {
            try certificates.make("server", "DNS:localhost,IP:127.0.0.1")
            var configuration = GatewayConfiguration()
            configuration.listeners = [certificates.listener("server", more)]
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            return try Gateway(configuration)
        }

        @Test(
            .enabled(if: Clients.wanted),
            arguments: ["versions", "alpn", "resumption", "renegotiation", "garbage", "goodbye"])
        func aClientFindsWhatItMayExpect(_ check: String) throws {
            let certificates = try Certificates()
            let gateway = try Self.gateway(certificates)
            try Clients.run("drive_tls.py", [check, "\(gateway.port)", certificates.file("ca.pem")])
            if check == "resumption" {
                #expect(try gateway.metric("sluice_tls_handshakes_total", ["client", "resumed"]) == 2)
            }
            if check == "garbage" { #expect(try gateway.metric("sluice_parse_errors_total", ["client", "tls"]) > 3) }
        }

        @Test(arguments: ["--http1.1", "--http2"]) func curlSpeaksEachVersionOfHTTP(_ version: String) throws {
            let certificates = try Certificates()
            let gateway = try Self.gateway(certificates)
            let answer = try curl([
                version, "--cacert", certificates.file("ca.pem"), "--write-out", " %{http_version}",
                "https://localhost:\(gateway.port)/v2/models",
            ])
            #expect(answer == "{\"models\":[\"iris\"]} \(version == "--http2" ? "2" : "1.1")")
            try gateway.awaitLog("listening on https://127.0.0.1:\(gateway.port)")
        }

        @Test func theCertificateIsChosenByName() throws {
            let certificates = try Certificates()
            try certificates.make("second", "DNS:b.test,DNS:*.c.test")
            let second = "certificate: \(certificates.file("second.pem")), key: \(certificates.file("second.key"))"
            let gateway = try Self.gateway(certificates, ", certificates: [ { \(second) } ]")
            for name in ["localhost", "b.test", "any.c.test"] {
                // Whichever it is, both versions of HTTP are spoken.
                for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
                    let answer = try curl([
                        option, "--cacert", certificates.file("ca.pem"), "--resolve",
                        "\(name):\(gateway.port):127.0.0.1", "--write-out", " %{http_version}",
                        "https://\(name):\(gateway.port)/v2/models",
                    ])
                    #expect(answer == "{\"models\":[\"iris\"]} \(version)")
                }
            }
            // Nobody has this name: the first certificate is shown, which does not fit.
            let other = try ChildProcess.run(
                "/usr/bin/curl",
                [
                    "--silent", "--show-error", "--cacert", certificates.file("ca.pem"), "--resolve",
                    "d.test:\(gateway.port):127.0.0.1", "https://d.test:\(gateway.port)/",
                ])
            #expect(other.status == 60)
        }

        /// With a key of ECDSA and with RSA, in either order; and so for a second name.
        @Test(arguments: [false, true]) func ofTwoCertificatesForANameTheClientIsShownTheOneItCanVerify(
            _ rsaFirst: Bool
        ) throws {
            let certificates = try Certificates()
            // The order of names is nobody's.
            try certificates.make("a", "DNS:localhost,DNS:x.test", rsa: rsaFirst)
            try certificates.make("b", "DNS:x.test,DNS:localhost", rsa: !rsaFirst)
            try certificates.make("c", "DNS:c.test", rsa: rsaFirst)
            try certificates.make("d", "DNS:c.test", rsa: !rsaFirst)
            let more = ["b", "c", "d"].map {
                "{ certificate: \(certificates.file("\($0).pem")), key: \(certificates.file("\($0).key")) }"
            }
            var configuration = GatewayConfiguration()
            configuration.listeners = [
                certificates.listener("a", ", certificates: [ \(more.joined(separator: ", ")) ]")
            ]
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let gateway = try Gateway(configuration)
            for name in ["localhost", "x.test", "c.test"] {
                for (key, version) in [("ECDSA", "1.2"), ("RSA", "1.2"), ("ECDSA", "1.3"), ("RSA", "1.3")] {
                    let client = try TLSClient(port: gateway.port, asking: name, verifying: key, version: version)
                    #expect(client.shakeHands() == nil, "\(name) \(key) \(version)")
                    #expect(client.isShownRSA == (key == "RSA"), "\(name) \(key) \(version)")
                    #expect(try client.get("/v2/models").hasPrefix("HTTP/1.1 200"))
                }
            }
        }

        /// The key of the other certificate for the same names is none of this one's.
        @Test func theKeyOfACompanionIsRefused() throws {
            let certificates = try Certificates()
            try certificates.make("a", "DNS:localhost")
            try certificates.make("b", "DNS:localhost", rsa: true)
            var configuration = GatewayConfiguration()
            let mixed = "{ certificate: \(certificates.file("b.pem")), key: \(certificates.file("a.key")) }"
            configuration.listeners = [certificates.listener("a", ", certificates: [ \(mixed) ]")]
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", configuration.text(in: directory))
            let result = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
            #expect(result.status == 1)
            #expect(result.errors.contains("does not belong to the certificate"), "\(result.errors)")
        }

        /// Each update of keys costs the gateway what a small request does: who sends nothing else is cut.
        @Test func aFloodOfKeyUpdatesIsCut() throws {
            let certificates = try Certificates()
            let gateway = try Self.gateway(certificates)
            let client = try TLSClient(port: gateway.port)
            #expect(client.shakeHands() == nil)
            // As often as one likes beside requests.
            for _ in 1...5 {
                for _ in 1...20 { #expect(client.updatesKeys()) }
                #expect(try client.get("/v2/models").hasPrefix("HTTP/1.1 200"))
            }
            var updates = 0
            while updates < 200_000, client.updatesKeys() { updates += 1 }
            #expect(updates < 200_000)
            let other = try TLSClient(port: gateway.port)
            #expect(other.shakeHands() == nil)
            #expect(try other.get("/v2/models").hasPrefix("HTTP/1.1 200"))
        }

        @Test func theVerifiedSubjectIsAFieldOfTheRequest() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            try certificates.make("client", "DNS:client", subject: "/O=Acme, Inc./CN=one")
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let ca = ", client_ca: \(certificates.file("ca.pem"))"
            configuration.listeners = [
                certificates.listener("server", ca),
                certificates.listener("server", ca + ", client_certificate: optional"),
                "127.0.0.1:0",
            ]
            let gateway = try Gateway(configuration)
            let shown = ["--cert", certificates.file("client.pem"), "--key", certificates.file("client.key")]
            let base = ["--cacert", certificates.file("ca.pem")]
            func ask(_ listener: Int, _ more: [String]) throws -> HTTPMessage? {
                let count = backend.requests.count
                _ = try curl(base + more + ["https://localhost:\(gateway.ports[listener])/"])
                return backend.requests.count > count ? backend.requests.last : nil
            }
            for version in ["--http1.1", "--http2"] {
                #expect(try ask(0, [version] + shown)?.field("x-client-subject") == "CN=one,O=Acme\\, Inc.")
                #expect(try ask(1, [version] + shown)?.field("x-client-subject") == "CN=one,O=Acme\\, Inc.")
                let anonymous = try #require(try ask(1, [version]))
                #expect(anonymous.field("x-client-subject") == nil)
            }
            #expect(throws: HarnessError.self) { try ask(0, []) }
            // Whoever says it of itself is refused, on any listener.
            // So is who spells it in another way that servers of CGI and WSGI read as the same.
            for name in ["X-Client-Subject", "X_Client_Subject", "x_client-SUBJECT", "X-CLIENT_SUBJECT"] {
                let count = backend.requests.filter(\.complete).count
                let socket = try Socket.connect(port: gateway.ports[2])
                socket.send("GET / HTTP/1.1\r\nHost: a\r\n\(name): CN=root\r\n\r\n")
                #expect(try MessageReader(socket).response()?.status == 400, "\(name)")
                let modern = try HTTP2Client(Socket.connect(port: gateway.ports[2]))
                modern.request(1, fields: [(name.lowercased(), "CN=root")])
                #expect(try modern.answer(1).status == 400, "\(name)")
                // Trailers, which some servers merge into the header, are no way around.
                let behind = try Socket.connect(port: gateway.ports[2])
                behind.send(
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-sum: 0\r\n"
                        + "\(name): CN=root\r\n\r\n")
                #expect(try MessageReader(behind).response()?.status == 400, "\(name)")
                modern.request(3, "POST", ends: false)
                modern.send(
                    HTTP2Frame(
                        .headers, flags: 5, stream: 3,
                        HTTP2Client.block([("x-sum", "0"), (name.lowercased(), "CN=root")])))
                #expect(try modern.answer(3).resetCode == HTTP2Error.protocol, "\(name)")
                #expect(backend.requests.filter(\.complete).count == count)
            }
            // What only looks alike is not meant.
            let alike = try Socket.connect(port: gateway.ports[2])
            alike.send("GET / HTTP/1.1\r\nHost: a\r\nX.Client.Subject: b\r\nX-Client-Subject-2: c\r\n\r\n")
            #expect(try MessageReader(alike).response()?.status == 200)
            let plain = try Socket.connect(port: gateway.ports[2])
            plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try MessageReader(plain).response()?.status == 200)
        }

        @Test func clientsAreVerifiedWhicheverCertificateTheyAreShown() throws {
            let certificates = try Certificates()
            try certificates.make("second", "DNS:b.test")
            try certificates.make("client", "DNS:client", subject: "/CN=one")
            let second = "certificate: \(certificates.file("second.pem")), key: \(certificates.file("second.key"))"
            let gateway = try Self.gateway(
                certificates, ", certificates: [ { \(second) } ], client_ca: \(certificates.file("ca.pem"))")
            for name in ["localhost", "b.test"] {
                let address = [
                    "--cacert", certificates.file("ca.pem"), "--resolve", "\(name):\(gateway.port):127.0.0.1",
                    "https://\(name):\(gateway.port)/v2/models",
                ]
                let shown = ["--cert", certificates.file("client.pem"), "--key", certificates.file("client.key")]
                #expect(try curl(shown + address) == "{\"models\":[\"iris\"]}")
                #expect(throws: HarnessError.self) { try curl(address) }
            }
        }

        @Test func aHandshakeHasTheTimeOfAHead() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            var configuration = GatewayConfiguration()
            configuration.listeners = [certificates.listener("server")]
            configuration.gateway = ["  limits: { header_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            for begin: [UInt8] in [[], [0x16], [0x16, 3, 1, 2, 0, 1]] {
                let socket = try gateway.connect()
                socket.send(begin)
                #expect(socket.closedByPeer())
            }
            #expect(try gateway.metric("sluice_timeouts_total", ["header"]) == 3)
        }

        @Test func certificatesChangeWithAReload() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:old.test")
            var configuration = GatewayConfiguration()
            configuration.listeners = [certificates.listener("server")]
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let gateway = try Gateway(configuration)
            func answers(to name: String) throws -> Bool {
                try ChildProcess.run(
                    "/usr/bin/curl",
                    [
                        "--silent", "--max-time", "20", "--cacert", certificates.file("ca.pem"), "--resolve",
                        "\(name):\(gateway.port):127.0.0.1", "https://\(name):\(gateway.port)/v2",
                    ]
                ).status == 0
            }
            #expect(try answers(to: "old.test"))
            // A key that does not belong to it, or no certificate at all: the old one goes on.
            let good = try String(contentsOfFile: certificates.file("server.pem"), encoding: .utf8)
            try certificates.make("other", "DNS:new.test")
            try certificates.directory.write(
                "server.pem", try String(contentsOfFile: certificates.file("other.pem"), encoding: .utf8))
            var outcome = try gateway.reload()
            #expect(outcome.status == 1)
            #expect((outcome.output + outcome.errors).contains("does not belong to the certificate"))
            try certificates.directory.write("server.pem", "no certificate\n")
            outcome = try gateway.reload()
            #expect(outcome.status == 1)
            #expect((outcome.output + outcome.errors).contains("plugins.yaml:5:"))
            #expect((outcome.output + outcome.errors).contains("holds no certificate in PEM"))
            #expect(try answers(to: "old.test"))
            try certificates.directory.write("server.pem", good)
            // A new one, and the connection from before goes on.
            let stays = try ChildProcess(
                "/usr/bin/openssl",
                [
                    "s_client", "-quiet", "-connect", "127.0.0.1:\(gateway.port)", "-CAfile",
                    certificates.file("ca.pem"),
                ],
                input: true)
            stays.send("GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the first answer is there") { stays.standardOutput.contains("binary_tensor_data") }
            try certificates.make("server", "DNS:new.test")
            #expect(try gateway.reload().status == 0)
            #expect(try answers(to: "new.test"))
            #expect(try !answers(to: "old.test"))
            stays.send("GET /v2/models HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the old connection answers") { stays.standardOutput.contains("{\"models\":") }
        }
    }
}
