import Testing

@testable import HTTP1

@Suite("Request heads")
struct RequestTests {
    @Test("A plain request gives its parts")
    func plain() throws {
        let head = try #require(
            parseRequest(
                "GET /v2/models/iris?trace=1 HTTP/1.1\r\nHost: localhost:8080\r\nAccept:*/*\r\nX-Empty:\r\n"
                    + "X-Spaces: \t a b\tc \t\r\n\r\nrest"
            ).message)
        #expect(head.method == "GET")
        #expect(head.kind == .get)
        #expect(head.target == "/v2/models/iris?trace=1")
        #expect(head.path == "/v2/models/iris")
        #expect(head.query == "trace=1")
        #expect(head.authority == "localhost:8080")
        #expect(head.minorVersion == 1)
        #expect(head.fields.map(\.name) == ["Host", "Accept", "X-Empty", "X-Spaces"])
        #expect(head.fields.map(\.value) == ["localhost:8080", "*/*", "", "a b\tc"])
        #expect(head.hopByHop == [])
        #expect(head.body == .none)
        #expect(head.keepAlive)
        #expect(head.headSize == 105)
    }

    @Test("Every method of RFC 9110 and PATCH has its kind; names are case-sensitive")
    func methods() {
        let kinds: [(String, Method)] = [
            ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
            ("OPTIONS", .options), ("PATCH", .patch), ("TRACE", .trace), ("get", .other), ("PROPFIND", .other),
            ("GEX", .other), ("PUSH", .other), ("!#$%&'*+-.^_`|~9", .other),
        ]
        for (name, kind) in kinds {
            #expect(parseRequest("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n").message?.kind == kind, "\(name)")
        }
    }
}

@Suite("What request fields mean")
struct RequestMeaningTests {
    private func request(_ lines: String..., version: String = "1.1") -> ParsedRequest? {
        parseRequest(
            "POST / HTTP/\(version)\r\nHost: a\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
        ).message
    }

    @Test("The body is framed by Content-Length or chunked, else there is none")
    func framing() {
        #expect(request()?.body == BodyFraming.none)
        #expect(request("Content-Length: 0")?.body == .length(0))
        #expect(request("cONTENT-lENGTH:\t5 ")?.body == .length(5))
        #expect(request("Content-Length: 0000000000000000000000005")?.body == .length(5))
        #expect(request("Content-Length: 9223372036854775807")?.body == .length(UInt64(Int.max)))
        #expect(request("Transfer-Encoding: chunked")?.body == .chunked)
        #expect(request("transfer-encoding:  CHUNKED ")?.body == .chunked)
    }

    @Test("RFC 9112 §9.3: keep-alive by version and Connection")
    func keepAlive() {
        #expect(request()?.keepAlive == true)
        #expect(request("Connection: close")?.keepAlive == false)
        #expect(request("Connection: Keep-Alive, CLOSE")?.keepAlive == false)
        #expect(request("Connection: x", "Connection: close")?.keepAlive == false)
        #expect(request(version: "1.0")?.keepAlive == false)
        #expect(request("Connection: keep-alive", version: "1.0")?.keepAlive == true)
        #expect(request("Connection: keep-alive, close", version: "1.0")?.keepAlive == false)
        #expect(request("Proxy-Connection: keep-alive", version: "1.0")?.keepAlive == false)
        #expect(request(version: "1.2")?.keepAlive == true)
        #expect(request(version: "1.9")?.minorVersion == 1)
    }

