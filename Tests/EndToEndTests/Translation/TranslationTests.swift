import Foundation
import Testing

extension EndToEnd {
    /// Every protocol of clients before every protocol of backends. The backend is the gateway itself, which serves a
    /// model that gives back what it is given, in each protocol.
    @Suite(.enabled(if: Clients.wanted)) struct Translation {
        /// The name of a model, the scheme of its endpoint and the adapter that speaks to it. `predict-rows` and the
        /// typed forms are ways to write a request; toward a backend an adapter has one way.
        private static let backends = [
            ("predict", "http", "rest-predict"), ("v2-json", "http", "open-inference"),
            ("v2-binary", "http", "open-inference-binary"), ("v2-grpc", "grpc", "open-inference"),
            ("tf-serving", "grpc", "tf-serving"), ("model-service", "grpc", "model-service"),
            ("tcp", "tcp", "length-prefixed-tcp"),
        ]

        @Test(arguments: [
            "predict", "predict-rows", "v2-json", "v2-binary", "v2-grpc", "v2-typed", "tf-serving", "tf-typed",
            "model-service", "tcp", "large",
        ])
        func tensorsComeBackTheSame(_ client: String) throws {
            let directory = try TemporaryDirectory()
            let identity = try CompiledPlugin.c(Self.identity, "identity.so", in: directory)
            let port = try Ports.free()
            var configuration = GatewayConfiguration()
            let tcpPort = try Ports.free()
            configuration.listeners = [
                "127.0.0.1:\(port)", "127.0.0.1:\(tcpPort)\n      adapter: length-prefixed-tcp",
            ]
            configuration.workers = 1
            // A build for tests, with a sanitizer at that, stands still over numbers for longer than a body may.
            configuration.gateway = [
                "  routing: { default_timeout_ms: 60000 }", "  limits: { body_timeout_ms: 60000 }",
            ]
            configuration.adapters = ["open-inference", "rest-predict", "tf-serving", "model-service"]
            configuration.plugins = [
                "  - { name: identity, library: \(identity) }",
                "  - { name: open-inference-binary, library: libOpenInference.so, config: { binary: true } }",
                "  - { name: tf-serving, library: libTFServing.so }",
                "  - { name: model-service, library: libModelService.so }",
                "  - { name: length-prefixed-tcp, library: libLengthPrefixedTCP.so }",
            ]
            configuration.models = ["  in-process: { versions: { \"1\": { backend: identity } } }"]
            for (name, scheme, adapter) in Self.backends {
                let place = "\(scheme)://127.0.0.1:\(scheme == "tcp" ? tcpPort : port)"
                configuration.models += [
                    "  \(name): { versions: { \"1\": { endpoints: [ \"\(place)\" ], "
                        + "protocol: \(adapter), upstream: { model: in-process } } } }"
                ]
            }
            let gateway = try Gateway(configuration)
            try Clients.run(
                "drive_translation.py",
                ["\(gateway.port)", "\(tcpPort)", client, "in-process"] + Self.backends.map(\.0))
        }

        /// A backend in this process that answers with the tensors it was asked with.
        private static let identity = CompiledPlugin.source(
            "identity", tables: ["SLUICE_BACKEND": "backend"],
            """
            static sluice_status describe(void *instance, sluice_metadata *metadata) {
              (void)instance;
              metadata->platform = (sluice_bytes)SLUICE_TEXT("identity");
              return SLUICE_OK;
            }
            static sluice_status infer(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                       sluice_response *response) {
              (void)instance;
              (void)exchange;
              response->payload.kind = SLUICE_PAYLOAD_TENSORS;
              response->payload.tensors = request->payload.tensors;
              response->payload.tensor_count = request->payload.tensor_count;
              return SLUICE_OK;
            }
            static const sluice_backend backend = {
                .base = {.struct_size = sizeof(sluice_backend), .create = no_state, .destroy = no_end},
                .describe = describe, .infer = infer};
            """)
    }
}
