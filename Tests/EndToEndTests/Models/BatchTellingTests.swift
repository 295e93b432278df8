import Foundation
import Testing

extension EndToEnd {
    /// What the parties of a batch are told: its batcher, its members' clients, observers and metrics.
    @Suite struct BatchTelling {
        /// A batcher that does what its `mode` says, a backend that says what it is asked, and an observer; all that
        /// they are told is logged.
        private static func plugin(_ mode: String) -> String {
            CompiledPlugin.source(
                "telling",
                tables: ["SLUICE_BATCHER": "batcher", "SLUICE_BACKEND": "backend", "SLUICE_OBSERVER": "observer"],
                """
                #include <stdarg.h>

                struct telling {
                  void *context;
                  const sluice_log *log;
                  const sluice_memory *memory;
                };
                static void say(struct telling *telling, const char *format, ...) {
                  char line[512];
                  va_list list;
                  va_start(list, format);
                  vsnprintf(line, sizeof line, format, list);
                  va_end(list);
                  telling->log->write(telling->context, SLUICE_LOG_INFO, text(line));
                }
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  struct telling *telling = calloc(1, sizeof *telling);
                  telling->context = host->context;
                  telling->log = host->service(host->context, text(SLUICE_LOG));
                  telling->memory = host->service(host->context, text(SLUICE_MEMORY));
                  const sluice_config *config = host->service(host->context, text(SLUICE_CONFIG));
                  int64_t rows = 0;
                  double delay = 0;
                  if (arguments->model_config) {
                    config->integer(host->context,
                        config->find(host->context, arguments->model_config, text("max_batch_size")), &rows);
                    config->number(host->context,
                        config->find(host->context, arguments->model_config, text("max_delay_ms")), &delay);
                  }
                  say(telling, "create model=%.*s rows=%lld delay=%g.", (int)arguments->model.size,
                      (const char *)arguments->model.data, (long long)rows, delay);
                  *instance = telling;
                  return SLUICE_OK;
                }
                static void destroy(void *instance) { free(instance); }

                #define PAIR 1
                #define NEVER 2
                #define TAKEN_BACK 3
                static void enqueue(void *instance, const sluice_batch *batch, sluice_batch_decision *decision) {
                  (void)instance;
                  if (\(mode) == PAIR) decision->flush = batch->count >= 2 ? 2 : 0;
                  if (\(mode) == TAKEN_BACK && batch->count == 1) decision->timer_ns = batch->now_ns + 400000000;
                }
                static void on_timer(void *instance, const sluice_batch *batch, sluice_batch_decision *decision) {
                  say(instance, "the timer came.");
                  decision->flush = batch->count;
                }
                static void on_batch_done(
                    void *instance, uint32_t count, uint32_t rows, const sluice_outcome *outcome) {
                  say(instance, "done count=%u rows=%u endpoint=%u http=%u attempt=%u first=%llu total=%llu.", count,
                      rows, outcome->endpoint, outcome->http_status, outcome->attempt,
                      (unsigned long long)outcome->first_byte_ns, (unsigned long long)outcome->total_ns);
                }
                static const sluice_batcher batcher = {
                    .base = {sizeof(sluice_batcher), SLUICE_INSTANCE_PER_WORKER, create, destroy},
                    .enqueue = enqueue, .on_timer = on_timer, .on_batch_done = on_batch_done};

                static sluice_status infer(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                           sluice_response *response) {
                  struct telling *telling = instance;
                  static const sluice_field fields[] = {{SLUICE_TEXT("x-cost"), SLUICE_TEXT("7")},
                                                        {SLUICE_TEXT("set-cookie"), SLUICE_TEXT("who=one")}};
                  sluice_tensor *tensor = telling->memory->arena_alloc(telling->context, exchange, sizeof *tensor);
                  if (!tensor || request->payload.tensor_count != 1) return SLUICE_INTERNAL;
                  *tensor = request->payload.tensors[0];
                  response->payload.kind = SLUICE_PAYLOAD_TENSORS;
                  response->payload.tensors = tensor;
                  response->payload.tensor_count = 1;
                  response->fields = fields;
                  response->field_count = 2;
                  response->http_status = 203;
                  return SLUICE_OK;
                }
                static sluice_status describe(void *instance, sluice_metadata *metadata) {
                  (void)instance, (void)metadata;
                  return SLUICE_OK;
                }
                static const sluice_backend backend = {
                    .base = {sizeof(sluice_backend), SLUICE_INSTANCE_PER_WORKER, create, destroy},
                    .infer = infer, .describe = describe};

                static void on_finish(void *instance, const sluice_summary *summary) {
                  say(instance, "finished http=%u rows=%u duration=%llu queued=%llu.", summary->http_status,
                      summary->batch_rows, (unsigned long long)summary->duration_ns,
                      (unsigned long long)summary->queued_ns);
                }
                static const sluice_observer observer = {
                    .base = {sizeof(sluice_observer), SLUICE_INSTANCE_PER_WORKER, create, destroy},
                    .on_finish = on_finish};
                """)
        }

