import Foundation
import Testing

extension EndToEnd {
    /// A second attempt beside a slow one: the first answer is taken, and there is one.
    @Suite struct Hedging {
        static func configuration(
            _ endpoints: [String], _ hedge: String = "delay_ms: 20, percent: 100", retry: String = ""
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(endpoints)
            configuration.workers = 1
            configuration.balancer = "round-robin"
            configuration.gateway = ["  routing: { hedge: { \(hedge) }\(retry) }"]
            return configuration
        }

        /// Answers when the gate is open.
        static func gated(_ gate: Gate, _ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                gate.wait()
                connection.answer(200, "\(name) \(request.body.count)")
            }
        }

        static func named(_ name: String) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in connection.answer(200, "\(name) \(request.body.count)") }
        }

        /// Asks until the slow endpoint has been asked first, which round robin does at every second time.
        static func askSlow(_ slow: ScriptedBackend, _ ask: () throws -> HTTPMessage) throws -> HTTPMessage {
            for _ in 0..<2 {
                let before = slow.requests.count
                let answer = try ask()
                if slow.requests.count > before { return answer }
            }
            throw HarnessError("the slow endpoint was not asked")
        }

        @Test func anotherEndpointAnswersForASlowOne() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint]))
            let answer = try Self.askSlow(slow) { try gateway.get("/") }
            #expect(answer.status == 200 && answer.bodyText == "fast 0")
            #expect(try gateway.metric("sluice_hedges_total", ["model=\"web\""]) == 1)
            #expect(try gateway.metric("sluice_hedges_won_total", ["model=\"web\""]) == 1)
            #expect(try gateway.metric("sluice_retries_total") == 0)
            // The attempt that lost was given up.
            #expect(
                try gateway.metric(
                    "sluice_attempts_total", ["endpoint=\"\(slow.endpoint)\"", "outcome=\"cancelled\""]) == 1)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// The time until then is the endpoint's alone, and begins with the body's end.
        @Test func aBodyThatCameLaterThanTheDelayIsHedged() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint]))
            let answer = try Self.askSlow(slow) {
                let socket = try gateway.connect()
                socket.send("PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
                let late = Deadline.after(seconds: 0.1)
                try waitUntil("the delay has passed") { late.isPast }
                socket.send("5\r\nhello\r\n0\r\n\r\n")
                return try #require(try MessageReader(socket).response(to: "PUT"))
            }
            #expect(answer.bodyText == "fast 5")
            #expect(try gateway.metric("sluice_hedges_won_total", ["model=\"web\""]) == 1)
        }

        /// That others answer for it does not hide a slow endpoint from the balancer.
        @Test func whoIsAnsweredForCountsAsSlow() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            // So long that the fast one takes no longer by itself, however busy the machine is.
            var configuration = Self.configuration([slow.endpoint, fast.endpoint], "delay_ms: 500, percent: 100")
            configuration.balancer = "peak-ewma"
            configuration.plugins = ["  - { name: peak-ewma, library: libPeakEWMA.so }"]
            let gateway = try Gateway(configuration)
            for _ in 0..<10 { #expect(try gateway.get("/").bodyText == "fast 0") }
            // It was tried, as one that was never heard of.
            #expect(slow.requests.count == 1)
        }

        /// Nor from the detector, which has no answers of it to compare.
        @Test func whoIsAnsweredForIsEjectedForItsLatency() throws {
            let gate = Gate()
            defer { gate.open() }
            let slow = try Self.gated(gate, "slow")
            let fast = try (0..<2).map { _ in try Self.named("fast") }
            // The detector looks at what is 50 ms above the others' latency.
            var configuration = Self.configuration(
                [slow.endpoint] + fast.map(\.endpoint), "delay_ms: 100, percent: 100")
            configuration.gateway.append(
                "  outlier_detection: { consecutive_errors: 0, interval_ms: 1000, latency_factor: 3, "
                    + "minimum_requests: 2, minimum_endpoints: 2, max_ejected_percent: 50 }")
            let gateway = try Gateway(configuration)
            try waitUntil("the slow one is out") {
                // Each is asked often enough within one interval to be compared.
                for _ in 0..<12 { #expect(try gateway.get("/").bodyText == "fast 0") }
                return try gateway.metric("sluice_ejections_total", ["model=\"web\""]) >= 1
            }
            try gateway.awaitLog("endpoint ejected for its latency")
            #expect(try gateway.metric("sluice_endpoint_healthy", [slow.endpoint]) == 0)
        }

        @Test func theFirstMayAnswerStill() throws {
            let (asked, never) = (Gate(), Gate())
            defer { never.open() }
            let first = try Self.gated(asked, "first")
            let second = try ScriptedBackend { connection, _ in
                asked.open()
                never.wait()
            }
            let gateway = try Gateway(Self.configuration([first.endpoint, second.endpoint]))
            // Whichever round robin begins with, the other one is asked beside it.
            let answer = try gateway.get("/")
            #expect(answer.bodyText == "first 0")
            #expect(first.requests.count == 1 && second.requests.count == 1)
            #expect(try gateway.metric("sluice_hedges_total") == 1)
        }

        @Test func aBodyIsSentToBothAndTheConnectionGoesOn() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint]))
            let reader = MessageReader(try gateway.connect())
            let body = String(repeating: "x", count: 3_000)
            for _ in 0..<6 {
                reader.socket.send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n" + body)
                #expect(try reader.response(to: "PUT")?.bodyText == "fast 3000")
            }
            #expect((slow.requests + fast.requests).allSatisfy { $0.body.count == 3_000 })
            // A hedge takes a turn of round robin, too, so that the slow one may be first each time.
            let hedges = try gateway.metric("sluice_hedges_total")
            #expect(hedges >= 3)
            try waitUntil("the slow one was asked as often") { Double(slow.requests.count) == hedges }
        }

        @Test func aFailureOfTheSecondIsNoAnswer() throws {
            let asked = Gate()
            let first = try Self.gated(asked, "first")
            let second = try ScriptedBackend { connection, _ in
                connection.answer(503, "not me")
                asked.open()
            }
            let gateway = try Gateway(Self.configuration([first.endpoint, second.endpoint]))
            let answer = try Self.askSlow(first) { try gateway.get("/") }
            #expect(answer.status == 200 && answer.bodyText == "first 0")
        }

        @Test func anEndpointThatIsGoneIsNoAnswerEither() throws {
            let gate = Gate()
            let first = try Self.gated(gate, "first")
            let dead = try Ports.refusing()
            let gateway = try Gateway(
                Self.configuration(
                    [first.endpoint, "http://127.0.0.1:\(dead)"],
                    retry: ", retry_policy: { max_attempts: 2, backoff_ms: 0 }"))
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            try waitUntil("a hedge was tried") { try gateway.metric("sluice_hedges_total") == 1 }
            gate.open()
            #expect(try MessageReader(socket).response()?.bodyText == "first 0")
        }

        @Test func whatMayNotBeRepeatedIsNotSentTwice() throws {
            let gate = Gate()
            defer { gate.open() }
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint]))
            let socket = try gateway.connect()
            var posts = 0
            repeat {
                socket.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}")
                posts += 1
                try waitUntil("it was asked") { slow.requests.count + fast.requests.count == posts }
            } while slow.requests.isEmpty && posts < 2
            // A GET that comes later is hedged: the POST's time has come before.
            _ = try Self.askSlow(slow) { try gateway.get("/") }
            #expect(slow.requests.count { $0.method == "POST" } == 1)
            #expect((slow.requests + fast.requests).count { $0.method == "POST" } == posts)
        }

        @Test(arguments: [
            ("delay_ms: 20, percent: 0", ""),
            ("delay_ms: 20, percent: 100", ", retry_policy: { max_attempts: 2, budget: { percent: 0, minimum: 0 } }"),
        ])
        func hedgesAreBounded(hedge: String, retry: String) throws {
            let gate = Gate()
            let (slow, fast) = (try Self.gated(gate, "slow"), try Self.named("fast"))
            let gateway = try Gateway(Self.configuration([slow.endpoint, fast.endpoint], hedge, retry: retry))
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n") }
            try waitUntil("a hedge was refused") { try gateway.metric("sluice_hedges_refused_total") >= 1 }
            gate.open()
            var answers: Set<String> = []
            for socket in sockets { answers.insert(try MessageReader(socket).response()?.bodyText ?? "") }
            #expect(answers == ["slow 0", "fast 0"])
            #expect(try gateway.metric("sluice_hedges_total") == 0)
        }

        @Test func aPercentileIsMeasured() throws {
            let (gate, slow) = (Gate(), Counter())
            defer { gate.open() }
            let backends = try (0..<2).map { index in
                try ScriptedBackend { connection, request in
                    if request.target == "/slow", slow.increment() == 1 { gate.wait() }
                    connection.answer(200, "\(index)")
                }
            }
            let gateway = try Gateway(
                Self.configuration(
                    backends.map(\.endpoint), "percentile: 90, minimum_requests: 30, percent: 100"))
            for _ in 0..<29 { #expect(try gateway.get("/").status == 200) }
            #expect(try gateway.metric("sluice_hedges_total") == 0)
            for _ in 0..<5 { #expect(try gateway.get("/").status == 200) }
            #expect(try gateway.get("/slow").status == 200)
            #expect(slow.value >= 2)
            #expect(try gateway.metric("sluice_hedges_won_total") >= 1)
        }

        @Test func streamsOfHTTP2AreHedgedAndCancelled() throws {
            let asked = Counter()
            let backends = try (0..<2).map { index in
                try ScriptedBackend.http2 { _, peer in
                    while let stream = try peer.nextRequest() {
                        // The first request of all is never answered.
                        if asked.increment() == 1 { continue }
                        peer.respond(stream, 200, "\(peer.answers[stream]?.body.count ?? -1)")
                    }
                }
            }
            let gateway = try Gateway(Self.configuration(backends.map(\.grpcEndpoint)))
            for _ in 0..<10 {
                let body = String(repeating: "x", count: 100)
                let answer = try gateway.exchange(
                    "PUT /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 100\r\n\r\n" + body,
                    method: "PUT")
                #expect(answer.bodyText == "100")
            }
            #expect(try gateway.metric("sluice_hedges_won_total") == 1)
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
        }

        /// Hedges fall due at any moment of a request's life, and each answer is its request's own.
        @Test func everyAnswerIsItsRequestsOwnUnderLoad() throws {
            let backends = try (0..<3).map { _ in
                try ScriptedBackend { connection, request in
                    connection.answer(200, request.target + String(decoding: request.body, as: UTF8.self))
                }
            }
            let gateway = try Gateway(
                Self.configuration(
                    backends.map(\.endpoint), "delay_ms: 0.1, percent: 100, max_in_flight: 1000",
                    retry: ", retry_policy: { max_attempts: 3, budget: { percent: 100, minimum: 1000 } }"))
            let clients = (0..<8).map { client in
                CheckingClient(
                    port: gateway.port,
                    request: { index in
                        let body = String(repeating: "b", count: index % 7 * 100)
                        return
                            "PUT /\(client)/\(index) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                            + body
                    }
                ) { index, answer in
                    let body = String(repeating: "b", count: index % 7 * 100)
                    return answer.bodyText == "/\(client)/\(index)" + body ? nil : "got \(answer.bodyText.prefix(40))"
                }
            }
            try waitUntil("hedges were made") { try gateway.metric("sluice_hedges_total") >= 200 }
            for client in clients { #expect(try client.stop() == []) }
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
        }
    }
}
