import Testing

extension EndToEnd {
    /// What filters write into a request.
    @Suite struct FilterDeadlines {
        /// A gateway whose endpoint never answers, with a filter of the gateway or of the model.
        private static func gateway(
            _ directory: TemporaryDirectory, _ backend: ScriptedBackend, ofModel: Bool, timeout: Int
        ) throws -> Gateway {
            let library = try CompiledPlugin.c(source, "deadlines.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  routing: { default_timeout_ms: \(timeout) }"]
            configuration.plugins = ["  - { name: deadlines, library: \(library) }"]
            if ofModel {
                configuration.models.append("    filters: [ deadlines ]")
            } else {
                configuration.filters = ["deadlines"]
            }
            return try Gateway(configuration)
        }

        private static func silent(_ gate: Gate) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
        }

        @Test(arguments: [false, true]) func aFilterBringsTheDeadlineForward(ofModel: Bool) throws {
            let gate = Gate()
            defer { gate.open() }
            let directory = try TemporaryDirectory()
            let backend = try Self.silent(gate)
            // Longer than a test waits.
            let gateway = try Self.gateway(directory, backend, ofModel: ofModel, timeout: 600_000)
            for milliseconds in ["200", "0"] {
                let answer = try gateway.get("/", fields: ["X-Deadline: \(milliseconds)"])
                #expect(answer.status == 504, "\(milliseconds)")
            }
        }

        @Test(arguments: [false, true]) func noFilterPutsItOff(ofModel: Bool) throws {
            let gate = Gate()
            defer { gate.open() }
            let directory = try TemporaryDirectory()
            let backend = try Self.silent(gate)
            let gateway = try Self.gateway(directory, backend, ofModel: ofModel, timeout: 200)
            for milliseconds in ["600000", "never"] {
                let answer = try gateway.get("/", fields: ["X-Deadline: \(milliseconds)"])
                #expect(answer.status == 504, "\(milliseconds)")
            }
        }

        /// No filter is to write there; one that does harms its request alone.
        @Test func aModelThatIsNoneIsNotKnown() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Self.gateway(directory, backend, ofModel: false, timeout: 10_000)
            for model in ["1", "77", "123456789", "4294967294"] {
                #expect(try gateway.get("/", fields: ["X-Model: \(model)"]).status == 404, "\(model)")
            }
            #expect(try gateway.get("/").status == 200)
        }

        /// Sets the deadline to as many milliseconds after the request came, or the index of its model.
        private static let source = CompiledPlugin.filter(
            "deadlines", callbacks: ["on_request"],
            """
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)answer;
              bool found = false;
              sluice_bytes value = exchanges->header(context, exchange, text("x-deadline"), &found);
              if (found) {
                uint64_t wanted = strtoull((const char *)value.data, NULL, 10) * 1000000;
                request->deadline_ns = value.data[0] == 'n' ? UINT64_MAX : request->received_ns + wanted;
              }
              value = exchanges->header(context, exchange, text("x-model"), &found);
              if (found) request->model_id = (uint32_t)strtoul((const char *)value.data, NULL, 10);
              return SLUICE_OK;
            }
            """)
    }
}
