import Foundation
import Testing

extension EndToEnd {
    /// A protocol of one's own over raw TCP, on both sides, with a client and a server written from its description.
    @Suite(.enabled(if: Clients.wanted)) struct RawTCP {
        private static let models = [
            "echo", "fail", "connection", "outputs", "names", "once", "early", "garbage", "short", "tail", "another",
            "oversized", "mismatch", "hang", "begun", "stopped", "loading",
        ]

        private func run(_ name: String, gateway lines: [String] = [], http: Bool = false) throws {
            let server = try PythonServer("serve_tcp.py")
            let gateway = try Gateway(.rawTCP(port: server.port, models: Self.models, gateway: lines))
            try Clients.run("drive_tcp.py", [name, "\(gateway.ports[http ? 0 : 1])"])
        }

        @Test(arguments: [
            "exact", "pipelined", "ready", "errors", "iris", "strangers", "hostile", "renamed", "kept", "cancelled",
        ])
        func aClient(case name: String) throws { try run(name) }

        @Test func aClientOfHTTPWithEndpointsOfRawTCP() throws { try run("translated", http: true) }

        /// Messages of several clients go as one, to endpoints of raw TCP and to a model in this process.
        @Test func messagesShareABatch() throws {
            let server = try PythonServer("serve_tcp.py")
            var configuration = GatewayConfiguration.rawTCP(
                port: server.port, models: Self.models,
                gateway: ["  batching: { max_batch_size: 4, max_delay_ms: 1000 }"])
            configuration.batcher = "size-or-delay"
            let gateway = try Gateway(configuration)
            try Clients.run("drive_tcp.py", ["batched", "\(gateway.ports[1])", "\(gateway.ports[0])"])
            #expect(try gateway.metric("sluice_batched_requests_total", ["model=\"echo\""]) == 4)
            #expect(try gateway.metric("sluice_batched_requests_total", ["model=\"iris\""]) == 4)
        }

        @Test func messagesBeyondTheLimit() throws {
            try run("oversized", gateway: ["  limits: { body_bytes: 100000 }"])
        }

        @Test func clientsThatTakeTheirTime() throws {
            try run(
                "slow",
                gateway: ["  limits: { header_timeout_ms: 300, body_timeout_ms: 300, idle_timeout_ms: 300 }"])
        }
    }

    /// The same with messages of single bytes' making.
    @Suite struct RawTCPOperation {
        private static func echo(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                while let message = connection.socket.message(.after(seconds: 600)) {
                    connection.socket.send(LengthPrefixed.answer(name, to: message))
                }
            }
        }

        /// No protocol is promised that is not spoken, and a client with a name of its own is let in (RFC 7301 §3.2).
        /// A listener of HTTP with the same certificates goes on to choose.
        @Test(arguments: [[], ["h2"], ["http/1.1"], ["h2", "http/1.1"], ["sltp"], ["sltp", "h2"]])
        func overTLSNoProtocolIsChosen(_ offered: [String]) throws {
            let certificates = try Certificates()
            for name in ["server", "other"] { try certificates.make(name, "DNS:\(name).test") }
            let other = "certificate: \(certificates.file("other.pem")), key: \(certificates.file("other.key"))"
            let backend = try Self.echo("m")
            var configuration = GatewayConfiguration.rawTCP(port: backend.port, models: ["m"])
            let secured = certificates.listener("server", ", certificates: [ { \(other) } ]")
            configuration.listeners = [secured, secured + "\n      adapter: length-prefixed-tcp"]
            let gateway = try Gateway(configuration)
            let client = try TLSClient(port: gateway.ports[1], offering: offered)
            #expect(client.shakeHands() == nil)
            #expect(client.confirmed == nil)
            #expect(try LengthPrefixed.meaning(client.ask(LengthPrefixed.infer("m", id: 1))) == "m for 1")
            let web = try TLSClient(port: gateway.ports[0], offering: offered)
            #expect((web.shakeHands() == nil) == (offered != ["sltp"]))
            #expect(web.confirmed == offered.first { $0 != "sltp" })
        }

        @Test func connectionsLiveOnAcrossAReload() throws {
            let (old, new) = (try Self.echo("old"), try Self.echo("new"))
            var configuration = GatewayConfiguration.rawTCP(port: old.port, models: ["m"])
            let gateway = try Gateway(configuration)
            let socket = try Socket.connect(port: gateway.ports[1])
            socket.send(LengthPrefixed.infer("m", id: 1))
            #expect(socket.answer() == "old for 1")
            // The first bytes of a message are there when the configuration changes; they do not tell its size yet.
            let next = LengthPrefixed.infer("m", id: 2)
            socket.send(Array(next[..<7]))
            configuration.models = GatewayConfiguration.rawTCP(port: new.port, models: ["m"]).models
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            socket.send(Array(next[7...]))
            #expect(socket.answer() == "new for 2")
            // Both listeners go on as they were.
            let later = try Socket.connect(port: gateway.ports[1])
            later.send(LengthPrefixed.infer("m", id: 3))
            #expect(later.answer() == "new for 3")
            #expect(try gateway.get("/v2/health/live").status == 200)
        }

