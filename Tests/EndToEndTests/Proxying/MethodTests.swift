import Testing

extension EndToEnd {
    /// Methods that mean something to a gateway: HEAD wherever there is a GET.
    @Suite struct Methods {
        /// A server of both protocols, which answers GET with what HEAD says of it.
        private static func modelServer() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                let isV1 = request.target.hasPrefix("/v1/")
                let body =
                    !isV1
                    ? "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"x\",\"inputs\":[],\"outputs\":[]}"
                    : request.target.hasSuffix("/metadata")
                        ? "{\"model_spec\":{\"name\":\"m\",\"version\":\"1\"},\"metadata\":{}}"
                        : "{\"model_version_status\":[{\"version\":\"1\",\"state\":\"AVAILABLE\"}]}"
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                connection.socket.send(request.method == "HEAD" ? head : head + body)
            }
        }

        private static func gateway(
            _ backend: ScriptedBackend, filters: [String] = [], plugins: [String] = []
        ) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.filters = filters
            configuration.plugins = plugins
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.workers = 1
            configuration.models = ["open-inference", "rest-predict"].flatMap {
                [
                    "  \($0):", "    versions:",
                    "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: \($0) }",
                ]
            }
            configuration.models += ["  iris:", "    versions:", "      \"1\": { backend: linear-model }"]
            return try Gateway(configuration)
        }

        private static let paths: [String] =
            ["/v2", "/v2/health/live", "/v2/health/ready", "/v1/models"]
            + ["iris", "open-inference", "rest-predict"].flatMap { model in
                [
                    "/v2/models/\(model)", "/v2/models/\(model)/ready", "/v2/models/\(model)/versions/1",
                    "/v2/models/\(model)/versions/1/ready", "/v1/models/\(model)", "/v1/models/\(model)/metadata",
                    "/v1/models/\(model)/versions/1", "/v1/models/\(model)/versions/1/metadata",
                ]
            }

        /// What HEAD must have in common with GET (RFC 9110 §9.3.2).
        private func compare(_ gateway: Gateway, _ path: String, saysLength: Bool = true) throws {
            let whole = try gateway.get(path)
            #expect(whole.status == 200, "\(path): \(whole.bodyText)")
            let socket = try gateway.connect()
            socket.send("HEAD \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            let reader = MessageReader(socket)
            let head = try #require(try reader.response(to: "HEAD"), "\(path)")
            #expect(head.status == whole.status, "\(path)")
            #expect(head.field("content-type") == whole.field("content-type"), "\(path)")
            let length = head.field("content-length")
            #expect(length == whole.field("content-length") || !saysLength && length == nil, "\(path)")
            #expect(try reader.rest().isEmpty, "\(path)")
        }

        @Test func headIsServedWhereverGetIs() throws {
            let backend = try Self.modelServer()
            let gateway = try Self.gateway(backend)
            for path in Self.paths { try compare(gateway, path) }
        }

        @Test func headIsServedOverHTTP2() throws {
            let backend = try Self.modelServer()
            let gateway = try Self.gateway(backend)
            let client = try gateway.http2()
            var stream: UInt32 = 1
            for path in Self.paths {
                client.request(stream, "GET", path)
                client.request(stream + 2, "HEAD", path)
                let whole = try client.answer(stream)
                let head = try client.answer(stream + 2)
                #expect(whole.status == 200 && head.status == 200, "\(path)")
                #expect(head.field("content-length") == "\(whole.body.count)" && head.body.isEmpty, "\(path)")
                stream += 4
            }
        }

        @Test func headStaysHeadTowardAnEndpointOfTheSameProtocol() throws {
            let backend = try Self.modelServer()
            let gateway = try Self.gateway(backend)
            for (path, method) in [
                ("/v2/models/open-inference", "HEAD"), ("/v1/models/rest-predict/metadata", "HEAD"),
                // What has to be read to be said in another protocol is asked for.
                ("/v2/models/rest-predict", "GET"), ("/v1/models/open-inference/metadata", "GET"),
            ] {
                let answer = try gateway.exchange("HEAD \(path) HTTP/1.1\r\nHost: a\r\n\r\n", method: "HEAD")
                #expect(answer.status == 200, "\(path)")
                #expect(backend.requests.last?.method == method, "\(path)")
            }
        }

        @Test func headGoesPastFiltersThatReadAnswersWhole() throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(
                CompiledPlugin.filter("reader", needs: "SLUICE_FILTER_RESPONSE_BODY", callbacks: [], ""), "reader.so",
                in: directory)
            let backend = try Self.modelServer()
            let gateway = try Self.gateway(
                backend, filters: ["reader"], plugins: ["  - { name: reader, library: \"\(library)\" }"])
            for path in Self.paths { try compare(gateway, path, saysLength: false) }
        }
    }
}
