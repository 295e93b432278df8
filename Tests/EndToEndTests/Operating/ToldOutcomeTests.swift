import Testing

extension EndToEnd {
    /// What balancers, observers and metrics are told of attempts and exchanges is true.
    @Suite struct ToldOutcomes {
        private static func configuration(
            _ endpoints: [String], _ directory: TemporaryDirectory, version: String = ""
        ) throws -> GatewayConfiguration {
            let library = try CompiledPlugin.c(source, "told.so", in: directory)
            var configuration = GatewayConfiguration.web(endpoints, version: version)
            configuration.workers = 1
            configuration.plugins = ["  - { name: told, library: \(library) }"]
            configuration.balancer = "told"
            configuration.observers = ["told"]
            return configuration
        }

        private static func told(_ gateway: Gateway, _ name: String) throws -> Double {
            try gateway.metric("sluice_plugin_told_\(name)_total")
        }

        @Test func noFirstByteComesBehindTheLast() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.configuration([backend.endpoint], directory))
            let reader = MessageReader(try gateway.connect())
            for _ in 0..<50 {
                reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try reader.response()?.status == 200)
            }
            #expect(try Self.told(gateway, "results") == 50)
            #expect(try Self.told(gateway, "late_first_bytes") == 0)
        }

        /// Each attempt is told by its own number, whichever of two is answered.
        @Test(arguments: [0, 1]) func attemptsKeepTheirNumbers(winner: Int) throws {
            let directory = try TemporaryDirectory()
            let gates = (Gate(), Gate())
            defer {
                gates.0.open()
                gates.1.open()
            }
            let backends = [try Hedging.gated(gates.0, "0"), try Hedging.gated(gates.1, "1")]
            var configuration = try Self.configuration(backends.map(\.endpoint), directory)
            configuration.gateway = ["  routing: { hedge: { delay_ms: 20, percent: 100 } }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("both were asked") { backends.allSatisfy { $0.requests.count == 1 } }
            (winner == 0 ? gates.0 : gates.1).open()
            #expect(try MessageReader(socket).response()?.bodyText == "\(winner) 0")
            try waitUntil("both are told") { try Self.told(gateway, "results") == 2 }
            // The plugin picks the endpoints in their order.
            #expect(try Self.told(gateway, "misnumbered") == 0)
            #expect(try Self.told(gateway, "unlike_picks") == 0)
        }

        @Test func aRequestHasTheNumberOfItsPick() throws {
            let directory = try TemporaryDirectory()
            let backends = try [503, 200].map { status in
                try ScriptedBackend { connection, _ in connection.answer(status) }
            }
            var configuration = try Self.configuration(backends.map(\.endpoint), directory)
            configuration.gateway = [
                "  routing: { retry_policy: { max_attempts: 2, backoff_ms: 1 } }"
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 200)
            #expect(try Self.told(gateway, "results") == 2)
            #expect(try Self.told(gateway, "misnumbered") == 0)
            #expect(try Self.told(gateway, "unlike_picks") == 0)
        }

        /// The answer was there, and was being gathered: the client has not had a byte of it.
        @Test func whoLeavesBeforeTheAnswerWasSentNone() throws {
            let directory = try TemporaryDirectory()
            let gate = Gate()
            defer { gate.open() }
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                gate.wait()
                connection.socket.send("cd")
            }
            var configuration = try Self.configuration([backend.endpoint], directory)
            configuration.filters = ["told"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the answer is being gathered") { try Self.told(gateway, "heads") == 1 }
            socket.close()
            try waitUntil("it is told") { try Self.told(gateway, "unsent") == 1 }
            #expect(try gateway.metric("sluice_requests_total", ["status=\"0\""]) == 1)
            #expect(try gateway.metric("sluice_requests_total", ["status=\"200\""]) == 0)
        }

        @Test func whoLeavesTheQueueHasWaited() throws {
            let directory = try TemporaryDirectory()
            let gate = Gate()
            defer { gate.open() }
            let backend = try Hedging.gated(gate, "slow")
            let gateway = try Gateway(
                Self.configuration([backend.endpoint], directory, version: ", max_connections: 1"))
            let first = try gateway.connect()
            first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the only connection is taken") { backend.requests.count == 1 }
            let second = try gateway.connect()
            second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the second request waits") { try gateway.metric("sluice_queue_depth") == 1 }
            second.close()
            try waitUntil("it is told") { try Self.told(gateway, "unsent") == 1 }
            #expect(try Self.told(gateway, "queued_ns") > 0)
        }

        /// Picks the first eligible endpoint, so that attempt 1 is on the first one and attempt 2 on the second, and
        /// counts what it is told that cannot be.
        private static let source = CompiledPlugin.source(
            "told",
            tables: ["SLUICE_BALANCER_2": "balancer", "SLUICE_OBSERVER": "observer", "SLUICE_FILTER": "filter"],
            """
            static const sluice_metrics *metrics;
            static void *context;
            static uint32_t results, late, misnumbered, unlike, heads, unsent, queued;
            static void count(uint32_t metric, uint64_t number) { metrics->add(context, metric, number); }
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              context = host->context;
              metrics = host->service(context, text(SLUICE_METRICS));
              struct { uint32_t *metric; const char *name; } all[] = {
                  {&results, "results"}, {&late, "late_first_bytes"}, {&misnumbered, "misnumbered"},
                  {&unlike, "unlike_picks"}, {&heads, "heads"}, {&unsent, "unsent"}, {&queued, "queued_ns"}};
              for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                *all[i].metric = metrics->declare(
                    context, SLUICE_METRIC_COUNTER, text(all[i].name), text("Told."), NULL, 0);
              *instance = NULL;
              return SLUICE_OK;
            }
            static uint32_t pick(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                 const sluice_pick *pick) {
              (void)instance, (void)exchange;
              if (request->attempt != pick->attempt) count(unlike, 1);
              uint32_t chosen = 0;
              while (!sluice_pick_eligible(pick, chosen)) chosen++;
              return chosen;
            }
            static void on_result(void *instance, const sluice_outcome *outcome) {
              (void)instance;
              count(results, 1);
              if (outcome->first_byte_ns > outcome->total_ns) count(late, 1);
              if (outcome->attempt != outcome->endpoint + 1) count(misnumbered, 1);
            }
            static void on_head(void *instance, const sluice_answer_head *head) {
              (void)instance;
              count(heads, 1);
              if (head->attempt != head->endpoint + 1) count(misnumbered, 1);
            }
            static void on_finish(void *instance, const sluice_summary *summary) {
              (void)instance;
              if (summary->http_status == 0) count(unsent, 1);
              if (summary->http_status == 0) count(queued, summary->queued_ns);
            }
            static uint32_t needs(void *instance) { (void)instance; return SLUICE_FILTER_RESPONSE_BODY; }
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)exchange, (void)request, (void)answer;
              return SLUICE_OK;
            }
            static const sluice_balancer_2 balancer = {
                .base = {sizeof(sluice_balancer_2), SLUICE_INSTANCE_PER_WORKER, create, no_end},
                .pick = pick, .on_result = on_result, .on_head = on_head};
            static const sluice_observer observer = {
                .base = {sizeof(sluice_observer), SLUICE_INSTANCE_PER_WORKER, create, no_end},
                .on_finish = on_finish};
            static const sluice_filter filter = {
                .base = {sizeof(sluice_filter), SLUICE_INSTANCE_PER_WORKER, create, no_end},
                .needs = needs, .on_request = on_request};
            """)
    }
}
