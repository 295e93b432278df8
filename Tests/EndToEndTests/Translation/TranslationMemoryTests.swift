import Foundation
import Testing

extension EndToEnd {
    /// What is said anew in another protocol may take more memory than an exchange may have, whatever came.
    @Suite struct TranslationMemory {
        /// Six bytes of JSON for each byte that comes.
        private static func request(_ count: Int, id: Int = 0) -> [UInt8] {
            let tensor =
                "{\"name\":\"x\",\"datatype\":\"BOOL\",\"shape\":[1,\(count)],"
                + "\"parameters\":{\"binary_data_size\":\(count)}}"
            let head = "{\"id\":\"\(id)\",\"inputs\":[\(tensor)]}"
            let fields =
                "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nInference-Header-Content-Length: \(head.utf8.count)\r\n"
                + "Content-Length: \(head.utf8.count + count)\r\n\r\n"
            return Array((fields + head).utf8) + [UInt8](repeating: 0, count: count)
        }

        /// Answers with a row for each row.
        private static func backend() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                let rows = Self.rows(of: request)
                let data = [String](repeating: "7", count: rows).joined(separator: ",")
                connection.answer(
                    200,
                    "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":[\(rows)],\"data\":[\(data)]}]}",
                    fields: ["Content-Type: application/json"])
            }
        }

        private static func rows(of request: HTTPMessage) -> Int {
            let text = text(Array(request.body.prefix(200)))
            guard let shape = text.range(of: "\"shape\":[")?.upperBound else { return 0 }
            return Int(text[shape...].prefix { $0.isNumber }) ?? 0
        }

        private static func gateway(_ backend: ScriptedBackend, rows: Int, protocol name: String) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.batcher = "size-or-delay"
            // An exchange may have twice as much, and 1 MiB.
            configuration.gateway = ["  limits: { body_bytes: 1000000 }"]
            configuration.models = [
                "  m:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: \(name) } }",
                "    batching: { max_batch_size: \(rows), max_delay_ms: 2000 }",
            ]
            return try Gateway(configuration)
        }

        @Test func whatIsTooLargeInTheOtherProtocolIsNoMatterOfRates() throws {
            let backend = try Self.backend()
            let gateway = try Self.gateway(backend, rows: 1, protocol: "rest-predict")
            let socket = try gateway.connect()
            socket.send(Self.request(900_000))
            let answer = try #require(try MessageReader(socket).response(to: "POST"))
            #expect(answer.status == 503, "\(answer.bodyText)")
            #expect(answer.bodyText.contains("more memory than it may use"))
            #expect(try gateway.metric("sluice_rejected_total", ["reason=\"memory\""]) == 1)
            #expect(backend.requests.isEmpty)
        }

        /// Their bytes together are as many as a body may have; as JSON each of them fits alone.
        @Test func aBatchThatIsTooLargeInTheOtherProtocolIsSentApart() throws {
            let backend = try Self.backend()
            let gateway = try Self.gateway(backend, rows: 6, protocol: "open-inference")
            let sockets = try (0..<6).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request(150_000, id: index)) }
            for (index, socket) in sockets.enumerated() {
                let answer = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(answer.status == 200, "\(answer.bodyText)")
                #expect(try JSON(answer.bodyText)["id"].text == "\(index)")
            }
            #expect(backend.requests.map { Self.rows(of: $0) } == [1, 1, 1, 1, 1, 1])
        }
    }
}
