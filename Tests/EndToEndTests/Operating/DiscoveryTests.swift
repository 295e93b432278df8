import Foundation
import Testing

extension EndToEnd {
    /// The endpoints of a pool come and go without a reload and without a failed request.
    @Suite struct Discovery {
        static func named(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in connection.answer(200, name) }
        }

        /// A gateway whose model `web` has its endpoints from `endpoints.yaml`, beside its configuration.
        static func configuration(_ list: String, more: String = "") -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = ["  - { name: endpoint-file, library: libFileDiscovery.so }"]
            configuration.models = [
                "  web:", "    versions:", "      \"1\":", "        protocol: passthrough", "        discovery:",
                "          plugin: endpoint-file", "          config: { path: \"\(list)\", poll_seconds: 1 }",
            ]
            if !more.isEmpty { configuration.models.append("          " + more) }
            return configuration
        }

        static func gateway(_ lines: [String], more: String = "") throws -> Gateway {
            let directory = try TemporaryDirectory()
            let list = try directory.write("endpoints.yaml", lines.joined(separator: "\n") + "\n")
            return try Gateway(text: configuration(list, more: more).text(in: directory), in: directory)
        }

        /// Replaces the list by a rename, as `write` does it.
        static func tell(_ gateway: Gateway, _ lines: [String]) throws {
            try gateway.directory.write("endpoints.yaml", lines.joined(separator: "\n") + "\n")
        }

        static func endpoints(_ gateway: Gateway) throws -> Double { try gateway.metric("sluice_discovery_endpoints") }

        @Test func endpointsComeAndGoUnderLoad() throws {
            let (first, second) = (try Self.named("first"), try Self.named("second"))
            let gateway = try Self.gateway(["- \(first.endpoint)"])
            // The first request is served: the set was there before the gateway was ready.
            #expect(try gateway.get("/").bodyText == "first")
            let client = CheckingClient(port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }) {
                $1.status == 200 ? nil : "status \($1.status)"
            }
            for _ in 0..<3 {
                try Self.tell(gateway, ["- \(first.endpoint)", "- { address: \(second.endpoint), weight: 2 }"])
                let before = second.requests.count
                try waitUntil("the second endpoint serves") { second.requests.count > before }
                try Self.tell(gateway, ["- \(second.endpoint)"])
                try waitUntil("one endpoint is left") { try Self.endpoints(gateway) == 1 }
                let served = second.requests.count
                try waitUntil("the second serves alone") { second.requests.count > served + 20 }
                let rest = first.requests.count
                let later = second.requests.count
                try waitUntil("the second still serves") { second.requests.count > later + 20 }
                #expect(first.requests.count == rest)
                try Self.tell(gateway, ["- \(first.endpoint)"])
                try waitUntil("the first serves again") { first.requests.count > rest }
            }
            #expect(try client.stop() == [])
            #expect(try gateway.metric("sluice_discovery_updates_total") >= 7)
        }

        @Test func anAttemptOnARemovedEndpointEndsInItsTime() throws {
            let release = Gate()
            let slow = try ScriptedBackend { connection, _ in
                release.wait()
                connection.answer(200, "slow")
            }
            let other = try Self.named("other")
            let gateway = try Self.gateway(["- \(slow.endpoint)"])
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the request is under way") { slow.requests.count == 1 }
            try Self.tell(gateway, ["- \(other.endpoint)"])
            // A request before that would go to the slow one and wait, too. All workers have a set that is counted.
            try waitUntil("the set is taken") { try gateway.metric("sluice_discovery_updates_total") == 2 }
            #expect(try gateway.get("/").bodyText == "other")
            release.open()
            #expect(try MessageReader(socket).response()?.bodyText == "slow")
            // Its outcome is its own: the other endpoint has only what went to it.
            let ended = try gateway.metric("sluice_attempts_total", ["endpoint=\"\(slow.endpoint)\""])
            #expect(ended == 1)
            let others = try gateway.metric("sluice_attempts_total", ["endpoint=\"\(other.endpoint)\""])
            #expect(others == Double(other.requests.count))
        }

        @Test func garbageKeepsTheLastSet() throws {
            let backend = try Self.named("it")
            let gateway = try Self.gateway(["- \(backend.endpoint)"])
            for garbage in ["\u{1}\u{2}garbage", "{ \"endpoints\": [", "endpoints:\n  iris: 1"] {
                let failures = try gateway.metric("sluice_discovery_failures_total")
                try Self.tell(gateway, [garbage])
                try waitUntil("the failure is counted") {
                    try gateway.metric("sluice_discovery_failures_total") > failures
                }
                #expect(try gateway.get("/").bodyText == "it")
            }
            let status = try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")])
            #expect(status.output.contains("endpoints.yaml: line"), "\(status.output)")
            // A reload begins with the last known set, though the source says nothing of use.
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").bodyText == "it")
            try Self.tell(gateway, ["- \(backend.endpoint)"])
            try waitUntil("the source is followed again") {
                try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")]).output
                    .contains("follows")
            }
        }

        /// The old endpoints speak plain HTTP, and would be sent the beginning of TLS.
        @Test func anotherSchemeBeginsWithoutTheEndpointsOfTheOld() throws {
            let backend = try Self.named("it")
            let address = backend.endpoint.replacingOccurrences(of: "http://", with: "")
            let gateway = try Self.gateway(["- \(address)"])
            #expect(try gateway.get("/").bodyText == "it")
            let connections = backend.connectionCount
            // The source says nothing of use meanwhile.
            try Self.tell(gateway, ["{ \"endpoints\": ["])
            let list = gateway.directory.file("endpoints.yaml")
            try gateway.write(Self.configuration(list, more: "scheme: https"))
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").status == 503)
            #expect(backend.connectionCount == connections)
            // What it says from now on is of the new scheme; and the old one goes on where it was.
            try gateway.write(Self.configuration(list))
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").bodyText == "it")
        }

        @Test func badAddressesAreRefusedAndTheRestIsTaken() throws {
            let backend = try Self.named("it")
            let address = backend.endpoint.replacingOccurrences(of: "http://", with: "")
            let gateway = try Self.gateway([
                "- \(address)", "- grpc://127.0.0.1:1", "- http://user:secret@127.0.0.1:1", "- nonsense:",
                "- http://127.0.0.1:0",
            ])
            #expect(try gateway.get("/").bodyText == "it")
            #expect(try Self.endpoints(gateway) == 1)
            #expect(try gateway.metric("sluice_discovery_refused_total") >= 4)
            #expect(!gateway.log.contains("secret"))
        }

        @Test func anEmptySetKeepsTheLastUnlessToldOtherwise() throws {
            let backend = try Self.named("it")
            let keeping = try Self.gateway(["- \(backend.endpoint)"])
            try Self.tell(keeping, ["[]"])
            try waitUntil("the empty set came") { try keeping.metric("sluice_discovery_empty_kept_total") >= 1 }
            #expect(try keeping.get("/").bodyText == "it")
            let emptying = try Self.gateway(["- \(backend.endpoint)"], more: "when_empty: empty")
            #expect(try emptying.get("/").bodyText == "it")
            try Self.tell(emptying, ["[]"])
            try waitUntil("the pool is empty") { try emptying.get("/").status == 503 }
            try Self.tell(emptying, ["- \(backend.endpoint)"])
            try waitUntil("the pool serves again") { try emptying.get("/").status == 200 }
        }

        /// A backend whose `/health` answers as it is told.
        final class Checked: Sendable {
            let backend: ScriptedBackend
            private let status: Status

            private final class Status: @unchecked Sendable {
                private let lock = NSLock()
                private var value: Int
                init(_ value: Int) { self.value = value }
                var now: Int { lock.withLock { value } }
                func set(_ value: Int) { lock.withLock { self.value = value } }
            }

            init(_ name: String, health: Int = 200) throws {
                let status = Status(health)
                self.status = status
                backend = try ScriptedBackend { connection, request in
                    connection.answer(request.target == "/health" ? status.now : 200, name)
                }
            }

            var endpoint: String { backend.endpoint }
            func say(_ health: Int) { status.set(health) }
            var checks: Int { backend.requests.count { $0.target == "/health" } }
            var served: Int { backend.requests.count { $0.target != "/health" } }
        }

        static func checkedGateway(_ lines: [String], unhealthyAfter: Int = 2) throws -> Gateway {
            let directory = try TemporaryDirectory()
            let list = try directory.write("endpoints.yaml", lines.joined(separator: "\n") + "\n")
            var configuration = configuration(list)
            configuration.models.append(
                "    health_check: "
                    + "{ path: /health, interval_ms: 20, unhealthy_after: \(unhealthyAfter), healthy_after: 2 }")
            return try Gateway(text: configuration.text(in: directory), in: directory)
        }

        static func isHealthy(_ gateway: Gateway, _ checked: Checked) throws -> Bool {
            try gateway.metric("sluice_endpoint_healthy", ["endpoint=\"\(checked.endpoint)\""]) == 1
        }

        @Test func whoComesServesNobodyBeforeACheckHasSucceeded() throws {
            let (good, late) = (try Checked("good"), try Checked("late", health: 500))
            // As many failures as it takes to be unhealthy are not to be had in a test.
            let gateway = try Self.checkedGateway(["- \(good.endpoint)"], unhealthyAfter: 1_000)
            try Self.tell(gateway, ["- \(good.endpoint)", "- \(late.endpoint)"])
            try waitUntil("it is there") { try Self.endpoints(gateway) == 2 }
            for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "good") }
            try waitUntil("it has failed some checks") { late.checks > 3 }
            for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "good") }
            #expect(late.served == 0)
            late.say(200)
            try waitUntil("it serves") {
                _ = try gateway.get("/"); return late.served > 0
            }
            // Where there is nobody else, nothing is awaited.
            let alone = try Checked("alone", health: 500)
            try Self.tell(gateway, ["- \(alone.endpoint)"])
            try waitUntil("the others have left") { try Self.endpoints(gateway) == 1 }
            #expect(try gateway.get("/").bodyText == "alone")
        }

        @Test func endpointsThatComeAreCheckedAndThoseThatLeaveAreNot() throws {
            let (good, ill) = (try Checked("good"), try Checked("ill", health: 500))
            let gateway = try Self.checkedGateway(["- \(good.endpoint)"])
            try waitUntil("the first is checked") { good.checks > 2 }
            // A name before that of the first, or behind it: the others keep their checks in any order.
            try Self.tell(gateway, ["- \(ill.endpoint)", "- \(good.endpoint)"])
            try waitUntil("the ill one is out") { try ill.checks >= 2 && !Self.isHealthy(gateway, ill) }
            #expect(try Self.isHealthy(gateway, good))
            let before = ill.served
            for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "good") }
            #expect(ill.served == before)
            ill.say(200)
            try waitUntil("it is back") { try Self.isHealthy(gateway, ill) }
            try waitUntil("it serves") {
                _ = try gateway.get("/"); return ill.served > before
            }
            // The other way round: who leaves was the first to be checked.
            good.say(500)
            try waitUntil("the first is out") { try !Self.isHealthy(gateway, good) }
            try Self.tell(gateway, ["- \(ill.endpoint)"])
            try waitUntil("one endpoint is left") { try Self.endpoints(gateway) == 1 }
            let checks = good.checks
            let rest = ill.checks
            try waitUntil("the rest is checked on") { ill.checks > rest + 10 }
            // One may have been under way.
            #expect(good.checks <= checks + 1)
            // Who comes back within a minute is checked as any other that comes.
            try Self.tell(gateway, ["- \(ill.endpoint)", "- \(good.endpoint)"])
            try waitUntil("it is checked again") { good.checks > checks + 2 }
            try waitUntil("it is out again") { try !Self.isHealthy(gateway, good) }
            good.say(200)
            try waitUntil("it is well again") { try Self.isHealthy(gateway, good) }
            // A reload goes on with them.
            #expect(try gateway.reload().status == 0)
            let (one, two) = (good.checks, ill.checks)
            try waitUntil("both are checked on") { good.checks > one + 2 && ill.checks > two + 2 }
        }

        @Test func checksThatAreUnderWayEndWithTheirEndpoint() throws {
            let good = try Self.named("good")
            // It never answers a check, and anything else at once.
            let silent = try ScriptedBackend { connection, request in
                if request.target != "/health" { connection.answer(200, "silent") }
            }
            let gateway = try Self.checkedGateway(["- \(good.endpoint)"])
            let client = CheckingClient(port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }) {
                $1.status == 200 ? nil : "status \($1.status)"
            }
            for _ in 0..<10 {
                let asked = silent.requests.count { $0.target == "/health" }
                try Self.tell(gateway, ["- \(silent.endpoint)", "- \(good.endpoint)"])
                try waitUntil("a check is under way") { silent.requests.count { $0.target == "/health" } > asked }
                try Self.tell(gateway, ["- \(good.endpoint)"])
                try waitUntil("one endpoint is left") { try Self.endpoints(gateway) == 1 }
            }
            #expect(try client.stop() == [])
            #expect(try gateway.stop() == 0)
        }

        /// A plugin of the first version of the ABI's discovery, in C, that tells its set inside `start`.
        static let first = """
            #include <stdlib.h>
            #include <string.h>
            #include "sluice/plugin.h"

            static int instance_;
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)host;
              *instance = &instance_;
              return arguments->worker == SLUICE_NONE && arguments->model.size == 3 ? SLUICE_OK : SLUICE_INTERNAL;
            }
            static void destroy(void *instance) { (void)instance; }
            static sluice_status start(void *instance, const sluice_endpoint_sink *sink) {
              (void)instance;
              const char *text = getenv("DISCOVERED");
              if (!text) return SLUICE_NOT_FOUND;
              sluice_bytes address = {(const uint8_t *)text, strlen(text)};
              uint32_t weight = 3;
              sink->set(sink->context, &address, &weight, 1);
              return SLUICE_OK;
            }
            static void stop(void *instance) { (void)instance; }
            static const sluice_discovery discovery = {.base = {.struct_size = sizeof(sluice_discovery),
                                                                .instancing = SLUICE_INSTANCE_SHARED,
                                                                .create = create,
                                                                .destroy = destroy},
                                                       .start = start,
                                                       .stop = stop};
            static const sluice_extension extensions[] = {{SLUICE_TEXT(SLUICE_DISCOVERY), &discovery}};
            static const sluice_plugin plugin = {.struct_size = sizeof(sluice_plugin),
                                                 .abi_version = SLUICE_ABI_VERSION,
                                                 .name = SLUICE_TEXT("first"),
                                                 .version = SLUICE_TEXT("1"),
                                                 .vendor = SLUICE_TEXT("acme"),
                                                 .licence = SLUICE_TEXT("MIT"),
                                                 .extensions = extensions,
                                                 .extension_count = 1};
            const sluice_plugin *sluice_plugin_entry(uint32_t host) {
              (void)host;
              return &plugin;
            }
            """

        @Test(arguments: [true, false]) func theFirstVersionOfTheABIServesToo(_ knows: Bool) throws {
            let backend = try Self.named("it")
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.first, "libfirst.so", in: directory)
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = ["  - { name: first, library: \"\(library)\" }"]
            configuration.models = [
                "  web:", "    versions:",
                "      \"1\": { discovery: { plugin: first, scheme: http }, protocol: passthrough }",
            ]
            let gateway = try Gateway(
                text: configuration.text(in: directory), in: directory,
                environment: knows ? ["DISCOVERED": backend.endpoint] : [:])
            #expect(try gateway.get("/").status == (knows ? 200 : 503))
            let status = try Gateway.command(["status", "--json", "--socket", directory.file("admin.sock")]).output
            #expect(status.contains("\"weight\":3") == knows)
            #expect(status.contains("start failed with status -5") != knows, "\(status)")
        }

        @Test func aCheckDoesNotReachForTheSource() throws {
            let directory = try TemporaryDirectory()
            let text = Self.configuration(directory.file("not-there.yaml")).text(in: directory)
            try directory.write("plugins.yaml", text)
            let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
            #expect(checked.status == 0, "\(checked.errors)")
            // And a gateway serves without it: the pool is empty until the file comes.
            let gateway = try Gateway(text: text, in: directory)
            #expect(try gateway.get("/").status == 503)
            let backend = try Self.named("it")
            try directory.write("not-there.yaml", "- \(backend.endpoint)\n")
            try waitUntil("the file is found") { try gateway.get("/").status == 200 }
        }

        @Test func mistakesInTheConfigurationAreToldWithTheirPlace() throws {
            let directory = try TemporaryDirectory()
            let good = Self.configuration("/tmp/a").text(in: directory)
            for (from, to, message) in [
                ("path: \"/tmp/a\"", "path: a", "the path must be absolute"),
                ("poll_seconds", "pol_seconds", "unknown key 'pol_seconds'"),
                ("plugin: endpoint-file", "plugin: by-version", "`by-version` is no discovery"),
                ("protocol: passthrough", "endpoints: [ \"http://127.0.0.1:1\" ]", "exclude each other"),
            ] {
                try directory.write("plugins.yaml", good.replacingOccurrences(of: from, with: to))
                let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(checked.status == 1)
                #expect(checked.errors.contains("plugins.yaml:") && checked.errors.contains(message), "\(checked)")
            }
        }
    }
}
