import Foundation
import Testing

extension EndToEnd {
    /// Attempts after a failed one: which requests get them, where they go, and how many there are.
    @Suite struct Retries {
        /// One worker, so that what is counted is in one order.
        static func configuration(_ endpoints: [String], _ policy: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(endpoints)
            configuration.workers = 1
            configuration.balancer = "round-robin"
            configuration.gateway = ["  routing: { retry_policy: { \(policy) } }"]
            return configuration
        }

        /// Answers 503 so many times, and then well.
        static func failing(times: Int, fields: [String] = []) throws -> ScriptedBackend {
            let seen = Counter()
            return try ScriptedBackend { connection, request in
                if seen.increment() <= times {
                    connection.answer(503, "not now", fields: fields)
                } else {
                    connection.answer(200, "\(request.body.count)")
                }
            }
        }

        @Test func aStatusThatMayPassIsTriedAgain() throws {
            let backend = try Self.failing(times: 2)
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 3, backoff_ms: 1"))
            let answer = try gateway.get("/")
            #expect(answer.status == 200)
            #expect(backend.requests.count == 3)
            #expect(try gateway.metric("sluice_retries_total", ["model=\"web\""]) == 2)
            // The answers that nobody saw came whole: their connection was kept.
            #expect(backend.connectionCount == 1)
        }

        @Test func theLastAnswerIsPassedOnWhenAttemptsAreUsedUp() throws {
            let backend = try Self.failing(times: 100)
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 3, backoff_ms: 1"))
            let answer = try gateway.get("/")
            #expect(answer.status == 503)
            #expect(answer.bodyText == "not now")
            #expect(backend.requests.count == 3)
        }

        /// An answer may stream for hours: what the budget bounds is over when it begins.
        @Test func anAnswerThatStreamsTakesNothingOfTheBudget() throws {
            let ends = Gate()
            let backend = try ScriptedBackend { connection, request in
                guard request.target == "/stream" else { return connection.answer() }
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                _ = ends.wait()
                connection.socket.send("ok")
            }
            defer { ends.open() }
            let first = try ScriptedBackend { connection, _ in connection.answer(503) }
            let policy = "max_attempts: 2, backoff_ms: 0, budget: { percent: 0, minimum: 1 }"
            var configuration = Self.configuration([first.endpoint, backend.endpoint], policy)
            // Nothing but the first.
            configuration.balancer = nil
            let gateway = try Gateway(configuration)
            let stream = MessageReader(try gateway.connect())
            stream.socket.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try stream.head(.ordinary)?.status == 200)
            #expect(try gateway.get("/").status == 200)
            #expect(try gateway.metric("sluice_retries_refused_total", ["model=\"web\""]) == 0)
            ends.open()
            #expect(try stream.take(2, .ordinary) == bytes("ok"))
        }

        /// The bound of interim answers is that of one attempt.
        @Test func interimAnswersOfAnotherAttemptAreOthers() throws {
            let seen = Counter()
            let backend = try ScriptedBackend { connection, _ in
                for _ in 0..<10 { connection.socket.send("HTTP/1.1 102 Processing\r\n\r\n") }
                connection.answer(seen.increment() == 1 ? 503 : 200)
            }
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 2, backoff_ms: 1"))
            #expect(try gateway.get("/").status == 200)
            #expect(backend.requests.count == 2)
        }

