import Foundation
import Testing

extension EndToEnd {
    /// How the gateway finds out that an endpoint of HTTP/2 is not there any more while calls are open.
    @Suite struct HTTP2UpstreamLiveness {
        private static func gateway(_ backend: ScriptedBackend, pingIntervalMs: Int? = nil) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.workers = 1
            let interval = pingIntervalMs.map { ", http2_ping_interval_ms: \($0)" } ?? ""
            configuration.gateway = ["  routing: { default_timeout_ms: 600000\(interval) }"]
            return try Gateway(configuration)
        }

        private static func isPing(_ frame: HTTP2Frame) -> Bool { frame.kind == .ping && frame.flags & 1 == 0 }

        /// The kernel's timer of probes runs (proc(5), /proc/net/tcp: timer 2), and is due within 20 s.
        @Test func theKernelAsksWhetherTheHostIsThere() throws {
            let asked = Gate()
            let release = Gate()
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                asked.open()
                release.wait()
                peer.respond(stream)
            }
            let gateway = try Self.gateway(backend)
            let client = try gateway.http2()
            client.request(1)
            asked.wait()
            let port = String(format: "%04X", backend.port)
            try waitUntil("probes are due") {
                // To its end, which its size does not tell.
                let table = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/net/tcp")).readToEnd() ?? Data()
                return text(table).split(separator: "\n").contains { line in
                    let columns = line.split(separator: " ")
                    guard columns.count > 5, columns[2].hasSuffix(":" + port), columns[3] == "01" else { return false }
                    let timer = columns[5].split(separator: ":")
                    // Hundredths of a second.
                    return timer.first == "02" && timer.last.flatMap { Int($0, radix: 16) } ?? .max <= 2_000
                }
            }
            release.open()
            #expect(try client.answer(1).status == 200)
        }

        @Test func anEndpointThatDoesNotAnswerIsLeft() throws {
            let backend = try ScriptedBackend.http2 { index, peer in
                guard let stream = try peer.nextRequest() else { return }
                if index > 0 { return peer.respond(stream) }
                // Reads on, until the gateway has enough of it.
                try peer.read(.after(seconds: 120)) { _ in false }
            }
            let gateway = try Self.gateway(backend, pingIntervalMs: 1_000)
            let client = try gateway.http2()
            client.request(1)
            #expect(try client.answer(1, .after(seconds: 120)).status == 502)
            #expect(try gateway.get("/").status == 200)
            #expect(backend.connectionCount == 2)
        }

        /// gRFC A8: a server that finds PING too frequent gets half as many.
        @Test func tooManyPingsAreHalved() throws {
            let silences = [Counter(), Counter()]
            let backend = try ScriptedBackend.http2 { index, peer in
                guard let stream = try peer.nextRequest() else { return }
                // The last sign that the gateway gets of it, not before this moment.
                let began = monotonicNanoseconds()
                peer.send(HTTP2Frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8]))
                try peer.read(.after(seconds: 60), until: Self.isPing)
                silences[min(index, 1)].add(Int((monotonicNanoseconds() - began) / 1_000_000))
                if index == 0 {
                    let reason = HTTP2Frame.word(HTTP2Error.enhanceYourCalm) + bytes("too_many_pings")
                    peer.send(HTTP2Frame(.goAway, HTTP2Frame.word(0x7FFF_FFFF) + reason))
                    return
                }
                peer.respond(stream)
            }
            let gateway = try Self.gateway(backend, pingIntervalMs: 1_000)
            let client = try gateway.http2()
            client.request(1)
            #expect(try client.answer(1, .after(seconds: 60)).status == 502)
            client.request(3)
            #expect(try client.answer(3, .after(seconds: 60)).status == 200)
            // Less a tick of the gateway's clock.
            #expect(silences[0].value >= 950 && silences[1].value >= 1_950, "\(silences.map(\.value))")
        }
    }
}
