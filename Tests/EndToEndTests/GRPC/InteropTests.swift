import Foundation
import Testing

extension EndToEnd {
    /// The gRPC project's own interoperability cases, those that a proxy can carry: grpcio on both sides.
    @Suite(.enabled(if: Clients.wanted)) struct Interop {
        @Test func everyCaseThatAProxyCanCarry() throws {
            let server = try PythonServer("serve_interop.py")
            let gateway = try Gateway(.calls(["grpc://127.0.0.1:\(server.port)"]))
            try Clients.run("drive_interop.py", ["\(gateway.port)"])
        }

        /// The case that grpcio's client cannot say: of one call one message compressed and one not.
        @Test func clientCompressedStreaming() throws {
            let server = try PythonServer("serve_interop.py")
            let gateway = try Gateway(.calls(["grpc://127.0.0.1:\(server.port)"]))
            // StreamingInputCallRequest with a payload of 27,182 zeroes and `expect_compressed`, plain and by gzip.
            let probe: [UInt8] =
                [0x0A, 0xB2, 0xD4, 0x01, 0x12, 0xAE, 0xD4, 0x01] + [UInt8](repeating: 0, count: 27_182)
                + [0x12, 2, 8, 1]
            let compressed: [UInt8] = [
                0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xED, 0xC1, 0x31, 0x11, 0x00, 0x20,
                0x0C, 0x04, 0x30, 0x9E, 0x89, 0x63, 0xAC, 0x7F, 0x0D, 0x0C, 0x68, 0xA9, 0x20, 0x54, 0xB0, 0x25,
                0xD9, 0xB7, 0x53, 0xA7, 0x33, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xF8,
                0xA8, 0xE6, 0xCA, 0x03, 0x2F, 0xF4, 0x5E, 0xE9, 0x3A, 0x6A, 0x00, 0x00,
            ]
            // 45,904 zeroes, not to be compressed.
            let plain: [UInt8] =
                [0x0A, 0xD4, 0xE6, 0x02, 0x12, 0xD0, 0xE6, 0x02] + [UInt8](repeating: 0, count: 45_904) + [0x12, 0]
            let refused = try call(gateway, [(0, probe)])
            #expect(refused.grpcStatus == "3", "\(refused)")
            let answer = try call(gateway, [(1, compressed), (0, plain)])
            #expect(answer.grpcStatus == "0", "\(answer)")
            // StreamingInputCallResponse with 73,086.
            #expect(answer.body == [0, 0, 0, 0, 4, 0x08, 0xFE, 0xBA, 0x04])
        }

        private func call(_ gateway: Gateway, _ messages: [(UInt8, [UInt8])]) throws -> HTTP2Answer {
            let client = try gateway.http2()
            client.request(
                1, "POST", "/grpc.testing.TestService/StreamingInputCall",
                fields: [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", "gzip")],
                ends: false)
            var body = messages.flatMap { [$0.0] + HTTP2Frame.word(UInt32($0.1.count)) + $0.1 }
            var sent = 0
            while !body.isEmpty {
                let count = min(body.count, 16_384)
                // The first window is 65,535 bytes; what goes beyond waits for it to open.
                if sent + count > 65_535 { client.awaitWindow(1) }
                client.send(
                    HTTP2Frame(.data, flags: count == body.count ? 1 : 0, stream: 1, Array(body.prefix(count))))
                body.removeFirst(count)
                sent += count
            }
            return try client.answer(1)
        }
    }
}

extension HTTP2Answer {
    /// From the trailers, or from the head of an answer that has nothing else.
    var grpcStatus: String? { (trailers + fields).first { $0.name == "grpc-status" }?.value }
    var grpcMessage: String? { (trailers + fields).first { $0.name == "grpc-message" }?.value }
}
