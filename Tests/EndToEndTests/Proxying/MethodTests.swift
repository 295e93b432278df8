import Testing

extension EndToEnd {
    /// Methods that mean something to a gateway: HEAD wherever there is a GET, OPTIONS and TRACE for so many hops.
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

        /// What frames the client's answer is the client's method: an adapter that passes the message on cannot change
        /// whether there is content (RFC 9110 §9.3.2).
        @Test func noAdapterMakesHEADAnotherMethodOrTheOtherWayRound() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.renamed(backend, directory))
            for (asked, sent) in [("HEAD", "GET"), ("GET", "HEAD"), ("HEAD", "head")] {
                let socket = try gateway.connect()
                socket.send("\(asked) /a HTTP/1.1\r\nHost: a\r\nX-Method: \(sent)\r\nConnection: close\r\n\r\n")
                let reader = MessageReader(socket)
                let answer = try #require(try reader.response(to: asked))
                #expect(answer.status == 500, "\(asked) \(sent)")
                #expect(try reader.rest().isEmpty)
                #expect(asked == "HEAD" || answer.bodyText.contains("another method"))
            }
            #expect(backend.requests.isEmpty)
            for (asked, sent) in [("POST", "PUT"), ("HEAD", "HEAD"), ("HEAD", ""), ("GET", "POST")] {
                let fields = "Host: a\r\nX-Method: \(sent)\r\nContent-Length: 0\r\n"
                #expect(try gateway.exchange("\(asked) /a HTTP/1.1\r\n\(fields)\r\n", method: asked).status == 200)
                #expect(backend.requests.last?.method == (sent.isEmpty ? asked : sent))
            }
        }

        /// A request that an adapter has made unsendable is its own fault: counted and logged, and no endpoint's.
        @Test func aMethodThatIsNoneIsThePluginsFault() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.renamed(backend, directory))
            let answer = try gateway.exchange("GET /a HTTP/1.1\r\nHost: a\r\nX-Method: A B\r\n\r\n")
            #expect(answer.status == 500)
            #expect(answer.bodyText.contains("a plugin made a request that is not valid"), "\(answer.bodyText)")
            #expect(backend.requests.isEmpty)
            // Once more for the error that it then could not tell.
            #expect(try gateway.metric("sluice_call_errors_total", ["plugin=\"renaming\""]) == 2)
            try gateway.awaitLog("renaming: a request was not sent: a plugin made a request that is not valid")
            #expect(try gateway.get("/a").status == 200)
        }

        private static func renamed(
            _ backend: ScriptedBackend, _ directory: TemporaryDirectory
        ) throws -> GatewayConfiguration {
            let library = try CompiledPlugin.c(renaming, "renaming.so", in: directory)
            var configuration = GatewayConfiguration()
            configuration.plugins = ["  - { name: renaming, library: \(library) }"]
            configuration.adapters = ["renaming"]
            configuration.models = [
                "  web:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: renaming }",
            ]
            return configuration
        }

        /// Passes every request on with the method that its field `X-Method` says.
        private static let renaming = CompiledPlugin.source(
            "renaming", tables: ["SLUICE_ADAPTER": "adapter"],
            """
            static sluice_status decode(void *instance, sluice_exchange *exchange, uint32_t stage,
                                        const sluice_match *match, sluice_request *request) {
              (void)instance, (void)exchange, (void)stage, (void)match;
              request->model = text("web");
              return SLUICE_OK;
            }
            static sluice_status encode_request(void *instance, sluice_exchange *exchange,
                                                const sluice_request *request, const sluice_target *target,
                                                sluice_message *out) {
              (void)instance, (void)exchange, (void)target;
              for (uint32_t i = 0; i < request->message->field_count; i++) {
                sluice_field field = request->message->fields[i];
                if (field.name.size == 8 && memcmp(field.name.data, "X-Method", 8) == 0) out->method = field.value;
              }
              return SLUICE_PASS;
            }
            \(CompiledPlugin.adapter(callbacks: ["decode", "encode_request"]))
            """)

        // MARK: Max-Forwards

        private func web(_ backend: ScriptedBackend) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.adapters = ["open-inference", "passthrough"]
            configuration.routes = "[ { prefix: /web/, model: web } ]"
            return try Gateway(configuration)
        }

        private func ask(_ gateway: Gateway, _ method: String, _ value: String) throws -> HTTPMessage {
            try gateway.exchange(
                "\(method) /web/a HTTP/1.1\r\nHost: a\r\nMax-Forwards: \(value)\r\n\r\n", method: method)
        }

        @Test(arguments: ["OPTIONS", "TRACE"]) func forwardsAreCountedDown(method: String) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try web(backend)
            for (value, forwarded) in [
                ("1", "0"), ("10", "9"), ("007", "6"), ("99999999999999999999999", "999999999"),
            ] {
                #expect(try ask(gateway, method, value).bodyText == "\(method) /web/a 0")
                #expect(backend.requests.last?.all("max-forwards") == [forwarded])
            }
            let client = try gateway.http2()
            client.request(1, method, "/web/a", fields: [("max-forwards", "2")])
            #expect(try client.answer(1).bodyText == "\(method) /web/a 0")
            #expect(backend.requests.last?.all("max-forwards") == ["1"])
            #expect(try gateway.exchange("\(method) /web/a HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
        }

        @Test func theLastOneAnswers() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try web(backend)
            let options = try ask(gateway, "OPTIONS", "0")
            #expect(options.status == 204 && options.field("content-length") == nil)
            #expect(options.field("allow") == "OPTIONS, GET, HEAD, POST, PUT, PATCH, DELETE")
            let health = try gateway.exchange(
                "OPTIONS /v2/health/live HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", method: "OPTIONS")
            #expect(health.status == 204)
            let other = try Self.gateway(backend)
            let live = try other.exchange(
                "OPTIONS /v2/health/live HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", method: "OPTIONS")
            #expect(live.field("allow") == "OPTIONS, GET, HEAD")
            let trace = try ask(gateway, "TRACE", "0")
            #expect(trace.status == 405 && trace.field("allow")?.hasPrefix("OPTIONS") == true)
            #expect(trace.field("content-type") == "application/json")
            let client = try gateway.http2()
            client.request(1, "OPTIONS", "/web/a", fields: [("max-forwards", "0")])
            #expect(try client.answer(1).field("allow") == options.field("allow"))
            client.request(3, "TRACE", "/web/a", fields: [("max-forwards", "0")])
            #expect(try client.answer(3).status == 405)
            #expect(backend.requests.isEmpty)
        }

        @Test func noNumberOfForwardsIs400() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try web(backend)
            for value in ["", "-1", "1.5", "x", "1, 1", "1\r\nMax-Forwards: 1"] {
                #expect(try ask(gateway, "OPTIONS", value).status == 400, "\(value)")
            }
            #expect(backend.requests.isEmpty)
            // It says nothing of other methods, and goes on with them as it came.
            #expect(try ask(gateway, "GET", "x").status == 200)
            #expect(backend.requests.last?.field("max-forwards") == "x")
        }
    }
}
