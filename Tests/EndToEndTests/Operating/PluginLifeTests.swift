import Foundation
import Testing

extension EndToEnd {
    /// What a plugin may rely on outside of requests: when it is started and stopped, and that its reasons are told.
    @Suite struct PluginLife {
        /// An adapter and a discovery that note `start` and `stop` in `notes` and fail where `fails` says.
        private static func plugin(_ notes: String, fails: String = "") -> String {
            let source = CompiledPlugin.source(
                "living", tables: ["SLUICE_ADAPTER": "adapter", "SLUICE_DISCOVERY": "discovery"],
                """
                static void note(const char *word) {
                  FILE *file = fopen("\(notes)", "a");
                  if (!file) return;
                  fputs(word, file);
                  fclose(file);
                }
                static sluice_status start(void) { note("start "); return SLUICE_OK; }
                static void stop(void) { note("stop "); }

                static const sluice_host *gateway;
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  gateway = host;
                  *instance = NULL;
                  return SLUICE_OK;
                }
                static void destroy(void *instance) { (void)instance; note("destroy "); }
                static sluice_status verdict(const char *call) {
                  const sluice_log *log = gateway->service(gateway->context, text(SLUICE_LOG));
                  if (strcmp(call, "\(fails)") != 0) return SLUICE_OK;
                  log->fail(gateway->context, text("the moon is in the way"));
                  return SLUICE_PERMISSION_DENIED;
                }
                static sluice_status routes(void *instance, const sluice_route **routes, uint32_t *count) {
                  (void)instance, (void)routes;
                  *count = 0;
                  return verdict("routes");
                }
                \(CompiledPlugin.adapter(create: "create", destroy: "destroy", callbacks: ["routes"]))
                static sluice_status begin(void *instance, const sluice_endpoint_sink *sink) {
                  (void)instance, (void)sink;
                  return verdict("begin");
                }
                static void end(void *instance) { (void)instance; }
                static const sluice_discovery discovery = {
                    .base = {sizeof(sluice_discovery), SLUICE_INSTANCE_SHARED, create, destroy},
                    .start = begin, .stop = end};
                """)
            return source.replacingOccurrences(of: ".extensions =", with: ".start = start, .stop = stop, .extensions =")
        }

        private static func configuration(_ library: String, adapters: [String] = []) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:9"])
            configuration.plugins = ["  - { name: living, library: \(library) }"]
            configuration.adapters += adapters
            return configuration
        }

        private static func notes(_ directory: TemporaryDirectory) throws -> String {
            try String(contentsOfFile: directory.file("notes"), encoding: .utf8)
        }

        /// The test's own directory with a configuration in it.
        private static func prepared(
            fails: String = "", adapters: [String] = ["living"]
        ) throws -> (directory: TemporaryDirectory, configuration: GatewayConfiguration) {
            let directory = try TemporaryDirectory()
            let source = plugin(directory.file("notes"), fails: fails)
            let made = configuration(
                try CompiledPlugin.c(source, "living.so", in: directory), adapters: adapters)
            try directory.write("plugins.yaml", made.text(in: directory))
            return (directory, made)
        }

        @Test(arguments: ["check", "serve"]) func whatWasStartedIsStoppedAfterARefusal(command: String) throws {
            let (directory, _) = try Self.prepared(fails: "routes")
            let result = try Gateway.command([command, "--config", directory.file("plugins.yaml")])
            #expect(result.status == 1)
            #expect(
                result.errors.contains("adapter `living` could not tell its routes: the moon is in the way"),
                "\(result.errors)")
            #expect(try Self.notes(directory) == "start destroy stop ")
        }

        @Test func whatWasStartedForACheckIsStopped() throws {
            let (directory, _) = try Self.prepared()
            let result = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Self.notes(directory) == "start destroy stop ")
        }

        @Test func whatWasStartedIsStoppedWhenAListenerCannotBe() throws {
            var (directory, configuration) = try Self.prepared()
            let taken = try ScriptedBackend.ordinary()
            configuration.listeners = [taken.endpoint.replacingOccurrences(of: "http://", with: "")]
            try directory.write("plugins.yaml", configuration.text(in: directory))
            let result = try Gateway.command(["serve", "--config", directory.file("plugins.yaml")])
            #expect(result.status == 1)
            let notes = try Self.notes(directory)
            #expect(notes.hasPrefix("start destroy ") && notes.hasSuffix("destroy stop "), "\(notes)")
        }

        @Test func theReasonOfADiscoveryThatDoesNotBeginIsTold() throws {
            var (directory, configuration) = try Self.prepared(fails: "begin", adapters: [])
            configuration.models = [
                "  web:", "    versions:",
                "      \"1\": { discovery: { plugin: living, scheme: http, first_set_ms: 1 }, protocol: passthrough }",
            ]
            let gateway = try Gateway(text: configuration.text(in: directory), in: directory)
            try waitUntil("it is told") {
                gateway.log.contains("is degraded: the plugin's start failed: the moon is in the way")
            }
        }

        /// What a router may not set in a copy it is told, whatever else there is room for.
        @Test func aCopyWithAFieldThatMayNotBeSetIsRefused() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            let source = CompiledPlugin.source(
                "marking", tables: ["SLUICE_ROUTER": "router"],
                """
                static const sluice_host *gateway;
                static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
                  (void)arguments;
                  gateway = host;
                  *instance = NULL;
                  return SLUICE_OK;
                }
                static sluice_status route(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                           sluice_route_decision *decision) {
                  (void)instance, (void)request, (void)decision;
                  const sluice_shadow_service *shadow = gateway->service(gateway->context, text(SLUICE_SHADOW));
                  const sluice_exchange_service *exchanges =
                      gateway->service(gateway->context, text(SLUICE_EXCHANGE));
                  static const sluice_field bad[] = {{SLUICE_TEXT("Connection"), SLUICE_TEXT("close")}};
                  sluice_shadow_copy copy = {.pool = 0, .timeout_ns = 1000000000, .fields = bad, .field_count = 1};
                  char status[16];
                  snprintf(status, sizeof status, "%d", shadow->send(gateway->context, exchange, &copy));
                  exchanges->set_field(
                      gateway->context, exchange, SLUICE_SIDE_RESPONSE, text("X-Status"), text(status));
                  return SLUICE_DECLINE;
                }
                static const sluice_router router = {
                    .base = {sizeof(sluice_router), SLUICE_INSTANCE_PER_WORKER, create, no_end}, .route = route};
                """)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = [
                "  - { name: marking, library: \(try CompiledPlugin.c(source, "marking.so", in: directory)) }"
            ]
            configuration.router = "[ marking, by-version ]"
            let answer = try Gateway(configuration).get("/a")
            #expect(answer.status == 200)
            #expect(answer.field("x-status") == "-3")
        }
    }
}