    @Test("RFC 9110 §7.6.1: what ends at this hop, and what nomination can't take out")
    func hopByHop() {
        let head = request(
            "Connection: X-Foo , ,te,Host, content-length", "x-foo: 1", "X-Foo: 2", "X-Bar: 3", "Keep-Alive: 5",
            "Proxy-Connection: x", "TE: trailers", "Trailer: X", "Content-Length: 3", "Upgrade: h2c",
            "HTTP2-Settings: x", "Content-Lengths: 1", "Connections: x")
        #expect(
            head?.hopByHop == [
                "Connection", "x-foo", "X-Foo", "Keep-Alive", "Proxy-Connection", "TE", "Content-Length", "Upgrade",
                "HTTP2-Settings",
            ])
        #expect(head?.body == .length(3))
        #expect(head?.acceptsTrailers == true)
        #expect(request("Transfer-Encoding: chunked")?.hopByHop == ["Transfer-Encoding"])
    }

    @Test("Nomination reaches the last of 128 fields")
    func manyFields() {
        let lines = (2..<128).map { "X-\($0): a\r\n" }.joined()
        let message = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-62, X-63, X-64, X-127\r\n" + lines + "\r\n"
        let head = parseRequest(message, limits: HeadLimits(fieldCount: 128)).message
        #expect(head?.fields.count == 128)
        #expect(head?.hopByHop == ["Connection", "X-62", "X-63", "X-64", "X-127"])
    }

    @Test("RFC 9110 §10.1.1: 100-continue counts in HTTP/1.1 with content")
    func expect() {
        #expect(request("Expect: 100-Continue", "Content-Length: 5")?.expectContinue == true)
        #expect(request("Expect: 100-continue", "Transfer-Encoding: chunked")?.expectContinue == true)
        #expect(request("Expect: 100-continue")?.expectContinue == false)
        #expect(request("Expect: 100-continue", "Content-Length: 0")?.expectContinue == false)
        #expect(request("Expect: 100-continue", "Content-Length: 5", version: "1.0")?.expectContinue == false)
    }

    @Test("RFC 9110 §10.1.1: content that no field announces, but its stream, is waited for as well")
    func expectOfAStream() {
        for (line, expects) in [("Expect: 100-continue", true), ("X: y", false)] {
            let bytes = latin1("POST / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n")
            #expect(parseRequest(bytes, framedByStream: true).message?.expectContinue == expects)
        }
    }

    @Test("RFC 9110 §7.8: an upgrade is asked for only if Connection nominates it, and not in HTTP/1.0")
    func upgrade() {
        #expect(request("Connection: Upgrade", "Upgrade: websocket")?.upgrade == .websocket)
        #expect(request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")?.upgrade == .h2c)
        #expect(request("Connection: upgrade", "Upgrade: IRC/6.9, h2c")?.upgrade == .h2c)
        #expect(request("Connection: upgrade", "Upgrade: TLS/1.3")?.upgrade == .other)
        #expect(request("Connection: upgrade", "Upgrade: websocket", "UPGRADE: websocket")?.upgrade == .other)
        #expect(request("Upgrade: websocket")?.upgrade == Upgrade.none)
        #expect(request("Connection: Upgrade", "Upgrade: websocket", version: "1.0")?.upgrade == Upgrade.none)
    }

    @Test("RFC 9112 §3.2: the forms of a target")
    func targets() {
        func parsed(_ line: String, host: String = "a.b:80") -> [String?] {
            let head = parseRequest("\(line) HTTP/1.1\r\nHost: \(host)\r\n\r\n").message
            return [head?.path, head?.query, head?.authority]
        }
        #expect(parsed("GET /a/b") == ["/a/b", nil, "a.b:80"])
        #expect(parsed("GET /a?") == ["/a", "", "a.b:80"])
        #expect(parsed("GET /a?b?c=/d") == ["/a", "b?c=/d", "a.b:80"])
        #expect(parsed("GET //a") == ["//a", nil, "a.b:80"])
        #expect(parsed("GET /%00/../[]{}|^`~") == ["/%00/../[]{}|^`~", nil, "a.b:80"])
        #expect(parsed("GET http://a.b:80/x?y") == ["/x", "y", "a.b:80"])
        #expect(parsed("GET HTTPS://A.B:80") == ["/", nil, "a.b:80"])
        #expect(parsed("OPTIONS http://a.b:80") == ["*", nil, "a.b:80"])
        #expect(parsed("OPTIONS *") == ["*", nil, "a.b:80"])
        #expect(parsed("GET /", host: "[::1]:8080") == ["/", nil, "[::1]:8080"])
        #expect(parsed("GET /", host: "a:65535") == ["/", nil, "a:65535"])
        let old = parseRequest("GET http://c/x HTTP/1.0\r\n\r\n").message
        #expect(old?.authority == "c")
        #expect(parseRequest("GET / HTTP/1.0\r\n\r\n").message?.authority == nil)
    }

    @Test("RFC 9112 §2.2: two empty lines before are ignored")
    func emptyLines() {
        let head = parseRequest("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").message
        #expect(head?.headSize == 31)
        #expect(parseRequest("\r\n") == .needMore)
        #expect(parseRequest("") == .needMore)
    }

    @Test("Well-known fields are found by name, in any case, and near names are not taken for them")
    func wellKnown() throws {
        let names: [(String, KeyPath<FieldSection, Int16>)] = [
            ("host", \.host), ("content-length", \.contentLength), ("transfer-encoding", \.transferEncoding),
            ("connection", \.connection), ("content-type", \.contentType), ("content-encoding", \.contentEncoding),
            ("authorization", \.authorization), ("accept", \.accept), ("expect", \.expect), ("upgrade", \.upgrade),
            ("te", \.te), ("trailer", \.trailer), ("date", \.date), ("traceparent", \.traceparent),
        ]
        func index(_ name: String, _ path: KeyPath<FieldSection, Int16>) -> Int16 {
            let bytes = latin1(name)
            let storage = UnsafeMutablePointer<sluice_field>.allocate(capacity: 1)
            defer { storage.deallocate() }
            return bytes.withUnsafeBufferPointer { buffer in
                guard let start = buffer.baseAddress else { return -1 }
                var section = FieldSection(storage: storage, start: start)
                section.recognise(start, buffer.count)
                return section[keyPath: path]
            }
        }
        for (name, path) in names {
            #expect(index(name, path) == 0)
            #expect(index(name.uppercased(), path) == 0)
            for place in name.indices {
                var near = name
                near.replaceSubrange(place...place, with: name[place] == "x" ? "y" : "x")
                #expect(index(near, path) == -1, "\(near)")
                near.replaceSubrange(place...place, with: "_")
                #expect(index(near, path) == -1, "\(near)")
            }
            #expect(index(name + "s", path) == -1)
        }
    }
}
