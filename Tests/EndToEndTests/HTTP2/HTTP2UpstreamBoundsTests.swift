import Foundation
import Testing

extension EndToEnd {
    /// How much may be on its way over HTTP/2 between the gateway and an endpoint.
    @Suite struct HTTP2UpstreamBounds {
        private static func configuration(_ endpoint: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 1
            return configuration
        }

        /// Sends as much of endless answers as both windows allow; `/quick` is answered at once, if there is room.
        private static func serveEndless(_ peer: HTTP2Client, _ sent: Counter) throws {
            var slow: [UInt32: Int] = [:]
            var quick: UInt32?
            var total = 0
            func room(_ stream: UInt32, _ gone: Int) -> Int { 65_535 + peer.opened[stream, default: 0] - gone }
            while let frame = try peer.read(.after(seconds: 60), until: { _ in true }) {
                if frame.kind == .headers {
                    if peer.answers[frame.stream]?.field(":path") == "/quick" {
                        quick = frame.stream
                    } else {
                        slow[frame.stream] = 0
                        let head = HTTP2Client.block([(":status", "200")])
                        peer.send(HTTP2Frame(.headers, flags: 4, stream: frame.stream, head))
                    }
                }
                for (stream, before) in slow {
                    var gone = before
                    while case let size = min(room(stream, gone), room(0, total), 16_384), size > 0 {
                        peer.send(HTTP2Frame(.data, stream: stream, [UInt8](repeating: 120, count: size)))
                        gone += size
                        total += size
                        sent.add(size)
                    }
                    slow[stream] = gone
                }
                if let stream = quick, room(0, total) >= 2 {
                    peer.respond(stream)
                    total += 2
                    quick = nil
                }
            }
        }

        /// Many answers that nobody reads leave others on the same connection their room.
        @Test func slowReadersDoNotHoldUpOthers() throws {
            let sent = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in try Self.serveEndless(peer, sent) }
            var configuration = Self.configuration(backend.grpcEndpoint)
            // Nobody is cut off meanwhile, which would make room.
            configuration.gateway = ["  limits: { body_timeout_ms: 600000 }"]
            let gateway = try Gateway(configuration)
            // Its windows are shut: what comes for it stays in the gateway.
            let client = try gateway.http2(settings: [(4, 0)])
            client.opensWindows = false
            for index in 0..<80 { client.request(UInt32(index * 2 + 1), "GET", "/slow") }
            try waitUntil("all of them are answered") { sent.value > 80 * 65_535 }
            // Until the gateway has taken all that it takes.
            var last = -1
            while sent.value != last {
                last = sent.value
                pauseBetweenLooks(milliseconds: 300)
            }
            #expect(try gateway.get("/quick").bodyText == "ok")
            #expect(backend.connectionCount == 1)
        }

        /// What the limit of heads allows goes on in both directions, also where it needs many frames.
        @Test func largeHeadsCross() throws {
            let long = (0..<10).map { ("x-long-\($0)", String(repeating: "v", count: 12_000)) }
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let size = peer.answers[stream]?.fields.reduce(0) { $0 + $1.value.utf8.count } ?? 0
                    peer.respond(stream, 200, size > 120_000 ? "large" : "small", fields: [])
                }
            }
            let old = try ScriptedBackend { connection, _ in
                connection.answer(fields: long.map { "\($0.0): \($0.1)" })
            }
            func gateway(_ endpoint: String) throws -> Gateway {
                var configuration = Self.configuration(endpoint)
                configuration.gateway = ["  limits: { header_bytes: 262144 }"]
                return try Gateway(configuration)
            }
            let lines = long.map { "\($0.0): \($0.1)\r\n" }.joined()
            let up = try gateway(backend.grpcEndpoint)
                .exchange("POST / HTTP/1.1\r\nHost: h\r\n\(lines)Content-Length: 1\r\n\r\na", method: "POST")
            #expect(up.bodyText == "large", "\(up.status)")
            let second = try gateway(old.endpoint)
            let client = try second.http2()
            client.request(1)
            let down = try client.answer(1)
            #expect(down.field("x-long-9")?.utf8.count == 12_000, "\(down.resetCode ?? 0)")
        }
    }
}
