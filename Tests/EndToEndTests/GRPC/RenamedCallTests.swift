import Foundation
import Testing

extension EndToEnd {
    /// Calls whose model has another name at its endpoint, or whose answer a filter reads: they are calls like others.
    @Suite struct RenamedCalls {
        private static let infer = "/inference.GRPCInferenceService/ModelInfer"
        private static let asked = [
            ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", "Bearer t"),
            ("grpc-timeout", "20S"), ("grpc-accept-encoding", "identity, gzip"),
        ]

        private static func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
            [number << 3 | 2, UInt8(content.count)] + content
        }

        private static func framed(_ message: [UInt8]) -> [UInt8] {
            [0] + HTTP2Frame.word(UInt32(message.count)) + message
        }

        /// A request, or an answer, for a model: its name, `id`, and one output of FP32, without its data.
        private static func message(_ model: String, id: String, output: Bool = false) -> [UInt8] {
            let tensor = field(1, bytes("o")) + field(2, bytes("FP32")) + field(3, [1])
            return field(1, bytes(model)) + field(3, bytes(id))
                + (output ? field(5, tensor) + field(6, [0, 0, 128, 63]) : [])
        }

        private static func call(
            _ client: HTTP2Client, _ stream: UInt32, _ model: String, id: String
        ) throws -> HTTP2Answer {
            client.request(stream, "POST", infer, fields: asked, ends: false)
            client.send(HTTP2Frame(.data, flags: 1, stream: stream, framed(message(model, id: id))))
            return try client.answer(stream)
        }

