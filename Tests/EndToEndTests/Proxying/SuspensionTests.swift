import Foundation
import Testing

extension EndToEnd {
    /// Filters that answer PENDING: resumed, left waiting past the deadline, or left by their client.
    @Suite struct Suspension {
        private let directory: TemporaryDirectory
        private let gateway: Gateway
        private let backend: ScriptedBackend
        /// One that reads answers whole, so that they are shown to filters in unified form.
        private let unified: Gateway

        init() throws {
            directory = try TemporaryDirectory()
            backend = try ScriptedBackend.ordinary()
            let library = try CompiledPlugin.c(Self.pause, "pause.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins = ["  - { name: pause, library: \(library) }"]
            configuration.filters = ["pause"]
            configuration.gateway = ["  routing: { default_timeout_ms: 300 }"]
            gateway = try Gateway(configuration)
            var whole = Iris.configuration()
            whole.workers = 1
            whole.plugins = configuration.plugins
            whole.filters = ["pause"]
            whole.gateway = configuration.gateway
            unified = try Gateway(whole)
        }

        private func count(_ name: String) throws -> Double {
            try gateway.metric("sluice_plugin_pause_\(name)_total")
        }

        /// Filters see the answer of a model in this process.
        @Test func anAnswerInUnifiedFormIsSuspendedLikeAnyOther() throws {
            let body = "{\"instances\": [[5.1, 3.5, 1.4, 0.2]]}"
            for _ in 1...2 {
                let answer = try unified.post("/v1/models/iris:predict?later-response", body)
                #expect(answer.status == 200)
                #expect(answer.bodyText.contains("predictions"))
            }
            let late = try unified.post("/v1/models/iris:predict?never-response", body)
            #expect(late.status == 504)
            let name = "sluice_plugin_pause_"
            #expect(try unified.metric(name + "suspended_total") == 3)
            #expect(try unified.metric(name + "resumed_total") == 2)
            #expect(try unified.metric(name + "cancelled_total") == 1)
        }

        /// The body goes on behind the head, in both directions, and others are served meanwhile.
        @Test func bodiesGoOnAfterASuspension() throws {
            let body = String(repeating: "0123456789", count: 100_000)
            let sockets = try (0..<8).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() {
                let path = index % 2 == 0 ? "/later-response" : "/through"
                socket.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
            for (index, socket) in sockets.enumerated() {
                let answer = try #require(try MessageReader(socket).response())
                #expect(answer.bodyText == "POST \(index % 2 == 0 ? "/later-response" : "/through") \(body.utf8.count)")
            }
            #expect(try count("resumed") == 4)
        }

        /// An answer without a byte of a body, all of which is there when the filter resumes its head.
        @Test func trailersOutlastASuspension() throws {
            let modern = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.answerCall(stream, [], fields: [])
                }
            }
            var configuration = GatewayConfiguration.web([modern.grpcEndpoint])
            configuration.workers = 1
            configuration.plugins = ["  - { name: pause, library: \(directory.file("pause.so")) }"]
            configuration.filters = ["pause"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.request(1, "GET", "/later-response")
            let answer = try client.answer(1)
            #expect(answer.status == 200)
            #expect(answer.trailers.map { "\($0.name)=\($0.value)" } == ["grpc-status=0"])
            #expect(try gateway.metric("sluice_plugin_pause_resumed_total") == 1)
        }

        @Test func aResumedCallGoesOnWhereItStopped() throws {
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            for side in ["request", "response"] {
                socket.send("GET /later-\(side) HTTP/1.1\r\nHost: a\r\n\r\n")
                let answer = try #require(try reader.response())
                #expect(answer.status == 200, "\(side)")
            }
            #expect(try count("suspended") == 2)
            #expect(try count("resumed") == 2)
            #expect(try count("cancelled") == 0)
        }

        /// The filter's `on_cancel` resumes what is over: that must do nothing.
        @Test(arguments: ["request", "response"])
        func aCallThatIsNeverResumedEndsWithTheDeadline(side: String) throws {
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            for turn in 1...2 {
                socket.send("GET /never-\(side) HTTP/1.1\r\nHost: a\r\n\r\n")
                let answer = try #require(try reader.response())
                #expect(answer.status == 504)
                #expect(try count("cancelled") == Double(turn))
                #expect(try count("told") == Double(turn))
                socket.send("GET /through HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try #require(try reader.response()).status == 200, "the connection serves on")
            }
            #expect(try count("resumed") == 0)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"response\""]) == 2)
        }

        /// Two plugins, each of which resumes twice: the second word of the first must not end the wait of the second,
        /// which would let the request pass before its turn.
        @Test func whoeverResumesTwiceEndsNobodyElsesSuspension() throws {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins = ["eager", "patient"].map {
                "  - { name: \($0), library: \(directory.file("pause.so")) }"
            }
            configuration.filters = ["eager", "patient"]
            configuration.gateway = ["  routing: { default_timeout_ms: 300 }"]
            let both = try Gateway(configuration)
            #expect(try both.get("/twice-request").status == 504)
            #expect(try both.metric("sluice_plugin_eager_resumed_total") == 1)
            #expect(try both.metric("sluice_plugin_patient_suspended_total") == 1)
            #expect(try both.metric("sluice_plugin_patient_resumed_total") == 0)
        }

        @Test func aClientThatLeavesCancels() throws {
            let socket = try gateway.connect()
            socket.send("GET /never-request HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("it is suspended") { try count("suspended") == 1 }
            #expect(try gateway.metric("sluice_buffers_in_use", ["class=\"4096\""]) > 0)
            socket.close()
            try waitUntil("it is cancelled") { try count("cancelled") == 1 }
            try waitUntil("its memory is back") {
                try gateway.metric("sluice_buffers_in_use", ["class=\"4096\""]) == 0
            }
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// Suspends what begins with never or later (the query, or the path after its first slash), in the call whose
        /// side it ends with; resumes the latter.
        private static let pause = CompiledPlugin.source(
            "pause", tables: ["SLUICE_FILTER_2": "filter"],
            """
            struct pause {
              void *context;
              const sluice_exchange_service *exchange;
              const sluice_timer *timer;
              const sluice_metrics *metrics;
              uint32_t suspended, resumed, cancelled, told;
              int is_patient;
            };
            struct waiting {
              struct pause *pause;
              uint64_t token;
            };

            static int begins(sluice_bytes path, const char *prefix) {
              return path.size >= strlen(prefix) && memcmp(path.data, prefix, strlen(prefix)) == 0;
            }
            static int ends(sluice_bytes path, const char *suffix) {
              size_t size = strlen(suffix);
              return path.size >= size && memcmp(path.data + path.size - size, suffix, size) == 0;
            }

            static sluice_bytes what(const sluice_message *message) {
              sluice_bytes target = message->target;
              for (size_t i = 0; i < target.size; i++) {
                if (target.data[i] != '?') continue;
                target.data += i;
                target.size -= i;
                break;
              }
              target.data++;
              target.size--;
              return target;
            }

            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              struct pause *pause = calloc(1, sizeof *pause);
              pause->is_patient = begins(arguments->name, "patient");
              pause->context = host->context;
              pause->exchange = host->service(host->context, text(SLUICE_EXCHANGE));
              pause->timer = host->service(host->context, text(SLUICE_TIMER));
              pause->metrics = host->service(host->context, text(SLUICE_METRICS));
              pause->suspended = pause->metrics->declare(
                  host->context, SLUICE_METRIC_COUNTER, text("suspended"), text("Calls suspended."), NULL, 0);
              pause->resumed = pause->metrics->declare(
                  host->context, SLUICE_METRIC_COUNTER, text("resumed"), text("Calls resumed."), NULL, 0);
              pause->cancelled = pause->metrics->declare(
                  host->context, SLUICE_METRIC_COUNTER, text("cancelled"), text("Exchanges cancelled."), NULL, 0);
              pause->told = pause->metrics->declare(
                  host->context, SLUICE_METRIC_COUNTER, text("told"), text("Errors told."), NULL, 0);
              *instance = pause;
              return SLUICE_OK;
            }
            static void destroy(void *instance) { free(instance); }
            static uint32_t needs(void *instance) {
              (void)instance;
              return 0;
            }
            static void fire(void *user) {
              struct waiting *waiting = user;
              waiting->pause->exchange->resume(waiting->pause->context, waiting->token);
              free(waiting);
            }
            static sluice_status step(struct pause *pause, sluice_exchange *exchange, sluice_bytes path) {
              if (pause->exchange->resumed(pause->context, exchange)) {
                pause->metrics->add(pause->context, pause->resumed, 1);
                return SLUICE_OK;
              }
              if (begins(path, "later")) {
                struct waiting *waiting = malloc(sizeof *waiting);
                waiting->pause = pause;
                waiting->token = pause->exchange->token(pause->context, exchange);
                pause->timer->start(pause->context, 5000000, fire, waiting);
              } else if (begins(path, "twice") && !pause->is_patient) {
                // The second word comes when the other one has suspended the exchange.
                for (uint64_t delay = 5000000; delay <= 50000000; delay += 45000000) {
                  struct waiting *waiting = malloc(sizeof *waiting);
                  waiting->pause = pause;
                  waiting->token = pause->exchange->token(pause->context, exchange);
                  pause->timer->start(pause->context, delay, fire, waiting);
                }
              } else if (!begins(path, "never") && !begins(path, "twice")) {
                return SLUICE_OK;
              }
              pause->metrics->add(pause->context, pause->suspended, 1);
              return SLUICE_PENDING;
            }
            static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                            sluice_response *answer) {
              (void)answer;
              sluice_bytes path = what(request->message);
              return ends(path, "-request") ? step(instance, exchange, path) : SLUICE_OK;
            }
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)response;
              sluice_bytes path = what(request->message);
              return ends(path, "-response") ? step(instance, exchange, path) : SLUICE_OK;
            }
            static void on_cancel(void *instance, sluice_exchange *exchange) {
              struct pause *pause = instance;
              pause->metrics->add(pause->context, pause->cancelled, 1);
              pause->exchange->resume(pause->context, pause->exchange->token(pause->context, exchange));
            }
            static void on_error(void *instance, sluice_exchange *exchange, sluice_status error) {
              (void)exchange;
              struct pause *pause = instance;
              if (error == SLUICE_DEADLINE_EXCEEDED) pause->metrics->add(pause->context, pause->told, 1);
            }
            static const sluice_filter_2 filter = {
                .base = {.struct_size = sizeof(sluice_filter_2), .create = create, .destroy = destroy},
                .needs = needs,
                .on_request = on_request,
                .on_response = on_response,
                .on_cancel = on_cancel,
                .on_error = on_error};
            """)
    }
}