        @Test func aBodyIsSentAgainWhole() throws {
            let backend = try Self.failing(times: 1)
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 2, backoff_ms: 1"))
            let body = String(repeating: "x", count: 3_000)
            let request = "PUT /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n" + body
            let answer = try gateway.exchange(request, method: "PUT")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "3000")
            #expect(backend.requests.map(\.body.count) == [3_000, 3_000])
        }

        @Test func whatMayNotBeRepeatedIsNot() throws {
            let backend = try Self.failing(times: 1)
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 3, backoff_ms: 1"))
            #expect(try gateway.post("/", "{}").status == 503)
            #expect(backend.requests.count == 1)
        }

        @Test func whatNobodyGotIsTriedElsewhereWhateverItIs() throws {
            let dead = try Ports.refusing()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    ["http://127.0.0.1:\(dead)", backend.endpoint], "max_attempts: 2, backoff_ms: 0"))
            for _ in 0..<10 { #expect(try gateway.post("/", "{}").status == 200) }
            #expect(backend.requests.count == 10)
        }

        @Test func anotherAttemptGoesToAnotherEndpoint() throws {
            let bad = try Self.failing(times: 100)
            let good = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration([bad.endpoint, good.endpoint], "max_attempts: 2, backoff_ms: 0"))
            for _ in 0..<10 { #expect(try gateway.get("/").status == 200) }
            #expect(good.requests.count == 10)
        }

        @Test func anAttemptHasItsOwnTime() throws {
            let gate = Gate()
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
            defer { gate.open() }
            let good = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    [silent.endpoint, good.endpoint], "max_attempts: 2, backoff_ms: 0, per_try_timeout_ms: 100"))
            for _ in 0..<4 { #expect(try gateway.get("/").status == 200) }
            #expect(good.requests.count == 4)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"attempt\""]) >= 1)
        }

        /// However often a body is sent, the deadline counts from when it came.
        @Test func aBodyThatIsSentAgainDoesNotPutOffTheDeadline() throws {
            let gate = Gate()
            defer { gate.open() }
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
            var configuration = Self.configuration([silent.endpoint], "")
            let policy = "retry_policy: { max_attempts: 3, backoff_ms: 0, per_try_timeout_ms: 700 }"
            configuration.gateway = ["  routing: { default_timeout_ms: 1000, \(policy) }"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.exchange(
                "PUT /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", method: "PUT")
            #expect(answer.status == 504)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"attempt\""]) == 1)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"response\""]) == 1)
            #expect(silent.connectionCount == 2)
        }

        /// The time of an attempt is for the head of its answer. One that is read whole has the deadline for the rest.
        @Test func theTimeOfAnAttemptEndsWithTheHeadOfItsAnswer() throws {
            let (rest, never) = (Gate(), Gate())
            defer { never.open() }
            let body = "{\"predictions\":[[1.0]]}"
            let slow = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n{")
                rest.wait()
                connection.socket.send(String(body.dropFirst()))
                _ = connection.socket.closedByPeer()
            }
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                never.wait()
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, per_try_timeout_ms: 200 } }"]
            configuration.models = [("slow", slow), ("silent", silent)].map { name, backend in
                let version = "{ endpoints: [ \"\(backend.endpoint)\" ], protocol: rest-predict }"
                return "  \(name): { versions: { \"1\": \(version) } }"
            }
            let gateway = try Gateway(configuration)
            let infer = "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,1],\"datatype\":\"FP32\",\"data\":[1.0]}]}"
            let socket = try gateway.connect()
            socket.send(
                "POST /v2/models/slow/infer HTTP/1.1\r\nHost: t\r\nContent-Length: \(infer.utf8.count)\r\n\r\n\(infer)"
            )
            try waitUntil("the head of the answer is there") { slow.connectionCount == 1 }
            // When both attempts of a later request have had their time, so has the one whose head is there.
            #expect(try gateway.post("/v2/models/silent/infer", infer).status == 504)
            rest.open()
            let answer = try MessageReader(socket).response(to: "POST")
            #expect(answer?.status == 200, "\(String(describing: answer))")
            #expect(slow.connectionCount == 1)
        }

        /// The deadline holds for an attempt after a wait, too, though the timer has run out for the wait.
        @Test func anAttemptAfterAWaitIsStillUnderTheDeadline() throws {
            let gate = Gate()
            defer { gate.open() }
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.answer(503, "not now")
                _ = try connection.reader.request()
                gate.wait()
            }
            var configuration = Self.configuration([backend.endpoint], "")
            let policy = "retry_policy: { max_attempts: 2, backoff_ms: 100 }"
            configuration.gateway = ["  routing: { default_timeout_ms: 500, \(policy) }"]
            let gateway = try Gateway(configuration)
            // A random part of the wait is waited, which may be none.
            for _ in 0..<3 {
                let answer = try gateway.get("/")
                #expect(answer.status == 504, "\(answer.bodyText)")
            }
            #expect(try gateway.metric("sluice_retries_total", ["model=\"web\""]) == 3)
        }

        /// An attempt that has used up its time gives its place to who waits, and has to wait for one itself.
        @Test func anAttemptThatWaitsForAPlaceIsStillUnderTheDeadline() throws {
            let gate = Gate()
            defer { gate.open() }
            let asked = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                // The second one has the place for as long as its answer streams.
                if asked.increment() > 1 {
                    connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
                }
                gate.wait()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 1")
            configuration.workers = 1
            let policy = "retry_policy: { max_attempts: 2, backoff_ms: 0, per_try_timeout_ms: 500 }"
            configuration.gateway = ["  routing: { default_timeout_ms: 1500, \(policy) }"]
            let gateway = try Gateway(configuration)
            let (first, second) = (try gateway.connect(), try gateway.connect())
            first.send("GET /first HTTP/1.1\r\nHost: t\r\n\r\n")
            try waitUntil("the first is under way") { asked.value == 1 }
            second.send("GET /second HTTP/1.1\r\nHost: t\r\n\r\n")
            let answer = try MessageReader(first).response()
            #expect(answer?.status == 504, "\(String(describing: answer))")
            #expect(asked.value == 2)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"queue\""]) == 1)
        }

        @Test func theBudgetBoundsThem() throws {
            let backend = try Self.failing(times: 100)
            let policy = "max_attempts: 5, backoff_ms: 1, budget: { percent: 0, minimum: 0 }"
            let gateway = try Gateway(Self.configuration([backend.endpoint], policy))
            #expect(try gateway.get("/").status == 503)
            #expect(backend.requests.count == 1)
            #expect(try gateway.metric("sluice_retries_refused_total", ["model=\"web\""]) == 1)
        }

        @Test func retryAfterIsHonoured() throws {
            let backend = try Self.failing(times: 1, fields: ["Retry-After: 1"])
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 2, backoff_ms: 0"))
            let begin = monotonicNanoseconds()
            #expect(try gateway.get("/").status == 200)
            #expect(monotonicNanoseconds() - begin >= 1_000_000_000)
        }

        @Test func oneThatTheDeadlineForbidsIsNotWaitedFor() throws {
            let backend = try Self.failing(times: 1, fields: ["Retry-After: 3600"])
            let gateway = try Gateway(Self.configuration([backend.endpoint], "max_attempts: 2, backoff_ms: 0"))
            #expect(try gateway.get("/").status == 503)
            #expect(backend.requests.count == 1)
        }

        @Test func withoutAPolicyThereIsOneAttempt() throws {
            let backend = try Self.failing(times: 1)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 503)
            #expect(backend.requests.count == 1)
        }

        @Test func aClientThatLeavesBetweenAttemptsEndsThem() throws {
            let backend = try Self.failing(times: 100)
            let gateway = try Gateway(
                Self.configuration([backend.endpoint], "max_attempts: 100, backoff_ms: 60000, max_backoff_ms: 60000"))
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            try waitUntil("the first attempt") { backend.requests.count >= 1 }
            socket.close()
            try waitUntil("the exchange ends") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
        }
    }
}
