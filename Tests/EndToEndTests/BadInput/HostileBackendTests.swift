import Testing

/// What a broken or hostile backend sends in answer to its first request, and what a client may see of it.
struct HostileAnswer: Sendable {
    enum Outcome: Sendable {
        /// 502, before anything of the answer was sent on.
        case badGateway
        /// 502, or a response that ends before it is complete.
        case badGatewayOrAborted
        /// A whole response with this body; what comes after it is never seen by anybody.
        case answered(String)
    }

    var name: String
    var bytes: String
    var outcome: Outcome
    /// Whether the backend closes after its bytes, or leaves the connection open.
    var closes: Bool

    init(_ name: String, _ bytes: String, _ outcome: Outcome = .badGateway, closes: Bool = false) {
        self.name = name
        self.bytes = bytes
        self.outcome = outcome
        self.closes = closes
    }

    private static func ok(_ fields: String, _ body: String = "") -> String {
        "HTTP/1.1 200 OK\r\n\(fields)\r\n\(body)"
    }
    private static let chunked = "Transfer-Encoding: chunked\r\n"

    static let table: [HostileAnswer] = [
        .init("no answer, closed", "", closes: true),
        .init("half a status line", "HTTP/1.1 20", closes: true),
        .init("half a head", "HTTP/1.1 200 OK\r\nContent-Le", closes: true),
        .init("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        .init("HTTP/0.9", "<html>hello</html>\r\n\r\n"),
        .init("HTTP/2 status line", "HTTP/2 200 OK\r\n\r\n"),
        .init("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        .init("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        .init("status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
        .init("status 0", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
        .init("status 099", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        .init("CL and TE", ok("Content-Length: 5\r\n" + chunked, "0\r\n\r\n")),
        .init("two different CL", ok("Content-Length: 3\r\nContent-Length: 5\r\n", "abcde")),
        .init("CL of no number", ok("Content-Length: abc\r\n", "abc")),
        .init("negative CL", ok("Content-Length: -3\r\n", "abc")),
        .init("CL beyond 64 bits", ok("Content-Length: 99999999999999999999\r\n", "abc")),
        .init("TE unknown", ok("Transfer-Encoding: gzip\r\n", "abc")),
        .init("TE not chunked last", ok("Transfer-Encoding: chunked, gzip\r\n", "abc")),
        .init("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        .init("NUL in a value", ok("X: a\u{0}b\r\nContent-Length: 0\r\n")),
        .init("obs-fold", ok("X: a\r\n b\r\nContent-Length: 0\r\n")),
        .init("space before the colon", ok("Content-Length : 3\r\n", "abc")),
        .init("bare CR in a value", ok("X: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n")),
        .init("no colon", ok("nonsense\r\nContent-Length: 0\r\n")),
        .init("endless head", ok(String(repeating: "X: 1\r\n", count: 60_000))),
        .init("endless value", ok("X: " + String(repeating: "a", count: 400_000) + "\r\n")),
        .init(
            "endless interim responses", String(repeating: "HTTP/1.1 102 Processing\r\n\r\n", count: 10_000),
            .badGatewayOrAborted),
        .init("101 without being asked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\n\r\nraw bytes"),
        .init("bad chunk size", ok(chunked, "xyz\r\nabc\r\n0\r\n\r\n"), .badGatewayOrAborted),
        .init("chunk size beyond 64 bits", ok(chunked, "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"), .badGatewayOrAborted),
        .init("chunk longer than its size", ok(chunked, "3\r\nabcdef\r\n0\r\n\r\n"), .badGatewayOrAborted),
        .init("bad trailer", ok(chunked, "3\r\nabc\r\n0\r\nnonsense\r\n\r\n"), .badGatewayOrAborted),
        .init("closed in a body", ok("Content-Length: 10\r\n", "abc"), .badGatewayOrAborted, closes: true),
        .init("closed in a chunk", ok(chunked, "a\r\nabc"), .badGatewayOrAborted, closes: true),
        .init("closed before the last chunk", ok(chunked, "3\r\nabc\r\n"), .badGatewayOrAborted, closes: true),
        .init("closed in the trailers", ok(chunked, "3\r\nabc\r\n0\r\nX: 1\r\n"), .badGatewayOrAborted, closes: true),
        .init(
            "a second response at once",
            ok("Content-Length: 3\r\n", "abcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
            .answered("abc")),
        .init("bytes after the end", ok("Content-Length: 3\r\n", "abcgarbage"), .answered("abc")),
        .init("bytes after the last chunk", ok(chunked, "3\r\nabc\r\n0\r\n\r\ngarbage"), .answered("abc")),
        .init(
            "a body with 204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            .answered("")),
        .init(
            "a body with 304", "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            .answered("")),
    ]
}

extension EndToEnd {
    /// A backend can fail a request, and nothing else.
    @Suite struct HostileBackends {
        @Test func answers() throws {
            for entry in HostileAnswer.table { try check(entry) }
        }

        private func check(_ entry: HostileAnswer) throws {
            let evil = entry.bytes.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
            let backend = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                guard connection.index == 0 else {
                    repeat { connection.answer(200, "honest") } while try connection.reader.request() != nil
                    return
                }
                connection.socket.send(evil)
                if entry.closes { return }
                _ = connection.socket.closedByPeer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            // POST is not sent again by itself, so that the first answer is the one that counts.
            socket.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
            let response = try #require(
                try MessageReader(socket).response(to: "POST"), "\(entry.name): closed without a response")
            switch entry.outcome {
            case .badGateway: #expect(response.status == 502, "\(entry.name)")
            case .badGatewayOrAborted: #expect(response.status == 502 || !response.complete, "\(entry.name)")
            case .answered(let body):
                #expect(response.complete && response.bodyText == body, "\(entry.name): \(response)")
            }
            // The next request finds another connection, and nothing of what came after the end.
            for _ in 0..<2 { #expect(try gateway.get("/next").bodyText == "honest", "\(entry.name)") }
            #expect(backend.connectionCount >= 2, "\(entry.name): the connection was used again")
        }

        @Test func bytesBetweenResponsesAreNobodysResponse() throws {
            let sent = Counter()
            let backend = try ScriptedBackend { connection in
                while try connection.reader.request() != nil {
                    connection.answer(200, "honest")
                    guard connection.index == 0 else { continue }
                    // While the connection is idle: the answer to a request that nobody has sent yet.
                    connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                    sent.add(1)
                }
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").bodyText == "honest")
            try waitUntil("the backend has sent too much") { sent.value == 1 }
            for _ in 0..<5 { #expect(try gateway.get("/").bodyText == "honest") }
            #expect(backend.connectionCount >= 2)
        }

        @Test func aSlowDripOfAHeadEndsWithTheDeadline() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\n")
                while connection.socket.send("X: 1\r\n") { pauseBetweenLooks(milliseconds: 20) }
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  routing: { default_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 504)
        }
    }
}
