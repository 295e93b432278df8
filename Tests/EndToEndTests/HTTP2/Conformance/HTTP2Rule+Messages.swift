extension HTTP2Rule {
    /// Requests that are malformed (RFC 9113 §8.1.1).
    static let messages: [HTTP2Rule] = [
        HTTP2Rule(
            "§8.1 a second HEADERS without END_STREAM", of: "http2/8.1/1", .streamError(1, [E.protocol]), post(),
            HTTP2Frame(.headers, flags: 4, stream: 1, HTTP2Client.block([("x", "y")]))),
        HTTP2Rule(
            "§8.2 an upper-case name", of: "http2/8.1.2/1", .streamError(1, [E.protocol]),
            headers(1, block("GET", ("X-Test", "1")))),
        HTTP2Rule("§8.2.1 a name with a space", .streamError(1, [E.protocol]), headers(1, block("GET", ("x y", "1")))),
        HTTP2Rule(
            "§8.2.1 a value with CR LF", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\r\ny: 2")))),
        HTTP2Rule("§8.2.1 a value with LF", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\ny")))),
        HTTP2Rule("§8.2.1 a value with NUL", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\0y")))),
        HTTP2Rule(
            "§8.2.1 a path with CR LF", .streamError(1, [E.protocol]), headers(1, block(path: "/ HTTP/1.1\r\nx: y"))),
        HTTP2Rule(
            "§8.3 an unknown pseudo-header field", of: "http2/8.1.2.1/1", .streamError(1, [E.protocol]),
            headers(1, HTTP2Client.block([(":test", "1")] + HTTP2Client.request()))),
        HTTP2Rule(
            "§8.3 a pseudo-header field of responses", of: "http2/8.1.2.1/2", .streamError(1, [E.protocol]),
            headers(1, HTTP2Client.block([(":status", "200")] + HTTP2Client.request()))),
        HTTP2Rule(
            "§8.1 a pseudo-header field in trailers", of: "http2/8.1.2.1/3", .streamError(1, [E.protocol]), post(),
            data(1, 4, flags: 0),
            literal([get])),
        HTTP2Rule(
            "§8.3 a pseudo-header field after others", of: "http2/8.1.2.1/4", .streamError(1, [E.protocol]),
            literal([get, scheme, authority, ("x", "y"), path])),
        HTTP2Rule(
            "§8.2.2 connection", of: "http2/8.1.2.2/1", .streamError(1, [E.protocol]),
            headers(1, block("GET", ("connection", "keep-alive")))),
        HTTP2Rule("§8.2.2 transfer-encoding", .streamError(1, [E.protocol]), post(1, ("transfer-encoding", "chunked"))),
        HTTP2Rule("§8.2.2 upgrade", .streamError(1, [E.protocol]), headers(1, block("GET", ("upgrade", "h2c")))),
        HTTP2Rule("§8.2.2 keep-alive", .streamError(1, [E.protocol]), headers(1, block("GET", ("keep-alive", "1")))),
        HTTP2Rule(
            "§8.2.2 proxy-connection", .streamError(1, [E.protocol]),
            headers(1, block("GET", ("proxy-connection", "close")))),
        HTTP2Rule(
            "§8.2.2 te other than trailers", of: "http2/8.1.2.2/2", .streamError(1, [E.protocol]),
            headers(1, block("GET", ("te", "gzip")))),
        HTTP2Rule(
            "§8.3.1 an empty :path", of: "http2/8.1.2.3/1", .streamError(1, [E.protocol]), headers(1, block(path: ""))),
        HTTP2Rule("§8.3.1 a :path without its slash", .streamError(1, [E.protocol]), headers(1, block(path: "index"))),
        HTTP2Rule(
            "§8.3.1 no :method", of: "http2/8.1.2.3/2", .streamError(1, [E.protocol]),
            literal([scheme, path, authority])),
        HTTP2Rule(
            "§8.3.1 no :scheme", of: "http2/8.1.2.3/3", .streamError(1, [E.protocol]), literal([get, path, authority])),
        HTTP2Rule(
            "§8.3.1 no :path", of: "http2/8.1.2.3/4", .streamError(1, [E.protocol]), literal([get, scheme, authority])),
        HTTP2Rule(
            "§8.3.1 :method twice", of: "http2/8.1.2.3/5", .streamError(1, [E.protocol]),
            literal([get, get, scheme, path, authority])),
        HTTP2Rule(
            "§8.3.1 :scheme twice", of: "http2/8.1.2.3/6", .streamError(1, [E.protocol]),
            literal([get, scheme, scheme, path, authority])),
        HTTP2Rule(
            "§8.3.1 :path twice", of: "http2/8.1.2.3/7", .streamError(1, [E.protocol]),
            literal([get, scheme, path, path, authority])),
        HTTP2Rule("§8.3.1 host against :authority", .answered(1, 400), headers(1, block("GET", ("host", "b")))),
        HTTP2Rule(
            "§8.3.1 an :authority that is none", .streamError(1, [E.protocol]),
            literal([get, scheme, path, (":authority", "a b")])),
        HTTP2Rule("§8.5 CONNECT", .answered(1, 501), literal([(":method", "CONNECT"), authority])),
        HTTP2Rule(
            "§8.1.1 content-length and less DATA", .streamError(1, [E.protocol]), post(1, ("content-length", "9")),
            data()),
        HTTP2Rule(
            "§8.1.1 content-length and more DATA", of: "http2/8.1.2.6/1", .streamError(1, [E.protocol]),
            post(1, ("content-length", "1")), data()),
        HTTP2Rule(
            "§8.1.1 content-length and several DATA", of: "http2/8.1.2.6/2", .streamError(1, [E.protocol]),
            post(1, ("content-length", "1")),
            data(1, 1, flags: 0), data(1, 1)),
        HTTP2Rule(
            "§8.1.1 content-length and no DATA", .streamError(1, [E.protocol]),
            headers(1, block("POST", ("content-length", "1")))),
        HTTP2Rule(
            "§8.1.1 content-length that is none", .streamError(1, [E.protocol]), post(1, ("content-length", "-1"))),
        HTTP2Rule(
            "§8.1.1 content-length twice", .streamError(1, [E.protocol]),
            post(1, ("content-length", "4"), ("content-length", "4"))),
    ]
}
