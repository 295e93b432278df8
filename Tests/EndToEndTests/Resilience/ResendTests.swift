import Foundation
import Testing

extension EndToEnd {
    /// A request that is sent again at once, since nobody had looked at it, may be sent twice only for that once.
    @Suite struct Resends {
        @Test func aRefusalAllowsOneMoreAttemptAndNoFurtherOne() throws {
            let asked = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    switch asked.increment() {
                    case 1: peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)))
                    // The connection ends, and nobody knows what became of the request.
                    case 2: return
                    default: peer.respond(stream)
                    }
                }
            }
            let gateway = try Gateway(
                Retries.configuration([backend.grpcEndpoint], "max_attempts: 3, backoff_ms: 1"))
            #expect(try gateway.post("/", "{}").status == 502)
            #expect(asked.value == 2)
        }

        /// What came of the body after the first refusal goes again after the second one.
        @Test(arguments: [false, true]) func aBodyThatStreamsIsWholeAfterTwoRefusals(_ isChunked: Bool) throws {
            let parts = ["one ", "two ", "three"]
            let asked = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while true {
                    guard let head = try peer.read(until: { $0.kind == .headers }) else { return }
                    let sofar = parts.prefix(asked.increment()).joined()
                    let body = { text(peer.answers[head.stream]?.body ?? []) }
                    if body() != sofar { try peer.read(until: { _ in body().utf8.count >= sofar.utf8.count }) }
                    if sofar == parts.joined() {
                        peer.respond(head.stream, 200, body())
                    } else {
                        peer.send(HTTP2Frame(.resetStream, stream: head.stream, HTTP2Frame.word(HTTP2Error.refused)))
                    }
                }
            }
            let gateway = try Gateway(
                Retries.configuration([backend.grpcEndpoint], "max_attempts: 3, backoff_ms: 1"))
            let socket = try gateway.connect()
            let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 13"
            socket.send("POST / HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n")
            for (index, part) in parts.enumerated() {
                if index > 0 { try waitUntil("it is asked again") { asked.value == index + 1 } }
                socket.send(isChunked ? "\(String(part.utf8.count, radix: 16))\r\n\(part)\r\n" : part)
            }
            if isChunked { socket.send("0\r\n\r\n") }
            let answer = try MessageReader(socket).response(to: "POST")
            #expect(answer?.bodyText == parts.joined(), "\(String(describing: answer))")
        }

        /// Refuses the first request after `taken` bytes of its body, and answers those that follow with how much of
        /// theirs came, and whether each byte was in its place.
        private static func refusing(after taken: Int) throws -> ScriptedBackend {
            let asked = Counter()
            return try ScriptedBackend.http2 { _, peer in
                while let head = try peer.read(until: { $0.kind == .headers }) {
                    let stream = head.stream
                    let isFirst = asked.increment() == 1
                    peer.opensWindows = !isFirst
                    guard isFirst else {
                        let body = try peer.answer(stream).body
                        peer.respond(stream, 200, "\(body.count) \(body == pattern(body.count))")
                        continue
                    }
                    let size = { peer.answers[stream]?.body.count ?? 0 }
                    if size() < taken { try peer.read(until: { _ in size() >= taken }) }
                    peer.send(
                        HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)),
                        HTTP2Frame(.windowUpdate, HTTP2Frame.word(1 << 20)))
                }
            }
        }

        private static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(($0 / 7 + $0 >> 8) & 255) } }

        private static func chunked(_ body: [UInt8]) -> [UInt8] {
            bytes("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
                + bytes("\(String(body.count, radix: 16))\r\n") + body + bytes("\r\n0\r\n\r\n")
        }

        /// What was taken off its chunks and found no room in the refused call goes again as well, and in its place.
        @Test(arguments: [70_000, 100_000]) func aChunkLargerThanTheWindowIsWholeAfterARefusal(_ size: Int) throws {
            let backend = try Self.refusing(after: 65_535)
            let gateway = try Gateway(
                Retries.configuration([backend.grpcEndpoint], "max_attempts: 3, backoff_ms: 1"))
            let socket = try gateway.connect()
            socket.send(Self.chunked(Self.pattern(size)))
            let answer = try MessageReader(socket).response(to: "POST")
            // A part for the whole is worse than an error, and this much is at hand.
            #expect(answer?.bodyText == "\(size) true", "\(String(describing: answer))")
        }

        /// A head waits for its body when its kept connection turns out to be closed; on the next connection it goes
        /// alone, and the body, which is not kept, after it.
        @Test func aHeadThatWaitedIsNotRepeatedWithoutItsBody() throws {
            let closes = Gate()
            let heads = Counter()
            let backend = try ScriptedBackend { connection in
                if connection.index == 0 {
                    _ = try connection.reader.request()
                    connection.answer()
                    closes.wait()
                    return
                }
                var received = ""
                while !received.hasSuffix("hello"), case .data(let data) = connection.socket.receive(.ordinary) {
                    received += text(data)
                    if received.hasSuffix("\r\n\r\n") { heads.add(1) }
                }
            }
            let gateway = try Gateway(Retries.configuration([backend.endpoint], "max_attempts: 3, backoff_ms: 1"))
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(try reader.response()?.status == 200)
            // Both reach the gateway at one time: first the head, then the end of the connection that it goes to.
            gateway.process.signal(SIGSTOP)
            try waitUntil("the gateway stands still") { gateway.process.isStopped }
            socket.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n")
            closes.open()
            try waitUntil("the connection is closed") { backend.openCount == 0 }
            gateway.process.signal(SIGCONT)
            try waitUntil("the head has gone out alone") { heads.value == 1 }
            socket.send("hello")
            #expect(try reader.response(to: "POST")?.status == 502)
            #expect(heads.value == 1)
            #expect(backend.connectionCount == 2)
        }
    }
}
