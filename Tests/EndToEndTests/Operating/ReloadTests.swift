import Foundation
import Testing

extension EndToEnd {
    /// A new configuration takes over without a failed request, or the old one stays.
    @Suite struct Reload {
        /// Answers with a name, so that it can be told who answered.
        static func named(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in connection.answer(200, name + " " + request.target) }
        }

        @Test func sighupTakesTheNewConfiguration() throws {
            let (old, new) = (try Self.named("old"), try Self.named("new"))
            let gateway = try Gateway(.web([old.endpoint]))
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.bodyText == "old /1")
            let configuration = GatewayConfiguration.web([new.endpoint])
            try gateway.write(configuration)
            gateway.process.signal(SIGHUP)
            try waitUntil("the new configuration serves") { try gateway.get("/x").bodyText == "new /x" }
            // The connection from before goes on, under the new configuration.
            socket.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.bodyText == "new /2")
        }

        @Test func exchangesUnderWayEndOnTheirOwn() throws {
            let release = Counter()
            let old = try ScriptedBackend { connection, _ in
                try? waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.answer(200, "old and late")
            }
            let new = try Self.named("new")
            let gateway = try Gateway(.web([old.endpoint]))
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the request is under way") { old.requests.count == 1 }
            let configuration = GatewayConfiguration.web([new.endpoint])
            try gateway.write(configuration)
            let outcome = try gateway.reload()
            #expect(outcome.status == 0, "\(outcome)")
            #expect(try gateway.get("/").bodyText == "new /")
            #expect(try gateway.metric("sluice_generations_live") >= 2)
            release.add(1)
            #expect(try MessageReader(socket).response()?.bodyText == "old and late")
            try waitUntil("the old generation is gone") { try gateway.metric("sluice_generations_live") == 1 }
        }

        /// What was made when the process began stays as it is, and the operator is told.
        @Test func whatTakesARestartIsSaid() throws {
            let backend = try Self.named("a")
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  monitoring: { metrics_port: 0, log_buffer_bytes: 65536 }"]
            configuration.serverKeys = ["offload_threads: 1", "spare_buffer_bytes: 0"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/1").bodyText == "a /1")
            configuration.workers += 1
            configuration.serverKeys = [
                "max_connections: 9", "cpu_affinity: auto", "offload_threads: 3", "offload_queue: 5",
                "spare_buffer_bytes: 4096", "spare_stream_bytes: 0",
            ]
            configuration.gateway = ["  monitoring: { metrics_port: 0, log_buffer_bytes: 131072 }"]
            try gateway.write(configuration)
            let outcome = try gateway.reload()
            #expect(outcome.status == 0, "\(outcome)")
            let keys = [
                "server.worker_threads", "server.max_connections", "server.cpu_affinity", "server.offload_threads",
                "server.offload_queue", "server.spare_buffer_bytes", "server.spare_stream_bytes",
                "monitoring.log_buffer_bytes",
            ]
            for key in keys {
                let warning = "`gateway.\(key)` was changed, which takes effect after a restart only"
                #expect(outcome.output.contains(warning))
            }
            // Each stands where its key does.
            #expect(!outcome.output.contains("plugins.yaml:1:1:"), "\(outcome.output)")
            #expect(outcome.output.components(separatedBy: "after a restart").count == keys.count + 1)
            #expect(try gateway.get("/2").bodyText == "a /2")
        }

        @Test func aBrokenConfigurationKeepsTheOldOne() throws {
            let backend = try Self.named("old")
            let gateway = try Gateway(.web([backend.endpoint]))
            let good = try String(contentsOfFile: gateway.configurationFile, encoding: .utf8)
            let broken = [
                good.replacingOccurrences(of: "models:", with: "modles:"),
                good.replacingOccurrences(of: "libByVersion.so", with: "libNobody.so"),
                good + "\n  - [",
                good.replacingOccurrences(of: "balancer: least-request", with: "balancer: nobody"),
                "",
            ]
            for text in broken {
                try gateway.directory.write("plugins.yaml", text)
                let outcome = try gateway.reload()
                #expect(outcome.status == 1, "\(outcome)")
                #expect((outcome.output + outcome.errors).contains("plugins.yaml:"), "\(outcome)")
                #expect(try gateway.get("/x").bodyText == "old /x")
            }
            try gateway.directory.write("plugins.yaml", good)
            #expect(try gateway.reload().status == 0)
        }

        /// A signal has no other answer than the log.
        @Test(arguments: ["error", "critical"]) func aRefusalIsInTheLogAtEveryLevel(level: String) throws {
            let backend = try Self.named("old")
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  monitoring: { metrics_port: 0, log_level: \(level) }"]
            let gateway = try Gateway(configuration)
            configuration.balancer = "nobody"
            try gateway.write(configuration)
            gateway.process.signal(SIGHUP)
            try waitUntil("the refusal is in the log") { gateway.log.contains("reload refused: generation 1 stays") }
            try gateway.awaitLog("no plugin is named `nobody`")
        }

        @Test func listenersComeAndGo() throws {
            let backend = try Self.named("it")
            let gateway = try Gateway(.web([backend.endpoint]))
            let second = try Ports.free()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.listeners = ["127.0.0.1:0", "127.0.0.1:\(second)"]
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            let socket = try Socket.connect(port: second)
            socket.send("GET /s HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try MessageReader(socket).response()?.bodyText == "it /s")
            configuration.listeners = ["127.0.0.1:0"]
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            try waitUntil("the second listener is gone") { (try? Socket.connect(port: second)) == nil }
            #expect(try gateway.get("/f").bodyText == "it /f")
        }

        @Test func reloadWithoutAGatewayFails() throws {
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", GatewayConfiguration.web(["http://127.0.0.1:1"]).text(in: directory))
            let outcome = try Gateway.command(["reload", "--config", directory.file("plugins.yaml")])
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("admin.sock"))
        }

        @Test func whatIsNoSocketIsSaidToBeNone() throws {
            let directory = try TemporaryDirectory()
            let path = try directory.write("admin.sock", "text")
            let outcome = try Gateway.command(["status", "--socket", path])
            #expect(outcome.status == 1 && outcome.errors.contains("this is no socket"), "\(outcome)")
        }

        /// Without standard descriptors the first sockets would get their numbers, and what is written there.
        @Test func missingStandardDescriptorsAreOpened() throws {
            let backend = try Self.named("it")
            let directory = try TemporaryDirectory()
            let port = try Ports.free()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.listeners = ["127.0.0.1:\(port)"]
            try directory.write("plugins.yaml", configuration.text(in: directory))
            try Gateway.makeLoadable()
            let process = try ChildProcess(
                "/bin/sh",
                [
                    "-c", "exec \"$0\" serve --config \"$1\" <&- >&- 2>&-", Gateway.binary,
                    directory.file("plugins.yaml"),
                ],
                directory: directory.path)
            try waitUntil("the gateway listens") { (try? Socket.connect(port: port)) != nil }
            for descriptor in 0...2 {
                let target = try FileManager.default.destinationOfSymbolicLink(
                    atPath: "/proc/\(process.pid)/fd/\(descriptor)")
                #expect(target == "/dev/null", "\(descriptor)")
            }
            process.signal(SIGTERM)
            #expect(try process.wait() == 0)
        }

        /// Two hundred, with alternating configurations and plugin builds, every tenth one broken.
        @Test func twoHundredReloadsUnderLoad() throws {
            let backends = try ["first", "last"].map { try Self.named($0) }
            let plugins = try TemporaryDirectory()
            try CompiledPlugin.c(CompiledPlugin.balancer(build: "one", highest: false), "one.so", in: plugins)
            try CompiledPlugin.c(CompiledPlugin.balancer(build: "two", highest: true), "two.so", in: plugins)
            let both = backends.map(\.endpoint)
            var configuration = GatewayConfiguration.web(both)
            configuration.balancer = "edge"
            func entry(_ library: String) -> [String] { ["  - { name: edge, library: \(plugins.file(library)) }"] }
            configuration.plugins = entry("one.so")
            let gateway = try Gateway(configuration)
            let client = CheckingClient(
                port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" },
                check: { index, answer in
                    answer.status == 200 && ["first /\(index)", "last /\(index)"].contains(answer.bodyText)
                        ? nil : "\(answer.status) \(answer.bodyText)"
                })
            let wrk = try Wrk("http://127.0.0.1:\(gateway.port)/wrk", seconds: 300)
            var settled: (memory: Int, descriptors: Int)?
            for index in 1...200 {
                let broken = index % 10 == 0
                configuration.plugins = entry(broken ? "missing.so" : index % 2 == 0 ? "one.so" : "two.so")
                configuration.models = GatewayConfiguration.web(index % 3 == 0 ? both.reversed() : both).models
                try gateway.write(configuration)
                let outcome = try gateway.reload()
                try #require(outcome.status == (broken ? 1 : 0), "reload \(index): \(outcome)")
                let before = client.asked
                try waitUntil("the client goes on") { client.asked > before + 1 }
                // From here on every image is loaded and every pool has its size.
                if index == 40 { settled = (gateway.process.residentBytes, gateway.process.descriptorCount) }
            }
            let wrong = try client.stop()
            #expect(wrong.isEmpty, "\(wrong.prefix(5))")
            let report = try wrk.stop()
            #expect(report.contains("requests in"), "\(report)")
            #expect(!report.contains("Non-2xx") && !report.contains("Socket errors"), "\(report)")
            let start = try #require(settled)
            try waitUntil("old generations are gone") { try gateway.metric("sluice_generations_live") == 1 }
            // Connections of clients come and go; what is counted here is what every reload would leave behind.
            #expect(gateway.process.descriptorCount <= start.descriptors + 40)
            if ChildProcess.memoryIsItsOwn { #expect(gateway.process.residentBytes <= start.memory + 8 << 20) }
            #expect(gateway.process.poll() == nil)
        }

        @Test func countedStateSurvives() throws {
            let backend = try Self.named("it")
            let gateway = try Gateway(.web([backend.endpoint]))
            for _ in 0..<7 { _ = try gateway.get("/") }
            let configuration = GatewayConfiguration.web([backend.endpoint])
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            for _ in 0..<3 { _ = try gateway.get("/") }
            try waitUntil("all ten are counted") {
                try gateway.metric("sluice_requests_total", ["model=\"web\""]) == 10
            }
        }
    }
}
