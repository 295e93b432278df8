import Foundation
import Testing

extension EndToEnd {
    /// What the environment gave does not stand in a message, and of what stands in a `config` the host names the kind.
    @Suite struct ConfigurationSecrets {
        private func check(
            _ plugin: String, _ chain: String, environment: [String: String] = [:]
        ) throws -> (status: Int32, output: String, errors: String) {
            let directory = try TemporaryDirectory()
            try directory.write(
                "plugins.yaml",
                """
                plugins:
                  - { name: open-inference, library: libOpenInference.so }
                  - { name: by-version, library: libByVersion.so }
                  - { name: least-request, library: libLeastRequest.so }
                  - name: it
                    \(plugin.replacingOccurrences(of: "\n", with: "\n    "))
                pipeline:
                  adapters: open-inference
                \(chain.hasPrefix("router") ? "" : "  router: by-version\n")  \(chain)
                models:
                  m: { versions: { "1": { endpoints: [ "http://127.0.0.1:1" ], protocol: open-inference } } }

                """)
            return try Gateway.command(
                ["check", "--config", directory.file("plugins.yaml")], environment: environment)
        }

        @Test(arguments: [
            // The host's own readers.
            (
                "library: libRateLimit.so\nconfig:\n  redis:\n    address: 127.0.0.1:1\n    database: ${SECRET}\n"
                    + "  limits: [ { requests: 1, per: second } ]",
                "filters: it", "expected a whole number, not what the environment gave"
            ),
            // What plugins say of a value, whole or in pieces.
            (
                "library: libQueueAware.so\nconfig:\n  preset: ${SECRET}", "balancer: it",
                "what the environment gave is no preset"
            ),
            (
                "library: libAccessLog.so\nconfig:\n  format: ${SECRET}", "observers: it",
                "what the environment gave is no format"
            ),
            (
                "library: libHeaders.so\nconfig:\n  request:\n    set:\n      x-a: \"a $(${SECRET})\"", "filters: it",
                "is not known; known are"
            ),
            (
                "library: libContentBased.so\nconfig:\n  rules:\n    - when: \"${SECRET} > 1\"\n"
                    + "      then: { model: m }",
                "router: [ it, by-version ]", "column 1 of the rule: "
            ),
        ]) func whatTheEnvironmentGaveIsNotShown(plugin: String, chain: String, says: String) throws {
            let result = try check(plugin, chain, environment: ["SECRET": "hunter2"])
            #expect(result.status == 1)
            #expect(result.errors.contains(says), "\(result.errors)")
            #expect(!result.errors.contains("hunter2"), "\(result.errors)")
        }

        /// The same of what the host itself cannot find or use.
        @Test(arguments: [
            (
                "models: { m: { versions: { \"1\": { protocol: open-inference, "
                    + "endpoints: [ \"http://${SECRET}.invalid\" ] } } } }",
                "5:74", "the host of what"
            ),
            (
                "functions: [ { name: f, library: \"lib${SECRET}.so\", signature: \"u64()\" } ]", "5:34",
                "cannot open"
            ),
            (
                "functions: [ { name: f, library: libc.so.6, symbol: \"${SECRET}\", signature: \"u64()\" } ]", "5:53",
                "no symbol"
            ),
            (
                "functions: [ { name: f, library: libc.so.6, symbol: abs, signature: \"u64(${SECRET})\" } ]", "5:69",
                "no type"
            ),
            (
                "functions: [ { name: f, library: \"./${SECRET}.so\", signature: \"u64()\" } ]", "5:34",
                "there is no such file"
            ),
            (
                "plugin_path: [ lib ]\nplugins: [ { name: a, library: \"${SECRET}.so\" } ]", "6:32",
                "is in none of"
            ),
            (
                "plugin_path: [ \"${SECRET}\" ]\nplugins: [ { name: a, library: none.so } ]", "6:32",
                "is in none of what the environment gave, "
            ),
            (
                "plugins: [ { name: \"${SECRET}\", library: libLeastRequest.so } ]\n"
                    + "pipeline: { router: \"${SECRET}\" }",
                "6:21", "is no router"
            ),
            (
                "gateway:\n  listeners:\n    - address: 127.0.0.1:0\n"
                    + "      tls: { key: k, certificate: \"./tls/${SECRET}\" }",
                "8:35", "cannot read"
            ),
        ]) func whatIsNotFoundIsNotShown(text: String, place: String, says: String) throws {
            let directory = try TemporaryDirectory()
            // Four lines before it, so that its places are of no other line.
            try directory.write("plugins.yaml", "#\n#\n#\n#\n" + text + "\n")
            let result = try Gateway.command(
                ["check", "--config", directory.file("plugins.yaml")], environment: ["SECRET": "hunter2"])
            #expect(result.status == 1)
            #expect(result.errors.contains("plugins.yaml:\(place): error: "), "\(result.errors)")
            #expect(result.errors.contains(says), "\(result.errors)")
            #expect(result.errors.contains("what the environment gave"), "\(result.errors)")
            #expect(!result.errors.contains("hunter2"), "\(result.errors)")
        }

        /// A message about another place may name it all the same.
        @Test func aLibraryIsNotShownElsewhere() throws {
            try Gateway.makeLoadable()
            let directory = try TemporaryDirectory()
            try FileManager.default.createSymbolicLink(
                atPath: directory.file("hunter2"), withDestinationPath: Gateway.buildDirectory)
            try directory.write(
                "plugins.yaml",
                "plugins: [ { name: a, library: \"${DIR}/libHeaders.so\" } ]\npipeline: { router: a }\n")
            let result = try Gateway.command(
                ["check", "--config", directory.file("plugins.yaml")],
                environment: ["DIR": directory.file("hunter2")])
            #expect(result.status == 1)
            #expect(result.errors.contains("`a` is no router: what the environment gave offers "), "\(result.errors)")
            #expect(!result.errors.contains("hunter2"), "\(result.errors)")
        }

        @Test func whatStandsInAConfigIsNamedByItsKind() throws {
            let result = try check(
                "library: libRateLimit.so\nconfig: { redis: { address: 127.0.0.1:1, database: hunter2 } }",
                "filters: it")
            #expect(result.status == 1)
            #expect(result.errors.contains("expected a whole number, not text"), "\(result.errors)")
            #expect(!result.errors.contains("hunter2"), "\(result.errors)")
        }
    }

    /// What a plugin warns of while it is made is about the configuration.
    @Suite struct ConfigurationWarnings {
        @Test func aPluginsWarningIsToldOnceByCheckAndByServe() throws {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.plugins = [
                "  - { name: labels, library: libByVersion.so, config: { default: stable } }"
            ]
            configuration.router = "labels"
            configuration.workers = 3
            let said = "plugin `labels`: model 'web' has no version 'stable': latest is its default"
            let gateway = try Gateway(configuration)
            // It was written before `ready`, and is read by another thread than that.
            try waitUntil("the warning is told") { gateway.log.contains(said) }
            #expect(gateway.log.components(separatedBy: said).count == 2, "\(gateway.log)")
            let checked = try Gateway.command(["check", "--config", gateway.configurationFile])
            #expect(checked.status == 0)
            #expect(checked.errors.components(separatedBy: said).count == 2, "\(checked.errors)")
            #expect(checked.errors.contains(#/plugins\.yaml:\d+:\d+: warning: plugin `labels`/#), "\(checked.errors)")
            #expect(checked.output.contains("fine, 1 warning\n"), "\(checked.output)")
        }
    }
}
