import Foundation
import Testing

/// What an endpoint of raw TCP does with its second request; every other one it answers well.
enum RawMisbehaviour: String, CaseIterable {
    /// The answer of the first request, once more.
    case stale
    /// An id that nobody was told.
    case zero
    case aRequest
    case answerOfReady
    /// Its own error, which is an answer as good as others.
    case refusal

    func answer(to message: [UInt8], after first: [UInt8]) -> [UInt8] {
        switch self {
        case .stale: first
        case .zero:
            LengthPrefixed.answer("good", to: Array(message[..<12]) + [UInt8](repeating: 0, count: 8))
        case .aRequest: LengthPrefixed.answer("good", to: message, kind: 0x01)
        case .answerOfReady: LengthPrefixed.answer("good", to: message, kind: 0x82)
        case .refusal: LengthPrefixed.refusal(of: message)
        }
    }
}

extension EndToEnd {
    /// An answer goes to the client of its own request, or to none.
    @Suite struct RawAnswers {
        private static func backend(
            _ misbehaviour: RawMisbehaviour, _ asked: Counter, _ connections: Counter
        ) throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                connections.add(1)
                var first: [UInt8] = []
                while let message = connection.socket.message(.after(seconds: 600)) {
                    var answer = LengthPrefixed.answer("good", to: message)
                    if asked.increment() == 2 { answer = misbehaviour.answer(to: message, after: first) }
                    if first.isEmpty { first = answer }
                    connection.socket.send(answer)
                }
            }
        }

        @Test(arguments: RawMisbehaviour.allCases)
        func clientsOfOneProtocolChooseTheSameID(_ misbehaviour: RawMisbehaviour) throws {
            let (asked, connections) = (Counter(), Counter())
            let backend = try Self.backend(misbehaviour, asked, connections)
            var configuration = GatewayConfiguration.rawTCP(port: backend.port, models: ["m"])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let clients = try (0..<2).map { _ in try Socket.connect(port: gateway.ports[1]) }
            let isAnswer = misbehaviour == .refusal
            for (client, expected) in [(0, "good for 1"), (1, "error \(isAnswer ? 9 : 13) for 1"), (1, "good for 1")] {
                clients[client].send(LengthPrefixed.infer("m", id: 1))
                #expect(clients[client].answer() == expected)
            }
            #expect(connections.value == (isAnswer ? 1 : 2))
            #expect(try gateway.metric("sluice_parse_errors_total", ["upstream", "body"]) == (isAnswer ? 0 : 1))
        }

        @Test(arguments: RawMisbehaviour.allCases)
        func clientsOfAnotherProtocolHaveNoID(_ misbehaviour: RawMisbehaviour) throws {
            let (asked, connections) = (Counter(), Counter())
            let backend = try Self.backend(misbehaviour, asked, connections)
            var configuration = GatewayConfiguration.rawTCP(port: backend.port, models: ["m"])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let isAnswer = misbehaviour == .refusal
            for status in [200, isAnswer ? 400 : 502, 200] {
                #expect(try gateway.post("/v2/models/m/infer", #"{"inputs":[]}"#).status == status)
            }
            #expect(connections.value == (isAnswer ? 1 : 2))
        }
    }
}
