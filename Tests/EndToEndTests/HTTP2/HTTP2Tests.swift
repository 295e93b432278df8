import Foundation
import Testing

extension EndToEnd {
    /// Clients of HTTP/2 before a backend of HTTP/1.1: each stream is an exchange like any other.
    @Suite struct HTTP2 {
        @Test func requestsAndAnswersAreTranslated() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1, "GET", "/a?b=c", fields: [("x-one", "1"), ("cookie", "a=b"), ("cookie", "c=d")])
            let first = try client.answer(1)
            #expect(first.status == 200)
            #expect(first.bodyText == "GET /a?b=c 0")
            #expect(first.field("content-length") == "12")
            let seen = try #require(backend.requests.first)
            #expect(seen.field("host") == "a")
            #expect(seen.field("x-one") == "1")
            // RFC 9113 §8.2.3: crumbs are one field again outside HTTP/2.
            #expect(seen.all("cookie") == ["a=b; c=d"])
            #expect(seen.field("via") == "2.0 sluice")
            // A length that is announced is kept; without one the body goes on chunked.
            client.request(3, "POST", "/p", fields: [("content-length", "5")], ends: false)
            client.send(HTTP2Frame(.data, flags: 1, stream: 3, bytes("hello")))
            #expect(try client.answer(3).bodyText == "POST /p 5")
            #expect(backend.requests.last?.field("content-length") == "5")
            client.request(5, "POST", "/p", ends: false)
            client.send(
                HTTP2Frame(.data, stream: 5, bytes("hel")), HTTP2Frame(.data, flags: 1, stream: 5, bytes("lo!")))
            #expect(try client.answer(5).bodyText == "POST /p 6")
            #expect(backend.requests.last?.field("transfer-encoding") == "chunked")
            client.request(7, "HEAD", "/h")
            let head = try client.answer(7)
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(head.isWhole)
            #expect(try gateway.get("/v1").bodyText == "GET /v1 0")
        }

        @Test func chunkedAnswersLoseTheirFramingAndKeepTheirTrailers() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n"
                        + "Keep-Alive: timeout=5\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.bodyText == "abcde")
            #expect(answer.trailers.map { "\($0.name)=\($0.value)" } == ["x-sum=5"])
            for name in ["transfer-encoding", "connection", "keep-alive"] { #expect(answer.field(name) == nil) }
        }

        @Test func interimResponsesComeFirst() throws {
            let backend = try ScriptedBackend { connection in
                while let request = try connection.reader.request() {
                    if request.target == "/hints" {
                        connection.socket.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
                    }
                    connection.answer()
                }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1, "GET", "/hints")
            let answer = try client.answer(1)
            #expect(answer.interim.first?.map { "\($0.name): \($0.value)" } == [":status: 103", "link: </x>"])
            #expect(answer.status == 200)
        }

        @Test func errorsHaveTheShapeOfTheirProtocol() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.status == 503)
            #expect(answer.field("retry-after") == "1")
            #expect(answer.field("content-type") == "application/problem+json")
            #expect(answer.bodyText.contains("could not be reached"))
            // The connection lives on.
            client.request(3)
            #expect(try client.answer(3).status == 503)
        }

        @Test func aHundredStreamsAtOnceEachGetTheirOwnAnswer() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            for index in 0..<100 { client.request(UInt32(2 * index + 1), "GET", "/\(index)") }
            for index in 0..<100 {
                #expect(try client.answer(UInt32(2 * index + 1)).bodyText == "GET /\(index) 0")
            }
        }

        @Test func aStreamBeyondTheLimitIsRefused() throws {
            let backend = try ScriptedBackend { connection in _ = connection.socket.closedByPeer() }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { http2_streams: 2 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            for id: UInt32 in [1, 3, 5] { client.request(id) }
            // RFC 9113 §5.1.2 leaves it to the server how it counts a client that goes beyond what it was told.
            let refusal = try client.read { $0.kind == .resetStream || $0.kind == .goAway }
            #expect([HTTP2Error.refused, HTTP2Error.protocol].contains(refusal?.errorCode))
        }

        @Test func aClosedWindowHoldsTheEndpointBack() throws {
            let size = 8 << 20
            let sent = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
                let piece = [UInt8](repeating: 7, count: 65_536)
                for _ in 0..<size / piece.count {
                    guard connection.socket.send(piece) else { return }
                    sent.add(piece.count)
                }
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.opensWindows = false
            client.request(1)
            try client.read { $0.kind == .data && client.answers[1]!.body.count == 65_535 }
            // The window is used up. What the endpoint could send is in buffers of the kernel and two of ours.
            var last = -1
            while sent.value != last {
                last = sent.value
                pauseBetweenLooks(milliseconds: 300)
            }
            #expect(sent.value < size)
            // Another stream of the same connection is not held up by it: its window is open, if the connection's is.
            client.opensWindows = true
            client.send(
                HTTP2Frame(.windowUpdate, HTTP2Frame.word(65_535)),
                HTTP2Frame(.windowUpdate, stream: 1, HTTP2Frame.word(65_535)))
            let answer = try client.answer(1)
            #expect(answer.body.count == size)
            #expect(answer.body.allSatisfy { $0 == 7 })
        }

        @Test func windowsOpenAsTheEndpointTakesTheBody() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection in
                try waitUntil("the test lets the body go") { release.value > 0 }
                while let request = try connection.reader.request() {
                    connection.answer(200, "\(request.body.count)")
                }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            // More than the kernel lets the two sockets to the endpoint hold, 10 MiB where nobody has changed that: a
            // slow sender gives it the time to let them grow that far.
            let size = 24 << 20
            client.request(1, "POST", "/", ends: false)
            // Within the windows and no further: the client counts, as every client of HTTP/2 does.
            var left = size
            while left > 0 {
                let used = size - left
                let window = min(65_535 + client.opened[1, default: 0], 65_535 + client.opened[0, default: 0]) - used
                let count = min(16_384, left, window)
                guard count > 0 else {
                    client.awaitWindow(1)
                    if client.opened[1, default: 0] + 65_535 == used, release.value == 0 {
                        // Nobody reads at the endpoint: no window opens, long before all of the body is on its way.
                        #expect(left > 0)
                        release.add(1)
                    }
                    continue
                }
                left -= count
                client.send(HTTP2Frame(.data, flags: left == 0 ? 1 : 0, stream: 1, [UInt8](repeating: 1, count: count)))
            }
            #expect(release.value == 1)
            #expect(try client.answer(1).bodyText == "\(size)")
        }

        @Test func aStreamThatIsResetLeavesTheEndpoint() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1)
            try waitUntil("the request is there") { backend.openCount == 1 && !backend.received[0].isEmpty }
            client.send(HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(HTTP2Error.cancel)))
            try waitUntil("the endpoint is left") { backend.openCount == 0 }
            client.send(HTTP2Frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8]))
            #expect(try client.read { $0.kind == .ping && $0.flags & 1 != 0 }?.payload == [1, 2, 3, 4, 5, 6, 7, 8])
        }

        @Test func anAnswerThatBreaksOffIsAReset() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(!answer.isWhole)
            #expect(answer.resetCode == 2)
        }

        @Test func anAnswerBeforeTheBodyEndsTheStreamWithoutError() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let client = try gateway.http2()
            client.request(1, "POST", "/", ends: false)
            client.send(HTTP2Frame(.data, stream: 1, bytes("some")))
            // RFC 9113 §8.1: a complete answer, then RST_STREAM with NO_ERROR.
            try client.read { $0.kind == .resetStream && $0.stream == 1 }
            let answer = try client.answer(1)
            #expect(answer.status == 503)
            #expect(answer.resetCode == HTTP2Error.none)
            client.request(3)
            #expect(try client.answer(3).status == 503)
        }

        @Test func aStopLetsStreamsEnd() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                try? waitUntil("the test lets the answer go") { release.value > 0 }
                connection.answer(200, "late")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1)
            try waitUntil("the request is there") { backend.openCount == 1 && !backend.received[0].isEmpty }
            gateway.process.signal(SIGTERM)
            #expect(try client.read { $0.kind == .goAway }?.errorCode == HTTP2Error.none)
            release.add(1)
            #expect(try client.answer(1).bodyText == "late")
            #expect(try client.goAwayCode() == HTTP2Error.none)
            #expect(try gateway.process.wait() == 0)
        }

        /// A client that waits for 100 (Continue) need not say how long its content is: the stream says that it comes.
        @Test(arguments: [[], [("content-length", "4")]])
        func theEndpointsContinueReachesAClientThatWaits(_ length: [(String, String)]) throws {
            let backend = try ScriptedBackend { connection in
                guard var request = try connection.reader.head(.ordinary) else { return }
                if request.field("expect") != nil { connection.socket.send("HTTP/1.1 100 Continue\r\n\r\n") }
                try connection.reader.readBody(of: &request, untilClose: false, .ordinary)
                connection.answer(200, request.bodyText)
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1, "POST", fields: [("expect", "100-continue")] + length, ends: false)
            #expect(try client.read { $0.kind == .headers } != nil)
            #expect(client.answers[1]?.interim.first?.first?.value == "100")
            client.send(HTTP2Frame(.data, flags: 1, stream: 1, bytes("body")))
            #expect(try client.answer(1).bodyText == "body")
        }

        @Test func aHostThatDiffersByCaseAloneAgrees() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1, fields: [("host", "A")])
            #expect(try client.answer(1).status == 200)
            #expect(backend.requests.first?.field("host") == "a")
            client.request(3, fields: [("host", "b")])
            #expect(try client.answer(3).status == 400)
        }

        @Test func aReloadBreaksNoStream() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection in
                while try connection.reader.request() != nil {
                    try? waitUntil("the test lets the answer go") { release.value > 0 }
                    connection.answer(200, "old")
                }
            }
            let next = try ScriptedBackend { connection in
                while try connection.reader.request() != nil { connection.answer(200, "new") }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1)
            try waitUntil("the request is there") { backend.openCount == 1 && !backend.received[0].isEmpty }
            try gateway.write(.web([next.endpoint]))
            #expect(try gateway.reload().status == 0)
            client.request(3)
            #expect(try client.answer(3).bodyText == "new")
            release.add(1)
            #expect(try client.answer(1).bodyText == "old")
        }
    }
}
