import Foundation
import Testing

extension EndToEnd {
    /// What sluice/plugin.h promises to plugins, at its edges.
    @Suite struct PluginContract {
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        /// An observer whose instances are made by the C statements `create`, which have `host` and `arguments`.
        private func observer(_ create: String) throws -> String {
            let source = CompiledPlugin.source(
                "made", tables: ["SLUICE_OBSERVER": "observer"],
                """
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  *instance = NULL;
                  \(create)
                }
                static void on_finish(void *instance, const sluice_summary *summary) { (void)instance, (void)summary; }
                static const sluice_observer observer = {
                    .base = {sizeof(sluice_observer), SLUICE_INSTANCE_SHARED, create, no_end}, .on_finish = on_finish};
                """)
            return try CompiledPlugin.c(source, "made.so", in: directory)
        }

        private func configuration(observing library: String, _ config: String = "{}") -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:9"])
            configuration.plugins = ["  - { name: made, library: \(library), config: \(config) }"]
            configuration.observers = ["made"]
            return configuration
        }

        private func check(
            _ configuration: GatewayConfiguration
        ) throws -> (status: Int32, output: String, errors: String) {
            try directory.write("plugins.yaml", configuration.text(in: directory))
            return try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
        }

        // MARK: Configuration

        @Test func anEntryBeyondTheLastIsNone() throws {
            let library = try observer(
                """
                const sluice_config *config = host->service(host->context, text(SLUICE_CONFIG));
                const size_t indexes[] = {2, SIZE_MAX, SIZE_MAX / 2 + 1};
                for (int i = 0; i < 3; i++)
                  if (config->at(host->context, arguments->config, indexes[i], NULL)) return SLUICE_OUT_OF_RANGE;
                return config->at(host->context, arguments->config, 1, NULL) ? SLUICE_OK : SLUICE_NOT_FOUND;
                """)
            let result = try check(configuration(observing: library, "{ a: 1, b: 2 }"))
            #expect(result.status == 0, "\(result.errors)")
        }

        @Test func aNumberThatIsTooLargeIsNotCalledNone() throws {
            let library = try observer(
                """
                const sluice_config *config = host->service(host->context, text(SLUICE_CONFIG));
                int64_t integer;
                double number;
                config->integer(host->context, config->at(host->context, arguments->config, 0, NULL), &integer);
                config->number(host->context, config->at(host->context, arguments->config, 1, NULL), &number);
                return SLUICE_INVALID_ARGUMENT;
                """)
            let result = try check(configuration(observing: library, "{ a: 9223372036854775808, b: 1e999 }"))
            #expect(result.status == 1)
            let range = "from -9223372036854775808 to 9223372036854775807"
            #expect(result.errors.contains("plugin `made`: expected a whole number \(range)\n"), "\(result.errors)")
            #expect(result.errors.contains("plugin `made`: expected a number of at most 1.7e308\n"), "\(result.errors)")
        }

        // MARK: Start

        @Test func aStartThatFailsIsToldWithItsStatus() throws {
            let source = CompiledPlugin.source(
                "made", tables: ["SLUICE_OBSERVER": "observer"],
                """
                static sluice_status start(void) { return SLUICE_UNAVAILABLE; }
                static void on_finish(void *instance, const sluice_summary *summary) { (void)instance, (void)summary; }
                static const sluice_observer observer = {
                    .base = {sizeof(sluice_observer), SLUICE_INSTANCE_SHARED, no_state, no_end},
                    .on_finish = on_finish};
                """
            ).replacingOccurrences(of: ".extensions =", with: ".start = start, .extensions =")
            let result = try check(
                configuration(observing: try CompiledPlugin.c(source, "made.so", in: directory)))
            #expect(result.status == 1)
            let told = "plugin `made`: its start function failed with status -14, and can tell no reason\n"
            #expect(result.errors.contains(told), "\(result.errors)")
        }

