import Foundation
import Testing

extension EndToEnd {
    /// Copies of requests: what they are, and that nobody notices them.
    @Suite struct Shadowing {
        /// Requests for `web` are copied to `next`. One worker, so that bounds and counts are exact.
        static func configuration(
            _ endpoint: String, copy: String, shadow: String = "", plugin: String = "", gateway: [String] = []
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 1
            configuration.router = "shadow"
            configuration.plugins = [
                "  - name: shadow", "    library: libShadow.so",
                "    config: { shadows: [ { name: s, model: web, to: { model: next }\(shadow) } ]\(plugin) }",
            ]
            configuration.models += [
                "  next:", "    versions: { \"1\": { endpoints: [ \"\(copy)\" ], protocol: passthrough } }",
            ]
            configuration.gateway = gateway
            return configuration
        }

        static func named(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in connection.answer(200, name) }
        }

        static func count(_ gateway: Gateway, _ name: String, _ label: String = "s") throws -> Double {
            try gateway.metric("sluice_plugin_shadow_\(name)", ["\"\(label)\""])
        }

        static func waitForCount(_ gateway: Gateway, _ name: String, _ label: String = "s", is value: Double) throws {
            try waitUntil("\(name) \(label) is \(value)") { try count(gateway, name, label) == value }
        }

