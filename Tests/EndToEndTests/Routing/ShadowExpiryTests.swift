import Foundation
import Testing

extension EndToEnd {
    /// A copy that is asked for in the turn of the worker in which its generation's time is over.
    @Suite struct ShadowExpiry {
        @Test func aCopyThatHasNotBegunEndsWithItsGeneration() throws {
            let web = try ScriptedBackend.ordinary()
            let next = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let (blocked, release) = (directory.file("blocked"), directory.file("release"))
            let library = try CompiledPlugin.c(Self.late(blocked, release), "late.so", in: directory)
            var configuration = GatewayConfiguration.web([web.endpoint])
            configuration.workers = 1
            configuration.router = "late"
            configuration.plugins = ["  - { name: late, library: \(library) }"]
            configuration.gateway = ["  reload: { drain_timeout_ms: 50 }"]
            configuration.models += [
                "  next:", "    versions: { \"1\": { endpoints: [ \"\(next.endpoint)\" ], protocol: passthrough } }",
            ]
            let gateway = try Gateway(configuration)
            // The router waits with it.
            let copied = try gateway.connect()
            copied.send("GET /copy HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("it waits") { try gateway.metric("sluice_plugin_late_waiting_total") == 1 }
            // The router resumes it, and holds the worker up until the time of its generation is over: both are read
            // in one turn.
            let blocking = try gateway.connect()
            blocking.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the worker is held up") { FileManager.default.fileExists(atPath: blocked) }
            #expect(try gateway.reload().status == 0)
            try waitUntil("the time is over") { gateway.log.contains("left after its drain timeout: cut") }
            try directory.write("release", "")
            #expect(try MessageReader(copied).response()?.status == 503)
            #expect(try MessageReader(blocking).response() != nil)
            try waitUntil("the plugin is told once") { try gateway.metric("sluice_plugin_late_done_total") == 1 }
            for _ in 0..<20 { #expect(try gateway.get("/").status == 200) }
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
            #expect(try gateway.metric("sluice_plugin_late_done_total") == 1)
            #expect(try gateway.stop() == 0)
        }

        /// Suspends requests for `/copy` and copies them when they are resumed, which the next one for `/block` does.
        private static func late(_ blocked: String, _ release: String) -> String {
            CompiledPlugin.source(
                "late", tables: ["SLUICE_ROUTER": "router"],
                """
                struct late {
                  void *context;
                  const sluice_exchange_service *exchange;
                  const sluice_metrics *metrics;
                  const sluice_shadow_service *shadow;
                  uint64_t token;
                  uint32_t waiting, done;
                };

                static int is(sluice_bytes path, const char *other) {
                  return path.size == strlen(other) && memcmp(path.data, other, path.size) == 0;
                }
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  struct late *late = calloc(1, sizeof *late);
                  late->context = host->context;
                  late->exchange = host->service(host->context, text(SLUICE_EXCHANGE));
                  late->metrics = host->service(host->context, text(SLUICE_METRICS));
                  late->shadow = host->service(host->context, text(SLUICE_SHADOW));
                  late->waiting = late->metrics->declare(
                      host->context, SLUICE_METRIC_COUNTER, text("waiting"), text("Requests that wait."), NULL, 0);
                  late->done = late->metrics->declare(
                      host->context, SLUICE_METRIC_COUNTER, text("done"), text("Copies that have ended."), NULL, 0);
                  *instance = late;
                  return SLUICE_OK;
                }
                static void destroy(void *instance) { free(instance); }
                static void done(void *user, const sluice_shadow_outcome *outcome) {
                  (void)outcome;
                  struct late *late = user;
                  late->metrics->add(late->context, late->done, 1);
                }
                static sluice_status route(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                           sluice_route_decision *decision) {
                  struct late *late = instance;
                  decision->version = 0;
                  sluice_bytes target = request->message->target;
                  if (is(target, "/block")) {
                    late->exchange->resume(late->context, late->token);
                    FILE *file = fopen("\(blocked)", "w");
                    if (file) fclose(file);
                    for (int i = 0; i < 60000 && access("\(release)", F_OK) != 0; i++) poll(NULL, 0, 1);
                  }
                  if (!is(target, "/copy")) return SLUICE_OK;
                  if (!late->exchange->resumed(late->context, exchange)) {
                    late->token = late->exchange->token(late->context, exchange);
                    late->metrics->add(late->context, late->waiting, 1);
                    return SLUICE_PENDING;
                  }
                  sluice_shadow_copy copy = {.pool = 1, .timeout_ns = 60000000000, .done = done, .user = late};
                  return late->shadow->send(late->context, exchange, &copy);
                }
                static const sluice_router router = {
                    .base = {.struct_size = sizeof(sluice_router), .create = create, .destroy = destroy},
                    .route = route};
                """)
        }
    }
}
