import Foundation
import Testing

extension EndToEnd {
    /// Clients of HTTP/2 that mean harm: each is cut off, and one beside it notices nothing.
    @Suite struct HTTP2Abuse {
        @Test func aFloodEndsTheConnectionOfItsSender() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let get = HTTP2Client.block(HTTP2Client.request())
            let floods: [(name: String, frames: (UInt32) -> [HTTP2Frame])] = [
                ("PING", { _ in [HTTP2Frame(.ping, [0, 0, 0, 0, 0, 0, 0, 0])] }),
                ("SETTINGS", { _ in [HTTP2Frame(.settings)] }),
                ("PRIORITY", { _ in [HTTP2Frame(.priority, stream: 1, [0, 0, 0, 3, 1])] }),
                ("WINDOW_UPDATE", { _ in [HTTP2Frame(.windowUpdate, HTTP2Frame.word(1))] }),
                (
                    "rapid reset",
                    { turn in
                        [
                            HTTP2Frame(.headers, flags: 5, stream: 2 * turn + 1, get),
                            HTTP2Frame(.resetStream, stream: 2 * turn + 1, HTTP2Frame.word(HTTP2Error.cancel)),
                        ]
                    }
                ),
                (
                    "empty DATA",
                    { turn in
                        turn == 0
                            ? [
                                HTTP2Frame(
                                    .headers, flags: 4, stream: 1, HTTP2Client.block(HTTP2Client.request("POST")))
                            ] : [HTTP2Frame(.data, stream: 1)]
                    }
                ),
                (
                    "CONTINUATION",
                    { turn in
                        turn == 0
                            ? [HTTP2Frame(.headers, flags: 1, stream: 1, get)]
                            : [HTTP2Frame(.continuation, stream: 1, HTTP2Client.block([("x", "y")]))]
                    }
                ),
                (
                    "empty CONTINUATION",
                    { turn in
                        [
                            turn == 0
                                ? HTTP2Frame(.headers, flags: 1, stream: 1, get) : HTTP2Frame(.continuation, stream: 1)
                        ]
                    }
                ),
                (
                    "requests that are malformed",
                    { turn in
                        [
                            HTTP2Frame(
                                .headers, flags: 5, stream: 2 * turn + 1, HTTP2Client.block([(":method", "GET")]))
                        ]
                    }
                ),
                (
                    "WINDOW_UPDATE of 0",
                    { turn in
                        [
                            HTTP2Frame(
                                .headers, flags: 4, stream: 2 * turn + 1,
                                HTTP2Client.block(HTTP2Client.request("POST"))),
                            HTTP2Frame(.windowUpdate, stream: 2 * turn + 1, HTTP2Frame.word(0)),
                        ]
                    }
                ),
            ]
            let neighbour = Neighbour(gateway)
            let before = gateway.process.residentBytes
            for flood in floods {
                let client = try gateway.http2()
                var cut = false
                // A bound for the test's sake, far above what the gateway bears.
                for turn in 0..<UInt32(600) where !cut {
                    var piece: [UInt8] = []
                    for step in 0..<UInt32(100) { piece += flood.frames(turn * 100 + step).flatMap(\.encoded) }
                    cut = !client.socket.send(piece)
                }
                _ = try client.goAwayCode()
                #expect(client.ended, "\(flood.name) is borne for ever")
            }
            try neighbour.expectNoHarm()
            if ChildProcess.memoryIsItsOwn { #expect(gateway.process.residentBytes - before <= 16 << 20) }
            #expect(try gateway.get("/").status == 200)
        }

