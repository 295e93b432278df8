import Testing

extension EndToEnd {
    /// A balancer of version 2 sees the head of each answer before it ends, over every protocol that has heads.
    @Suite struct AnswerHeads {
        /// Backends that say how loaded they are: the second one is, more than the first.
        private func backends(_ how: String) throws -> [ScriptedBackend] {
            try (0..<2).map { index in
                let load = "\(index * 2 + 5)"
                guard how == "http2" || how == "grpc" else {
                    return try ScriptedBackend { connection, _ in
                        connection.answer(200, "of \(index)", fields: ["X-Load: \(load)"])
                    }
                }
                return try ScriptedBackend.http2 { _, peer in
                    while let stream = try peer.nextRequest() {
                        var fields = [("x-load", load), ("of", "\(index)")]
                        if how == "grpc" { fields += [("content-type", "application/grpc"), ("grpc-status", "0")] }
                        peer.respond(stream, 200, how == "grpc" ? "" : "of \(index)", fields: fields)
                    }
                }
            }
        }

        @Test(arguments: ["http1", "gathered", "http2", "grpc"])
        func steerThePick(_ how: String) throws {
            let backends = try backends(how)
            let endpoints = backends.map { how == "http2" || how == "grpc" ? $0.grpcEndpoint : $0.endpoint }
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.source, "heads.so", in: directory)
            var configuration =
                how == "grpc" ? GatewayConfiguration.calls(endpoints) : GatewayConfiguration.web(endpoints)
            configuration.plugins += ["  - { name: heads, library: \"\(library)\" }"]
            configuration.balancer = "heads"
            if how == "gathered" { configuration.filters = ["heads"] }
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            // Neither is known to be loaded; then the first is; then the second is more so.
            for expected in [0, 1, 0, 0] {
                if how == "grpc" {
                    #expect(try gateway.call("/a.B/C", fields: []).field("of") == "\(expected)")
                } else {
                    #expect(try gateway.get("/").bodyText == "of \(expected)")
                }
            }
        }

        /// Both versions, of which the first would always take the second endpoint, and a filter that has answers
        /// gathered.
        private static let source = CompiledPlugin.source(
            "heads",
            tables: ["SLUICE_BALANCER": "first", "SLUICE_BALANCER_2": "second", "SLUICE_FILTER": "filter"],
            """
            static uint32_t loads[2];
            static uint32_t asked;
            static int is_late;
            static uint32_t blind(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                  const sluice_pick *pick) {
              (void)instance;
              (void)exchange;
              (void)request;
              (void)pick;
              return 1;
            }
            static uint32_t pick(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                 const sluice_pick *pick) {
              (void)instance;
              (void)exchange;
              (void)request;
              asked = pick->now_ms;
              return is_late || (pick->count == 2 && loads[1] < loads[0]) ? 1 : 0;
            }
            /* An attempt ends after it was picked for, within the minute. */
            static void on_result(void *instance, const sluice_outcome *outcome) {
              (void)instance;
              if ((uint32_t)(outcome->ended_ns / 1000000) - asked > 60000) is_late = 1;
            }
            static void on_head(void *instance, const sluice_answer_head *head) {
              (void)instance;
              if (head->http_status != 200 || head->attempt != 1 || head->first_byte_ns == 0) return;
              for (uint32_t i = 0; i < head->field_count; i++) {
                const sluice_field *field = &head->fields[i];
                /* `X-Load`, in lower case over HTTP/2. */
                if (field->name.size == 6 && (field->name.data[2] | 0x20) == 'l' && field->value.size == 1)
                  loads[head->endpoint] = field->value.data[0];
              }
            }
            static uint32_t needs(void *instance) {
              (void)instance;
              return SLUICE_FILTER_RESPONSE_BODY;
            }
            static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                            sluice_response *answer) {
              (void)instance;
              (void)exchange;
              (void)request;
              (void)answer;
              return SLUICE_OK;
            }
            static const sluice_balancer first = {
                .base = {.struct_size = sizeof(sluice_balancer), .create = no_state, .destroy = no_end},
                .pick = blind};
            static const sluice_balancer_2 second = {
                .base = {.struct_size = sizeof(sluice_balancer_2), .create = no_state, .destroy = no_end},
                .pick = pick, .on_result = on_result, .on_head = on_head};
            static const sluice_filter filter = {
                .base = {.struct_size = sizeof(sluice_filter), .create = no_state, .destroy = no_end},
                .needs = needs, .on_request = on_request};
            """)
    }
}
