import Foundation
import Testing

extension EndToEnd {
    /// What has arrived before the process is told to stop is answered.
    @Suite struct Drain {
        @Test func pipelinedRequestsThatHadArrivedAreAnswered() throws {
            let stopping = Gate()
            let backend = try ScriptedBackend { connection, request in
                if request.target == "/1" { stopping.wait() }
                connection.answer(200, request.target)
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send((1...3).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            try waitUntil("the first is under way") { backend.requests.count == 1 }
            gateway.process.signal(SIGTERM)
            try waitUntil("the gateway stops") { gateway.log.contains("draining") }
            stopping.open()
            for index in 1...3 {
                let answer = try reader.response()
                #expect(answer?.bodyText == "/\(index)")
                #expect((answer?.field("connection") == "close") == (index == 3))
            }
            #expect(try reader.rest().isEmpty)
            #expect(try gateway.process.wait() == 0)
        }

        @Test func messagesOfRawTCPThatHadArrivedAreAnswered() throws {
            let (stopping, asked) = (Gate(), Counter())
            let backend = try ScriptedBackend { connection in
                while let message = connection.socket.message(.after(seconds: 60)) {
                    if asked.increment() == 1 { stopping.wait() }
                    connection.socket.send(LengthPrefixed.answer("good", to: message))
                }
            }
            let gateway = try Gateway(.rawTCP(port: backend.port, models: ["m"]))
            let client = try Socket.connect(port: gateway.ports[1])
            client.send((1...3).flatMap { LengthPrefixed.infer("m", id: $0) })
            try waitUntil("the first is under way") { asked.value == 1 }
            gateway.process.signal(SIGTERM)
            try waitUntil("the gateway stops") { gateway.log.contains("draining") }
            stopping.open()
            for index in 1...3 { #expect(client.answer() == "good for \(index)") }
            #expect(client.closedByPeer())
            #expect(try gateway.process.wait() == 0)
        }
    }
}