        /// What libnghttp2 finds wrong with a stream costs its client as much as a reset of its own: an endpoint was
        /// asked for nothing. Pieces of another body do not pay for it.
        @Test(arguments: ["a body of more than was announced", "trailers that may not be"])
        func resetsThatAClientProvokesAreAFlood(_ what: String) throws {
            let backend = try ScriptedBackend { connection in _ = connection.socket.closedByPeer() }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.request(1, "POST", ends: false)
            let isLong = what.hasPrefix("a body")
            let post = HTTP2Client.block(HTTP2Client.request("POST") + (isLong ? [("content-length", "1")] : []))
            let trailers = HTTP2Client.block([("connection", "close")])
            var resets = 0
            // A bound for the test's sake, twice what a client may do at once. No more than streams at a time.
            for turn in 0..<UInt32(20) where !client.ended && client.goAway == nil {
                var frames: [UInt8] = []
                for step in 0..<UInt32(50) {
                    let stream = 2 * (turn * 50 + step) + 3
                    let fault =
                        isLong
                        ? HTTP2Frame(.data, stream: stream, bytes("xx"))
                        : HTTP2Frame(.headers, flags: 5, stream: stream, trailers)
                    let paid = [UInt8](repeating: 0, count: 6).map { HTTP2Frame(.data, stream: 1, [$0]) }
                    let all = [HTTP2Frame(.headers, flags: 4, stream: stream, post), fault] + paid
                    frames += all.flatMap(\.encoded)
                }
                client.socket.send(frames)
                let wanted = resets + 50
                try client.read { frame in
                    resets += frame.kind == .resetStream ? 1 : 0
                    return resets == wanted || frame.kind == .goAway
                }
            }
            #expect(client.goAway?.errorCode == HTTP2Error.enhanceYourCalm, "\(resets) resets are borne")
            #expect(try gateway.metric("sluice_rejected_total", ["reason=\"flood\""]) == 1)
        }

        /// Streams beyond a bound that a client does not acknowledge are refused one by one, and are nobody's streams.
        @Test func streamsBeyondABoundThatNobodyAcknowledgesAreAFlood() throws {
            let backend = try ScriptedBackend { connection in _ = connection.socket.closedByPeer() }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2(acknowledges: false)
            let block = HTTP2Client.block(HTTP2Client.request("GET"))
            // Twice what is borne beside the 128 that are open.
            for turn in 0..<UInt32(12) where !client.ended && client.goAway == nil {
                let streams = (turn * 100..<turn * 100 + 100).map { 2 * $0 + 1 }
                client.socket.send(streams.flatMap { HTTP2Frame(.headers, flags: 5, stream: $0, block).encoded })
                guard turn > 1 else { continue }
                try client.read { $0.kind == .goAway || $0.kind == .resetStream && $0.stream == streams.last }
            }
            #expect(client.goAway?.errorCode == HTTP2Error.enhanceYourCalm)
        }

