import Foundation
import Testing

extension EndToEnd {
    /// Clients of HTTP/1.1 and HTTP/2 before an endpoint that speaks HTTP/2.
    @Suite struct HTTP2Upstream {
        /// Answers each request with its method, path and body's size.
        private func echo(settings: [(UInt16, UInt32)] = []) throws -> ScriptedBackend {
            try ScriptedBackend.http2(settings: settings) { _, peer in
                while let stream = try peer.nextRequest() {
                    let request = peer.answers[stream] ?? HTTP2Answer()
                    let line = "\(request.field(":method") ?? "") \(request.field(":path") ?? "") \(request.body.count)"
                    peer.respond(
                        stream, 200, line, fields: [("x-fields", request.fields.map(\.name).joined(separator: " "))])
                }
            }
        }

        private func gateway(_ backend: ScriptedBackend, workers: Int = 1) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.workers = workers
            return try Gateway(configuration)
        }

        @Test func requestsOfHTTP1BecomeFieldLists() throws {
            let backend = try echo()
            let gateway = try gateway(backend)
            let answer = try gateway.exchange(
                "POST /p?q=1 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nKeep-Alive: 5\r\nConnection: X-Two\r\nX-Two: 2\r\n"
                    + "TE: gzip\r\nContent-Length: 3\r\n\r\nabc", method: "POST")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "POST /p?q=1 3")
            #expect(
                answer.field("x-fields") == ":method :scheme :path :authority x-one via content-length")
            #expect(answer.field("transfer-encoding") == "chunked")
            let chunked = try gateway.exchange(
                "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                method: "POST")
            #expect(chunked.bodyText == "POST /c 5")
            #expect(chunked.field("x-fields") == ":method :scheme :path :authority via")
            let old = try gateway.exchange("GET /o HTTP/1.0\r\nHost: h\r\n\r\n")
            #expect(old.bodyText == "GET /o 0")
            #expect(old.field("transfer-encoding") == nil)
        }

        @Test func manyRequestsShareAConnection() throws {
            // All must be there before one is answered: on one connection, for there is only one.
            let backend = try ScriptedBackend { connection in
                let peer = try HTTP2Client(serving: connection.socket)
                var streams: [UInt32] = []
                while streams.count < 30, let stream = try peer.nextRequest() { streams.append(stream) }
                for stream in streams.reversed() { peer.respond(stream, 200, "of \(connection.index)") }
                while let stream = try peer.nextRequest() { peer.respond(stream) }
            }
            let gateway = try gateway(backend)
            let client = try gateway.http2()
            for index in 0..<30 { client.request(UInt32(index * 2 + 1), "GET", "/\(index)") }
            for index in 0..<30 { #expect(try client.answer(UInt32(index * 2 + 1)).bodyText == "of 0") }
        }

        @Test func theEndpointsLimitOfStreamsOpensAnotherConnection() throws {
            let gate = Gate()
            let backend = try ScriptedBackend.http2(settings: [(3, 1)]) { index, peer in
                while let stream = try peer.nextRequest() {
                    if index == 0, peer.answers[stream]?.field(":path") == "/wait" { gate.wait() }
                    peer.respond(stream, 200, "of \(index)")
                }
            }
            let gateway = try gateway(backend)
            #expect(try gateway.get("/first").bodyText == "of 0")
            let client = try gateway.http2()
            client.request(1, "GET", "/wait")
            client.request(3, "GET", "/more")
            #expect(try client.answer(3).bodyText == "of 1")
            gate.open()
            #expect(try client.answer(1).bodyText == "of 0")
        }

        @Test(arguments: ["refused", "goaway"]) func whatWasNotLookedAtIsSentAgain(_ how: String) throws {
            let backend = try ScriptedBackend.http2 { index, peer in
                while let stream = try peer.nextRequest() {
                    let request = peer.answers[stream] ?? HTTP2Answer()
                    if request.field(":path") == "/again", index == 0, stream == 3 {
                        if how == "refused" {
                            peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)))
                        } else {
                            peer.send(HTTP2Frame(.goAway, HTTP2Frame.word(1) + HTTP2Frame.word(0)))
                        }
                        continue
                    }
                    peer.respond(stream, 200, "\(request.bodyText) of \(index)/\(stream)")
                }
            }
            let gateway = try gateway(backend)
            #expect(try gateway.post("/once", "a").bodyText == "a of 0/1")
            // A POST is repeated too: the endpoint has said that it did nothing with it.
            let again = try gateway.exchange(
                "POST /again HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                method: "POST")
            #expect(again.status == 200)
            #expect(again.bodyText == (how == "refused" ? "abc of 0/5" : "abc of 1/1"))
        }

        @Test func interimResponsesTrailersAndLengthsCross() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    switch peer.answers[stream]?.field(":path") {
                    case "/hints":
                        peer.send(
                            HTTP2Frame(
                                .headers, flags: 4, stream: stream,
                                HTTP2Client.block([(":status", "103"), ("link", "</x>")])))
                        peer.respond(stream)
                    case "/trailers":
                        peer.send(
                            HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block([(":status", "200")])),
                            HTTP2Frame(.data, stream: stream, bytes("abc")),
                            HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block([("x-sum", "3")])))
                    case "/empty": peer.respond(stream, 204, "")
                    case "/nothing": peer.respond(stream, 200, "")
                    case "/length": peer.respond(stream, 200, "hello", fields: [("content-length", "5")])
                    default: peer.respond(stream, 200, "", fields: [("content-length", "7")])
                    }
                }
            }
            let gateway = try gateway(backend)
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send("GET /hints HTTP/1.1\r\nHost: h\r\n\r\n")
            let hinted = try #require(try reader.response())
            #expect(hinted.interim == [103])
            #expect(hinted.status == 200)
            socket.send("GET /trailers HTTP/1.1\r\nHost: h\r\n\r\n")
            let trailed = try #require(try reader.response())
            #expect(trailed.bodyText == "abc")
            #expect(trailed.trailers.map { "\($0.name)=\($0.value)" } == ["x-sum=3"])
            socket.send("GET /empty HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try reader.response()?.status == 204)
            socket.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try reader.response()?.field("content-length") == "0")
            socket.send("GET /length HTTP/1.1\r\nHost: h\r\n\r\n")
            let length = try #require(try reader.response())
            #expect(length.field("content-length") == "5")
            #expect(length.bodyText == "hello")
            socket.send("HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try reader.response(to: "HEAD")?.field("content-length") == "7")
            let client = try gateway.http2()
            client.request(1, "GET", "/trailers")
            #expect(try client.answer(1).trailers.map { "\($0.name)=\($0.value)" } == ["x-sum=3"])
        }

        /// The last byte of a body whose length was said is not the end of its stream: a call's status comes behind it,
        /// in the same read or later.
        @Test(arguments: [false, true]) func trailersFollowABodyWithALength(_ apart: Bool) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let fields = [(":status", "200"), ("content-length", "3"), ("content-type", "application/grpc")]
                    let body = [
                        HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(fields)),
                        HTTP2Frame(.data, stream: stream, bytes("abc")),
                    ]
                    let trailers = HTTP2Frame(
                        .headers, flags: 5, stream: stream, HTTP2Client.block([("grpc-status", "5")]))
                    peer.socket.send(body.flatMap(\.encoded) + (apart ? [] : trailers.encoded))
                    guard apart else { continue }
                    // All of the body has been there and gone when this is answered.
                    peer.send(HTTP2Frame(.ping, [0, 0, 0, 0, 0, 0, 0, 1]))
                    try peer.read { $0.kind == .ping }
                    peer.send(trailers)
                }
            }
            let gateway = try gateway(backend)
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.bodyText == "abc")
            #expect(answer.field("content-length") == "3")
            #expect(answer.trailers.map { "\($0.name)=\($0.value)" } == ["grpc-status=5"])
            // HTTP/1.1 has no place for them behind a length, and the connection lives on.
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            for _ in 0..<2 {
                socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                let plain = try #require(try reader.response())
                #expect(plain.bodyText == "abc" && plain.field("content-length") == "3")
            }
        }

        /// What an endpoint sends in place of a response.
        @Test(arguments: [
            "no-status", "upper-case", "connection-field", "long-length", "short-length", "headers-too-large", "reset",
            "reset-without-error", "http1", "garbage", "closes", "status-101",
        ]) func whatIsNoResponseIsABadGateway(_ what: String) throws {
            let backend = try ScriptedBackend { connection in
                if what == "http1" || what == "garbage" {
                    connection.socket.send(
                        what == "http1"
                            ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" : "\u{0}\u{1}garbage, garbage")
                    _ = connection.socket.closedByPeer()
                    return
                }
                let peer = try HTTP2Client(serving: connection.socket)
                while let stream = try peer.nextRequest() {
                    guard peer.answers[stream]?.field(":path") == "/bad" else {
                        peer.respond(stream)
                        continue
                    }
                    func head(_ fields: [(String, String)], ends: Bool = true) {
                        peer.send(
                            HTTP2Frame(.headers, flags: ends ? 5 : 4, stream: stream, HTTP2Client.block(fields)))
                    }
                    switch what {
                    case "no-status": head([("x", "y")])
                    case "upper-case": head([(":status", "200"), ("X-Big", "y")])
                    case "connection-field": head([(":status", "200"), ("connection", "close")])
                    case "long-length":
                        head([(":status", "200"), ("content-length", "1")], ends: false)
                        peer.send(HTTP2Frame(.data, flags: 1, stream: stream, bytes("hello")))
                    case "short-length": head([(":status", "200"), ("content-length", "9")])
                    case "status-101": head([(":status", "101")])
                    case "headers-too-large":
                        head([(":status", "200")] + (0..<9).map { ("x-\($0)", String(repeating: "v", count: 9_000)) })
                    case "reset-without-error":
                        peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.none)))
                    case "reset": peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(2)))
                    default: return
                    }
                }
            }
            let gateway = try gateway(backend)
            let answer = try gateway.get("/bad")
            if what == "long-length" {
                // The head was right, and has gone out.
                #expect(!answer.complete)
            } else {
                #expect(answer.status == 502, "\(answer.status) \(answer.bodyText)")
            }
            if !["http1", "garbage"].contains(what) { #expect(try gateway.get("/good").status == 200) }
        }

        /// `code`: also a reset without error (RFC 9113 §8.1) ends what has not ended.
        @Test(arguments: [2, HTTP2Error.none]) func anAnswerThatBreaksOffIsNeverTakenForWhole(_ code: UInt32) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.send(
                        HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block([(":status", "200")])),
                        HTTP2Frame(.data, stream: stream, bytes("half")),
                        HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(code)))
                }
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            // It is the reset that ends the answer, and no timeout.
            configuration.gateway = ["  limits: { body_timeout_ms: 600000 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try MessageReader(socket).response()?.complete == false)
            let client = try gateway.http2()
            client.request(1)
            #expect(try client.answer(1).resetCode != nil)
        }

        @Test func aBodyWithoutALengthHasItsLimitToo() throws {
            let modern = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() { peer.respond(stream) }
            }
            let old = try ScriptedBackend.ordinary()
            for endpoint in [modern.grpcEndpoint, old.endpoint] {
                var configuration = GatewayConfiguration.web([endpoint])
                configuration.gateway = ["  limits: { body_bytes: 32768 }"]
                let gateway = try Gateway(configuration)
                let client = try gateway.http2()
                let piece = [UInt8](repeating: 0x61, count: 16_384)
                for (stream, pieces, status) in [(UInt32(1), 2, 200), (3, 3, 413)] {
                    client.request(stream, "POST", ends: false)
                    for _ in 0..<pieces { client.send(HTTP2Frame(.data, stream: stream, piece)) }
                    client.send(HTTP2Frame(.data, flags: 1, stream: stream))
                    #expect(try client.answer(stream).status == status, "\(endpoint), \(pieces)")
                }
            }
        }

        @Test func aClientThatLeavesCancelsTheCall() throws {
            let began = Gate()
            let cancelled = Gate()
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                began.open()
                // The reset may have come with the request's end already.
                var code = try peer.answer(stream, .ordinary).resetCode
                if code == nil { code = try peer.read { $0.kind == .resetStream && $0.stream == stream }?.errorCode }
                if code == HTTP2Error.cancel { cancelled.open() }
                while let next = try peer.nextRequest() { peer.respond(next) }
            }
            let gateway = try gateway(backend)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(began.wait())
            socket.close()
            #expect(cancelled.wait())
            // The connection lives on.
            #expect(try gateway.get("/next").status == 200)
            #expect(backend.connectionCount == 1)
        }

        @Test func windowsOpenOnlyAsTheOtherSideDrains() throws {
            // A response of 4 MiB to a client that does not read: the endpoint may send no more than two windows.
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                peer.send(HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block([(":status", "200")])))
                var sent = 0
                let frame = [UInt8](repeating: 120, count: 16_384)
                while sent < 4 << 20 {
                    while sent + frame.count > 65_535 + peer.openedTotal(stream) {
                        guard try peer.read(until: { $0.kind == .windowUpdate }) != nil else { return }
                    }
                    peer.send(HTTP2Frame(.data, stream: stream, frame))
                    sent += frame.count
                }
                peer.send(HTTP2Frame(.data, flags: 1, stream: stream, []))
                while let next = try peer.nextRequest() { peer.respond(next) }
            }
            let gateway = try gateway(backend)
            let client = try gateway.http2()
            client.opensWindows = false
            client.request(1)
            _ = try client.read { $0.kind == .data }
            // The other direction meanwhile: this connection's calls go on beside one that stands still.
            client.opensWindows = true
            client.send(
                HTTP2Frame(.windowUpdate, HTTP2Frame.word(8 << 20)),
                HTTP2Frame(.windowUpdate, stream: 1, HTTP2Frame.word(8 << 20)))
            #expect(try client.answer(1).body.count == 4 << 20)
        }

        @Test func aRequestWaitsForTheEndpointsWindow() throws {
            let backend = try ScriptedBackend.http2(settings: [(4, 10)]) { _, peer in
                // With the first answer the SETTINGS are known, which else may come behind the first bytes of a body.
                if let first = try peer.nextRequest() { peer.respond(first) }
                peer.opensWindows = false
                let first = try peer.read { $0.kind == .data }
                guard let stream = first?.stream, first?.payload.count == 10 else { return }
                peer.send(HTTP2Frame(.windowUpdate, stream: stream, HTTP2Frame.word(1 << 20)))
                peer.send(HTTP2Frame(.windowUpdate, HTTP2Frame.word(1 << 20)))
                let request = try peer.answer(stream)
                peer.respond(stream, 200, "\(request.body.count)")
                while let next = try peer.nextRequest() { peer.respond(next) }
            }
            let gateway = try gateway(backend)
            #expect(try gateway.get("/").status == 200)
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
            socket.send(String(repeating: "a", count: 200_000))
            let answer = try #require(try MessageReader(socket).response())
            #expect(answer.bodyText == "200000")
        }

        @Test func reloadsAndDrainsLeaveCallsAlone() throws {
            let began = Gate()
            let gate = Gate()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    if peer.answers[stream]?.field(":path") == "/wait" {
                        began.open()
                        gate.wait()
                    }
                    peer.respond(stream)
                }
            }
            let gateway = try gateway(backend)
            let client = try gateway.http2()
            client.request(1, "GET", "/wait")
            began.wait()
            #expect(try gateway.reload().status == 0)
            gate.open()
            #expect(try client.answer(1).status == 200)
            #expect(try gateway.get("/after").status == 200)
        }
    }
}

extension HTTP2Client {
    /// What the peer has opened of both windows, as far as the smaller one allows.
    fileprivate func openedTotal(_ stream: UInt32) -> Int {
        min(opened[stream, default: 0], opened[0, default: 0])
    }
}
