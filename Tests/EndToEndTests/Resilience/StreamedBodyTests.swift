import Foundation
import Testing

extension EndToEnd {
    /// Requests whose bodies stream, sent again: before anything of the body was taken, or when a small one was.
    @Suite struct StreamedBodies {
        private static let policy = "max_attempts: 3, backoff_ms: 1"

        /// Does with its first request what `first` says, and answers those that follow with their bodies.
        private static func backend(
            _ heads: Counter, _ first: @escaping @Sendable (BackendConnection) throws -> Void
        ) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                while var message = try connection.reader.head(.ordinary) {
                    if heads.increment() == 1 { return try first(connection) }
                    if message.field("expect") != nil { connection.socket.send("HTTP/1.1 100 Continue\r\n\r\n") }
                    try connection.reader.readBody(of: &message, untilClose: false, .ordinary)
                    connection.answer(200, message.bodyText)
                }
            }
        }

        /// Sends the body when it is asked for.
        private static func put(_ gateway: Gateway, _ body: String, size: Int) throws -> HTTPMessage? {
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send("PUT / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: \(size)\r\n\r\n")
            let interim = try reader.head(.ordinary)
            guard interim?.status == 100 else { return interim }
            socket.send(body)
            return try reader.response(to: "PUT")
        }

        /// An endpoint that has not asked for the body has none of it.
        @Test(arguments: [false, true]) func aBodyThatNobodyAskedForGoesToAnother(_ answers: Bool) throws {
            let heads = Counter()
            let backend = try Self.backend(heads) { if answers { $0.answer(503, "not now") } }
            let gateway = try Gateway(Retries.configuration([backend.endpoint], Self.policy))
            let answer = try Self.put(gateway, "hello", size: 5)
            #expect(answer?.status == 200)
            #expect(answer?.bodyText == "hello")
            #expect(heads.value == 2)
        }

        @Test func aBodyThatNobodyAskedForGoesToAnotherModel() throws {
            let bad = try Self.backend(Counter()) { $0.answer(503, "not now") }
            let heads = Counter()
            heads.add(1)
            let good = try Self.backend(heads) { _ in }
            var configuration = GatewayConfiguration.web([bad.endpoint])
            configuration.models += [
                "    fallback: { model: other }", "  other:", "    versions:",
                "      \"1\": { endpoints: [ \"\(good.endpoint)\" ], protocol: passthrough }",
            ]
            let gateway = try Gateway(configuration)
            let answer = try Self.put(gateway, "hello", size: 5)
            #expect(answer?.bodyText == "hello")
            #expect(answer?.field("x-sluice-fallback") == "other/1")
        }

        @Test func aBodyOfWhichSomeWasTakenGoesNowhereElse() throws {
            let heads = Counter()
            let backend = try Self.backend(heads) { connection in
                connection.socket.send("HTTP/1.1 100 Continue\r\n\r\n")
                _ = try connection.reader.take(5, .ordinary)
            }
            let gateway = try Gateway(Retries.configuration([backend.endpoint], Self.policy))
            #expect(try Self.put(gateway, "hello", size: 10)?.status == 502)
            #expect(heads.value == 1)
        }

        /// It is everywhere, and the second model has read of it what the third would have to be sent.
        @Test func aBodyThatIsTooLargeGoesNowhereElse() throws {
            let bad = try Self.backend(Counter()) { $0.answer(503, "not now") }
            let (second, third) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  limits: { body_bytes: 65536 }"]
            configuration.models = [
                "  one: { versions: { \"1\": { endpoints: [ \"\(bad.endpoint)\" ], protocol: open-inference } },",
                "         fallback: [ { model: two }, { model: three } ] }",
                "  two: { versions: { \"1\": { endpoints: [ \"\(second.endpoint)\" ], protocol: rest-predict } } }",
                "  three: { versions: { \"1\": { endpoints: [ \"\(third.endpoint)\" ], protocol: open-inference } } }",
            ]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("POST /v2/models/one/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            try waitUntil("the first has refused it") {
                try gateway.metric("sluice_attempts_total", ["model=\"one\""]) == 1
            }
            let chunk = "8000\r\n" + String(repeating: "x", count: 0x8000) + "\r\n"
            for _ in 0..<4 { socket.send(chunk) }
            #expect(try MessageReader(socket).response(to: "POST")?.status == 413)
            #expect(second.requests.isEmpty && third.requests.isEmpty)
        }

        // MARK: Small bodies

        private static func chunked(_ body: String, trailers: String = "") -> String {
            "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\(trailers)\r\n"
        }

        private static let chunkedHead =
            "PUT / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

        @Test func aSmallBodyInChunksIsSentAgain() throws {
            let backend = try Retries.failing(times: 2)
            let gateway = try Gateway(Retries.configuration([backend.endpoint], Self.policy))
            let answer = try gateway.exchange(Self.chunkedHead + Self.chunked("hello"), method: "PUT")
            #expect(answer.bodyText == "5")
            #expect(backend.requests.map(\.bodyText) == ["hello", "hello", "hello"])
            // All of it is known by then.
            #expect(backend.requests.map { $0.field("content-length") } == [nil, "5", "5"])
            #expect(backend.requests.map { $0.field("transfer-encoding") } == ["chunked", nil, nil])
        }

        @Test func anEmptyBodyInChunksIsSentAgain() throws {
            let backend = try Retries.failing(times: 1)
            let gateway = try Gateway(Retries.configuration([backend.endpoint], Self.policy))
            #expect(try gateway.exchange(Self.chunkedHead + "0\r\n\r\n", method: "PUT").bodyText == "0")
        }

        /// What is not kept is not sent again: a larger body, and one that trailers follow.
        @Test(arguments: [(16_384, "", true), (16_385, "", false), (5, "X-Sum: 1\r\n", false)])
        func onlyWhatIsKeptIsSentAgain(_ size: Int, _ trailers: String, _ isKept: Bool) throws {
            let backend = try Retries.failing(times: 1)
            let gateway = try Gateway(Retries.configuration([backend.endpoint], Self.policy))
            let body = Self.chunked(String(repeating: "x", count: size), trailers: trailers)
            let answer = try gateway.exchange(Self.chunkedHead + body, method: "PUT")
            #expect(answer.status == (isKept ? 200 : 503))
            #expect(backend.requests.map(\.body.count) == (isKept ? [size, size] : [size]))
        }

        /// A stream says nothing of its length, or is not read to its end when its head goes out.
        @Test(arguments: [false, true], [false, true])
        func aSmallBodyOfAStreamIsSentAgain(_ saysLength: Bool, _ speaksHTTP2: Bool) throws {
            let asked = Counter()
            let backend =
                speaksHTTP2
                ? try ScriptedBackend.http2 { _, peer in
                    while let stream = try peer.nextRequest() {
                        let body = text(try peer.answer(stream).body)
                        peer.respond(stream, asked.increment() == 1 ? 503 : 200, body)
                    }
                }
                : try ScriptedBackend { connection, request in
                    connection.answer(asked.increment() == 1 ? 503 : 200, request.bodyText)
                }
            let endpoint = speaksHTTP2 ? backend.grpcEndpoint : backend.endpoint
            let gateway = try Gateway(Retries.configuration([endpoint], Self.policy))
            let client = try HTTP2Client(gateway.connect())
            let fields = HTTP2Client.request("PUT") + (saysLength ? [("content-length", "5")] : [])
            client.send(
                HTTP2Frame(.headers, flags: 4, stream: 1, HTTP2Client.block(fields)),
                HTTP2Frame(.data, flags: 1, stream: 1, bytes("hello")))
            let answer = try client.answer(1)
            #expect(answer.status == 200)
            #expect(answer.bodyText == "hello")
            #expect(asked.value == 2)
        }

        /// A pool of another protocol reads what was kept.
        @Test func aSmallBodyInChunksIsReadForAnotherPool() throws {
            let bad = try ScriptedBackend { connection, _ in connection.answer(503, "{}") }
            let good = try ScriptedBackend { connection, _ in connection.answer(200, "{\"predictions\":[[7.0]]}") }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.models = [
                "  iris:", "    fallback: { model: other }", "    versions:",
                "      \"1\": { endpoints: [ \"\(bad.endpoint)\" ], protocol: open-inference }", "  other:",
                "    versions:",
                "      \"1\": { endpoints: [ \"\(good.endpoint)\" ], protocol: rest-predict }",
            ]
            let gateway = try Gateway(configuration)
            let body = #"{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[3]}]}"#
            let answer = try gateway.exchange(
                "POST /v2/models/iris/infer HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n" + Self.chunked(body), method: "POST")
            #expect(answer.status == 200, "\(answer.bodyText)")
            #expect(bad.requests.map(\.bodyText) == [body])
            #expect(good.requests.first?.bodyText.contains("3") == true)
        }
    }
}
