import Foundation
import Testing

extension EndToEnd {
    /// The filter `cache` in a gateway.
    @Suite struct AnswerCache {
        private static func configuration(
            _ backend: ScriptedBackend, _ config: String = "operations: [ other ]", workers: Int = 1
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = workers
            configuration.plugins = [
                "  - { name: cache, library: libCache.so, config: { \(config) } }",
                "  - { name: usage, library: libOpenAI.so }",
            ]
            configuration.models.append("    filters: [ cache ]")
            return configuration
        }

        /// Answers with how often it was asked; the path says how.
        private static func counting() throws -> ScriptedBackend {
            let count = Counter()
            return try ScriptedBackend { connection, request in
                let body = "answer \(count.next())"
                switch request.target.split(separator: "/").first ?? "" {
                case "chunked":
                    connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    connection.socket.send("\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n")
                case "fails": connection.answer(500, body)
                case "private": connection.answer(200, body, fields: ["Cache-Control: private"])
                default: connection.answer(200, body, fields: ["X-Own: kept", "Content-Type: text/plain"])
                }
            }
        }

        private final class Counter: @unchecked Sendable {
            private let lock = NSLock()
            private var value = 0
            var now: Int { lock.withLock { value } }
            func next() -> Int {
                lock.withLock {
                    value += 1
                    return value
                }
            }
        }

        private static func more(of socket: Socket) throws -> String {
            guard case .data(let bytes) = socket.receive(.ordinary) else { throw HarnessError("nothing more came") }
            return String(decoding: bytes, as: UTF8.self)
        }

        @Test func anAnswerIsGivenAgainAsItWas() throws {
            let backend = try Self.counting()
            let gateway = try Gateway(Self.configuration(backend))
            let first = try gateway.post("/a", "question")
            #expect(first.status == 200 && first.bodyText == "answer 1" && first.field("x-own") == "kept")
            #expect(first.field("cache-status") == "sluice; fwd=miss; stored")
            #expect(first.field("age") == nil)
            for _ in 1...3 {
                let again = try gateway.post("/a", "question")
                #expect(again.status == 200 && again.bodyText == "answer 1" && again.field("x-own") == "kept")
                #expect(again.field("content-type") == "text/plain")
                #expect(again.field("cache-status") == "sluice; hit")
                #expect(again.field("age").flatMap { Int($0) } != nil)
            }
            #expect(try gateway.post("/a", "another").bodyText == "answer 2")
            #expect(try gateway.post("/b", "question").bodyText == "answer 3")
            let anew = ["Content-Type: application/json", "Cache-Control: no-cache"]
            #expect(try gateway.post("/a", "question", fields: anew).bodyText == "answer 4")
            #expect(try gateway.post("/a", "question").bodyText == "answer 4")
            #expect(try gateway.get("/a").bodyText == "answer 5")
            #expect(try gateway.get("/a").bodyText == "answer 5")
            let none = try gateway.get("/none", fields: ["Cache-Control: only-if-cached"])
            #expect(none.status == 504)
            let head = "HEAD /a HTTP/1.1\r\nHost: test\r\nCache-Control: only-if-cached\r\nConnection: close\r\n\r\n"
            #expect(try gateway.exchange(head, method: "HEAD").status == 504)
            let part = try gateway.get("/a", fields: ["Cache-Control: only-if-cached", "Range: bytes=0-1"])
            #expect(part.status == 504)
            #expect(backend.requests.count == 5)
            #expect(try gateway.metric("sluice_plugin_cache_hits_total") == 5)
            try waitUntil("the totals are shown") { try gateway.metric("sluice_plugin_cache_entries") == 4 }
            // A reload may put another model there.
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.post("/a", "question").bodyText == "answer 6")
            try waitUntil("what went is not counted") { try gateway.metric("sluice_plugin_cache_entries") == 1 }
        }

        /// On whichever worker the client comes back, and whichever kept the answer (RFC 9111 §4.4).
        @Test(arguments: ["PUT", "DELETE", "PATCH", "POST"])
        func whatAClientHasChangedIsAskedForAnew(method: String) throws {
            let count = Counter()
            let backend = try ScriptedBackend { connection, request in
                if request.method == "GET" { return connection.answer(200, "state \(count.now)") }
                _ = count.next()
                connection.socket.send("HTTP/1.1 204 No Content\r\n\r\n")
            }
            let gateway = try Gateway(Self.configuration(backend, workers: 2))
            // Enough connections that both workers have some, which keep theirs.
            let readers = try (0..<8).map { _ in MessageReader(try gateway.connect()) }
            func states() throws -> [String] {
                try readers.map { reader in
                    reader.socket.send("GET /thing HTTP/1.1\r\nHost: a\r\n\r\n")
                    return try reader.response()?.bodyText ?? "-"
                }
            }
            for change in 1...3 {
                let before = Array(repeating: "state \(change - 1)", count: readers.count)
                #expect(try states() == before)
                #expect(try states() == before)
                let hits = try gateway.metric("sluice_plugin_cache_hits_total")
                #expect(hits >= Double(change * readers.count), "the second round was answered from the cache")
                let answer = try gateway.exchange(
                    "\(method) /thing HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
                    method: method)
                #expect(answer.status == 204)
                #expect(try states() == Array(repeating: "state \(change)", count: readers.count))
            }
            #expect(try gateway.metric("sluice_plugin_cache_changes_total") == 3)
        }

