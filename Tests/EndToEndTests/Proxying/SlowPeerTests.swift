import Foundation
import Testing

extension EndToEnd {
    /// Peers that are slow but do not stand still are served to the end; those that stand still are not, whatever else
    /// they send.
    @Suite struct SlowPeers {
        /// How long a body may stand still, in milliseconds: many times a step, since the machine may be busy, and much
        /// less than all the steps of a test.
        private static let limitMs = 2_000
        private static let stepMs: UInt32 = 200

        private static func gateway(_ backend: String) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend])
            // One connection to each endpoint.
            configuration.workers = 1
            configuration.gateway = ["  limits: { body_timeout_ms: \(limitMs), header_timeout_ms: \(limitMs) }"]
            return try Gateway(configuration)
        }

        private static func answering(_ size: Int) throws -> ScriptedBackend {
            try ScriptedBackend { connection, _ in
                connection.answer(200, String(repeating: "x", count: size))
            }
        }

        /// Opens a stream's window bit by bit for as long as it takes.
        private static func openSlowly(_ peer: HTTP2Client, _ stream: UInt32, by step: UInt32) throws {
            let deadline = Deadline.after(seconds: 60)
            while !deadline.isPast {
                let size = HTTP2Frame.word(step)
                peer.send(HTTP2Frame(.windowUpdate, size), HTTP2Frame(.windowUpdate, stream: stream, size))
                pauseBetweenLooks(milliseconds: stepMs)
                while case .some = try? peer.read(.after(seconds: 0), until: { $0.kind == .data || $0.endsStream }) {}
                let answer = peer.answers[stream]
                if answer?.isWhole == true || answer?.resetCode != nil || peer.ended { return }
            }
        }

        /// The last 64 KiB of an answer are the gateway's alone: their endpoint is done.
        @Test func theRestOfAnAnswerThatLeavesBitByBitIsNotCut() throws {
            let backend = try Self.answering(4_000)
            let gateway = try Self.gateway(backend.endpoint)
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            client.request(1)
            try Self.openSlowly(client, 1, by: 200)
            let answer = try client.answer(1)
            #expect(answer.isWhole && answer.body.count == 4_000, "\(answer.resetCode as Any)")
        }

        /// More than a stream's buffer holds, so that the exchange goes on.
        @Test func anAnswerThatLeavesBitByBitIsNotCut() throws {
            let backend = try Self.answering(80_000)
            let gateway = try Self.gateway(backend.endpoint)
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            client.request(1)
            try Self.openSlowly(client, 1, by: 4_000)
            let answer = try client.answer(1)
            #expect(answer.isWhole && answer.body.count == 80_000, "\(answer.resetCode as Any)")
        }

        @Test func anUploadThatAnEndpointOfHTTP2TakesBitByBitIsNotCut() throws {
            let backend = try ScriptedBackend.http2(settings: [(4, 0)]) { _, peer in
                peer.opensWindows = false
                // What it sends before it knows of the window is more than a window.
                guard let first = try peer.nextRequest() else { return }
                peer.respond(first)
                guard let head = try peer.read(until: { $0.kind == .headers }) else { return }
                try Self.openSlowly(peer, head.stream, by: 6_000)
                peer.respond(head.stream, 200, "\(peer.answers[head.stream]?.body.count ?? 0)")
                _ = peer.socket.closedByPeer()
            }
            let gateway = try Self.gateway(backend.grpcEndpoint)
            #expect(try gateway.get("/").status == 200)
            let answer = try gateway.post("/", String(repeating: "u", count: 120_000))
            #expect(answer.status == 200 && answer.bodyText == "120000", "\(answer.bodyText)")
        }

        @Test func anEndpointThatTakesNothingOfAnUploadIsNamed() throws {
            let backend = try ScriptedBackend.http2(settings: [(4, 0)]) { _, peer in
                peer.opensWindows = false
                // What else it sends is no progress.
                while !peer.ended {
                    peer.send(HTTP2Frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8]))
                    _ = try? peer.read(.after(seconds: 0.1)) { _ in false }
                }
            }
            let gateway = try Self.gateway(backend.grpcEndpoint)
            let answer = try gateway.post("/", String(repeating: "u", count: 120_000))
            #expect(answer.status == 504)
            #expect(answer.bodyText.contains("the endpoint did not take the request's body in time"))
        }

        /// The kernel tells of room for more only after megabytes.
        @Test func aClientThatReadsSlowlyFromItsSocketIsNotCut() throws {
            let size = 8 << 20
            let backend = try Self.answering(size)
            let gateway = try Self.gateway(backend.endpoint)
            let socket = try gateway.connect(receiveBuffer: 8_192)
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            var received = 0
            let slow = Deadline.after(seconds: Double(3 * Self.limitMs) / 1_000)
            while true {
                guard case .data(let data) = socket.receive(.ordinary, limit: slow.isPast ? 65_536 : 2_048) else {
                    break
                }
                received += data.count
                if received >= size { break }
                if !slow.isPast { pauseBetweenLooks(milliseconds: 50) }
            }
            #expect(received >= size)
        }

        /// The endpoint answers before it has read all: how fast a kernel opens a window that was small for long is not
        /// what is asked here.
        @Test func anUploadThatAnEndpointReadsSlowlyFromItsSocketIsNotCut() throws {
            let size = 8 << 20
            let backend = try ScriptedBackend { connection in
                var buffer: Int32 = 8_192
                setsockopt(connection.socket.descriptor, SOL_SOCKET, SO_RCVBUF, &buffer, 4)
                let slow = Deadline.after(seconds: Double(3 * Self.limitMs) / 1_000)
                while !slow.isPast {
                    guard case .data = connection.socket.receive(.ordinary, limit: 2_048) else { return }
                    pauseBetweenLooks(milliseconds: 50)
                }
                connection.answer(200, "all")
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Self.gateway(backend.endpoint)
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
            Thread { _ = socket.send([UInt8](repeating: UInt8(ascii: "u"), count: size)) }.start()
            let answer = try MessageReader(socket).response(to: "POST")
            #expect(answer?.status == 200 && answer?.bodyText == "all", "\(answer as Any)")
        }

        /// Either end of a tunnel may be the slow one. How fast a kernel opens a window that was small for long is not
        /// what is asked here: whoever is slow has a word for the other one at last.
        @Test(arguments: [true, false]) func aTunnelThatIsReadSlowlyIsNotClosed(_ isClient: Bool) throws {
            let content = [UInt8](repeating: UInt8(ascii: "t"), count: 8 << 20)
            @Sendable func readSlowly(_ socket: Socket) {
                let slow = Deadline.after(seconds: Double(3 * Self.limitMs) / 1_000)
                while !slow.isPast, case .data = socket.receive(.ordinary, limit: 2_048) {
                    pauseBetweenLooks(milliseconds: 50)
                }
                socket.send("bye")
            }
            let heard = Gate()
            let backend = try ScriptedBackend { connection in
                var buffer: Int32 = 8_192
                setsockopt(connection.socket.descriptor, SOL_SOCKET, SO_RCVBUF, &buffer, 4)
                _ = try connection.reader.request(.ordinary)
                connection.socket.send(WebSocket.agreed)
                let socket = connection.socket
                guard isClient else {
                    readSlowly(socket)
                    _ = socket.closedByPeer(.after(seconds: 60))
                    return
                }
                Thread { _ = socket.send(content, .after(seconds: 60)) }.start()
                if try connection.reader.take(3, .ordinary) == bytes("bye") { heard.open() }
            }
            var configuration = WebSocket.configuration([backend.endpoint])
            configuration.gateway = ["  limits: { tunnel_timeout_ms: \(Self.limitMs) }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect(receiveBuffer: 8_192)
            socket.send(WebSocket.asking())
            let reader = MessageReader(socket)
            #expect(try reader.response()?.status == 101)
            if isClient {
                readSlowly(socket)
                #expect(heard.wait())
            } else {
                Thread { _ = socket.send(content, .after(seconds: 60)) }.start()
                #expect(try reader.take(3, .ordinary) == bytes("bye"))
            }
        }

        @Test func aClientThatReadsNothingIsCut() throws {
            let backend = try Self.answering(32 << 20)
            let gateway = try Self.gateway(backend.endpoint)
            let socket = try gateway.connect(receiveBuffer: 8_192)
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the client is cut") {
                try gateway.metric("sluice_timeouts_total", ["kind=\"body\""]) == 1
            }
        }

        /// A window that stays shut is no slow reader, and frames that open none buy it no time.
        @Test func framesBesideAShutWindowBuyNoTime() throws {
            let backend = try Self.answering(40_000)
            let gateway = try Self.gateway(backend.endpoint)
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            client.request(1)
            try waitUntil("the stream is reset") {
                client.send(HTTP2Frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8]))
                _ = try? client.read(.after(seconds: 0.05)) { $0.kind == .resetStream }
                return client.answers[1]?.resetCode == HTTP2Error.cancel
            }
        }

        @Test func bytesOfAHeadThatComeOftenBuyNoTime() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Self.gateway(backend.endpoint)
            let client = try gateway.http2()
            let long = HTTP2Client.request() + [("x", String(repeating: "y", count: 4_000))]
            for byte in HTTP2Frame(.headers, flags: 5, stream: 1, HTTP2Client.block(long)).encoded where !client.ended {
                client.socket.send([byte])
                _ = try? client.read(.after(seconds: 0.01)) { _ in false }
            }
            #expect(client.ended && client.answers.isEmpty)
            #expect(try gateway.metric("sluice_timeouts_total", ["kind=\"header\""]) == 1)
        }
    }
}
