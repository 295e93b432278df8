import Foundation
import Testing

extension EndToEnd {
    /// Timers of an instance that all workers share fire for as long as one of them may need it.
    @Suite struct SharedTimers {
        @Test func theyOutliveTheFirstWorkersPart() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let library = try CompiledPlugin.c(Self.ticking(directory.file("go")), "ticking.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 2
            configuration.plugins = ["  - { name: ticking, library: \(library) }"]
            configuration.filters = ["ticking"]
            let gateway = try Gateway(configuration)
            var clients: [Socket] = []
            try waitUntil("a request waits on the second worker") {
                let client = try gateway.connect()
                client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                clients.append(client)
                return try gateway.metric("sluice_plugin_ticking_waiting_total") >= 1
            }
            configuration.balancer = "round-robin"
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            try directory.write("go", "")
            for client in clients { #expect(try MessageReader(client).response()?.status == 200) }
            try waitUntil("the old generation has left") { try gateway.metric("sluice_generations_live") == 1 }
            #expect(try gateway.stop() == 0)
        }

        @Test func everyWorkerStartsAndCancelsThem() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let library = try CompiledPlugin.c(Self.starting, "starting.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 2
            configuration.plugins = ["  - { name: starting, library: \(library) }"]
            configuration.filters = ["starting"]
            let gateway = try Gateway(configuration)
            var seen: Set<String> = []
            try waitUntil("both workers have started timers") {
                let answer = try gateway.get("/a")
                #expect(answer.field("x-started") == "yes")
                if let worker = answer.field("x-worker") { seen.insert(worker) }
                return seen.count == 2
            }
            let started = try gateway.metric("sluice_plugin_starting_started_total")
            try waitUntil("what was not cancelled has fired") {
                try gateway.metric("sluice_plugin_starting_fired_total") == started
            }
            // Those were due before.
            #expect(try gateway.metric("sluice_plugin_starting_cancelled_total") == 0)
            #expect(try gateway.stop() == 0)
        }

        /// Starts a timer with each request and cancels it, then another one that is due later.
        private static let starting = CompiledPlugin.source(
            "starting", tables: ["SLUICE_FILTER": "filter"],
            """
            struct starting {
              void *context;
              const sluice_exchange_service *exchange;
              const sluice_timer *timer;
              const sluice_metrics *metrics;
              uint32_t started, fired, cancelled;
            };
            static void fire(void *user) {
              struct starting *starting = user;
              starting->metrics->add(starting->context, starting->fired, 1);
            }
            static void never(void *user) {
              struct starting *starting = user;
              starting->metrics->add(starting->context, starting->cancelled, 1);
            }
            static uint32_t counter(struct starting *starting, const char *name) {
              return starting->metrics->declare(
                  starting->context, SLUICE_METRIC_COUNTER, text(name), text("Timers."), NULL, 0);
            }
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              struct starting *starting = calloc(1, sizeof *starting);
              starting->context = host->context;
              starting->exchange = host->service(host->context, text(SLUICE_EXCHANGE));
              starting->timer = host->service(host->context, text(SLUICE_TIMER));
              starting->metrics = host->service(host->context, text(SLUICE_METRICS));
              starting->started = counter(starting, "started");
              starting->fired = counter(starting, "fired");
              starting->cancelled = counter(starting, "cancelled");
              *instance = starting;
              return SLUICE_OK;
            }
            static void destroy(void *instance) { free(instance); }
            static uint32_t needs(void *instance) { (void)instance; return 0; }
            static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                            sluice_response *answer) {
              (void)request, (void)answer;
              struct starting *starting = instance;
              uint64_t early = starting->timer->start(starting->context, 100000000, never, starting);
              starting->timer->cancel(starting->context, early);
              starting->metrics->add(starting->context, starting->started, 1);
              uint64_t late = starting->timer->start(starting->context, 300000000, fire, starting);
              bool first = starting->exchange->token(starting->context, exchange) >> 52 == 0;
              starting->exchange->set_field(starting->context, exchange, SLUICE_SIDE_RESPONSE, text("X-Worker"),
                                            text(first ? "first" : "second"));
              starting->exchange->set_field(starting->context, exchange, SLUICE_SIDE_RESPONSE, text("X-Started"),
                                            text(early && late && early != late ? "yes" : "no"));
              return SLUICE_OK;
            }
            static const sluice_filter filter = {
                .base = {sizeof(sluice_filter), SLUICE_INSTANCE_SHARED, create, destroy},
                .needs = needs, .on_request = on_request};
            """)

        /// Suspends what is not on the first worker, whose number is in the upper bits of a token, until a timer finds
        /// the file `go`.
        private static func ticking(_ go: String) -> String {
            CompiledPlugin.source(
                "ticking", tables: ["SLUICE_FILTER": "filter"],
                """
                #include <stdatomic.h>

                struct ticking {
                  void *context;
                  const sluice_exchange_service *exchange;
                  const sluice_timer *timer;
                  const sluice_metrics *metrics;
                  uint32_t waiting;
                  _Atomic uint32_t count;
                  _Atomic uint64_t tokens[64];
                };
                static void tick(void *user) {
                  struct ticking *ticking = user;
                  if (access("\(go)", F_OK) == 0)
                    for (int i = 0; i < 64; i++) {
                      uint64_t token = atomic_exchange(&ticking->tokens[i], 0);
                      if (token) ticking->exchange->resume(ticking->context, token);
                    }
                  ticking->timer->start(ticking->context, 5000000, tick, ticking);
                }
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  struct ticking *ticking = calloc(1, sizeof *ticking);
                  ticking->context = host->context;
                  ticking->exchange = host->service(host->context, text(SLUICE_EXCHANGE));
                  ticking->timer = host->service(host->context, text(SLUICE_TIMER));
                  ticking->metrics = host->service(host->context, text(SLUICE_METRICS));
                  ticking->waiting = ticking->metrics->declare(
                      host->context, SLUICE_METRIC_COUNTER, text("waiting"), text("Requests that wait."), NULL, 0);
                  ticking->timer->start(ticking->context, 5000000, tick, ticking);
                  *instance = ticking;
                  return SLUICE_OK;
                }
                static void destroy(void *instance) { free(instance); }
                static uint32_t needs(void *instance) { (void)instance; return 0; }
                static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                                sluice_response *answer) {
                  (void)request, (void)answer;
                  struct ticking *ticking = instance;
                  uint64_t token = ticking->exchange->token(ticking->context, exchange);
                  if (token >> 52 == 0 || ticking->exchange->resumed(ticking->context, exchange)) return SLUICE_OK;
                  uint32_t place = atomic_fetch_add(&ticking->count, 1);
                  if (place >= 64) return SLUICE_OK;
                  ticking->metrics->add(ticking->context, ticking->waiting, 1);
                  atomic_store(&ticking->tokens[place], token);
                  return SLUICE_PENDING;
                }
                static const sluice_filter filter = {
                    .base = {sizeof(sluice_filter), SLUICE_INSTANCE_SHARED, create, destroy},
                    .needs = needs, .on_request = on_request};
                """)
        }
    }
}
