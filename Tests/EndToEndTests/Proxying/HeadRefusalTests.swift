import Testing

extension EndToEnd {
    /// Requests that are refused before an exchange begins: HEAD is answered without content (RFC 9110 §9.3.2), all
    /// others with words.
    @Suite struct HeadRefusals {
        private static func gateway() throws -> Gateway {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.gateway = ["  limits: { header_count: 20, header_bytes: 4096, header_timeout_ms: 500 }"]
            return try Gateway(configuration)
        }

        private static let manyFields = (0..<40).map { ("x-\($0)", "a") }

        @Test func overHTTP1() throws {
            let gateway = try Self.gateway()
            let many = Self.manyFields.map { "\($0.0): \($0.1)\r\n" }.joined()
            let refused: [(what: String, status: Int, rest: String)] = [
                ("too many fields", 431, " / HTTP/1.1\r\nHost: a\r\n\(many)\r\n"),
                (
                    "too large a field", 431,
                    " / HTTP/1.1\r\nHost: a\r\nx: \(String(repeating: "a", count: 8_000))\r\n\r\n"
                ),
                ("no host", 400, " / HTTP/1.1\r\n\r\n"),
                ("no end", 408, " / HTTP/1.1\r\nHost"),
            ]
            for (what, status, rest) in refused {
                for (before, method) in [("", "HEAD"), ("\r\n", "HEAD"), ("", "GET"), ("", "HEADS")] {
                    let socket = try gateway.connect()
                    socket.send(before + method + rest)
                    let reader = MessageReader(socket)
                    let answer = try #require(try reader.response(to: method))
                    #expect(answer.status == status, "\(method), \(what): \(answer.start)")
                    let length = try #require(answer.field("content-length").flatMap { Int($0) })
                    #expect(length > 0, "\(method), \(what)")
                    #expect(answer.body.count == (method == "HEAD" ? 0 : length), "\(method), \(what)")
                    #expect(try reader.rest().isEmpty, "\(method), \(what): bytes follow the answer")
                }
            }
        }

        @Test func overHTTP2() throws {
            let gateway = try Self.gateway()
            let long = String(repeating: "a", count: 8_000)
            let client = try gateway.http2()
            var stream: UInt32 = 1
            for method in ["HEAD", "GET"] {
                let refused: [(what: String, status: Int, fields: [(String, String)])] = [
                    ("too many fields", 431, HTTP2Client.request(method) + Self.manyFields),
                    ("too large a field", 431, HTTP2Client.request(method) + [("x", long)]),
                    (
                        "too large before the method", 431,
                        [(":scheme", "http"), (":authority", "a"), (":path", "/" + long), (":method", method)]
                    ),
                    ("two hosts", 400, HTTP2Client.request(method) + [("host", "b")]),
                ]
                for (what, status, fields) in refused {
                    client.send(HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(fields)))
                    let answer = try client.answer(stream)
                    #expect(answer.status == status, "\(method), \(what)")
                    #expect(answer.isWhole && answer.resetCode == nil, "\(method), \(what)")
                    #expect(answer.body.isEmpty == (method == "HEAD"), "\(method), \(what)")
                    let data = client.frames.contains { $0.kind == .data && $0.stream == stream }
                    #expect(data == (method == "GET"), "\(method), \(what)")
                    stream += 2
                }
            }
            // The connection has taken no harm, and what is refused later is answered as ever.
            client.request(stream, "HEAD")
            #expect(try client.answer(stream).status == 503)
        }
    }
}
