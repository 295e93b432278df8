import Foundation
import Testing

extension EndToEnd {
    /// Requests under way while a reload takes its time or changes what they live by, and starts that fail.
    @Suite struct ReloadEdges {
        /// Endpoints that are not known yet are waited for: until then the old configuration is in force, with its
        /// listeners, and nobody's time to end has begun.
        @Test func whileAReloadWaitsTheOldConfigurationServes() throws {
            let gate = DispatchSemaphore(value: 0)
            let backend = try ScriptedBackend { connection, request in
                if request.target == "/held" { gate.wait() }
                connection.answer(200, "served")
            }
            defer { gate.signal() }
            let silent = try FakeNameServer { _ in [] }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  reload: { drain_timeout_ms: 1000 }"]
            configuration.listeners = ["127.0.0.1:0", "127.0.0.1:\(try Ports.free())"]
            let gateway = try Gateway(configuration)
            let held = try gateway.connect()
            held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the request is under way") { !backend.requests.isEmpty }

            // Twice the time that the old one has to end.
            configuration.listeners.removeLast()
            configuration.plugins += ["  - { name: dns, library: libDNSDiscovery.so }"]
            configuration.models += [
                "  late:", "    versions:", "      \"1\":", "        protocol: passthrough", "        discovery:",
                "          plugin: dns",
                "          config: { servers: [ \"\(silent.place)\" ], name: web.test, port: 1, timeout_ms: 20000 }",
                "          first_set_ms: 2000",
            ]
            try gateway.write(configuration)
            let reload = try ChildProcess(
                Gateway.binary, ["reload", "--socket", gateway.directory.file("admin.sock")],
                directory: gateway.directory.path)
            try waitUntil("the reload waits") { !silent.asked.isEmpty }
            let late = try Socket.connect(port: gateway.ports[1])
            late.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try MessageReader(late).response()?.bodyText == "served")
            #expect(try reload.wait() == 0)
            // The loop of the control thread has gone round since.
            _ = try gateway.metrics()
            _ = try gateway.metrics()
            gate.signal()
            #expect(try MessageReader(held).response()?.bodyText == "served")
            #expect(!gateway.log.contains("drain timeout"))
        }

        /// What makes other servers open their logs anew, or begin an upgrade, does not end this one.
        @Test(arguments: [SIGUSR1, SIGUSR2]) func aSignalWithoutAMeaningDoesNothing(_ signal: Int32) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            gateway.process.signal(signal)
            try gateway.awaitLog("SIGUSR1 and SIGUSR2 do nothing here")
            #expect(try gateway.get("/a").status == 200)
            #expect(try gateway.metric("sluice_generation") == 1)
        }

        /// An answer is read under the limits of the configuration that its request began with.
        @Test(arguments: ["header_count: 3", "header_bytes: 1024"]) func lowerLimitsAreForLaterRequests(
            _ limit: String
        ) throws {
            let long = String(repeating: "x", count: 2_000)
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(200, "whole", fields: ["A: 1", "B: 2", "C: \(long)", "D: 4"])
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let gateway = try Gateway(configuration)
            let client = try gateway.connect()
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
            try waitUntil("the request is under way") {
                try DNSDiscovery.status(gateway, json: true).contains("\"exchanges\":1")
            }
            configuration.gateway = ["  limits: { \(limit) }"]
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            client.send("half")
            let answer = try MessageReader(client).response(to: "POST")
            #expect(answer?.status == 200, "\(String(describing: answer))")
            #expect(try gateway.get("/").status == 502)
        }

        @Test func aStartThatFailsLeavesNoSocket() throws {
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let (taken, port) = try Socket.listen()
            defer { taken.close() }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.listeners = ["unix:\(directory.file("gateway.sock"))"]
            configuration.gateway = ["  monitoring: { metrics_port: \(port) }"]
            try directory.write("plugins.yaml", configuration.text(in: directory))
            let outcome = try Gateway.command(
                ["serve", "--config", directory.file("plugins.yaml")], directory: directory.path)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("metrics listener"), "\(outcome.errors)")
            for name in ["gateway.sock", "admin.sock"] {
                #expect(!FileManager.default.fileExists(atPath: directory.file(name)), "\(name)")
            }
        }

        @Test func anUnknownHostIsToldAtItsPlace() throws {
            let directory = try TemporaryDirectory()
            let configuration = GatewayConfiguration.web(["http://127.0.0.1:1", "http://no-such-host.invalid:1"])
            let text = configuration.text(in: directory)
            try directory.write("plugins.yaml", text)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let line = try #require(lines.firstIndex { $0.contains("no-such-host") })
            let column = lines[line].distance(
                from: lines[line].startIndex, to: try #require(lines[line].range(of: "\"http://no-such")).lowerBound)
            let outcome = try Gateway.command(
                ["check", "--config", directory.file("plugins.yaml")], directory: directory.path)
            #expect(outcome.status == 1)
            #expect(
                outcome.errors.contains("plugins.yaml:\(line + 1):\(column + 1): error: the host of "),
                "\(outcome.errors)")
        }
    }
}
