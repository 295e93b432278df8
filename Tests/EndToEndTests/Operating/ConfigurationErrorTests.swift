import Foundation
import Testing

extension EndToEnd {
    /// A wrong configuration ends the start at once, with the place of every error.
    @Suite struct ConfigurationErrors {
        private func start(_ text: String, _ arguments: [String] = ["serve"]) throws -> (status: Int32, errors: String)
        {
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", text)
            let result = try Gateway.command(
                arguments + ["--config", directory.file("plugins.yaml")], directory: directory.path)
            return (result.status, result.errors)
        }

        private func good() throws -> String {
            let directory = try TemporaryDirectory()
            return GatewayConfiguration.web(["http://127.0.0.1:1"]).text(in: directory)
        }

        @Test(arguments: ["serve", "check"]) func eachErrorHasItsPlace(command: String) throws {
            let good = try good()
            let cases: [(change: (String, String), expected: [String])] = [
                (("balancer: least-request", "balacner: least-request"), ["balacner", "balancer"]),
                (("worker_threads: 2", "worker_threads: many"), ["worker_threads"]),
                (("name: by-version", "name: least-request"), ["least-request"]),
                (("libByVersion.so", "libNobody.so"), ["libNobody.so"]),
                (("router: by-version", "router: by-verse"), ["by-verse"]),
                (("protocol: passthrough", "protocol: nobody"), ["nobody"]),
                (("http://127.0.0.1:1", "http://127.0.0.1:99999"), ["port"]),
            ]
            for (change, expected) in cases {
                let text = good.replacingOccurrences(of: change.0, with: change.1)
                #expect(text != good)
                let result = try start(text, [command])
                #expect(result.status == 1, "\(change.1): \(result)")
                let pattern = #/plugins\.yaml:\d+:\d+: error: /#
                #expect(result.errors.contains(pattern), "\(change.1): \(result.errors)")
                for word in expected { #expect(result.errors.contains(word), "\(change.1): \(result.errors)") }
            }
        }

        @Test func allErrorsAtOnce() throws {
            let text = try good().replacingOccurrences(of: "balancer: least-request", with: "balacner: least-request")
                .replacingOccurrences(of: "worker_threads: 2", with: "worker_threads: many")
                .replacingOccurrences(of: "protocol: passthrough", with: "protokol: passthrough")
            let result = try start(text)
            #expect(result.errors.split(separator: "\n").count { $0.contains(": error: ") } >= 3, "\(result.errors)")
        }

        /// A missing certificate does not hide what plugins have against their `config`, and a plugin with an instance
        /// for each model says it once.
        @Test func whatAPluginRefusesIsToldWithTheRest() throws {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.plugins = [
                "  - { name: cache, library: libCache.so, config: { max_bytes: many } }",
                "  - { name: log, library: libAccessLog.so, config: { format: nonsense } }",
            ]
            configuration.filters = ["cache"]
            configuration.observers = ["log"]
            configuration.models[2] += "\n    filters: cache"
            let directory = try TemporaryDirectory()
            let text = configuration.text(in: directory).replacingOccurrences(
                of: "- address: 127.0.0.1:0",
                with: "- { address: \"127.0.0.1:0\", tls: { certificate: no.pem, key: no.pem } }")
            let result = try start(text, ["check"])
            let errors = result.errors.split(separator: "\n").filter { $0.contains(": error: ") }
            for word in ["no.pem", "plugin `cache`", "plugin `log`"] {
                #expect(errors.count { $0.contains(word) } == 1, "\(word): \(result.errors)")
            }
            let lines = errors.compactMap { Int($0.split(separator: ":")[1]) }
            #expect(lines == lines.sorted() && lines.count == errors.count, "\(result.errors)")
        }

        @Test func aCoreThatIsNotThereIsAWarning() throws {
            let text = try good().replacingOccurrences(
                of: "worker_threads: 2", with: "worker_threads: 2, cpu_affinity: [ 1023 ]")
            let result = try start(text, ["check"])
            #expect(result.status == 0)
            #expect(result.errors.contains("warning: this process may not use core 1023"), "\(result.errors)")
        }

        /// Its configuration is not even read: who forgot to name it would think that it is in force.
        @Test func aPluginThatNothingNamesIsAWarning() throws {
            let forgotten = "  - { name: forgotten, library: libHeaders.so, config: { nonsense: 1 } }\n"
            let text = try good().replacingOccurrences(of: "\npipeline:", with: "\n\(forgotten)pipeline:")
            let result = try start(text, ["check"])
            #expect(result.status == 0)
            let warning = #/plugins\.yaml:\d+:\d+: warning: plugin `forgotten` is loaded and does nothing/#
            #expect(result.errors.contains(warning), "\(result.errors)")
            #expect(!result.errors.contains("plugin `by-version`"))
            // Who is served here needs no balancer, which is named all the same.
            var own = GatewayConfiguration()
            own.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            own.batcher = "size-or-delay"
            let fine = try start(own.text(in: TemporaryDirectory()), ["check"])
            #expect(fine.status == 0 && fine.errors.isEmpty, "\(fine.errors)")
        }

        @Test func anAliasBombIsRefused() throws {
            var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            for level in 1...9 {
                let alias = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
                text += "a\(level): &a\(level) [\(alias)]\n"
            }
            let result = try start(text)
            #expect(result.status == 1)
            #expect(result.errors.contains("plugins.yaml:"))
        }

        @Test func aHugeFileIsRefused() throws {
            let directory = try TemporaryDirectory()
            let path = try directory.write("plugins.yaml", "models:\n")
            #expect(truncate(path, 100 << 20) == 0)
            let result = try Gateway.command(["serve", "--config", path])
            #expect(result.status == 1)
            #expect(result.errors.contains("plugins.yaml"))
        }

        @Test func aFileThatIsNotThereIsRefused() throws {
            let result = try Gateway.command(["serve", "--config", "/nonexistent/plugins.yaml"])
            #expect(result.status == 1)
            #expect(result.errors.contains("/nonexistent/plugins.yaml"))
        }

        @Test func wrongUsageIsTwo() throws {
            #expect(try Gateway.command(["no-such-command"]).status == 2)
            #expect(try Gateway.command(["serve", "--no-such-option"]).status == 2)
        }

        @Test func checkSaysNothingAgainstAGoodFile() throws {
            let result = try start(good(), ["check"])
            #expect(result.status == 0, "\(result.errors)")
        }

        @Test func theWellKnownTemplateLoads() throws {
            let directory = try TemporaryDirectory()
            let port = try Ports.free()
            let metrics = try Ports.free()
            // As it stands but for the ports, which may be taken on the machine that runs the tests.
            let text = """
                gateway:
                  server: {port: \(port), worker_threads: 16, max_connections: 10000}
                  routing: {default_timeout_ms: 1000, retry_policy: {max_attempts: 3, backoff_ms: 100}}
                  circuit_breaker: {failure_threshold: 10, reset_timeout_sec: 30}
                  batching: {max_batch_size: 16, max_delay_ms: 10}
                  monitoring: {metrics_port: \(metrics), trace_sample_rate: 0.1}
                """
            let gateway = try Gateway(text: text, in: directory)
            #expect(gateway.port == port)
            #expect(gateway.metricsPort == metrics)
            #expect(try gateway.get("/v2/health/live").status == 200)
            #expect(try gateway.metrics().contains("sluice_"))
            #expect(gateway.process.standardError.contains("trace_sample_rate"))
            #expect(try gateway.stop() == 0)
        }

        @Test func environmentReferences() throws {
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let text = GatewayConfiguration.web(["http://${SLUICE_TEST_HOST:-127.0.0.1}:${SLUICE_TEST_PORT}"])
                .text(in: directory)
            let gateway = try Gateway(
                text: text, in: directory, environment: ["SLUICE_TEST_PORT": "\(backend.port)"])
            #expect(try gateway.get("/").status == 200)
        }
    }
}