        @Test func aMessageUnderWayEndsOnItsOwnConfiguration() throws {
            let (asked, release) = (Counter(), Counter())
            let backend = try ScriptedBackend { connection in
                guard let message = connection.socket.message() else { return }
                asked.add(1)
                try waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.socket.send(LengthPrefixed.answer("late", to: message))
            }
            var configuration = GatewayConfiguration.rawTCP(port: backend.port, models: ["m"])
            let gateway = try Gateway(configuration)
            let socket = try Socket.connect(port: gateway.ports[1])
            socket.send(LengthPrefixed.infer("m", id: 3))
            try waitUntil("the request is under way") { asked.value == 1 }
            // The listener speaks HTTP from now on, and nobody names the adapter any more.
            configuration = .rawTCP(port: 1, models: [], adapter: nil)
            configuration.models.removeLast()
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            release.add(1)
            #expect(socket.answer() == "late for 3")
            // Its next message has no reader.
            socket.send(LengthPrefixed.infer("m", id: 4))
            #expect(socket.closedByPeer())
        }

        /// After a time that is given, or one that the pool's own answers have told.
        @Test(arguments: ["delay_ms: 20", "percentile: 50, minimum_requests: 20"])
        func anotherEndpointAnswersForASlowOne(_ when: String) throws {
            let lost = Counter()
            let backends = try (0..<2).map { _ in
                try ScriptedBackend { connection in
                    while let message = connection.socket.message(.after(seconds: 600)) {
                        // Whoever is asked this first does not answer.
                        if message.suffix(6).elementsEqual(bytes("lost") + [0, 0]), lost.increment() == 1 { continue }
                        connection.socket.send(LengthPrefixed.answer("it", to: message))
                    }
                }
            }
            var configuration = GatewayConfiguration.rawTCP(
                port: backends[0].port, models: ["m"], gateway: ["  routing: { hedge: { \(when), percent: 100 } }"])
            let first = "\"tcp://127.0.0.1:\(backends[0].port)\""
            let both = first + ", \"tcp://127.0.0.1:\(backends[1].port)\""
            configuration.models = configuration.models.map { $0.replacing(first, with: both) }
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let socket = try Socket.connect(port: gateway.ports[1])
            for id in (1...20).map(UInt8.init) + [99] {
                socket.send(LengthPrefixed.infer("m", id: id, output: id == 99 ? "lost" : nil))
                #expect(socket.answer() == "it for \(id)")
            }
            #expect(try gateway.metric("sluice_hedges_total", ["model=\"m\""]) >= 1)
            // A time of microseconds is no time in which the first is sure to be asked first.
            if when.hasPrefix("delay") { #expect(try gateway.metric("sluice_hedges_won_total", ["model=\"m\""]) == 1) }
        }

        @Test func aListenerTakesAnotherProtocolAtAReload() throws {
            let backend = try Self.echo("it")
            let port = try Ports.free()
            var configuration = GatewayConfiguration.rawTCP(port: backend.port, models: ["m"])
            configuration.listeners = ["127.0.0.1:\(port)"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/v2/health/live").status == 200)
            configuration.listeners = ["127.0.0.1:\(port)\n      adapter: length-prefixed-tcp"]
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            let socket = try Socket.connect(port: port)
            socket.send(LengthPrefixed.infer("m", id: 5))
            #expect(socket.answer() == "it for 5")
        }

        @Test func aStopAnswersWhatHasArrived() throws {
            let (asked, release) = (Counter(), Counter())
            let backend = try ScriptedBackend { connection in
                guard let message = connection.socket.message() else { return }
                asked.add(1)
                try waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.socket.send(LengthPrefixed.answer("late", to: message))
            }
            let gateway = try Gateway(.rawTCP(port: backend.port, models: ["m"]))
            let (busy, idle) = (
                try Socket.connect(port: gateway.ports[1]), try Socket.connect(port: gateway.ports[1])
            )
            busy.send(LengthPrefixed.infer("m", id: 6))
            try waitUntil("the request is under way") { asked.value == 1 }
            gateway.process.signal(SIGTERM)
            #expect(idle.closedByPeer())
            release.add(1)
            #expect(busy.answer() == "late for 6")
            #expect(busy.closedByPeer())
            #expect(try gateway.process.wait() == 0)
        }

        @Test func whoCannotFrameIsRefused() throws {
            let directory = try TemporaryDirectory()
            func check(_ configuration: GatewayConfiguration) throws -> String {
                let text = configuration.text(in: directory)
                try directory.write("plugins.yaml", text)
                let result = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(result.status == 1)
                return result.errors
            }
            let unknown = try check(.rawTCP(port: 1, models: [], adapter: "length-prefixed"))
            #expect(unknown.contains("plugins.yaml:6:16: error: no plugin is named `length-prefixed`; "), "\(unknown)")
            let http = try check(.rawTCP(port: 1, models: [], adapter: "open-inference"))
            #expect(
                http.contains(
                    "plugins.yaml:6:16: error: adapter `open-inference` does not frame messages over raw TCP; name one "
                        + "that does"), "\(http)")
            var configuration = GatewayConfiguration.web(["tcp://127.0.0.1:1"])
            configuration.adapters = ["open-inference"]
            let endpoint = try check(configuration)
            #expect(endpoint.contains("adapter `passthrough` does not frame messages over raw TCP"), "\(endpoint)")
        }
    }
}