        @Test func aCopyIsTheRequestWithAMark() throws {
            let (web, next) = (try Self.named("same"), try Self.named("same"))
            let gateway = try Gateway(Self.configuration(web.endpoint, copy: next.endpoint))
            let answer = try gateway.post("/a/b?c=d", "{\"x\":1}", fields: ["X-One: 1", "Content-Type: text/x"])
            #expect(answer.status == 200 && answer.bodyText == "same")
            try Self.waitForCount(gateway, "compared_total", is: 1)
            let original = try #require(web.requests.first)
            let copy = try #require(next.requests.first)
            #expect(copy.start == original.start)
            #expect(copy.bodyText == "{\"x\":1}")
            for name in ["host", "x-one", "content-type", "content-length"] {
                #expect(copy.field(name) == original.field(name), "\(name)")
            }
            #expect(copy.field("x-sluice-shadow") == "s")
            #expect(original.field("x-sluice-shadow") == nil)
            #expect(try Self.count(gateway, "differences_total") == 0)
            // A copy is no request of anybody's.
            #expect(try gateway.metric("sluice_requests_total") == 1)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// Balancers hash them, of a copy as of a request.
        @Test(arguments: ["session", "tenant", "peer"]) func aCopyIsOfTheSameClient(key: String) throws {
            let web = try Self.named("web")
            let copies = try (0..<4).map { _ in try Self.named("web") }
            var configuration = Self.configuration(
                web.endpoint, copy: copies.map(\.endpoint).joined(separator: "\", \""))
            configuration.filters = ["api-key"]
            configuration.router = key == "session" ? "[ session, shadow ]" : "shadow"
            configuration.balancer = "ring"
            configuration.plugins += [
                "  - { name: api-key, library: libApiKey.so, config: { keys: [ { key: k, tenant: acme } ] } }",
                "  - { name: session, library: libSession.so, config: { key: { header: x-user } } }",
                "  - { name: ring, library: libRingHash.so, config: { hash_on: { \(key): true } } }",
            ]
            let gateway = try Gateway(configuration)
            for _ in 0..<12 {
                #expect(try gateway.get("/", fields: ["X-User: ann", "X-Api-Key: k"]).status == 200)
            }
            try Self.waitForCount(gateway, "compared_total", is: 12)
            #expect(copies.map(\.requests.count).sorted() == [0, 0, 0, 12])
        }

        @Test func theAnswerToACopyIsNotWaitedFor() throws {
            let gate = Gate()
            let web = try Self.named("web")
            let next = try ScriptedBackend { connection, _ in
                gate.wait()
                connection.answer(200, "late")
            }
            defer { gate.open() }
            let gateway = try Gateway(Self.configuration(web.endpoint, copy: next.endpoint))
            for _ in 0..<5 { #expect(try gateway.get("/").bodyText == "web") }
            try waitUntil("the copies came") { next.requests.count == 5 }
            #expect(try Self.count(gateway, "compared_total") == 0)
            gate.open()
            try Self.waitForCount(gateway, "compared_total", is: 5)
            #expect(try Self.count(gateway, "differences_total", "body") == 5)
        }

        @Test func aCopyHasItsOwnDeadline() throws {
            let gate = Gate()
            let web = try Self.named("web")
            let next = try ScriptedBackend { connection, _ in gate.wait() }
            defer { gate.open() }
            let gateway = try Gateway(
                Self.configuration(web.endpoint, copy: next.endpoint, shadow: ", timeout_ms: 50"))
            #expect(try gateway.get("/").bodyText == "web")
            try Self.waitForCount(gateway, "failures_total", is: 1)
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
        }

        @Test func aCopyIsTriedOnceAndFailsAlone() throws {
            let dead = try Ports.refusing()
            let web = try Self.named("web")
            let gateway = try Gateway(
                Self.configuration(
                    web.endpoint, copy: "http://127.0.0.1:\(dead)",
                    gateway: ["  routing: { retry_policy: { max_attempts: 3, backoff_ms: 0 } }"]))
            #expect(try gateway.get("/").bodyText == "web")
            try Self.waitForCount(gateway, "failures_total", is: 1)
            #expect(try gateway.metric("sluice_attempts_total", ["endpoint=\"http://127.0.0.1:\(dead)\""]) == 1)
            #expect(try gateway.metric("sluice_retries_total") == 0)
        }

        @Test func differentStatusesAndBodiesAreCounted() throws {
            let web = try ScriptedBackend { connection, request in connection.answer(200, request.target) }
            let next = try ScriptedBackend { connection, request in
                switch request.target {
                case "/status": connection.answer(500, "/status")
                case "/body": connection.answer(200, "other")
                // The same bytes in another framing, and in pieces.
                default:
                    connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for byte in request.target.utf8 {
                        connection.socket.send("1\r\n\(Character(UnicodeScalar(byte)))\r\n")
                    }
                    connection.socket.send("0\r\n\r\n")
                }
            }
            let gateway = try Gateway(Self.configuration(web.endpoint, copy: next.endpoint))
            let long = "/" + String(repeating: "same", count: 100)
            for target in ["/status", "/body", long, "/s"] {
                #expect(try gateway.get(target).bodyText == target)
            }
            try Self.waitForCount(gateway, "compared_total", is: 4)
            #expect(try Self.count(gateway, "differences_total", "status") == 1)
            #expect(try Self.count(gateway, "differences_total", "body") == 1)
        }

        /// A fixed response stands for an answer that there was not: there is nothing to compare.
        @Test(arguments: [false, true]) func aFixedResponseIsNotCompared(breaksOff: Bool) throws {
            let web = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                if breaksOff {
                    connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                } else {
                    connection.answer(503, "down")
                }
            }
            let next = try Self.named("same")
            var configuration = Self.configuration(web.endpoint, copy: next.endpoint)
            configuration.plugins += ["  - { name: cache, library: libCache.so, config: { operations: [ other ] } }"]
            let place = try #require(configuration.models.firstIndex { $0 == "  next:" })
            configuration.models.insert(
                contentsOf: ["    fallback: { response: { status: 200, body: same } }", "    filters: [ cache ]"],
                at: place)
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/")
            #expect(answer.bodyText == "same" && answer.field("x-sluice-fallback") == "response", "\(answer)")
            try waitUntil("the copy was answered") {
                try next.requests.count == 1 && gateway.metric("sluice_exchanges_in_flight") == 0
            }
            #expect(try Self.count(gateway, "copies_total") == 1)
            #expect(try Self.count(gateway, "failures_total") == 0)
            #expect(try Self.count(gateway, "compared_total") == 0)
            #expect(try Self.count(gateway, "differences_total") == 0)
        }

        @Test func whatIsBeyondTheBoundIsNotCopied() throws {
            let gate = Gate()
            let web = try Self.named("web")
            let next = try ScriptedBackend { connection, _ in
                gate.wait()
                connection.answer(200, "web")
            }
            defer { gate.open() }
            let gateway = try Gateway(
                Self.configuration(web.endpoint, copy: next.endpoint, plugin: ", max_in_flight: 2"))
            for _ in 0..<6 { #expect(try gateway.get("/").bodyText == "web") }
            #expect(try Self.count(gateway, "copies_total") == 2)
            #expect(try Self.count(gateway, "skipped_total", "in_flight") == 4)
            gate.open()
            try Self.waitForCount(gateway, "compared_total", is: 2)
            #expect(try gateway.get("/").bodyText == "web")
            try Self.waitForCount(gateway, "compared_total", is: 3)
        }

        @Test func theGatewayBoundsAllPluginsTogether() throws {
            let (web, next) = (try Self.named("web"), try Self.named("web"))
            let gateway = try Gateway(
                Self.configuration(web.endpoint, copy: next.endpoint, gateway: ["  limits: { shadows: 0 }"]))
            #expect(try gateway.get("/").bodyText == "web")
            #expect(try Self.count(gateway, "skipped_total", "in_flight") == 1)
            #expect(next.requests.isEmpty)
        }

        /// Sends a body in a second write, after the gateway has seen the head.
        static func sendSlowly(_ gateway: Gateway, _ size: Int) throws -> HTTPMessage? {
            let socket = try gateway.connect()
            // Larger than what a head waits for.
            socket.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: \(size)\r\n\r\nx")
            try waitUntil("the head is in") { try gateway.metric("sluice_exchanges_in_flight") == 1 }
            socket.send(String(repeating: "x", count: size - 1))
            return try MessageReader(socket).response(to: "POST")
        }

        @Test func aBodyThatIsNotAtHandIsNotCopied() throws {
            let (web, next) = (try Self.named("web"), try Self.named("web"))
            let gateway = try Gateway(Self.configuration(web.endpoint, copy: next.endpoint))
            #expect(try Self.sendSlowly(gateway, 40_000)?.status == 200)
            #expect(try Self.count(gateway, "skipped_total", "body") == 1)
            #expect(next.requests.isEmpty)
        }

        @Test func unlessTheOperatorHasItWaitedFor() throws {
            let (web, next) = (try Self.named("web"), try Self.named("web"))
            let gateway = try Gateway(
                Self.configuration(web.endpoint, copy: next.endpoint, shadow: ", wait_for_body_bytes: 100000"))
            #expect(try Self.sendSlowly(gateway, 40_000)?.status == 200)
            try Self.waitForCount(gateway, "compared_total", is: 1)
            #expect(next.requests.first?.body == web.requests.first?.body)
            #expect(next.requests.first?.body.count == 40_000)
        }

        /// Answers when the gate is open, or at once where the target is another one.
        private static func held(_ gate: Gate, _ target: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                if request.target == target { gate.wait() }
                connection.answer(200, "web")
            }
        }

        @Test func aCopyThatHasEndedTakesNoPlaceBesideItsRequest() throws {
            let gate = Gate()
            let (web, next) = (try Self.held(gate, "/long"), try Self.named("web"))
            defer { gate.open() }
            let gateway = try Gateway(
                Self.configuration(web.endpoint, copy: next.endpoint, plugin: ", max_in_flight: 1"))
            let long = try gateway.connect()
            long.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("its copy has ended") {
                try gateway.metric("sluice_attempts_total", ["endpoint=\"\(next.endpoint)\""]) == 1
            }
            #expect(try gateway.get("/").status == 200)
            #expect(try Self.count(gateway, "copies_total") == 2)
            #expect(try Self.count(gateway, "skipped_total", "in_flight") == 0)
            try Self.waitForCount(gateway, "compared_total", is: 1)
            gate.open()
            #expect(try MessageReader(long).response()?.status == 200)
            try Self.waitForCount(gateway, "compared_total", is: 2)
        }

        @Test func aReloadWaitsForNothingButCopiesNoLonger() throws {
            let gate = Gate()
            let (web, next) = (try Self.named("web"), try Self.held(gate, "/copy"))
            defer { gate.open() }
            let gateway = try Gateway(
                Self.configuration(
                    web.endpoint, copy: next.endpoint, shadow: ", timeout_ms: 3600000",
                    gateway: ["  reload: { drain_timeout_ms: 3600000 }"]))
            #expect(try gateway.get("/copy").bodyText == "web")
            try waitUntil("the copy came") { next.requests.count == 1 }
            #expect(try gateway.reload().status == 0)
            try waitUntil("the old configuration is gone") { try gateway.metric("sluice_generations_live") == 1 }
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
            #expect(try gateway.get("/").bodyText == "web")
            try Self.waitForCount(gateway, "compared_total", is: 1)
            // Nobody knows what the endpoint would have said.
            #expect(try Self.count(gateway, "failures_total") == 0)
        }

        @Test func aCopyIsWaitedForBesideItsRequest() throws {
            let (gate, copyGate) = (Gate(), Gate())
            let (web, next) = (try Self.held(gate, "/"), try Self.held(copyGate, "/"))
            defer {
                gate.open()
                copyGate.open()
            }
            let gateway = try Gateway(Self.configuration(web.endpoint, copy: next.endpoint))
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("both are under way") { web.requests.count == 1 && next.requests.count == 1 }
            #expect(try gateway.reload().status == 0)
            copyGate.open()
            try waitUntil("the copy has ended") { try gateway.metric("sluice_exchanges_in_flight") == 1 }
            #expect(try gateway.metric("sluice_generations_live") == 2)
            gate.open()
            #expect(try MessageReader(socket).response()?.status == 200)
            try Self.waitForCount(gateway, "compared_total", is: 1)
        }

        @Test func aStopWaitsForNoCopy() throws {
            let gate = Gate()
            let (web, next) = (try Self.named("web"), try Self.held(gate, "/copy"))
            defer { gate.open() }
            let gateway = try Gateway(
                Self.configuration(
                    web.endpoint, copy: next.endpoint, shadow: ", timeout_ms: 3600000",
                    gateway: ["  reload: { drain_timeout_ms: 3600000 }"]))
            #expect(try gateway.get("/copy").bodyText == "web")
            try waitUntil("the copy came") { next.requests.count == 1 }
            #expect(try gateway.stop() == 0)
        }
    }
}
