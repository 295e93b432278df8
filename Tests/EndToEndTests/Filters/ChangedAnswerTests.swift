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