        /// Says in its head what it was sent; a request whose `id` is `bad` gets an error with details, `none` one
        /// without a head before it, and `zip` what is marked as compressed, if the client takes that.
        private static func backend() throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    let request = peer.answers[stream] ?? HTTP2Answer()
                    let isDown = request.bodyText.contains("down")
                    let isBad = request.bodyText.contains("bad") || isDown
                    if request.bodyText.contains("none") {
                        let error = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "3")]
                        peer.send(HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(error)))
                        continue
                    }
                    let isPacked = request.bodyText.contains("zip") && request.field("grpc-accept-encoding") != nil
                    let told = request.bodyText.contains("inner") ? "inner" : "plain"
                    peer.send(
                        HTTP2Frame(
                            .headers, flags: 4, stream: stream,
                            HTTP2Client.block([
                                (":status", "200"), ("content-type", "application/grpc"), ("x-model", told),
                                ("x-authorization", request.field("authorization") ?? "none"),
                                ("x-timeout", request.field("grpc-timeout") == nil ? "none" : "some"),
                            ])))
                    if !isBad {
                        let message = framed(message(told, id: "a", output: true))
                        peer.send(HTTP2Frame(.data, stream: stream, (isPacked ? [1] : [0]) + message.dropFirst()))
                    }
                    peer.send(
                        HTTP2Frame(
                            .headers, flags: 5, stream: stream,
                            HTTP2Client.block([
                                ("grpc-status", isDown ? "14" : isBad ? "3" : "0"), ("x-cost", "7"),
                                ("grpc-status-details-bin", "CAM"),
                            ])))
                }
            }
        }

        private static func configuration(_ backend: ScriptedBackend) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            let version = "endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: open-inference"
            configuration.models = [
                "  plain: { labels: { stable: \"1\" }, versions: { \"1\": { \(version) } } }",
                "  other: { versions: { \"1\": { \(version), upstream: { model: inner } } } }",
            ]
            return configuration
        }

        /// Metadata of both sides, and what an error says of itself, cross as they do for a call that keeps its name.
        @Test(arguments: ["plain", "other"]) func nothingButTheNameIsChanged(_ model: String) throws {
            let backend = try Self.backend()
            let gateway = try Gateway(Self.configuration(backend))
            let client = try gateway.http2()
            let answer = try Self.call(client, 1, model, id: "a")
            #expect(answer.grpcStatus == "0" && answer.field("x-model") == (model == "plain" ? "plain" : "inner"))
            #expect(answer.field("x-authorization") == "Bearer t" && answer.field("x-timeout") == "some")
            #expect(answer.trailers.contains { $0 == ("x-cost", "7") }, "\(answer)")
            let refused = try Self.call(client, 3, model, id: "bad")
            #expect(refused.grpcStatus == "3")
            #expect(refused.trailers.contains { $0 == ("grpc-status-details-bin", "CAM") }, "\(refused)")
        }

        /// Of such a call the message is what the filter and the adapter see, and not the frame around it.
        @Test(arguments: ["plain", "other"]) func aFilterMayReadTheAnswer(_ model: String) throws {
            let directory = try TemporaryDirectory()
            let source = CompiledPlugin.filter(
                "reading", needs: "SLUICE_FILTER_RESPONSE_BODY", callbacks: ["on_response"],
                """
                static sluice_status on_response(
                    void *instance, sluice_exchange *exchange, const sluice_request *request,
                    sluice_response *response) {
                  (void)instance, (void)request;
                  const char *seen = response->payload.kind == SLUICE_PAYLOAD_TENSORS ? "tensors" : "none";
                  return exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-seen"), text(seen));
                }
                """)
            let backend = try Self.backend()
            var configuration = Self.configuration(backend)
            let library = try CompiledPlugin.c(source, "reading.so", in: directory)
            configuration.plugins = ["  - { name: reading, library: \(library) }"]
            configuration.filters = ["reading"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            let answer = try Self.call(client, 1, model, id: "a")
            #expect(answer.grpcStatus == "0" && answer.field("x-seen") == "tensors", "\(answer)")
            #expect(answer.body.count > 5 && answer.bodyText.contains("FP32"))
            #expect(try Self.call(client, 3, model, id: "bad").grpcStatus == "3")
            let packed = try Self.call(client, 7, model, id: "zip")
            #expect(packed.grpcStatus == "0" && packed.body.first == 0 && packed.bodyText.contains("FP32"))
            // A stream may have no end: its answer passes.
            client.request(
                9, "POST", "/inference.GRPCInferenceService/ModelStreamInfer", fields: Self.asked, ends: false)
            client.send(HTTP2Frame(.data, flags: 1, stream: 9, Self.framed(Self.message("plain", id: "a"))))
            let stream = try client.answer(9)
            #expect(stream.grpcStatus == "0" && stream.field("x-seen") == "none", "\(stream)")
        }

        /// A call that fails in its trailers is a failure to who counts them, also where its answer is read here.
        @Test(arguments: ["plain", "other"]) func aBreakerHearsHowACallEnded(_ model: String) throws {
            let directory = try TemporaryDirectory()
            let source = CompiledPlugin.filter("reading", needs: "SLUICE_FILTER_RESPONSE_BODY", callbacks: [], "")
            let backend = try Self.backend()
            var configuration = Self.configuration(backend)
            configuration.gateway = ["  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 60 }"]
            configuration.plugins = [
                "  - { name: reading, library: \(try CompiledPlugin.c(source, "reading.so", in: directory)) }"
            ]
            configuration.filters = ["reading"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            #expect(try Self.call(client, 1, model, id: "down").grpcMessage?.contains("healthy") != true)
            let refused = try Self.call(client, 3, model, id: "a")
            #expect(refused.grpcStatus == "14")
            #expect(refused.grpcMessage?.contains("healthy endpoint") == true, "\(refused)")
        }

        /// An error without a message looks like an empty answer to who reads its HTTP status alone.
        @Test(arguments: ["plain", "other"]) func anErrorIsNotKept(_ model: String) throws {
            let backend = try Self.backend()
            var configuration = Self.configuration(backend)
            configuration.plugins = ["  - { name: cache, library: libCache.so }"]
            configuration.models = configuration.models.map {
                $0.replacingOccurrences(of: "versions:", with: "filters: [ cache ], versions:")
            }
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            for stream in [1, 3] as [UInt32] {
                #expect(try Self.call(client, stream, model, id: "none").grpcStatus == "3")
            }
        }
    }
}
