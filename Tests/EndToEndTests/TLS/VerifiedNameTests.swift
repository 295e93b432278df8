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

        /// What a connection has shown it has shown, whatever becomes of the listener that accepted it.
        @Test func aClientIsTheSameWhenItsListenerHasMoved() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            try certificates.make("alice", "DNS:alice", subject: "/CN=alice")
            let backend = try ScriptedBackend { connection, request in
                connection.answer(200, request.field("x-client-subject") ?? "nobody")
            }
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
