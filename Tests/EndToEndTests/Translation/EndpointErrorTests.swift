import Testing

extension EndToEnd {
    /// What a client of another protocol reads of an endpoint's errors.
    @Suite struct EndpointErrors {
        private static let body = #"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}"#

        private static func gateway(_ endpoint: String, protocol adapter: String) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.models = [
                "  m:", "    versions: { \"1\": { endpoints: [ \"\(endpoint)\" ], protocol: \(adapter) } }",
            ]
            return try Gateway(configuration)
        }

        @Test(arguments: [400, 401, 404, 429, 500, 502, 503, 504])
        func oneWithoutAMessageIsToldByItsStatus(status: Int) throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(status, "") }
            let gateway = try Self.gateway(backend.endpoint, protocol: "rest-predict")
            let answer = try gateway.post("/v2/models/m/infer", Self.body)
            #expect(answer.status == status)
            #expect(try JSON(answer.bodyText)["error"].text == "the endpoint answered \(status)")
        }

        /// RESOURCE_EXHAUSTED and UNAVAILABLE ask a client to come again, whatever protocol the endpoint says it in.
        @Test(
            arguments: [(8, 429, "1"), (14, 503, "1"), (3, 400, nil), (13, 500, nil)] as [(Int, Int, String?)])
        func aCallThatIsToBeTriedAgainSaysWhen(_ code: Int, _ status: Int, _ wait: String?) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.respond(
                        stream, 200, "",
                        fields: [("content-type", "application/grpc"), ("grpc-status", "\(code)")])
                }
            }
            let gateway = try Self.gateway(backend.grpcEndpoint, protocol: "open-inference")
            let answer = try gateway.post("/v2/models/m/infer", Self.body)
            #expect(answer.status == status)
            #expect(answer.field("retry-after") == wait)
        }

        @Test func soDoesAProxyBeforeTheEndpoint() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() { peer.respond(stream, 503, "") }
            }
            let gateway = try Self.gateway(backend.grpcEndpoint, protocol: "open-inference")
            let answer = try gateway.post("/v2/models/m/infer", Self.body)
            #expect(answer.status == 503)
            #expect(answer.field("retry-after") == "1")
        }
    }
}