        /// As many as a gateway in front of this one sends, whose clients leave: what is answered pays for them, and no
        /// number of its own ends the connection.
        @Test func resetsBesideAnswersAreNoFlood() throws {
            let size = 8 << 20
            let backend = try ScriptedBackend { connection, request in
                guard request.target == "/large" else { return }
                connection.answer(200, String(repeating: "x", count: size))
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            var stream: UInt32 = 1
            for _ in 0..<4 {
                client.request(stream, "GET", "/large")
                #expect(try client.answer(stream, .after(seconds: 60)).body.count == size)
                for _ in 0..<400 {
                    stream += 2
                    client.request(stream)
                    client.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.cancel)))
                }
                stream += 2
            }
            client.request(stream, "GET", "/large")
            #expect(try client.answer(stream, .after(seconds: 60)).isWhole, "\(client.goAway as Any)")
        }

        /// Go's client opens its windows in steps of 4 KiB: the faster it downloads, the more frames it sends.
        @Test func aClientThatOpensItsWindowsInSmallStepsIsNoFlood() throws {
            let size = 64 << 20
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
                let piece = [UInt8](repeating: 7, count: 1 << 20)
                for _ in 0..<size / piece.count { guard connection.socket.send(piece) else { return } }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            client.opensWindows = false
            client.request(1)
            var received = 0
            var opened = 0
            let step = HTTP2Frame.word(4_096)
            let pair = HTTP2Frame(.windowUpdate, step).encoded + HTTP2Frame(.windowUpdate, stream: 1, step).encoded
            try client.read(.after(seconds: 120)) { frame in
                guard frame.kind == .data else { return frame.kind == .goAway || frame.kind == .resetStream }
                received += frame.payload.count
                while opened + 4_096 <= received {
                    client.socket.send(pair)
                    opened += 4_096
                }
                return received == size
            }
            #expect(received == size, "\(client.goAway.map { "\($0)" } ?? "no GOAWAY")")
            #expect(try gateway.metric("sluice_rejected_total", ["reason=\"flood\""]) == 0)
        }

        /// A window that opens by single bytes turns an answer into a frame for each of them.
        @Test func windowsOfSingleBytesAreAFlood() throws {
            let backend = try ScriptedBackend { connection in
                while try connection.reader.request() != nil {
                    connection.answer(200, String(repeating: "x", count: 60_000))
                }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            client.request(1)
            let one = HTTP2Frame(.windowUpdate, stream: 1, HTTP2Frame.word(1)).encoded
            let hundred = (0..<100).flatMap { _ in one }
            // A bound for the test's sake: all that there is to be sent.
            for _ in 0..<600 where client.socket.send(hundred) {}
            #expect(try client.goAwayCode() == HTTP2Error.enhanceYourCalm)
        }

        @Test func aHeadBeyondTheLimitIsRefused() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_bytes: 4096 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.request(1, fields: [("x-long", String(repeating: "y", count: 5_000))])
            #expect(try client.answer(1).status == 431)
            client.request(3, fields: (0..<120).map { ("x-\($0)", "y") })
            #expect(try client.answer(3).status == 431)
            // An HPACK bomb: one field of 3 KB in the table, named again and again by one byte each.
            let large = HTTP2Client.block([("x", String(repeating: "y", count: 3_000))])
            let bomb = [0x40] + large.dropFirst() + [UInt8](repeating: 0xBE, count: 10_000)
            client.send(
                HTTP2Frame(.headers, flags: 5, stream: 5, HTTP2Client.block(HTTP2Client.request()) + bomb))
            #expect(try client.answer(5).status == 431)
            client.request(7)
            #expect(try client.answer(7).status == 200)
            #expect(backend.requests.count == 1)
        }

        @Test func aHeadThatDoesNotEndIsTimedOut() throws {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.gateway = ["  limits: { header_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.send(HTTP2Frame(.headers, flags: 1, stream: 1, HTTP2Client.block(HTTP2Client.request())))
            _ = try client.goAwayCode()
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"header\""]) == 1)
            // The same before the preface is whole.
            let socket = try gateway.connect()
            socket.send("PRI * HT")
            #expect(try MessageReader(socket).response()?.status == 408)
        }

        /// A head that is wrong costs its stream, and is over for the connection.
        @Test(arguments: ["no-path", "control-byte", "upper-case"])
        func aMalformedHeadIsNoHeadThatDoesNotEnd(_ what: String) throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            switch what {
            case "no-path":
                client.send(HTTP2Frame(.headers, flags: 5, stream: 1, HTTP2Client.block([(":method", "GET")])))
            case "control-byte": client.request(1, fields: [("x", "\u{1}")])
            default: client.request(1, fields: [("X", "y")])
            }
            #expect(try client.answer(1).resetCode != nil)
            // A head that does not end, begun later, is the measure of time.
            let other = try gateway.http2()
            other.send(HTTP2Frame(.headers, flags: 1, stream: 1, HTTP2Client.block(HTTP2Client.request())))
            _ = try other.goAwayCode()
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"header\""]) == 1)
            client.request(3)
            #expect(try client.answer(3).status == 200)
        }

        @Test func aBodyThatDoesNotEndIsTimedOut() throws {
            let backend = try ScriptedBackend { connection in _ = connection.socket.closedByPeer() }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { body_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.request(1, "POST", ends: false)
            client.send(HTTP2Frame(.data, stream: 1, bytes("a")))
            #expect(try client.answer(1).status == 408)
        }

        @Test func aWindowThatStaysAtZeroIsTimedOut() throws {
            let backend = try ScriptedBackend { connection in
                while try connection.reader.request() != nil {
                    connection.answer(200, String(repeating: "x", count: 40_000))
                }
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { body_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            client.request(1)
            #expect(try client.answer(1).resetCode == HTTP2Error.cancel)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) >= 1)
        }

        @Test func anIdleConnectionIsEnded() throws {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.gateway = ["  limits: { idle_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            client.request(1)
            #expect(try client.answer(1).status == 503)
            #expect(try client.goAwayCode() == HTTP2Error.none)
        }

        @Test func garbageAfterThePrefaceIsAnswered() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let socket = try gateway.connect()
            socket.send(HTTP2Client.preface + bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            #expect(socket.closedByPeer())
        }
    }
}
