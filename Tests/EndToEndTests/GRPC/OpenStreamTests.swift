import Testing

extension EndToEnd {
    /// Streams whose messages answer each other: nobody waits for their end, whoever would like to see bodies.
    @Suite struct OpenStreams {
        private static let streamInfer = "/inference.GRPCInferenceService/ModelStreamInfer"

        /// A message of protobuf whose first field is the name of a model, as a frame of gRPC.
        private static func message(_ model: String) -> [UInt8] {
            let content = [0x0A, UInt8(model.utf8.count)] + Array(model.utf8)
            return [0] + HTTP2Frame.word(UInt32(content.count)) + content
        }

        private static func configuration(_ calls: ScriptedBackend, _ web: ScriptedBackend) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "model-service", "passthrough"]
            configuration.routes =
                "[ { prefix: /test.Cached/, model: passed-cached }, { prefix: /test.Ruled/, model: passed-ruled } ]"
            let rule = "tensor(0).rank > 0 or json(\"a\") != 1 and exists(body) or body_size > 3"
            configuration.plugins = [
                "  - { name: model-service, library: libModelService.so }",
                "  - { name: openai, library: libOpenAI.so }",
                "  - { name: cache, library: libCache.so, config: { operations: [ infer, other ] } }",
                "  - { name: prefix-aware, library: libPrefixAware.so }",
                "  - name: rules", "    library: libContentBased.so",
                "    config: { rules: [ { when: '\(rule)', then: { model: nowhere } } ] }",
            ]
            func model(
                _ name: String, _ keys: String, _ adapter: String = "open-inference", http: Bool = false
            ) -> String {
                let endpoint = http ? web.endpoint : calls.grpcEndpoint
                return "  \(name): { \(keys) versions: "
                    + "{ \"1\": { endpoints: [ \"\(endpoint)\" ], protocol: \(adapter) } } }"
            }
            configuration.models = [
                model("plain", ""), model("cached", "filters: cache,"),
                model("prefixed", "filters: prefix-aware, balancer: prefix-aware,"),
                model("ruled", "router: [ rules, by-version ],"),
                model("passed-cached", "filters: cache,", "passthrough"),
                model("passed-ruled", "router: [ rules, by-version ],", "passthrough"),
                model("nowhere", "", "openai", http: true), model("chat", "", "openai", http: true),
                model("service", "", "model-service"), model("web", "", "passthrough", http: true),
            ]
            return configuration
        }

        private func open(_ gateway: Gateway, _ path: String, _ model: String) throws -> HTTP2Client {
            let client = try gateway.http2()
            client.request(
                1, "POST", path, fields: [("content-type", "application/grpc"), ("te", "trailers")], ends: false)
            client.send(HTTP2Frame(.data, stream: 1, Self.message(model)))
            return client
        }

        /// The first message is answered before the second one is sent.
        private func converse(_ gateway: Gateway, _ path: String, _ model: String) throws {
            let client = try open(gateway, path, model)
            let first = try client.read { ($0.kind == .data && !$0.payload.isEmpty) || $0.endsStream }
            #expect(first?.payload == Self.message(model), "\(model): \(client.answers)")
            client.send(HTTP2Frame(.data, flags: 1, stream: 1, Self.message(model)))
            let answer = try client.answer(1)
            #expect(answer.grpcStatus == "0", "\(model): \(answer)")
            #expect(answer.body == Self.message(model) + Self.message(model), "\(model)")
        }

        @Test(
            arguments: [
                (streamInfer, "cached"), (streamInfer, "prefixed"), (streamInfer, "ruled"),
                ("/test.Cached/Chat", "passed-cached"), ("/test.Ruled/Chat", "passed-ruled"),
            ])
        func whoReadsBodiesLetsThemThrough(_ path: String, _ model: String) throws {
            let (calls, web) = (try ScriptedBackend.echoOfCalls(seconds: 60), try ScriptedBackend.ordinary())
            try converse(Gateway(Self.configuration(calls, web)), path, model)
        }

        @Test func soDoFiltersOfTheGateway() throws {
            let (calls, web) = (try ScriptedBackend.echoOfCalls(seconds: 60), try ScriptedBackend.ordinary())
            var configuration = Self.configuration(calls, web)
            configuration.filters = ["prefix-aware"]
            let gateway = try Gateway(configuration)
            try converse(gateway, Self.streamInfer, "plain")
            try converse(gateway, "/test.Cached/Chat", "passed-cached")
        }

        /// No other protocol has a form for a stream, which is said at once.
        @Test(
            arguments: [
                (streamInfer, "chat"), (streamInfer, "service"), (streamInfer, "web"),
                ("/sluice.v1.ModelService/StreamPredict", "plain"), ("/test.Cached/Chat", "chat"),
            ])
        func towardAnotherProtocolTheyAreRefused(_ path: String, _ model: String) throws {
            let (calls, web) = (try ScriptedBackend.echoOfCalls(seconds: 60), try ScriptedBackend.ordinary())
            var configuration = Self.configuration(calls, web)
            configuration.routes = "[ { prefix: /test.Cached/, model: chat } ]"
            let gateway = try Gateway(configuration)
            let answer = try open(gateway, path, model).answer(1)
            #expect(answer.grpcStatus == "12", "\(answer)")
            #expect(web.requests.isEmpty)
        }
    }
}
