import Foundation
import Testing

extension EndToEnd {
    /// How many calls the gateway begins on connections of endpoints that bear but a few at once.
    @Suite struct HTTP2UpstreamStreamLimit {
        private static let limit = 2
        private static let burst = 12

        /// Refuses what is beyond the limit, as it may (RFC 9113 §5.1.2). What came before its PING was answered is all
        /// that was sent at once; then the rest is answered.
        private static func serve(_ peer: HTTP2Client, _ refusals: Counter) throws {
            let ping = HTTP2Frame(.ping, [UInt8](repeating: 7, count: 8))
            var open: [UInt32] = []
            while let frame = try peer.read(.after(seconds: 60), until: { $0.endsStream || $0.kind == .ping }) {
                if frame.kind == .ping {
                    for stream in open { peer.respond(stream) }
                    open = []
                } else if open.count < limit {
                    if open.isEmpty { peer.send(ping) }
                    open.append(frame.stream)
                } else {
                    refusals.add(1)
                    peer.send(HTTP2Frame(.resetStream, stream: frame.stream, HTTP2Frame.word(HTTP2Error.refused)))
                }
            }
        }

        /// A gateway of one worker before such an endpoint, which lives as long as `backend`.
        private static func bench(_ refusals: Counter) throws -> (backend: ScriptedBackend, gateway: Gateway) {
            let backend = try ScriptedBackend.http2(settings: [(3, UInt32(limit))]) { _, peer in
                try serve(peer, refusals)
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.workers = 1
            return (backend, try Gateway(configuration))
        }

        private static func statuses(of gateway: Gateway) throws -> [Int?] {
            let client = try gateway.http2()
            let streams = (0..<UInt32(burst)).map { $0 * 2 + 1 }
            let get = HTTP2Client.block(HTTP2Client.request())
            client.socket.send(streams.flatMap { HTTP2Frame(.headers, flags: 5, stream: $0, get).encoded })
            return try streams.map { try client.answer($0).status }
        }

        /// Before a connection has said how many streams it bears, those before it have (RFC 9113 §6.5.2).
        @Test func aNewConnectionIsTakenAtTheEndpointsWord() throws {
            let refusals = Counter()
            let bench = try Self.bench(refusals)
            #expect(try bench.gateway.get("/").status == 200)
            #expect(try Self.statuses(of: bench.gateway).allSatisfy { $0 == 200 })
            #expect(refusals.value == 0)
        }

        /// An endpoint that nobody has heard of is taken to bear many. What it refuses, and so had not been told of
        /// before, finds room on connections that keep to its limit.
        @Test func whatAnUnknownEndpointRefusesFindsRoom() throws {
            let refusals = Counter()
            let bench = try Self.bench(refusals)
            #expect(try Self.statuses(of: bench.gateway).allSatisfy { $0 == 200 })
        }

        /// What finds no stream at one endpoint goes to another that has some.
        @Test func anEndpointThatBearsNoStreamsIsLeftToOthers() throws {
            func backend(_ streams: UInt32) throws -> ScriptedBackend {
                try ScriptedBackend.http2(settings: [(3, streams)]) { _, peer in
                    while let stream = try peer.nextRequest(.after(seconds: 60)) { peer.respond(stream) }
                }
            }
            let (full, free) = (try backend(0), try backend(100))
            var configuration = GatewayConfiguration.web(
                [full.grpcEndpoint, free.grpcEndpoint], version: ", max_connections: 1")
            configuration.workers = 1
            configuration.balancer = "round-robin"
            let gateway = try Gateway(configuration)
            for _ in 0..<8 { #expect(try gateway.get("/").status == 200) }
        }

        /// Two models name the same endpoint: who waits for one of them hears of streams that the other one's
        /// connection has brought.
        @Test func whoeverWaitsHearsOfStreams() throws {
            let opened = Gate()
            let backend = try ScriptedBackend.http2(settings: [(3, 0)]) { _, peer in
                guard let first = try peer.nextRequest(.after(seconds: 60)) else { return }
                peer.respond(first)
                guard opened.wait() else { return }
                // Said once.
                peer.send(HTTP2Frame(.settings, [0, 3] + HTTP2Frame.word(10)))
                while let stream = try peer.nextRequest(.after(seconds: 60)) { peer.respond(stream) }
            }
            defer { opened.open() }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.workers = 1
            configuration.routes = "[ { prefix: /a, model: a }, { prefix: /b, model: b } ]"
            configuration.models = ["a", "b"].flatMap { name in
                let version = "endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: passthrough, max_connections: 1"
                return ["  \(name):", "    versions:", "      \"1\": { \(version) }"]
            }
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/a").status == 200)
            let waiting = try ["/a", "/b"].map { target in
                let reader = MessageReader(try gateway.connect())
                reader.socket.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
                return reader
            }
            try waitUntil("they wait") { try gateway.metric("sluice_queue_depth") == 2 }
            opened.open()
            for reader in waiting { #expect(try reader.response()?.status == 200) }
        }

        /// A limit of 0 is meant for a while (RFC 9113 §6.5.2): as many connections as may be have it, then requests
        /// wait for another.
        @Test func anEndpointThatBearsNoStreamsGetsNoConnectionForEachRequest() throws {
            let opened = Gate()
            let backend = try ScriptedBackend.http2(settings: [(3, 0)]) { index, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    peer.respond(stream)
                    guard index == 1, opened.wait() else { continue }
                    peer.send(HTTP2Frame(.settings, [0, 3] + HTTP2Frame.word(1)))
                }
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint], version: ", max_connections: 2")
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for _ in 0..<2 { #expect(try gateway.get("/").status == 200) }
            let waiting = try (0..<6).map { _ in MessageReader(try gateway.connect()) }
            for reader in waiting { reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
            try waitUntil("they wait") { try gateway.metric("sluice_queue_depth") == 6 }
            #expect(backend.connectionCount == 2)
            opened.open()
            for reader in waiting { #expect(try reader.response()?.status == 200) }
            #expect(backend.connectionCount == 2)
        }
    }
}
