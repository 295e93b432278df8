import Foundation
import Testing

extension EndToEnd {
    /// Trailers of endpoints that speak HTTP/2.
    @Suite struct HTTP2UpstreamTrailers {
        /// Answers with these fields, this content and these trailers.
        private static func backend(
            _ fields: [(String, String)], _ content: String, _ trailers: [(String, String)]
        ) throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    let head = HTTP2Client.block([(":status", "200")] + fields)
                    peer.send(HTTP2Frame(.headers, flags: 4, stream: stream, head))
                    if !content.isEmpty { peer.send(HTTP2Frame(.data, stream: stream, bytes(content))) }
                    peer.send(HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(trailers)))
                }
            }
        }

        /// RFC 9110 §6.5.1: a recipient that merges trailers into the header takes them for what they are not.
        @Test(arguments: ["content-length", "host", "authorization", "content-encoding"])
        func fieldsThatAreNoTrailersBreakOff(_ name: String) throws {
            let backend = try Self.backend([], "hello", [(name, "5"), ("x-t", "2")])
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.complete != true)
            #expect(!text(reader.received).contains(name + ": 5"))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(!answer.isWhole && answer.trailers.isEmpty)
        }

        @Test func othersGoOn() throws {
            let backend = try Self.backend([], "hello", [("x-t", "2")])
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try reader.response()?.trailers.first?.value == "2")
        }

        /// A body of no bytes is over with its stream as others are.
        @Test func trailersBehindALengthOfZeroGoOn() throws {
            let backend = try Self.backend([("content-length", "0")], "", [("x-t", "2")])
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.status == 200 && answer.field("content-length") == "0" && answer.body.isEmpty)
            #expect(answer.trailers.map(\.name) == ["x-t"] && answer.isWhole, "\(answer)")
            // HTTP/1.1 has no place for them behind a length.
            let plain = try gateway.get("/")
            #expect(plain.status == 200 && plain.body.isEmpty && plain.complete)
        }

        @Test func theStatusOfACallBehindALengthOfZeroIsItsStatus() throws {
            let backend = try Self.backend(
                [("content-type", "application/grpc"), ("content-length", "0")], "",
                [("grpc-status", "9"), ("grpc-message", "not now")])
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            #expect(answer.grpcStatus == "9" && answer.grpcMessage == "not now", "\(answer)")
        }

        @Test func contentBehindALengthOfZeroIsCutOff() throws {
            let backend = try Self.backend([("content-length", "0")], "hello", [("x-t", "2")])
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.body.isEmpty && !answer.isWhole, "\(answer)")
        }
    }
}
