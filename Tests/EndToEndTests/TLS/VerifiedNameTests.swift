import Foundation
import Testing

extension EndToEnd {
    /// Who is on the other side of TLS, by its certificate.
    @Suite struct VerifiedNames {
        /// RFC 9110 §4.3.4: a name that stands in the subject alone identifies no server.
        @Test func theCommonNameOfAnEndpointIsNoNameOfIt() throws {
            let certificates = try Certificates()
            for (name, names) in [("other", "email:a@example.com"), ("right", "DNS:localhost")] {
                try certificates.make(name, names, subject: "/CN=localhost")
                var behind = GatewayConfiguration()
                behind.listeners = [certificates.listener(name)]
                behind.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
                let second = try Gateway(behind)
                let gateway = try Gateway(
                    .web(
                        ["https://localhost:\(second.port)"],
                        version: ", tls: { ca: \(certificates.file("ca.pem")) }"))
                #expect(try gateway.get("/v2/health/live").status == (name == "right" ? 200 : 503))
            }
        }

        /// Those of a server, and of a client that is called `CN=alice`.
        private static func ofAlice() throws -> Certificates {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            try certificates.make("alice", "DNS:alice", subject: "/CN=alice")
            return certificates
        }

        private static func saysWhoAsks() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                connection.answer(200, request.field("x-client-subject") ?? "nobody")
            }
        }

        /// As many fields as a head may have at all leave no room for the one that is the gateway's.
        @Test func noNumberOfFieldsHidesWhoAClientIs() throws {
            let certificates = try Self.ofAlice()
            let backend = try Self.saysWhoAsks()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.listeners = [
                certificates.listener("server", ", client_ca: \(certificates.file("ca.pem"))"), "127.0.0.1:0",
            ]
            configuration.gateway = ["  limits: { header_count: 128 }"]
            let gateway = try Gateway(configuration)
            for (count, end) in [(127, "CN=alice"), (128, "{\"error\":\"too many header fields\"}\n")] {
                let fields = (1..<count).map { "X-\($0): y\r\n" }.joined()
                let client = try TLSClient(port: gateway.port)
                try client.present(certificates, "alice")
                #expect(client.shakeHands() == nil)
                let answer = text(try client.ask(bytes("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")))
                #expect(answer.hasSuffix(end), "\(answer)")
                // Who has shown no certificate has no such field.
                let plain = try Socket.connect(port: gateway.ports[1])
                plain.send("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
                #expect(try MessageReader(plain).response()?.bodyText == "nobody")
            }
        }

        /// What a connection has shown it has shown, whatever becomes of the listener that accepted it.
        @Test func aClientIsTheSameWhenItsListenerHasMoved() throws {
            let certificates = try Self.ofAlice()
            let backend = try Self.saysWhoAsks()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let listener = certificates.listener("server", ", client_ca: \(certificates.file("ca.pem"))")
            configuration.listeners = [listener, "127.0.0.1:0"]
            let gateway = try Gateway(configuration)
            let client = try TLSClient(port: gateway.port)
            try client.present(certificates, "alice")
            #expect(client.shakeHands() == nil)
            #expect(try client.get("/").hasSuffix("CN=alice"))
            configuration.listeners[0] = listener.replacing("127.0.0.1:0", with: "127.0.0.2:0")
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            #expect(try client.get("/").hasSuffix("CN=alice"))
            // No listener has the field any more: others may send it, and so it says nothing.
            configuration.listeners.removeFirst()
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            #expect(try client.get("/").hasSuffix("nobody"))
        }
    }
}
