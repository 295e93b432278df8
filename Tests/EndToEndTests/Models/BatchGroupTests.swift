import Testing

extension EndToEnd {
    /// What a batcher decides by is the same wherever a request has come in.
    @Suite struct BatchGroups {
        /// Answers a V2 request with what it was asked with.
        private static func echo() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                guard let data = try? JSON(request.bodyText)["inputs"][0]["data"].integers else {
                    return connection.answer(400, "{}")
                }
                connection.answer(
                    200,
                    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":"
                        + "[\(data.count),1],\"data\":\(data)}]}", fields: ["Content-Type: application/json"])
            }
        }

        private static func request(_ value: Int, fields: [String] = [], version: String = "") -> String {
            let body = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[1,1],\"data\":[\(value)]}]}"
            let path = version.isEmpty ? "/v2/models/m/infer" : "/v2/models/m/versions/\(version)/infer"
            let lines =
                ["POST \(path) HTTP/1.1", "Host: a", "Content-Length: \(body.utf8.count)"] + fields
            return lines.joined(separator: "\r\n") + "\r\n\r\n" + body
        }

        /// Sends what is full or has waited; keeps apart tenants, and what a field says.
        private static let batcher = CompiledPlugin.source(
            "apart", tables: ["SLUICE_BATCHER": "batcher"],
            """
            static uint64_t hash(uint64_t key, sluice_bytes bytes) {
              for (size_t i = 0; i < bytes.size; i++) key = (key ^ bytes.data[i]) * 1099511628211u;
              return key;
            }
            static uint64_t group_key(void *instance, const sluice_request *request) {
              (void)instance;
              uint64_t key = hash(14695981039346656037u, request->tenant);
              for (uint32_t i = 0; i < request->message->field_count; i++) {
                if (request->message->fields[i].name.size == 5 &&
                    memcmp(request->message->fields[i].name.data, "X-Set", 5) == 0)
                  key = hash(key, request->message->fields[i].value);
              }
              /* What must not depend on where the request came in. */
              if (request->message->body_count != 0 || request->adapter_data || request->payload.tensor_count != 1 ||
                  request->message->method.size != 4 || request->message->path.size != 18 || request->version.size != 0)
                key += request->received_ns;
              return key;
            }
            static void decide(void *instance, const sluice_batch *batch, sluice_batch_decision *decision) {
              (void)instance;
              decision->timer_ns = batch->oldest_ns + batch->max_delay_ns;
              if (batch->rows >= batch->max_rows || batch->now_ns >= decision->timer_ns) decision->flush = batch->count;
            }
            static const sluice_batcher batcher = {
                .base = {.struct_size = sizeof(sluice_batcher), .create = no_state, .destroy = no_end},
                .group_key = group_key, .enqueue = decide, .on_timer = decide};
            """)

        private static let tenants = CompiledPlugin.filter(
            "tenants", callbacks: ["on_request"],
            """
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)exchange, (void)answer;
              for (uint32_t i = 0; i < request->message->field_count; i++) {
                if (request->message->fields[i].name.size == 8 &&
                    memcmp(request->message->fields[i].name.data, "X-Tenant", 8) == 0)
                  request->tenant = request->message->fields[i].value;
              }
              return SLUICE_OK;
            }
            """)

        @Test func whatIsKeptApartIsSoFromEveryWorker() throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.echo()
            var configuration = GatewayConfiguration()
            configuration.workers = 4
            configuration.plugins = [
                "  - { name: apart, library: \(try CompiledPlugin.c(Self.batcher, "apart.so", in: directory)) }",
                "  - { name: tenants, library: \(try CompiledPlugin.c(Self.tenants, "tenants.so", in: directory)) }",
            ]
            configuration.filters = ["tenants"]
            configuration.batcher = "apart"
            configuration.models = [
                "  m:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference }",
                "    batching: { max_batch_size: 16, max_delay_ms: 20000 }",
            ]
            let gateway = try Gateway(configuration)
            // 16 of each: full batches, and none that a stray member has made full or kept from it.
            let kinds = [("acme", "1"), ("evil", "1"), ("acme", "2")]
            let sockets = try (0..<48).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() {
                let (tenant, set) = kinds[index % 3]
                socket.send(Self.request(index, fields: ["X-Tenant: \(tenant)", "X-Set: \(set)"]))
            }
            for (index, socket) in sockets.enumerated() {
                let answer = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(answer.status == 200, "\(answer.bodyText)")
                #expect(try JSON(answer.bodyText)["outputs"][0]["data"].integers == [index])
            }
            let batches = try backend.requests.map { try JSON($0.bodyText)["inputs"][0]["data"].integers }
            #expect(batches.count == 3, "\(batches)")
            #expect(batches.allSatisfy { batch in Set(batch.map { $0 % 3 }).count == 1 }, "\(batches)")
        }
    }
}
