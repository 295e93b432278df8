import Foundation
import Testing

extension EndToEnd {
    /// A stream of calls whose adapter has to see its first message before the call goes anywhere.
    @Suite struct FirstMessages {
        private static let path = "/inference.GRPCInferenceService/ModelStreamInfer"
        private static let fields = [("content-type", "application/grpc"), ("te", "trailers")]
        private static let limit = 10_000

        /// A request for model "m" of `size` bytes, framed.
        private static func message(_ size: Int) -> [UInt8] {
            let rest = size - 5 - 3 - 3
            let content = [10, 1, UInt8(ascii: "m"), 26, UInt8(rest & 127 | 128), UInt8(rest >> 7)]
            return [0] + HTTP2Frame.word(UInt32(size - 5)) + content + [UInt8](repeating: 105, count: rest)
        }

        private static func gateway(_ backend: ScriptedBackend) throws -> Gateway {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  limits: { body_bytes: \(limit) }"]
            configuration.models = [
                "  m: { versions: { \"1\": { endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: open-inference } } }"
            ]
            return try Gateway(configuration)
        }

        /// Says how many bytes each call had.
        private static func counting() throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    let count = peer.answers[stream]?.body.count ?? 0
                    peer.answerCall(stream, [], fields: [("x-count", "\(count)")] + Self.fields)
                }
            }
        }

        /// The limit is one message's: how many of them share a frame is the sender's affair.
        @Test func whatFollowsTheFirstMessageCloselyIsNotOfIt() throws {
            let backend = try Self.counting()
            let gateway = try Self.gateway(backend)
            let client = try gateway.http2()
            let message = Self.message(Self.limit - 100)
            #expect(message.count == Self.limit - 100)
            client.request(1, "POST", Self.path, fields: Self.fields, ends: false)
            let body = message + message + message
            client.send(
                HTTP2Frame(.data, stream: 1, Array(body.prefix(16_000))),
                HTTP2Frame(.data, flags: 1, stream: 1, Array(body.dropFirst(16_000))))
            let answer = try client.answer(1)
            #expect(answer.grpcStatus == "0" && answer.field("x-count") == "\(body.count)", "\(answer)")
        }

        @Test func aFirstMessageBeyondTheLimitIsRefused() throws {
            let backend = try Self.counting()
            let gateway = try Self.gateway(backend)
            let client = try gateway.http2()
            client.request(1, "POST", Self.path, fields: Self.fields, ends: false)
            client.send(HTTP2Frame(.data, stream: 1, Self.message(Self.limit + 1)))
            #expect(try client.answer(1).grpcStatus == "8")
        }
    }
}
