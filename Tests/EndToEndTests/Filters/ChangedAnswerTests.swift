import Testing

extension EndToEnd {
    /// What filters make of an endpoint's answer before it goes out: another status, an error in its place, and what
    /// cannot be sent. Answers that stream are as good as those that are gathered.
    @Suite struct ChangedAnswers {
        /// How an answer reaches the filter and the client.
        struct Way: Sendable, CustomTestStringConvertible {
            var isGathered = false
            var isHTTP2 = false

            static let all = [false, true].flatMap { gathered in
                [false, true].map { Way(isGathered: gathered, isHTTP2: $0) }
            }

            var testDescription: String {
                "\(isGathered ? "gathered" : "streamed") over HTTP/\(isHTTP2 ? "2" : "1.1")"
            }
        }

        struct Answer: Equatable {
            var status: Int
            var body: String
            var length: String?
        }

        /// Answers a path `/STATUS` by that; `/chunked` in chunks.
        private static func backend() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                if request.target == "/chunked" {
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    connection.socket.send(head + "5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n")
                } else if request.target == "/204" || request.target == "/304" {
                    connection.socket.send("HTTP/1.1 \(request.target.dropFirst()) Some\r\n\r\n")
                } else if request.method == "HEAD" {
                    connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
                } else {
                    connection.answer(Int(request.target.dropFirst()) ?? 200, "content")
                }
            }
        }

        static func configuration(
            _ endpoint: String, _ directory: TemporaryDirectory, isGathered: Bool = false
        ) throws -> GatewayConfiguration {
            let needs = isGathered ? "SLUICE_FILTER_RESPONSE_BODY" : "SLUICE_FILTER_CHUNKS"
            let library = try CompiledPlugin.c(source(needs), "changing.so", in: directory)
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 1
            configuration.plugins = ["changing", "pausing"].map { "  - { name: \($0), library: \(library) }" }
            configuration.filters = ["changing"]
            return configuration
        }

        private static func ask(
            _ gateway: Gateway, _ change: String, _ isHTTP2: Bool, _ target: String = "/200", method: String = "GET"
        ) throws -> Answer {
            if isHTTP2 {
                let client = try gateway.http2()
                client.request(1, method, target, fields: [("x-do", change)])
                let answer = try client.answer(1)
                return Answer(
                    status: answer.status ?? 0, body: answer.bodyText, length: answer.field("content-length"))
            }
            let answer = try gateway.exchange(
                "\(method) \(target) HTTP/1.1\r\nHost: a\r\nX-Do: \(change)\r\nConnection: close\r\n\r\n",
                method: method)
            return Answer(status: answer.status, body: answer.bodyText, length: answer.field("content-length"))
        }

        @Test(arguments: Way.all) func anErrorHasItsOwnStatusAndNotTheEndpoints(_ way: Way) throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            let gateway = try Gateway(
                Self.configuration(backend.endpoint, directory, isGathered: way.isGathered))
            #expect(try Self.ask(gateway, "error-7", way.isHTTP2, "/200").status == 403)
            #expect(try Self.ask(gateway, "error-7", way.isHTTP2, "/404").status == 403)
            #expect(try Self.ask(gateway, "error-16", way.isHTTP2, "/500").status == 401)
            // But for one that the plugin has chosen.
            #expect(try Self.ask(gateway, "teapot-7", way.isHTTP2, "/404").status == 418)
            // What a filter left in an answer that it did not give is nobody's.
            #expect(try Self.ask(gateway, "left-7", way.isHTTP2, "/200").status == 403)
            #expect(try Self.ask(gateway, "left", way.isHTTP2, "/200").status == 200)
        }

        @Test(arguments: Way.all) func theStatusIsTheFilters(_ way: Way) throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            let gateway = try Gateway(
                Self.configuration(backend.endpoint, directory, isGathered: way.isGathered))
            let changed = try Self.ask(gateway, "status-418", way.isHTTP2)
            #expect(changed == Answer(status: 418, body: "content", length: "7"))
            #expect(try Self.ask(gateway, "status-503", way.isHTTP2, "/chunked").body == "abcdefghij")
            let unsaid = try Self.ask(gateway, "status-0", way.isHTTP2, "/201")
            #expect(unsaid.status == (way.isGathered ? 200 : 201), "as the adapter thinks fit")
            let head = try Self.ask(gateway, "status-418", way.isHTTP2, method: "HEAD")
            #expect(head.status == 418 && head.body.isEmpty)
            for status in [204, 205, 304] {
                let length = status == 205 ? "0" : nil
                for target in ["/200", "/chunked", "/204"] {
                    let answer = try Self.ask(gateway, "status-\(status)", way.isHTTP2, target)
                    #expect(answer == Answer(status: status, body: "", length: length), "\(target)")
                }
            }
            for target in ["/204", "/304"] {
                #expect(
                    try Self.ask(gateway, "status-200", way.isHTTP2, target)
                        == Answer(status: 200, body: "", length: "0"))
            }
            for status in ["99", "199", "600", "4294967295"] {
                let refused = try Self.ask(gateway, "status-\(status)", way.isHTTP2)
                #expect(refused.status == 500)
                #expect(try #require(JSON(refused.body)["error"].text).contains("status \(status),"))
            }
            // Metrics count what clients got, and endpoints are judged by what they sent.
            #expect(try gateway.metric("sluice_requests_total", ["status=\"418\""]) == 2)
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"server_error\""]) == 0)
        }

        /// The connection serves on behind a status that has dropped the content.
        @Test func whatFollowsIsReadAlike() throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            let gateway = try Gateway(Self.configuration(backend.endpoint, directory))
            let reader = MessageReader(try gateway.connect())
            for (target, change, status) in [
                ("/200", "status-204", 204), ("/chunked", "status-304", 304), ("/204", "status-200", 200),
                ("/200", "status-418", 418), ("/200", "nothing", 200),
            ] {
                reader.socket.send("GET \(target) HTTP/1.1\r\nHost: a\r\nX-Do: \(change)\r\n\r\n")
                #expect(try reader.response()?.status == status)
            }
            #expect(backend.requests.count == 5)
        }

        /// What one filter has changed stands when the next one takes its time.
        @Test(arguments: [false, true]) func aSuspensionForgetsNothing(isHTTP2: Bool) throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            var configuration = try Self.configuration(backend.endpoint, directory)
            // The last one sees the answer first.
            configuration.filters = ["pausing", "changing"]
            let gateway = try Gateway(configuration)
            let answer = try Self.ask(gateway, "status-418", isHTTP2)
            #expect(answer == Answer(status: 418, body: "content", length: "7"))
            #expect(try gateway.metric("sluice_plugin_pausing_resumed_total") == 1)
        }

        @Test(arguments: Way.all) func aMalformedFieldIsThePluginsFault(_ way: Way) throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            let gateway = try Gateway(
                Self.configuration(backend.endpoint, directory, isGathered: way.isGathered))
            for (turn, change) in ["field", "status-99"].enumerated() {
                let answer = try Self.ask(gateway, change, way.isHTTP2)
                #expect(answer.status == 500)
                #expect(try JSON(answer.body)["error"].text?.hasPrefix("a plugin ") == true)
                let failed = try gateway.metric("sluice_call_errors_total", ["plugin=\"changing\""])
                #expect(failed == Double(turn + 1))
                // Every filter that has seen the answer hears that another one goes out.
                #expect(try gateway.metric("sluice_plugin_changing_told_total") == Double(turn + 1))
            }
            for outcome in ["reset", "bad_response", "server_error"] {
                #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"\(outcome)\""]) == 0)
            }
            try gateway.awaitLog("an answer was not sent: a plugin made a header field that is not valid")
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// A filter hears of every error that is answered, also of its own.
        @Test func errorsAreToldOnce() throws {
            let directory = try TemporaryDirectory()
            let backend = try Self.backend()
            let gateway = try Gateway(Self.configuration(backend.endpoint, directory))
            for (turn, change) in ["error-7", "answer-99", "chunk-error", "field"].enumerated() {
                let body = change == "chunk-error" ? "some content" : ""
                let answer = try gateway.post("/200", body, fields: ["X-Do: \(change)"])
                // Nothing of an answer has gone out, so that an error of `on_chunk` can be answered.
                #expect(answer.status == (change.contains("error") ? 403 : 500), "\(change)")
                #expect(try gateway.metric("sluice_plugin_changing_told_total") == Double(turn + 1), "\(change)")
            }
        }

        @Test func aCallKeepsItsStatusAndEndsAsOne() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.respond(
                        stream, 200, "", fields: [("content-type", "application/grpc"), ("grpc-status", "0")])
                }
            }
            let directory = try TemporaryDirectory()
            let gateway = try Gateway(Self.configuration(backend.grpcEndpoint, directory))
            let kept = try gateway.call("/a.B/C", fields: [("x-do", "status-418")])
            #expect(kept.status == 200 && kept.field("grpc-status") == "0")
            let refused = try gateway.call("/a.B/C", fields: [("x-do", "field")])
            #expect(refused.status == 200 && refused.field("grpc-status") == "13")
            #expect(refused.field("grpc-message") == "a plugin made a header field that is not valid")
            #expect(try gateway.metric("sluice_requests_total", ["status=\"500\""]) == 1)
        }

        /// The client has not been told of the switch, so that it can be told of the error.
        @Test func aSwitchOfProtocolsIsRefusedLikeAnyAnswer() throws {
            let backend = try WebSocket.echo()
            let directory = try TemporaryDirectory()
            var configuration = try Self.configuration(backend.endpoint, directory)
            configuration.routes = WebSocket.route
            let gateway = try Gateway(configuration)
            #expect(try gateway.exchange(WebSocket.asking("/", "X-Do: field\r\n")).status == 500)
            #expect(try gateway.exchange(WebSocket.asking("/", "X-Do: status-200\r\n")).status == 101)
        }

        /// Does what `X-Do` says; the plugin named `pausing` suspends each answer once.
        private static func source(_ needs: String) -> String {
            CompiledPlugin.source(
                "changing", tables: ["SLUICE_FILTER_2": "filter"],
                """
                struct state {
                  void *context;
                  const sluice_exchange_service *exchanges;
                  const sluice_timer *timers;
                  const sluice_metrics *metrics;
                  uint32_t told, resumed;
                  int pauses;
                };
                struct waiting {
                  struct state *state;
                  uint64_t token;
                };
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  struct state *state = calloc(1, sizeof *state);
                  void *context = state->context = host->context;
                  state->pauses = arguments->name.data[0] == 'p';
                  state->exchanges = host->service(context, text(SLUICE_EXCHANGE));
                  state->timers = host->service(context, text(SLUICE_TIMER));
                  state->metrics = host->service(context, text(SLUICE_METRICS));
                  state->told = state->metrics->declare(
                      context, SLUICE_METRIC_COUNTER, text("told"), text("Errors told."), NULL, 0);
                  state->resumed = state->metrics->declare(
                      context, SLUICE_METRIC_COUNTER, text("resumed"), text("Calls resumed."), NULL, 0);
                  *instance = state;
                  return SLUICE_OK;
                }
                static void destroy(void *instance) { free(instance); }
                static uint32_t needs(void *instance) { (void)instance; return \(needs); }
                /* What stands behind `word` in the request's field, or NULL. */
                static const char *wanted(struct state *state, sluice_exchange *exchange, const char *word) {
                  static char copy[64];
                  bool found = false;
                  sluice_bytes value = state->exchanges->header(state->context, exchange, text("x-do"), &found);
                  memset(copy, 0, sizeof copy);
                  if (found) memcpy(copy, value.data, value.size < 63 ? value.size : 63);
                  return strncmp(copy, word, strlen(word)) == 0 ? copy + strlen(word) : NULL;
                }
                static uint32_t number(const char *digits) { return (uint32_t)strtoul(digits, NULL, 10); }
                static sluice_status on_request(
                    void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
                  (void)request;
                  if (wanted(instance, exchange, "left")) answer->http_status = 418;
                  const char *status = wanted(instance, exchange, "answer-");
                  if (!status) return SLUICE_OK;
                  answer->http_status = number(status);
                  return SLUICE_ANSWER;
                }
                static void wake(void *user) {
                  struct waiting *waiting = user;
                  waiting->state->exchanges->resume(waiting->state->context, waiting->token);
                  free(waiting);
                }
                static sluice_status on_response(void *instance, sluice_exchange *exchange,
                                                 const sluice_request *request, sluice_response *response) {
                  (void)request;
                  struct state *state = instance;
                  if (state->pauses && state->exchanges->resumed(state->context, exchange)) {
                    state->metrics->add(state->context, state->resumed, 1);
                    return SLUICE_OK;
                  }
                  if (state->pauses) {
                    struct waiting *waiting = malloc(sizeof *waiting);
                    waiting->state = state;
                    waiting->token = state->exchanges->token(state->context, exchange);
                    state->timers->start(state->context, 1000000, wake, waiting);
                    return SLUICE_PENDING;
                  }
                  const char *what = wanted(state, exchange, "status-");
                  if (what) response->http_status = number(what);
                  if (wanted(state, exchange, "field")) {
                    static const sluice_field fields[] = {{SLUICE_TEXT("X-Odd"), SLUICE_TEXT("two\\nlines")}};
                    response->fields = fields;
                    response->field_count = 1;
                  }
                  if ((what = wanted(state, exchange, "teapot-"))) response->http_status = 418;
                  if (!what) what = wanted(state, exchange, "error-");
                  if (!what) what = wanted(state, exchange, "left-");
                  return what ? -(sluice_status)number(what) : SLUICE_OK;
                }
                static sluice_status on_chunk(
                    void *instance, sluice_exchange *exchange, uint32_t side, sluice_bytes chunk) {
                  (void)chunk;
                  const char *what = wanted(instance, exchange, "chunk-error");
                  return what && side == SLUICE_SIDE_REQUEST ? SLUICE_PERMISSION_DENIED : SLUICE_OK;
                }
                static void on_error(void *instance, sluice_exchange *exchange, sluice_status error) {
                  (void)exchange;
                  struct state *state = instance;
                  if (error < 0) state->metrics->add(state->context, state->told, 1);
                }
                static const sluice_filter_2 filter = {
                    .base = {sizeof(sluice_filter_2), SLUICE_INSTANCE_PER_WORKER, create, destroy},
                    .needs = needs, .on_request = on_request, .on_response = on_response, .on_chunk = on_chunk,
                    .on_error = on_error};
                """)
        }
    }
}
