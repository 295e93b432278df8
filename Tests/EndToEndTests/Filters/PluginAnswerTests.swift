import Testing

extension EndToEnd {
    /// Answers that filters make, by their status; and timers that they start.
    @Suite struct PluginAnswers {
        private static func gateway(_ source: String, _ directory: TemporaryDirectory) throws -> Gateway {
            let library = try CompiledPlugin.c(source, "odd.so", in: directory)
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.workers = 1
            configuration.plugins = ["  - { name: odd, library: \(library) }"]
            configuration.filters = ["odd"]
            return try Gateway(configuration)
        }

        @Test(arguments: [false, true]) func aStatusThatIsNoneIsNamed(isHTTP2: Bool) throws {
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(Self.answering, directory)
            for status in ["1", "99", "100", "101", "199", "600", "999", "1000", "4294967295"] {
                let answer = try Self.ask(gateway, status, isHTTP2)
                #expect(answer.status == 500, "\(status)")
                let reason = try #require(try JSON(answer.body)["error"].text)
                #expect(reason.contains("status \(status),"), "\(reason)")
            }
            for status in ["200", "299", "404", "599"] {
                let answer = try Self.ask(gateway, status, isHTTP2)
                #expect("\(answer.status)" == status && answer.body == "hello")
            }
        }

        /// RFC 9110 §15.3.6: no content, and a length that says so.
        @Test(arguments: [false, true]) func anAnswer205HasNoContent(isHTTP2: Bool) throws {
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(Self.answering, directory)
            let answer = try Self.ask(gateway, "205", isHTTP2)
            #expect(answer.status == 205 && answer.body.isEmpty && answer.length == "0")
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\nX-Status: 205\r\nConnection: close\r\n\r\n")
            #expect(try text(MessageReader(socket).rest()).hasSuffix("\r\n\r\n"))
        }

        private static func ask(_ gateway: Gateway, _ status: String, _ isHTTP2: Bool) throws -> (
            status: Int, body: String, length: String?
        ) {
            if isHTTP2 {
                let client = try gateway.http2()
                client.request(1, "GET", "/", fields: [("x-status", status)])
                let answer = try client.answer(1)
                return (answer.status ?? 0, answer.bodyText, answer.field("content-length"))
            }
            let answer = try gateway.get("/", fields: ["X-Status: \(status)"])
            return (answer.status, answer.bodyText, answer.field("content-length"))
        }

        private static let answering = CompiledPlugin.filter(
            "answering", callbacks: ["on_request"],
            """
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)request;
              bool found = false;
              sluice_bytes status = exchanges->header(context, exchange, text("x-status"), &found);
              char digits[16] = {0};
              memcpy(digits, status.data, status.size < 15 ? status.size : 15);
              answer->http_status = (uint32_t)strtoul(digits, NULL, 10);
              answer->payload.kind = SLUICE_PAYLOAD_RAW;
              answer->payload.content_type = text("text/plain");
              answer->payload.raw = text("hello");
              return SLUICE_ANSWER;
            }
            """)

        /// "Never" does not come before "soon".
        @Test func aTimerForTheEndOfTimeDoesNotFire() throws {
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(Self.timing, directory)
            _ = try gateway.get("/")
            try waitUntil("the short timer has fired") { try gateway.metric("sluice_plugin_odd_soon_total") == 1 }
            #expect(try gateway.metric("sluice_plugin_odd_never_total") == 0)
            #expect(try gateway.stop() == 0)
        }

        private static let timing = CompiledPlugin.source(
            "timing", tables: ["SLUICE_FILTER": "filter"],
            """
            static void *context;
            static const sluice_timer *timers;
            static const sluice_metrics *metrics;
            static uint32_t soon, never;
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              context = host->context;
              timers = host->service(context, text(SLUICE_TIMER));
              metrics = host->service(context, text(SLUICE_METRICS));
              soon = metrics->declare(context, SLUICE_METRIC_COUNTER, text("soon"), text("Soon."), NULL, 0);
              never = metrics->declare(context, SLUICE_METRIC_COUNTER, text("never"), text("Never."), NULL, 0);
              *instance = NULL;
              return SLUICE_OK;
            }
            static uint32_t needs(void *instance) { (void)instance; return 0; }
            static void count(void *metric) { metrics->add(context, *(uint32_t *)metric, 1); }
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)exchange, (void)request, (void)answer;
              timers->start(context, UINT64_MAX, count, &never);
              timers->start(context, UINT64_MAX - 1000000, count, &never);
              timers->start(context, 20000000, count, &soon);
              return SLUICE_OK;
            }
            static const sluice_filter filter = {
                .base = {sizeof(sluice_filter), SLUICE_INSTANCE_PER_WORKER, create, no_end},
                .needs = needs, .on_request = on_request};
            """)
    }
}
