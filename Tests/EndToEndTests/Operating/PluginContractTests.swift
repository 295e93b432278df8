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
    }
}