        /// The level of the file, also before the gateway serves.
        @Test(arguments: ["error", "debug"]) func instancesLogAtTheLevelOfTheFileFromTheFirstOn(level: String) throws {
            let library = try observer(
                """
                const sluice_log *log = host->service(host->context, text(SLUICE_LOG));
                for (uint32_t level = SLUICE_LOG_ERROR; level <= SLUICE_LOG_DEBUG; level++) {
                  char line[64];
                  snprintf(line, sizeof line, "level %u is %s", (unsigned)level,
                           log->enabled(host->context, level) ? "on" : "off");
                  if (level != SLUICE_LOG_WARNING) log->write(host->context, level, text(line));
                }
                return SLUICE_OK;
                """)
            var configuration = configuration(observing: library)
            configuration.gateway = ["  monitoring: { metrics_port: 0, log_level: \(level) }"]
            let gateway = try Gateway(configuration)
            try gateway.awaitLog("level 1 is on")
            #expect(try gateway.stop() == 0)
            for line in ["level 3 is on", "level 4 is on"] {
                #expect(gateway.log.contains(line) == (level == "debug"), "\(gateway.log)")
            }
            #expect(!gateway.log.contains("is off"))
        }

        // MARK: Shared instances

        /// A shared filter that does in `on_request` what the C statements `request` say, and counts in `cancelled` and
        /// `failed` what it hears.
        private func sharedFilter(_ request: String) throws -> String {
            let source = CompiledPlugin.source(
                "shared", tables: ["SLUICE_FILTER_2": "filter"],
                """
                static const sluice_metrics *metrics;
                static void *context;
                static uint32_t cancelled, failed;
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  context = host->context;
                  metrics = host->service(host->context, text(SLUICE_METRICS));
                  cancelled = metrics->declare(context, SLUICE_METRIC_COUNTER, text("cancelled"), text("."), NULL, 0);
                  failed = metrics->declare(context, SLUICE_METRIC_COUNTER, text("failed"), text("."), NULL, 0);
                  *instance = NULL;
                  return SLUICE_OK;
                }
                static uint32_t needs(void *instance) { (void)instance; return 0; }
                static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                                sluice_response *answer) {
                  (void)instance, (void)exchange, (void)request, (void)answer;
                  \(request)
                }
                static void on_cancel(void *instance, sluice_exchange *exchange) {
                  (void)instance, (void)exchange;
                  metrics->add(context, cancelled, 1);
                }
                static void on_error(void *instance, sluice_exchange *exchange, sluice_status error) {
                  (void)instance, (void)exchange, (void)error;
                  metrics->add(context, failed, 1);
                }
                static const sluice_filter_2 filter = {
                    .base = {sizeof(sluice_filter_2), SLUICE_INSTANCE_SHARED, create, no_end}, .needs = needs,
                    .on_request = on_request, .on_cancel = on_cancel, .on_error = on_error};
                """)
            return try CompiledPlugin.c(source, "shared.so", in: directory)
        }

        /// It stands on the exchange's way twice, and is one instance.
        @Test func aSharedFilterHearsOnceHowAnExchangeEnded() throws {
            // Never answers.
            let backend = try ScriptedBackend { _, _ in }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = ["  - { name: shared, library: \(try sharedFilter("return SLUICE_OK;")) }"]
            configuration.filters = ["shared"]
            configuration.models.insert("    filters: [ shared ]", at: 1)
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("it is under way") { backend.requests.count == 1 }
            socket.close()
            try waitUntil("it is over") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
            #expect(try gateway.metric("sluice_plugin_shared_cancelled_total") == 1)
            backend.stop()
            #expect(try gateway.get("/a").status == 503)
            #expect(try gateway.metric("sluice_plugin_shared_failed_total") == 1)
        }

        /// Whichever worker a refused answer was made on.
        @Test func answersOfASharedFilterThatAreRefusedAreLogged() throws {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:9"])
            let library = try sharedFilter("answer->http_status = 77; return SLUICE_ANSWER;")
            configuration.plugins = ["  - { name: shared, library: \(library) }"]
            configuration.filters = ["shared"]
            let gateway = try Gateway(configuration)
            // The kernel gives two workers some of so many each.
            for _ in 0..<40 { #expect(try gateway.get("/a").status == 500) }
            #expect(try gateway.metric("sluice_call_errors_total", ["plugin=\"shared\""]) == 40)
            try waitUntil("all are logged") {
                gateway.log.components(separatedBy: "shared: an answer was not sent").count == 41
            }
        }
    }
}