        @Test func onlyWhatMayBeKeptIs() throws {
            let backend = try Self.counting()
            let gateway = try Gateway(Self.configuration(backend))
            for (path, status) in [("/fails", 500), ("/private", 200), ("/chunked", 200)] {
                let first = try gateway.post(path, "q")
                let second = try gateway.post(path, "q")
                #expect(first.status == status && second.status == status)
                #expect(first.bodyText != second.bodyText, "\(path)")
                #expect(second.field("cache-status") == "sluice; fwd=miss", "\(path)")
            }
        }

        /// A stream goes to the client as it comes, though the model is cached: its first event is there before the
        /// backend has sent the second.
        @Test func aStreamIsNotHeldBack() throws {
            let gate = Gate()
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 24\r\n\r\ndata: one\r\n\r\n")
                gate.wait()
                connection.socket.send("data: 2\r\n\r\n")
            }
            let gateway = try Gateway(Self.configuration(backend))
            let socket = try gateway.connect()
            socket.send("POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nq")
            var seen = ""
            try waitUntil("the first event") {
                seen += try Self.more(of: socket)
                return seen.contains("data: one")
            }
            #expect(seen.lowercased().contains("cache-status: sluice; fwd=miss\r\n"))
            gate.open()
            try waitUntil("the second event") {
                seen += try Self.more(of: socket)
                return seen.contains("data: 2")
            }
        }

        /// A model in this process, in unified form, asked in two protocols.
        @Test func tensorsAreCached() throws {
            var configuration = Iris.configuration()
            configuration.workers = 1
            configuration.plugins += ["  - { name: cache, library: libCache.so, config: { match: unified } }"]
            let place = try #require(configuration.models.firstIndex { $0.hasPrefix("  iris:") })
            configuration.models.insert("    filters: [ cache ]", at: place + 1)
            let gateway = try Gateway(configuration)
            let body = "{\"instances\": [[5.1, 3.5, 1.4, 0.2]]}"
            let first = try gateway.post("/v1/models/iris:predict", body)
            let second = try gateway.post("/v1/models/iris:predict", body)
            #expect(first.status == 200 && first.bodyText == second.bodyText)
            #expect(first.field("cache-status") == "sluice; fwd=miss; stored")
            #expect(second.field("cache-status") == "sluice; hit")
            let other = try gateway.post("/v1/models/iris:predict", "{\"instances\": [[5.1, 3.5, 1.4, 0.3]]}")
            #expect(other.field("cache-status") == "sluice; fwd=miss; stored")
        }

        // MARK: In place of errors

        private static func fallingBack(
            _ backend: ScriptedBackend, _ fallback: String, other: String = "http://127.0.0.1:9"
        ) -> GatewayConfiguration {
            var configuration = configuration(backend, "operations: [ other ], ttl_seconds: 1")
            configuration.models += [
                "    fallback: \(fallback)",
                "  other:", "    versions:", "      \"7\": { endpoints: [ \"\(other)\" ], protocol: passthrough }",
            ]
            return configuration
        }

        /// The last good answer, when nobody gives another.
        @Test(arguments: ["{ cached: true }", "[ { model: other }, { cached: true }, { response: { status: 500 } } ]"])
        func anOldAnswerStandsInForADeadBackend(fallback: String) throws {
            let backend = try Self.counting()
            let dead = try Ports.refusing()
            let gateway = try Gateway(Self.fallingBack(backend, fallback, other: "http://127.0.0.1:\(dead)"))
            #expect(try gateway.post("/a", "question").bodyText == "answer 1")
            backend.stop()
            try waitUntil("the answer is old") {
                let answer = try gateway.post("/a", "question")
                #expect(answer.status == 200 && answer.bodyText == "answer 1" && answer.field("x-own") == "kept")
                #expect(answer.fields.filter { $0.name.lowercased() == "cache-status" }.count == 1)
                if answer.field("cache-status") == "sluice; hit" { return false }
                #expect(answer.field("cache-status") == "sluice; fwd=stale")
                #expect((answer.field("age").flatMap { Int($0) } ?? 0) >= 1)
                #expect(answer.field("x-sluice-fallback")?.hasSuffix("cached") == true)
                return true
            }
            #expect(try gateway.metric("sluice_plugin_cache_rescues_total") == 1)
            #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) >= 1)
            // To another question there is no answer.
            let none = try gateway.post("/a", "another")
            #expect(none.status == (fallback.hasPrefix("[") ? 500 : 503))
        }

        /// A failure that is an answer itself is passed on where there is nothing better.
        @Test func aFailedAnswerIsReplacedByAnOldOneIfThereIsOne() throws {
            let failures = Counter()
            let backend = try ScriptedBackend { connection, _ in
                if failures.now > 0 { connection.answer(503, "ill") } else { connection.answer(200, "well") }
            }
            let gateway = try Gateway(Self.fallingBack(backend, "{ cached: true }"))
            #expect(try gateway.post("/a", "question").bodyText == "well")
            _ = failures.next()
            try waitUntil("the answer is old") {
                let answer = try gateway.post("/a", "question")
                #expect(answer.status == 200 && answer.bodyText == "well")
                return answer.field("x-sluice-fallback") == "cached"
            }
            let none = try gateway.post("/a", "another")
            #expect(none.status == 503 && none.bodyText == "ill")
            #expect(none.field("x-sluice-fallback") == nil)
            #expect(none.field("cache-status") == "sluice; fwd=miss")
        }

        /// There is no time for another endpoint any more, but for this.
        @Test func anOldAnswerStandsInForOneThatIsLate() throws {
            let (gate, count) = (Gate(), Counter())
            let backend = try ScriptedBackend { connection, request in
                let number = count.next()
                if number > 1 { gate.wait() }
                connection.answer(200, "answer \(number)")
            }
            var configuration = Self.fallingBack(backend, "{ cached: true }")
            let place = try #require(configuration.models.firstIndex { $0.hasPrefix("    filters:") })
            configuration.models.insert("    timeout_ms: 200", at: place)
            let gateway = try Gateway(configuration)
            defer { gate.open() }
            #expect(try gateway.post("/a", "question").bodyText == "answer 1")
            try waitUntil("the answer is old") {
                let answer = try gateway.post("/a", "question")
                #expect(answer.status == 200 && answer.bodyText == "answer 1")
                return answer.field("x-sluice-fallback") == "cached"
            }
            #expect(try gateway.post("/a", "another").status == 504)
        }

        @Test func aStepOfKeptAnswersNeedsAFilterThatKeepsThem() throws {
            let backend = try Self.counting()
            var configuration = Self.fallingBack(backend, "{ cached: true }")
            configuration.models.removeAll { $0.hasPrefix("    filters:") }
            let version = try #require(configuration.models.firstIndex { $0.hasPrefix("      \"1\":") })
            configuration.models.insert(
                configuration.models[version].replacing("\"1\":", with: "\"2\":"), at: version + 1)
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", configuration.text(in: directory))
            let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
            #expect(checked.status != 0)
            let said = checked.errors.ranges(of: "error: no filter of the model keeps answers; add one")
            #expect(said.count == 1, "\(checked)")
        }

        /// Backends that fail while their answer is gathered, and clients that leave.
        @Test func aBackendThatBreaksOffIsAnErrorAndNothingIsKept() throws {
            let count = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                if count.next() == 1 {
                    connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                } else {
                    connection.answer(200, "whole")
                }
            }
            let gateway = try Gateway(Self.configuration(backend))
            #expect(try gateway.post("/a", "q").status == 502)
            let whole = try gateway.post("/a", "q")
            #expect(whole.bodyText == "whole" && whole.field("cache-status") == "sluice; fwd=miss; stored")
            #expect(try gateway.post("/a", "q").field("cache-status") == "sluice; hit")
        }

        @Test func manyWorkersAndEvictionsMixNothingUp() throws {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(
                    200, "\(request.target) \(String(repeating: "x", count: request.target.utf8.count * 300))")
            }
            let gateway = try Gateway(
                Self.configuration(
                    backend, "operations: [ other ], max_bytes: 65536, max_answer_bytes: 4096", workers: 2))
            let clients = (0..<3).map { _ in
                CheckingClient(port: gateway.port, request: { "GET /\(($0 * 7) % 61) HTTP/1.1\r\nHost: a\r\n\r\n" }) {
                    let path = "/\(($0 * 7) % 61)"
                    return $1.bodyText.hasPrefix(path + " x") ? nil : "\(path): \($1.status) \($1.bodyText.prefix(20))"
                }
            }
            try waitUntil("there were evictions and hits") {
                let (hits, evictions) = (
                    try gateway.metric("sluice_plugin_cache_hits_total"),
                    try gateway.metric("sluice_plugin_cache_evictions_total")
                )
                return hits > 500 && evictions > 50
            }
            for client in clients { #expect(try client.stop() == []) }
            #expect(try gateway.metric("sluice_plugin_cache_bytes") <= 65_536)
        }
    }
}