        private static func gateway(
            _ mode: String, _ version: String = "backend: telling", timeout: Int = 20_000
        ) throws -> Gateway {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(plugin(mode), "telling.so", in: directory)
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.plugins = ["  - { name: telling, library: \(library) }"]
            configuration.batcher = "telling"
            configuration.observers = ["telling"]
            configuration.gateway = ["  routing: { default_timeout_ms: \(timeout) }"]
            configuration.models = [
                "  m:", "    versions:", "      \"1\": { \(version) }", "    batching: { max_batch_size: 8 }",
            ]
            return try Gateway(configuration)
        }

        /// Two requests of one row each, and their answers.
        /// - Parameter meanwhile: what happens between the two.
        private static func pair(_ gateway: Gateway, meanwhile: () throws -> Void = {}) throws -> [HTTPMessage] {
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for (value, socket) in sockets.enumerated() {
                let body =
                    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[1,1],\"data\":[\(value)]}]}"
                socket.send(
                    "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
            try meanwhile()
            return try sockets.map { try #require(try MessageReader($0).response(to: "POST")) }
        }

        /// The numbers of each line that begins with `word`.
        private static func told(_ gateway: Gateway, _ word: String) -> [[String: Int]] {
            gateway.log.split(separator: "\n").compactMap { line in
                guard let start = line.range(of: ": \(word) ")?.upperBound else { return nil }
                let pairs = line[start...].dropLast().split(separator: " ").map { $0.split(separator: "=") }
                return Dictionary(
                    pairs.compactMap { pair in pair.count == 2 ? Int(pair[1]).map { (String(pair[0]), $0) } : nil },
                    uniquingKeysWith: { first, _ in first })
            }
        }

        @Test func theBatcherReadsTheBatchingInForce() throws {
            let gateway = try Self.gateway("PAIR")
            try waitUntil("it has told") { gateway.log.contains("create model=m rows=8 delay=10.") }
        }

        @Test func membersGetTheFieldsThatAreTheirs() throws {
            let gateway = try Self.gateway("PAIR")
            for (index, answer) in try Self.pair(gateway).enumerated() {
                #expect(answer.status == 203)
                #expect(answer.field("x-cost") == "7")
                // A cookie is for one client.
                #expect(answer.field("set-cookie") == nil)
                #expect(try JSON(answer.bodyText)["outputs"][0]["data"].integers == [index])
            }
            try waitUntil("the batcher was told") { !Self.told(gateway, "done").isEmpty }
            // It was served in this process: there is no endpoint to speak of.
            #expect(Self.told(gateway, "done")[0]["endpoint"] == Int(UInt32.max))
        }

        @Test func theTimeOfTheModelIsNotWaiting() throws {
            let gate = DispatchSemaphore(value: 0)
            let backend = try ScriptedBackend { connection, _ in
                gate.wait()
                connection.answer(
                    200,
                    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":[2,1],"
                        + "\"data\":[1,2]}]}", fields: ["Content-Type: application/json"])
            }
            let gateway = try Self.gateway(
                "PAIR", "endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference")
            let answers = try Self.pair(gateway) {
                // Their waits are over, and the model takes its time.
                try waitUntil("both stand in a batch") {
                    try gateway.metric("sluice_queue_seconds_count", ["model=\"m\""]) == 2
                }
                gate.signal()
            }
            for answer in answers { #expect(answer.status == 200, "\(answer.bodyText)") }
            try waitUntil("observers were told") { Self.told(gateway, "finished").count == 2 }
            let done = try #require(Self.told(gateway, "done").first)
            let (first, total) = (try #require(done["first"]), try #require(done["total"]))
            #expect(done["endpoint"] == 0 && done["http"] == 200 && done["attempt"] == 1)
            #expect(first > 0 && first <= total)
            for summary in Self.told(gateway, "finished") {
                #expect(summary["rows"] == 2)
                #expect(try #require(summary["queued"]) + first <= (try #require(summary["duration"])))
            }
        }

        @Test func whoeverTimesOutInTheBatcherHasWaitedAllTheTime() throws {
            let gateway = try Self.gateway("NEVER", timeout: 300)
            for answer in try Self.pair(gateway) { #expect(answer.status == 504) }
            try waitUntil("observers were told") { Self.told(gateway, "finished").count == 2 }
            for summary in Self.told(gateway, "finished") {
                #expect(summary["rows"] == 0)
                #expect(try #require(summary["queued"]) >= 200_000_000)
            }
            try waitUntil("their waits were counted") {
                try gateway.metric("sluice_queue_seconds_count", ["model=\"m\""]) == 2
            }
        }

        @Test func aTimerThatIsTakenBackDoesNotCome() throws {
            let gateway = try Self.gateway("TAKEN_BACK", timeout: 1_500)
            for answer in try Self.pair(gateway) { #expect(answer.status == 504) }
            #expect(!gateway.log.contains("the timer came."))
        }
    }
}
