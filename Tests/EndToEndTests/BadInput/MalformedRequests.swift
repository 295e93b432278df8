/// A request that is wrong or doubtful, and what may become of it.
struct MalformedRequest: Sendable {
    enum Outcome: Sendable {
        /// 4xx (or 501, 505 where that is the word for it), the connection closed, nothing whole at the backend.
        case refused
        /// Either that, or forwarded as exactly these messages, `METHOD TARGET BODY` each.
        case refusedOr([String])
        /// Forwarded as exactly these messages.
        case forwarded([String])
    }

    var name: String
    var bytes: String
    var outcome: Outcome

    init(_ name: String, _ bytes: String, _ outcome: Outcome = .refused) {
        self.name = name
        self.bytes = bytes
        self.outcome = outcome
    }

    private static func get(_ fields: String) -> String { "GET /a HTTP/1.1\r\nHost: h\r\n\(fields)\r\n" }
    private static func post(_ fields: String, _ body: String = "") -> String {
        "POST /a HTTP/1.1\r\nHost: h\r\n\(fields)\r\n\(body)"
    }

    /// What an attacker hides in a body.
    private static let hidden = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    private static let chunked = "Transfer-Encoding: chunked\r\n"

    static let framing: [MalformedRequest] = [
        .init("CL and TE", post("Content-Length: 6\r\n" + chunked, "0\r\n\r\n" + hidden)),
        .init("TE and CL", post(chunked + "Content-Length: 6\r\n", "0\r\n\r\n" + hidden)),
        .init("CL.0", post("Content-Length: 0\r\nContent-Length: \(hidden.utf8.count)\r\n", hidden)),
        .init("two different CL", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd")),
        .init(
            "the same CL twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            .refusedOr(["POST /a abc"])),
        .init("a list of the same CL", post("Content-Length: 3, 3\r\n", "abc"), .refusedOr(["POST /a abc"])),
        .init("a list of different CL", post("Content-Length: 3, 4\r\n", "abcd")),
        .init("CL with a sign", post("Content-Length: +3\r\n", "abc")),
        .init("negative CL", post("Content-Length: -1\r\n", "")),
        .init("hexadecimal CL", post("Content-Length: 0x3\r\n", "abc")),
        .init("CL with a space inside", post("Content-Length: 1 2\r\n", "abcdefghijkl")),
        .init("CL with a tail", post("Content-Length: 3abc\r\n", "abc")),
        .init("empty CL", post("Content-Length:\r\n", "abc")),
        .init("CL in quotes", post("Content-Length: \"3\"\r\n", "abc")),
        .init("CL with a point", post("Content-Length: 3.0\r\n", "abc")),
        .init("CL beyond 64 bits", post("Content-Length: 18446744073709551619\r\n", "abc")),
        .init("CL of 2^63", post("Content-Length: 9223372036854775808\r\n", "abc")),
        .init("CL with an underscore for a hyphen", post("Content_Length: 3\r\n", ""), .refusedOr(["POST /a "])),
        .init("TE identity", post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc")),
        .init("TE unknown", post("Transfer-Encoding: zip\r\n", "0\r\n\r\n")),
        .init("TE chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
        .init("TE on two lines", post(chunked + chunked, "0\r\n\r\n"), .refusedOr(["POST /a "])),
        .init("TE chunked, then identity", post(chunked + "Transfer-Encoding: identity\r\n", "0\r\n\r\n")),
        .init("TE identity, then chunked", post("Transfer-Encoding: identity\r\n" + chunked, "0\r\n\r\n")),
        .init("TE chunked before gzip", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        .init("TE gzip before chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        .init("TE xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + hidden)),
        .init("TE in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
        .init("TE with a parameter", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")),
        .init("TE with a vertical tab", post("Transfer-Encoding:\u{0b}chunked\r\n", "0\r\n\r\n" + hidden)),
        .init("TE after a tab", post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"), .refusedOr(["POST /a "])),
        .init("TE in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", "0\r\n\r\n"), .refusedOr(["POST /a "])),
        .init(
            "TE with a trailing comma", post("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), .refusedOr(["POST /a "])),
        .init("empty TE", post("Transfer-Encoding:\r\nContent-Length: 3\r\n", "abc")),
        .init("TE by an obs-fold", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + hidden)),
        .init("TE hidden by a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + hidden)),
        .init("TE in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: h\r\n\(chunked)\r\n0\r\n\r\n" + hidden),
        .init(
            "Connection nominates CL", post("Connection: content-length\r\nContent-Length: 3\r\n", "abc"),
            .refusedOr(["POST /a abc"])),
        .init(
            "Connection nominates TE", post("Connection: transfer-encoding\r\n" + chunked, "3\r\nabc\r\n0\r\n\r\n"),
            .refusedOr(["POST /a abc"])),
        .init(
            "Connection nominates Host", get("Connection: host\r\n"), .refusedOr(["GET /a "])),
    ]

    static let chunks: [MalformedRequest] = [
        .init("size with a sign", post(chunked, "+3\r\nabc\r\n0\r\n\r\n")),
        .init("negative size", post(chunked, "-3\r\nabc\r\n0\r\n\r\n")),
        .init("size with 0x", post(chunked, "0x3\r\nabc\r\n0\r\n\r\n")),
        .init("no size", post(chunked, "\r\nabc\r\n0\r\n\r\n")),
        .init("size of no digits", post(chunked, "xyz\r\nabc\r\n0\r\n\r\n")),
        .init("size beyond 64 bits", post(chunked, "10000000000000003\r\nabc\r\n0\r\n\r\n")),
        .init("size of 2^63", post(chunked, "8000000000000000\r\nabc\r\n0\r\n\r\n")),
        .init("size of 2^64 - 1", post(chunked, "ffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
        .init("size with an underscore", post(chunked, "1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n")),
        .init("space before the size", post(chunked, " 3\r\nabc\r\n0\r\n\r\n")),
        .init("bare LF after the size", post(chunked, "3\nabc\r\n0\r\n\r\n")),
        .init("bare CR after the size", post(chunked, "3\rabc\r\n0\r\n\r\n")),
        .init("bare LF in an extension", post(chunked, "3;a\nabc\r\n0\r\n\r\n")),
        .init("NUL in an extension", post(chunked, "3;a\u{0}b\r\nabc\r\n0\r\n\r\n")),
        .init("data longer than the size", post(chunked, "3\r\nabcd\r\n0\r\n\r\n")),
        .init("no CR LF after the data", post(chunked, "3\r\nabc0\r\n\r\n")),
        .init("bare LF after the data", post(chunked, "3\r\nabc\n0\r\n\r\n")),
        .init("bare LF at the end", post(chunked, "3\r\nabc\r\n0\n\n")),
        .init("a trailer without a colon", post(chunked, "0\r\nnonsense\r\n\r\n")),
        .init("a trailer with a space before the colon", post(chunked, "0\r\nX : 1\r\n\r\n")),
        .init("a folded trailer", post(chunked, "0\r\nX: 1\r\n 2\r\n\r\n")),
        .init(
            "a trailer that frames",
            post(chunked, "3\r\nabc\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: x\r\n\r\n"),
            .refusedOr(["POST /a abc"])),
        .init("an extension that never ends", post(chunked, "3;" + String(repeating: "x", count: 200_000))),
        .init("leading zeros", post(chunked, "0003\r\nabc\r\n0\r\n\r\n"), .refusedOr(["POST /a abc"])),
        .init("an extension", post(chunked, "3;name=\"v\"\r\nabc\r\n0\r\n\r\n"), .forwarded(["POST /a abc"])),
    ]

    static let heads: [MalformedRequest] = [
        .init("bare LF", "GET /a HTTP/1.1\nHost: h\n\n"),
        .init("bare LF after one field", "GET /a HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n"),
        .init("bare CR in a value", get("X: 1\rY: 2\r\n")),
        .init("bare CR as the end", "GET /a HTTP/1.1\rHost: h\r\r"),
        .init("obs-fold", get("X: 1\r\n 2\r\n")),
        .init("obs-fold of the first field", "GET /a HTTP/1.1\r\n Host: h\r\n\r\n"),
        .init("space before the colon", get("X : 1\r\n")),
        .init("tab before the colon", get("X\t: 1\r\n")),
        .init("no colon", get("nonsense\r\n")),
        .init("empty name", get(": 1\r\n")),
        .init("NUL in a name", get("X\u{0}Y: 1\r\n")),
        .init("NUL in a value", get("X: a\u{0}b\r\n")),
        .init("control byte in a value", get("X: a\u{1}b\r\n")),
        .init("DEL in a value", get("X: a\u{7f}b\r\n")),
        .init("space in a name", get("X Y: 1\r\n")),
        .init("bytes beyond ASCII in a name", get("Xé: 1\r\n")),
        .init("quotes in a name", get("\"X\": 1\r\n")),
        .init("no Host", "GET /a HTTP/1.1\r\n\r\n"),
        .init("two Hosts", get("Host: i\r\n")),
        .init("the same Host twice", get("Host: h\r\n")),
        .init("a Host that is no authority", "GET /a HTTP/1.1\r\nHost: h/evil\r\n\r\n"),
        .init("a Host with user data", "GET /a HTTP/1.1\r\nHost: u@h\r\n\r\n"),
        .init("a Host with a space", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"),
        .init("a list of Hosts", "GET /a HTTP/1.1\r\nHost: a,b\r\n\r\n", .refusedOr(["GET /a "])),
        .init(
            "absolute form against Host", "GET http://other/a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refusedOr(["GET /a ", "GET http://other/a "])),
        .init("absolute form with another scheme", "GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("authority form", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("asterisk with GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("no slash", "GET a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("HTTP/0.9", "GET /a\r\n"),
        .init("HTTP/0.9 with fields", "GET /a\r\nHost: h\r\n\r\n"),
        .init("HTTP/1.2", "GET /a HTTP/1.2\r\nHost: h\r\n\r\n", .refusedOr(["GET /a "])),
        .init("HTTP/2.0", "GET /a HTTP/2.0\r\nHost: h\r\n\r\n"),
        .init("HTTP/1.10", "GET /a HTTP/1.10\r\nHost: h\r\n\r\n"),
        .init("lower-case protocol", "GET /a http/1.1\r\nHost: h\r\n\r\n"),
        .init("HTTP/1,1", "GET /a HTTP/1,1\r\nHost: h\r\n\r\n"),
        .init("two spaces", "GET  /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("a tab for a space", "GET\t/a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("a space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("a space at the end", "GET /a HTTP/1.1 \r\nHost: h\r\n\r\n"),
        .init("a space at the start", " GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("NUL in the target", "GET /a\u{0}b HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("a control byte in the target", "GET /a\u{1}b HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", .refusedOr(["GET /a#b "])),
        .init("a method that is no token", "G@T{} /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init("an empty method", " /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        .init(
            "Upgrade: h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            .refusedOr(["GET /a "])),
        .init("TLS on a plain port", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n"),
        .init("only control bytes", "\u{0}\u{1}\u{2}\u{3}\r\n\r\n"),
        .init("a line that never ends", "GET /" + String(repeating: "a", count: 200_000)),
        .init(
            "a head that never ends", "GET /a HTTP/1.1\r\nHost: h\r\n" + String(repeating: "X: 1\r\n", count: 40_000)),
        .init("a value that never ends", get("X: " + String(repeating: "a", count: 200_000) + "\r\n")),
        .init("more fields than allowed", get(String(repeating: "X: 1\r\n", count: 400))),
        .init(
            "a body after GET", "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", .refusedOr(["GET /a abc"])
        ),
        .init("an expectation that is unknown", get("Expect: the-unexpected\r\n"), .refusedOr(["GET /a "])),
        .init("empty lines before a request", "\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", .refusedOr(["GET /a "])),
    ]
}
