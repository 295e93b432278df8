import Testing

@testable import HTTP1

/// A request that breaks one rule, and the fault that names it.
struct BadRequest: CustomTestStringConvertible {
    let rule: String
    let message: String
    let fault: ParseFault
    let status: UInt16

    init(_ rule: String, _ message: String, _ fault: ParseFault, _ status: UInt16 = 400) {
        (self.rule, self.message, self.fault, self.status) = (rule, message, fault, status)
    }

    /// A good request but for these lines.
    init(_ rule: String, lines: String..., fault: ParseFault, status: UInt16 = 400) {
        let message = "POST / HTTP/1.1\r\nHost: a\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
        self.init(rule, message, fault, status)
    }

    var testDescription: String { rule }
}

private func long(_ count: Int) -> String { String(repeating: "a", count: count) }

@Suite("Requests that are refused")
struct RequestStrictnessTests {
    static let lines: [BadRequest] = [
        .init("§2.2 bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", .bareLineFeed),
        .init("§2.2 bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLineFeed),
        .init("§2.2 bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLineFeed),
        .init("§2.2 only LFs", "GET / HTTP/1.1\nHost: a\n\n", .bareLineFeed),
        .init("§2.2 bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", .bareCarriageReturn),
        .init("§2.2 CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", .bareCarriageReturn),
        .init("§2.2 bare CR after the version", "GET / HTTP/1.1\rHost: a\r\n\r\n", .bareCarriageReturn),
        .init("§2.2 bare CR as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", .bareCarriageReturn),
        .init("§2.2 three empty lines before", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .tooManyEmptyLines),
        .init("§2.2 LF before", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareLineFeed),
        .init("§2.2 CR before", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareCarriageReturn),
        .init("§2.2 space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", .foldedField),
        .init("§3 no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        .init("§3 method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        .init("§3 method beyond ASCII", "G\u{C9}T / HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        .init("§3 tab after the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", .badMethod),
        .init("§3 method too long", long(33) + " / HTTP/1.1\r\nHost: a\r\n\r\n", .methodTooLong, 501),
        .init("§3 two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .badVersion),
        .init("§3 two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", .badVersion),
        .init("§3 space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .badRequestLine),
        .init("§3 HTTP/0.9", "GET /\r\n", .badRequestLine),
        .init("§3 method alone", "GET\r\n\r\n", .badMethod),
        .init("§3 nothing after the target", "GET / \r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", .versionNotSupported, 505),
        .init("§2.3 HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .versionNotSupported, 505),
        .init("§2.3 version 11", "GET / HTTP/11\r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", .badRequestLine),
        .init("§2.3 version 1.", "GET / HTTP/1.\r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 version 1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", .badVersion),
        .init("§2.3 short version", "GET / HTTP\r\n\r\n", .badVersion),
        .init("§2.3 version of another", "GET / ICY/1.1\r\nHost: a\r\n\r\n", .badVersion),
    ]

    static let targets: [BadRequest] = [
        .init("§3.2 NUL", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 tab", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 DEL", "GET /\u{7F} HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 beyond ASCII", "GET /\u{E4} HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 beyond ASCII in a query", "GET /?\u{E4} HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 fragment after a query", "GET /?a#x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 backslash", "GET /\\a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 quote", "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 a word", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 a query alone", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 one slash", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2.2 a query without a path", "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2.2 no authority", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", .badHost),
        .init("§3.2.2 user information", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .badHost),
        .init("§3.2.2 another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", .hostMismatch),
        .init("§3.2.2 another port", "GET http://a:81/ HTTP/1.1\r\nHost: a:80\r\n\r\n", .hostMismatch),
        .init("§3.2.2 no Host", "GET http://a/ HTTP/1.1\r\n\r\n", .missingHost),
        .init("§3.2.3 CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", .connectNotSupported, 501),
        .init("§3.2.3 CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", .connectNotSupported, 501),
        .init("§3.2.3 authority form", "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", .badTarget),
        .init("§3.2.4 asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", .asteriskNotOptions),
        .init("§3.2.4 asterisk and more", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", .badTarget),
        .init("§3.2 no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", .missingHost),
        .init("§3.2 no field at all", "GET / HTTP/1.1\r\n\r\n", .missingHost),
        .init("§3.2 several Hosts", lines: "Host: b", fault: .repeatedHost),
        .init("§3.2 equal Hosts", lines: "host: a", fault: .repeatedHost),
    ]

    static let badHosts = [
        "", "a/b", "u@a", "a b", "a,b", "a:b", "a:", ":80", "a:80:80", "a:123456", "a:65536", "a?", "a#", "a\\b",
        "[::1", "::1", "[]", "[::1]x", "[::1]:x", "[g::1]", "a%41", "\u{E4}", "http://a", "a:-1", "a\tb",
    ]

    static let fields: [BadRequest] = [
        .init("§5.1 space before the colon", lines: "X : a", fault: .spaceBeforeColon),
        .init("§5.1 tab before the colon", lines: "X\t: a", fault: .spaceBeforeColon),
        .init("§5.2 folded with a space", lines: "X: a", " b", fault: .foldedField),
        .init("§5.2 folded with a tab", lines: "X: a", "\tb", fault: .foldedField),
        .init("§5.1 no name", lines: ": a", fault: .emptyFieldName),
        .init("§5.1 no colon", lines: "Nothing", fault: .missingColon),
        .init("§5.1 name with a space", lines: "X Y: a", fault: .spaceBeforeColon),
        .init("§5.1 name in parentheses", lines: "(X): a", fault: .badFieldName),
        .init("§5.1 name with NUL", lines: "X\0: a", fault: .badFieldName),
        .init("§5.1 name beyond ASCII", lines: "X\u{E4}: a", fault: .badFieldName),
        .init("§5.1 name with DEL", lines: "X\u{7F}: a", fault: .badFieldName),
        .init("9110 §5.5 NUL", lines: "X: a\0b", fault: .badFieldValue),
        .init("9110 §5.5 NUL far in", lines: "X: " + long(100) + "\0", fault: .badFieldValue),
        .init("9110 §5.5 vertical tab", lines: "X: \u{0B}a", fault: .badFieldValue),
        .init("9110 §5.5 escape", lines: "X: a\u{1B}[0m", fault: .badFieldValue),
        .init("9110 §5.5 DEL", lines: "X: abcdefgh\u{7F}", fault: .badFieldValue),
        .init("9110 §5.5 DEL after 0xFF", lines: "X: \u{FF}\u{FF}\u{7F}abcdefgh", fault: .badFieldValue),
    ]

    static let framing: [BadRequest] = [
        .init(
            "§6.1 both, length first", lines: "Content-Length: 5", "Transfer-Encoding: chunked",
            fault: .lengthAndTransferEncoding),
        .init(
            "§6.1 both, coding first", lines: "Transfer-Encoding: chunked", "Content-Length: 5",
            fault: .lengthAndTransferEncoding),
        .init(
            "§6.3 different lengths", lines: "Content-Length: 5", "Content-Length: 6", fault: .repeatedContentLength),
        // Stricter than §6.3, which lets equal ones be folded.
        .init("§6.3 equal lengths", lines: "Content-Length: 5", "content-length: 5", fault: .repeatedContentLength),
        .init("§6.3 a list of lengths", lines: "Content-Length: 5, 5", fault: .badContentLength),
        .init("9110 §8.6 plus", lines: "Content-Length: +5", fault: .badContentLength),
        .init("9110 §8.6 minus", lines: "Content-Length: -5", fault: .badContentLength),
        .init("9110 §8.6 space within", lines: "Content-Length: 5 5", fault: .badContentLength),
        .init("9110 §8.6 hexadecimal", lines: "Content-Length: 0x5", fault: .badContentLength),
        .init("9110 §8.6 fraction", lines: "Content-Length: 5.0", fault: .badContentLength),
        .init("9110 §8.6 empty", lines: "Content-Length:", fault: .badContentLength),
        .init("9110 §8.6 blank", lines: "Content-Length: \t ", fault: .badContentLength),
        .init(
            "9110 §8.6 2^63", lines: "Content-Length: 9223372036854775808", fault: .contentLengthTooLarge,
            status: 413),
        .init(
            "9110 §8.6 2^64", lines: "Content-Length: 18446744073709551616", fault: .contentLengthTooLarge,
            status: 413),
        .init("9110 §8.6 long junk", lines: "Content-Length: 99999999999999999999x", fault: .badContentLength),
        .init("§6.1 space before the colon", lines: "Transfer-Encoding : chunked", fault: .spaceBeforeColon),
        .init("§6.1 vertical tab", lines: "Transfer-Encoding: \u{0B}chunked", fault: .badFieldValue),
        .init("§6.1 xchunked", lines: "Transfer-Encoding: xchunked", fault: .codingNotSupported, status: 501),
        .init("§6.1 identity", lines: "Transfer-Encoding: identity", fault: .codingNotSupported, status: 501),
        .init("§6.1 gzip", lines: "Transfer-Encoding: gzip, chunked", fault: .codingNotSupported, status: 501),
        .init("§6.1 quoted", lines: "Transfer-Encoding: \"chunked\"", fault: .badTransferEncoding),
        .init("§6.1 with a parameter", lines: "Transfer-Encoding: chunked;a=b", fault: .badTransferEncoding),
        .init("§6.1 twice in one", lines: "Transfer-Encoding: chunked, chunked", fault: .badTransferEncoding),
        .init("§6.1 not last", lines: "Transfer-Encoding: chunked, gzip", fault: .badTransferEncoding),
        .init("§6.1 empty", lines: "Transfer-Encoding:", fault: .badTransferEncoding),
        .init("§6.1 comma before", lines: "Transfer-Encoding: , chunked", fault: .badTransferEncoding),
        .init("§6.1 comma after", lines: "Transfer-Encoding: chunked,", fault: .badTransferEncoding),
        .init(
            "§6.1 twice", lines: "Transfer-Encoding: chunked", "Transfer-Encoding: chunked",
            fault: .repeatedTransferEncoding),
        .init(
            "§6.1 hidden in a second", lines: "Transfer-Encoding: identity", "transfer-encoding: chunked",
            fault: .repeatedTransferEncoding),
        .init(
            "§6.1 in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        .init("§6.1 folded", lines: "Transfer-Encoding:", " chunked", fault: .foldedField),
        .init("9110 §10.1.1 other expectation", lines: "Expect: 200-ok", fault: .expectationFailed, status: 417),
        .init("9110 §10.1.1 two", lines: "Expect: 100-continue", "Expect: x", fault: .expectationFailed, status: 417),
        .init("9110 §7.6.1 no token", lines: "Connection: close; x", fault: .badConnection),
        .init(
            "9110 §7.6.1 endless", lines: "Connection: " + String(repeating: "a,", count: 33), fault: .badConnection),
    ]

    private func check(_ request: BadRequest) {
        #expect(parseRequest(request.message).fault == request.fault)
        #expect(request.fault.status == request.status)
    }

    @Test("RFC 9112 §2, §3: lines, methods and versions", arguments: lines)
    func refusesLines(request: BadRequest) { check(request) }

    @Test("RFC 9112 §3.2: targets and Host", arguments: targets)
    func refusesTargets(request: BadRequest) { check(request) }

    @Test("RFC 9110 §7.2: malformed hosts", arguments: badHosts)
    func refusesHosts(host: String) {
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").fault == .badHost)
    }

    @Test("RFC 9112 §5: field lines", arguments: fields)
    func refusesFields(request: BadRequest) { check(request) }

    @Test("RFC 9112 §6: framing", arguments: framing)
    func refusesFraming(request: BadRequest) { check(request) }

    @Test("No control byte passes in a value but HTAB, at any place")
    func controls() {
        for byte in (0..<256).map({ UInt8($0) }) {
            for place in 0..<20 {
                var value = [UInt8](repeating: UInt8(ascii: "a"), count: 20)
                value[place] = byte
                let message = latin1("GET / HTTP/1.1\r\nHost: a\r\nX: b") + value + latin1("\r\n\r\n")
                let good = byte == 9 || (byte >= 0x20 && byte != 0x7F)
                #expect((parseRequest(message).message != nil) == good, "byte \(byte) at \(place)")
            }
        }
    }

    @Test("Limits hold to the byte, and each has its status")
    func limits() {
        func request(target: Int, fields: Int, value: Int) -> String {
            "GET /" + long(target - 1) + " HTTP/1.1\r\nHost: a\r\n"
                + String(repeating: "X: b\r\n", count: fields - 1) + "Y: " + long(value) + "\r\n\r\n"
        }
        let limits = HeadLimits(headerBytes: 1000, fieldCount: 10, targetBytes: 100)
        #expect(parseRequest(request(target: 100, fields: 9, value: 1), limits: limits).message != nil)
        #expect(parseRequest(request(target: 101, fields: 2, value: 1), limits: limits).fault == .targetTooLong)
        #expect(parseRequest("GET /" + long(500), limits: limits).fault == .targetTooLong)
        #expect(parseRequest("GET /" + long(500) + "\r\n", limits: limits).fault == .targetTooLong)
        #expect(parseRequest(long(2000), limits: limits).fault == .targetTooLong)
        #expect(parseRequest(request(target: 1, fields: 10, value: 1), limits: limits).fault == .tooManyFields)
        let room = 1000 - request(target: 1, fields: 2, value: 0).utf8.count
        #expect(parseRequest(request(target: 1, fields: 2, value: room), limits: limits).message?.headSize == 1000)
        #expect(parseRequest(request(target: 1, fields: 2, value: room + 1), limits: limits).fault == .headTooLarge)
        #expect(parseRequest("GET / HTTP/1.1\r\n" + long(2000), limits: limits).fault == .headTooLarge)
        #expect(ParseFault.targetTooLong.status == 414)
        #expect(ParseFault.headTooLarge.status == 431)
        #expect(ParseFault.tooManyFields.status == 431)
    }

    @Test("Every fault has a message and a status of the client's errors or 501, 505")
    func faults() {
        for fault in ParseFault.allCases {
            #expect(fault.message.utf8CodeUnitCount > 10)
            #expect((400..<500).contains(fault.status) || [501, 505].contains(fault.status))
        }
    }
}
