import Foundation
import Testing

extension EndToEnd {
    /// What an operator sees.
    @Suite struct Observation {
        @Test func metricsCountWhatHappened() throws {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(request.target == "/bad" ? 500 : 200, "x")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            for _ in 0..<5 { _ = try gateway.get("/") }
            for _ in 0..<2 { _ = try gateway.get("/bad") }
            try waitUntil("all are counted") { try gateway.metric("sluice_requests_total") == 7 }
            #expect(try gateway.metric("sluice_requests_total", ["model=\"web\"", "status=\"500\""]) == 2)
            #expect(try gateway.metric("sluice_requests_total", ["model=\"web\"", "status=\"200\""]) == 5)
            #expect(try gateway.metric("sluice_generations_live") == 1)
            let text = try gateway.metrics()
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                let wellFormed = line.wholeMatch(of: #/[a-z_:][a-z0-9_:]*(\{.*\})? [-+0-9.eEInfNa]+/#) != nil
                #expect(wellFormed, "\(line)")
            }
            // Every sample belongs to a family with a type.
            #expect(text.contains("# TYPE sluice_requests_total counter"))
            #expect(text.contains("_bucket{") && text.contains("le=\"+Inf\""))
        }

        /// What cannot be written must not pass for done.
        @Test func aCommandWhoseOutputIsLostFails() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = gateway.directory.file("admin.sock")
            let library = Gateway.buildDirectory + "/libPassthrough.so"
            for arguments in [
                ["plugin", "inspect", library], ["status", "--socket", socket],
                ["status", "--json", "--socket", socket], ["reload", "--socket", socket],
                ["check", "--config", gateway.configurationFile], ["check", "--print-shipped-chain"],
                ["--version"], ["--help"],
            ] {
                let script = ["-c", "exec \"$0\" \"$@\" > /dev/full", Gateway.binary] + arguments
                let result = try ChildProcess.run("sh", script, .ordinary)
                #expect(result.status == 1, "\(arguments)")
                #expect(result.errors.contains("standard output: No space left"), "\(arguments): \(result.errors)")
                #expect(try Gateway.command(arguments).status == 0, "\(arguments)")
            }
        }

        /// A model in this process works within a turn of its worker's loop, which reads the clock when it begins.
        @Test func whatAModelInThisProcessTakesIsCounted() throws {
            let directory = try TemporaryDirectory()
            let slow = try CompiledPlugin.c(
                CompiledPlugin.source(
                    "slow", tables: ["SLUICE_BACKEND": "backend"],
                    """
                    static sluice_status describe(void *instance, sluice_metadata *metadata) {
                      (void)instance;
                      metadata->platform = (sluice_bytes)SLUICE_TEXT("slow");
                      return SLUICE_OK;
                    }
                    static sluice_status infer(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                               sluice_response *response) {
                      (void)instance, (void)exchange;
                      poll(NULL, 0, 50);
                      response->payload = request->payload;
                      return SLUICE_OK;
                    }
                    static const sluice_backend backend = {
                        .base = {.struct_size = sizeof(sluice_backend), .create = no_state, .destroy = no_end},
                        .describe = describe, .infer = infer};
                    """), "slow.so", in: directory)
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.gateway = ["  monitoring: { metrics_port: 0, slow_request_ms: 40 }"]
            configuration.adapters = ["open-inference"]
            configuration.plugins = ["  - { name: slow, library: \(slow) }"]
            configuration.models = ["  slow: { versions: { \"1\": { backend: slow } } }"]
            let gateway = try Gateway(configuration)
            let body = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}]}"
            let head = "POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
            for _ in 0..<3 { #expect(try gateway.exchange(head + body, method: "POST").status == 200) }
            try waitUntil("all are counted") { try gateway.metric("sluice_requests_total") == 3 }
            // Of one in so many the calls are timed by themselves.
            #expect(try gateway.metric("sluice_request_duration_seconds_sum", ["model=\"slow\""]) >= 3 * 0.05)
            try waitUntil("the log says so") {
                gateway.process.standardError.components(separatedBy: "slow request").count == 4
            }
        }

        @Test func statusShowsPoolsAndGenerations() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            _ = try gateway.get("/")
            let status = try Gateway.command(["status", "--config", gateway.configurationFile])
            #expect(status.status == 0, "\(status)")
            #expect(status.output.contains("web"))
            #expect(status.output.contains(backend.endpoint))
            #expect(status.output.lowercased().contains("generation"))
        }

        @Test func inspectTellsWhatAPluginIs() throws {
            let result = try Gateway.command(["plugin", "inspect", Gateway.buildDirectory + "/libLeastRequest.so"])
            #expect(result.status == 0, "\(result)")
            #expect(result.output.contains("least-request"))
            #expect(result.output.contains("sluice.balancer/1"))
        }

        @Test func logsAreTextOrJSON() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  monitoring: { metrics_port: 0, log_format: json, log_level: info }"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.stop() == 0)
            let lines = gateway.process.standardError.split(separator: "\n")
            #expect(!lines.isEmpty)
            for line in lines {
                let entry = try JSON(String(line))
                #expect(entry["level"].text != nil && entry["message"].text != nil, "\(line)")
            }
        }

        @Test func theAdminSocketIsForItsOwnerAlone() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            var information = stat()
            #expect(stat(gateway.directory.file("admin.sock"), &information) == 0)
            #expect(information.st_mode & 0o777 == 0o600)
        }

        @Test func makeRunsFileServesWhatItPrints() throws {
            // The project's own file, on other ports and with the plugins of this build.
            let directory = try TemporaryDirectory()
            let port = try Ports.free()
            let text = try String(contentsOfFile: Clients.root + "/plugins.yaml", encoding: .utf8)
                .replacingOccurrences(of: "port: 8080", with: "port: \(port)")
                .replacingOccurrences(of: "metrics_port: 9090", with: "metrics_port: 0")
                .replacingOccurrences(of: ".build/release", with: Gateway.buildDirectory)
            let gateway = try Gateway(text: text, in: directory)
            let printed = gateway.process.standardOutput
            let line = try #require(
                printed.split(separator: "\n").first { $0.contains("curl ") }, "no curl line in:\n\(printed)")
            let command = String(line[(line.range(of: "curl ")?.lowerBound ?? line.startIndex)...])
            #expect(printed.contains("iris") && printed.contains("linear-model"))
            let result = try ChildProcess.run("sh", ["-c", command])
            #expect(result.status == 0, "\(command)\n\(result)")
            #expect(try JSON(result.output)["error"].text == nil, "\(result.output)")
            #expect(result.output.contains("predictions") || result.output.contains("outputs"), "\(result.output)")
        }
    }
}
