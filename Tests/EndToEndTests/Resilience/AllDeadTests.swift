import Foundation
import Testing

extension EndToEnd {
    /// Nobody is left to ask: each protocol has its error at once, and no word from the operator is needed for things
    /// to be well again.
    @Suite(.enabled(if: Clients.wanted)) struct AllDead {
        /// Of health checks, milliseconds; as long as a check may take.
        private static let interval = ChildProcess.memoryIsItsOwn ? 500 : 3_000

        /// A model for each adapter that speaks HTTP, and `calls`, whose endpoints speak gRPC.
        private static func configuration(
            _ plain: [PatientBackend], _ calls: [PatientBackend]
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = [
                "open-inference", "openai", "rest-predict", "tf-serving", "model-service", "passthrough",
            ]
            configuration.plugins = [
                "  - { name: openai, library: libOpenAI.so, config: { models: [ chat ] } }",
                "  - { name: tf-serving, library: libTFServing.so }",
                "  - { name: model-service, library: libModelService.so }",
            ]
            configuration.gateway = [
                "  routing: { default_timeout_ms: 20000, retry_policy: { max_attempts: 3, backoff_ms: 5 } }"
            ]
            let models = [
                ("m", "open-inference", plain), ("p", "rest-predict", plain), ("chat", "openai", plain),
                ("web", "passthrough", plain), ("calls", "open-inference", calls),
            ]
            let check = "interval_ms: \(interval), timeout_ms: \(interval), unhealthy_after: 1, healthy_after: 1"
            for (name, adapter, backends) in models {
                let list = backends.map { "\"\($0.endpoint)\"" }.joined(separator: ", ")
                configuration.models += [
                    "  \(name):", "    versions: { \"1\": { endpoints: [ \(list) ], protocol: \(adapter) } }",
                    "    health_check: { \(check) }",
                ]
            }
            return configuration
        }

        /// A request of an adapter's protocol over HTTP, and what its errors look like.
        private struct Asked {
            var target: String
            var body: String?
            var type: String
            var isError: @Sendable (JSON) -> Bool
        }

        private static let inference = Faults.inference
        private static let asked = [
            Asked(target: "/v2/models/m/infer", body: inference, type: "application/json") {
                $0["error"].text?.contains("endpoint") == true
            },
            Asked(target: "/v2/models/calls/infer", body: inference, type: "application/json") {
                $0["error"].text?.contains("endpoint") == true
            },
            Asked(target: "/v1/models/p:predict", body: #"{"instances":[[1,2]]}"#, type: "application/json") {
                $0["error"].text?.contains("endpoint") == true
            },
            Asked(
                target: "/v1/chat/completions",
                body: #"{"model":"chat","messages":[{"role":"user","content":"a"}]}"#, type: "application/json"
            ) {
                $0["error"]["type"].text == "server_error"
                    && $0["error"]["message"].text?.contains("endpoint") == true
            },
            Asked(target: "/any", body: nil, type: "application/problem+json") {
                $0["status"].integer == 503
            },
        ]

        /// Calls of gRPC, by path and message: of the two of V2, the other protocols that there are.
        private static let calls: [(path: String, message: [UInt8])] = [
            (Faults.call, [10, 5] + bytes("calls")), (Faults.call, Faults.message),
            // PredictRequest: model_spec { name: "p" }.
            ("/tensorflow.serving.PredictionService/Predict", [10, 3, 10, 1, UInt8(ascii: "p")]),
            // Infer of the gateway's own service: field 1 is the model's name.
            ("/sluice.v1.ModelService/Predict", [10, 1, UInt8(ascii: "m")]),
        ]

        private func ask(_ gateway: Gateway, _ asked: Asked) throws -> HTTPMessage {
            if let body = asked.body { return try gateway.post(asked.target, body) }
            return try gateway.get(asked.target)
        }

        @Test(arguments: [Faults.Fault.killed, .frozen])
        func everyProtocolHasItsErrorAndAllComesBackByItself(_ fault: Faults.Fault) throws {
            let plain = try PatientBackend.some(3, .http)
            let grpc = try PatientBackend.some(3, .grpc)
            let all = plain + grpc
            let gateway = try Gateway(Self.configuration(plain, grpc))
            let endpoints = Double(5 * 3)
            func awaitHealthy(_ count: Double) throws {
                try waitUntil("\(count) are healthy") { try gateway.metric("sluice_endpoint_healthy") == count }
            }
            func expectService() throws {
                for asked in Self.asked {
                    let answer = try ask(gateway, asked)
                    #expect(answer.status == 200, "\(asked.target): \(answer)")
                }
                let call = try gateway.call(Faults.call, fields: [], message: Self.calls[0].message)
                #expect(call.grpcStatus == "0", "\(call)")
            }
            try awaitHealthy(endpoints)
            try expectService()

            for backend in all { if fault == .killed { try backend.kill() } else { backend.freeze() } }
            try awaitHealthy(0)
            let attempts = try gateway.metric("sluice_attempts_total")
            let begin = monotonicNanoseconds()
            for asked in Self.asked {
                let answer = try ask(gateway, asked)
                #expect(answer.status == 503, "\(asked.target): \(answer)")
                #expect(answer.field("retry-after") == "1")
                #expect(answer.field("content-type") == asked.type, "\(asked.target): \(answer)")
                #expect(asked.isError(try JSON(answer.bodyText)), "\(asked.target): \(answer.bodyText)")
            }
            for (path, message) in Self.calls {
                let answer = try gateway.call(path, fields: [], message: message)
                #expect(answer.status == 200)
                #expect(answer.grpcStatus == "14", "\(path): \(answer)")
                #expect(answer.grpcMessage?.contains("endpoint") == true, "\(path): \(answer)")
            }
            // They were fast, whatever this machine does beside: no endpoint was waited for.
            #expect(try gateway.metric("sluice_attempts_total") == attempts)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
            if let limit = ProcessInfo.processInfo.environment["SLUICE_TEST_LATENCY"].flatMap(Double.init) {
                let each = Double(monotonicNanoseconds() - begin) / 1e6 / Double(Self.asked.count + Self.calls.count)
                print("an error takes \(each) ms")
                #expect(each <= limit)
            }

            for backend in all { if fault == .killed { try backend.startAgain() } else { backend.thaw() } }
            try awaitHealthy(endpoints)
            for _ in 0..<3 { try expectService() }
            #expect(try gateway.metric("sluice_generation") == 1)
            #expect(try gateway.metric("sluice_reloads_total") == 0)
        }
    }
}
