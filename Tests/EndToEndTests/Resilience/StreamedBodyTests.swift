import Foundation
import Testing

extension EndToEnd {
    /// Requests whose bodies stream, sent again before anything of the body was taken.
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
    }
}
