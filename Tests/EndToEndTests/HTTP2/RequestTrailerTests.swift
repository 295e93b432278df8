import Foundation
import Testing

extension EndToEnd {
    /// Trailer fields of requests, from every protocol to every other.
    @Suite struct RequestTrailers {
        /// Answers each request of HTTP/2 with its body, and the trailers that came behind it.
        private func modern() throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let request = peer.answers[stream] ?? HTTP2Answer()
                    peer.respond(stream, 200, "\(request.bodyText) \(Self.list(request.trailers))")
                }
            }
        }

        /// The same of HTTP/1.1.
        private func old() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                connection.answer(200, "\(request.bodyText) \(Self.list(request.trailers))")
            }
        }

        private static func list(_ fields: [(name: String, value: String)]) -> String {
            "[" + fields.map { "\($0.name.lowercased())=\($0.value)" }.joined(separator: ",") + "]"
        }

        private func send(
            _ client: HTTP2Client, _ stream: UInt32, _ body: String, fields: [(String, String)] = [],
            trailers: [(String, String)]
        ) {
            client.request(stream, "POST", "/p", fields: fields, ends: false)
            if !body.isEmpty { client.send(HTTP2Frame(.data, stream: stream, bytes(body))) }
            client.send(HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(trailers)))
        }

        @Test func theyCrossFromHTTP2ToEveryEndpoint() throws {
            let backends = [(true, try modern()), (false, try old())]
            for (isModern, backend) in backends {
                let gateway = try Gateway(.web([isModern ? backend.grpcEndpoint : backend.endpoint]))
                let client = try gateway.http2()
                send(client, 1, "abc", trailers: [("x-sum", "3"), ("x-note", "a: b"), ("x-none", "")])
                #expect(try client.answer(1).bodyText == "abc [x-sum=3,x-note=a: b,x-none=]")
                // A request that has trailers and no body.
                send(client, 3, "", trailers: [("x-sum", "0")])
                #expect(try client.answer(3).bodyText == " [x-sum=0]")
                // Behind a length HTTP/1.1 has no place for them; HTTP/2 has.
                send(client, 5, "abcd", fields: [("content-length", "4")], trailers: [("x-sum", "4")])
                #expect(try client.answer(5).bodyText == (isModern ? "abcd [x-sum=4]" : "abcd []"))
                // More than one frame of them.
                let long = String(repeating: "v", count: 3_000)
                client.request(7, "POST", "/p", ends: false)
                let block = HTTP2Client.block([("x-long", long)])
                client.send(HTTP2Frame(.headers, flags: 1, stream: 7, Array(block.prefix(1_000))))
                client.send(HTTP2Frame(.continuation, flags: 4, stream: 7, Array(block.dropFirst(1_000))))
                #expect(try client.answer(7).bodyText == " [x-long=\(long)]")
            }
        }

        @Test func thoseOfChunkedBodiesCrossToHTTP2() throws {
            let backend = try modern()
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            for (body, trailers) in [("3\r\nabc\r\n", "abc [x-sum=3]"), ("", " [x-sum=3]")] {
                let answer = try gateway.exchange(
                    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\(body)0\r\nX-Sum: 3\r\n\r\n",
                    method: "POST")
                #expect(answer.bodyText == trailers)
            }
        }

        /// An endpoint that has not looked at a request gets all of it a second time.
        @Test func theyAreSentAgainWithARefusedRequest() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    if stream == 1 || stream == 5 {
                        _ = try peer.answer(stream, .ordinary)
                        peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)))
                        continue
                    }
                    let request = peer.answers[stream] ?? HTTP2Answer()
                    peer.respond(stream, 200, "\(request.bodyText) \(Self.list(request.trailers))")
                }
            }
            let gateway = try Gateway(.web([backend.grpcEndpoint]))
            let client = try gateway.http2()
            send(client, 1, "abc", trailers: [("x-sum", "3")])
            #expect(try client.answer(1).bodyText == "abc [x-sum=3]")
            send(client, 3, "", trailers: [("x-sum", "0")])
            #expect(try client.answer(3).bodyText == " [x-sum=0]")
        }

        /// RFC 9110 §6.5.1, RFC 9113 §8.1: what frames, routes or authorises a request does not come behind it.
        @Test(arguments: [
            ":path", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection",
            "content-length", "host", "trailer", "authorization", "content-type", "content-encoding", "expect", "X-Up",
            "x y",
        ]) func fieldsThatAreNoTrailersResetTheStream(_ name: String) throws {
            let backend = try old()
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            send(client, 1, "abc", trailers: [("x-sum", "3"), (name, "1")])
            #expect(try client.answer(1).resetCode == HTTP2Error.protocol)
            // The connection lives on, and the endpoint was never told that the request was over.
            client.request(3, "GET", "/after")
            #expect(try client.answer(3).status == 200)
            #expect(backend.requests.filter(\.complete).map(\.target) == ["/after"])
        }

        @Test func asManyAsAHeadMayHaveAndNoMore() throws {
            let backend = try old()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_count: 10, header_bytes: 4096 }"]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            send(client, 1, "a", trailers: (0..<10).map { ("x-\($0)", "v") })
            #expect(try client.answer(1).bodyText.hasSuffix("x-9=v]"))
            send(client, 3, "a", trailers: (0..<11).map { ("x-\($0)", "v") })
            #expect(try client.answer(3).resetCode == HTTP2Error.enhanceYourCalm)
            send(client, 5, "a", trailers: [("x", String(repeating: "v", count: 4_096))])
            #expect(try client.answer(5).resetCode == HTTP2Error.enhanceYourCalm)
            send(client, 7, "a", trailers: [("x", "v")])
            #expect(try client.answer(7).bodyText == "a [x=v]")
        }
    }
}
