import Testing

extension EndToEnd {
    /// When an endpoint says that it may be asked again, its client is told, whatever way the answer takes.
    @Suite struct RetryAfterAnswers {
        private static let request =
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,1],\"data\":[1.0]}]}"

        /// Answers to `way` with this status and these fields.
        private func answer(_ way: String, _ status: Int, _ fields: [String]) throws -> HTTPMessage {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(status, "{\"error\":\"busy\"}", fields: fields + ["Content-Type: application/json"])
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            let spoken = way == "translated" ? "rest-predict" : "open-inference"
            configuration.models = [
                "  m:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: \(spoken) }",
            ]
            if way == "batched" {
                configuration.batcher = "size-or-delay"
                configuration.models += ["    batching: { max_batch_size: 4, max_delay_ms: 1 }"]
            }
            return try Gateway(configuration).post("/v2/models/m/infer", Self.request)
        }

        @Test(arguments: ["passed", "translated", "batched"])
        func theEndpointsTimeReachesItsClient(way: String) throws {
            for status in [503, 429] {
                let answer = try answer(way, status, ["Retry-After: 7"])
                #expect(answer.status == status)
                #expect(answer.all("retry-after") == ["7"], "\(status)")
            }
        }

        /// A date is as far away as it is, a day at most; what cannot be read, or has passed, is a second.
        @Test(arguments: ["translated", "batched"]) func aDateIsReadToo(way: String) throws {
            for (value, seconds) in [
                ("Fri, 01 Jan 2999 00:00:00 GMT", "86400"), ("Sun, 06 Nov 1994 08:49:37 GMT", "1"), ("soon", "1"),
                ("0", "1"),
            ] {
                #expect(try answer(way, 503, ["Retry-After: \(value)"]).all("retry-after") == [seconds], "\(value)")
            }
            #expect(try answer(way, 503, []).all("retry-after") == ["1"])
            #expect(try answer(way, 400, ["Retry-After: 7"]).field("retry-after") == nil)
        }
    }
}
