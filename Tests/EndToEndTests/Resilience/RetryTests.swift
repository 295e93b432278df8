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
            let dead = try Clients.freePort()
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
