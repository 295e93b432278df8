import Foundation
import Testing

extension EndToEnd {
    /// A body that says it is larger than allowed is refused before any of it is read, in the client's own protocol.
    @Suite struct LargeBodies {
        private static func gateway(_ backend: ScriptedBackend) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["openai", "open-inference", "passthrough"]
            configuration.routes = "[ { prefix: /web, model: web } ]"
            configuration.gateway = ["  limits: { body_bytes: 1000 }"]
            configuration.plugins = ["  - { name: openai, library: libOpenAI.so }"]
            configuration.models = ["passthrough", "openai", "open-inference"].map {
                "  \($0 == "passthrough" ? "web" : $0): { versions: { \"1\": "
                    + "{ endpoints: [ \"\(backend.endpoint)\" ], protocol: \($0) } } }"
            }
            return try Gateway(configuration)
        }

        @Test(arguments: [
            ("/v1/chat/completions", "application/json", #"{"error":{"message":""#),
            ("/v2/models/open-inference/infer", "application/json", #"{"error":""#),
            ("/web", "application/problem+json", #"{"type":"about:blank","title":"Content Too Large""#),
        ])
        func theErrorHasTheShapeOfTheProtocol(target: String, type: String, begin: String) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Self.gateway(backend)
            // Nothing of the body is sent; a client that waits to be told to is not.
            for more in ["", "Expect: 100-continue\r\n"] {
                for size in ["1001", "9223372036854775807"] {
                    let socket = try gateway.connect()
                    let reader = MessageReader(socket)
                    socket.send("POST \(target) HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\(more)\r\n")
                    let answer = try #require(try reader.response(to: "POST"))
                    #expect(answer.status == 413 && answer.field("connection") == "close")
                    #expect(answer.field("content-type") == type)
                    #expect(answer.bodyText.hasPrefix(begin), "\(answer.bodyText)")
                    #expect(answer.bodyText.contains("the request's body is larger than allowed"))
                    #expect(!text(reader.received).contains("100 Continue"))
                }
            }
            #expect(backend.requests.isEmpty)
            #expect(try gateway.metric("sluice_rejected_total", ["body_too_large"]) == 4)
        }

        @Test func whatIsSentOnWithoutALengthIsNotMeant() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Self.gateway(backend)
            let answer = try gateway.exchange(
                "POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                method: "POST")
            #expect(answer.status == 200 && backend.requests.map(\.bodyText) == ["hi"])
            #expect(try gateway.post("/web", String(repeating: "y", count: 1_000)).status == 200)
            // Where nobody takes the request, its path is what is wrong.
            #expect(try gateway.post("/other", String(repeating: "y", count: 1_001)).status == 404)
        }
    }
}
