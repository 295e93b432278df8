import Foundation
import Testing

extension EndToEnd {
    /// Header blocks that take many frames, and a field that HTTP/2 cannot bring.
    @Suite struct HTTP2HeadFrames {
        /// A header block in HEADERS and as many CONTINUATION frames as `size` bytes in each of them take.
        private static func frames(_ fields: [(String, String)], of stream: UInt32, size: Int) -> [HTTP2Frame] {
            let block = HTTP2Client.block(fields)
            return stride(from: 0, to: block.count, by: size).map { start in
                let end = min(start + size, block.count)
                return HTTP2Frame(
                    start == 0 ? .headers : .continuation, flags: end == block.count ? 4 : 0, stream: stream,
                    Array(block[start..<end]))
            }
        }

        private static func gateway(_ backend: ScriptedBackend, _ lines: [String] = []) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint])
            configuration.workers = 1
            configuration.gateway = lines
            return try Gateway(configuration)
        }

        /// What the limit of heads allows comes in, however it is cut: from clients and from endpoints.
        @Test(arguments: [(40, 200, 200, 65_536), (6, 60_000, 16_384, 1_048_576)])
        func aHeadMayTakeManyFrames(_ count: Int, _ valueSize: Int, _ frameSize: Int, _ limit: Int) throws {
            let long = (0..<count).map { ("x-long-\($0)", String(repeating: "v", count: valueSize)) }
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let isWhole = peer.answers[stream]?.field("x-long-\(count - 1)")?.utf8.count == valueSize
                    let head = Self.frames([(":status", "200")] + long, of: stream, size: frameSize)
                    peer.socket.send(head.flatMap(\.encoded))
                    peer.send(HTTP2Frame(.data, flags: 1, stream: stream, bytes(isWhole ? "whole" : "cut")))
                }
            }
            let gateway = try Self.gateway(backend, ["  limits: { header_bytes: \(limit) }"])
            let client = try gateway.http2()
            let head = Self.frames(HTTP2Client.request("POST") + long, of: 1, size: frameSize)
            #expect(head.count > 9)
            client.socket.send(head.flatMap(\.encoded))
            client.send(HTTP2Frame(.data, flags: 1, stream: 1, bytes("a")))
            let answer = try client.answer(1)
            #expect(answer.bodyText == "whole", "\(client.goAway.map { "\($0)" } ?? "no GOAWAY")")
            #expect(answer.field("x-long-\(count - 1)")?.utf8.count == valueSize)
        }

        /// The bound of libnghttp2 for one name or value, which no setting moves: the compression's state is lost with
        /// it, and so is the connection (RFC 9113 §4.3).
        @Test func aFieldOfMoreThan64KiBEndsItsConnection() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() { peer.respond(stream) }
            }
            let gateway = try Self.gateway(backend, ["  limits: { header_bytes: 1048576 }"])
            let client = try gateway.http2()
            let fields = HTTP2Client.request() + [("x-long", String(repeating: "v", count: 70_000))]
            client.socket.send(Self.frames(fields, of: 1, size: 16_384).flatMap(\.encoded))
            #expect(try client.goAwayCode() == HTTP2Error.compression)
            #expect(try gateway.get("/").bodyText == "ok")
        }
    }
}
