import Testing

@testable import HTTP1

@Suite("Response heads")
struct ResponseTests {
    private func response(
        _ status: String, _ lines: String..., version: String = "1.1", head: Bool = false, upgrade: Bool = false
    ) -> Parsed<ParsedResponse> {
        let message = "HTTP/\(version) \(status)\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
        return parseResponse(latin1(message), requestWasHead: head, allowsUpgrade: upgrade)
    }

    @Test("A plain response gives its parts")
    func plain() throws {
        let parsed = try #require(
            parseResponse(
                latin1("HTTP/1.1 200 All Well\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
            ).message)
        #expect(parsed.status == 200)
        #expect(parsed.reason == "All Well")
        #expect(parsed.fields.map(\.value) == ["text/plain", "2"])
        #expect(parsed.body == .length(2))
        #expect(parsed.keepAlive)
        #expect(parsed.headSize == 70)
    }

    @Test("RFC 9112 §6.3: what follows the head")
    func framing() {
        #expect(response("200 OK").message?.body == .untilClose)
        #expect(response("200 OK").message?.keepAlive == false)
        #expect(response("200 OK", "Content-Length: 7").message?.body == .length(7))
        #expect(response("200 OK", "Transfer-Encoding: Chunked").message?.body == .chunked)
        #expect(response("200 OK", "Content-Length: 7", version: "1.0").message?.keepAlive == false)
        #expect(
            response("200 OK", "Content-Length: 7", "Connection: keep-alive", version: "1.0").message?.keepAlive
                == true)
        #expect(response("200 OK", "Content-Length: 7", "Connection: close").message?.keepAlive == false)
    }

    @Test("RFC 9112 §6.3: HEAD, 1xx, 204 and 304 have no content, whatever they say")
    func noContent() {
        for lines in [[], ["Content-Length: 7"], ["Transfer-Encoding: chunked"]] as [[String]] {
            func message(_ status: String, head: Bool = false) -> ParsedResponse? {
                let text = "HTTP/1.1 \(status) x\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
                return parseResponse(latin1(text), requestWasHead: head).message
            }
            let declared: BodyFraming = lines.isEmpty ? .none : lines[0].hasPrefix("C") ? .length(7) : .chunked
            for bodiless in [message("200", head: true), message("304")] {
                #expect(bodiless?.body == BodyFraming.none)
                #expect(bodiless?.declared == declared)
                #expect(bodiless?.keepAlive == true)
            }
            for forbidden in [message("100"), message("103"), message("204")] {
                #expect(forbidden?.body == BodyFraming.none)
                #expect(forbidden?.declared == BodyFraming.none)
                #expect(forbidden?.keepAlive == lines.isEmpty)
            }
        }
        #expect(response("204 No Content", "Content-Length: 0").message?.keepAlive == true)
        // RFC 9110 §8.6: also an answer to HEAD says no length then, and has no content that could follow it.
        let toHead = response("204 No Content", "Content-Length: 7", head: true).message
        #expect(toHead?.body == BodyFraming.none && toHead?.declared == BodyFraming.none)
        #expect(toHead?.keepAlive == true)
    }

    static let refused: [(String, ParseFault)] = [
        ("HTTP/1.1 200 OK\nA: b\r\n\r\n", .bareLineFeed), ("HTTP/1.1 200\n\r\n", .badStatusLine),
        ("http/1.1 200 OK\r\n\r\n", .badVersion), ("HTTP/2.0 200 OK\r\n\r\n", .versionNotSupported),
        ("HTTP/0.9 200 OK\r\n\r\n", .badVersion), ("\r\nHTTP/1.1 200 OK\r\n\r\n", .badVersion),
        ("ICY 200 OK\r\n\r\n", .badVersion), ("garbage\r\n\r\n", .badVersion), ("HTTP/1.1\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1 2000 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1 2x0 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 -20 OK\r\n\r\n", .badStatusLine), ("HTTP/1.1 200OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", .badStatus), ("HTTP/1.1 000 OK\r\n\r\n", .badStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", .badStatus), ("HTTP/1.1 999 OK\r\n\r\n", .badStatus),
        ("HTTP/1.1 200 O\0K\r\n\r\n", .badStatusLine), ("HTTP/1.1 200 O\rK\r\n\r\n", .bareCarriageReturn),
        ("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", .unexpectedUpgrade),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndTransferEncoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .repeatedContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", .badContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .codingNotSupported),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", .codingNotSupported),
        ("HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n", .badContentLength),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", .spaceBeforeColon), ("HTTP/1.1 200 OK\r\n a\r\n\r\n", .foldedField),
        ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", .badFieldValue), ("HTTP/1.1 200 OK\r\nX\r\n\r\n", .missingColon),
        ("HTTP/1.1 200 OK\r\nConnection: \"x\"\r\n\r\n", .badConnection),
        ("HTTP/1.1 200 " + String(repeating: "a", count: 2000), .headTooLarge),
        ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 20000), .headTooLarge),
        ("HTTP/1.1 200 OK\r\n" + String(repeating: "X: a\r\n", count: 101), .tooManyFields),
    ]

    @Test("A hostile backend's heads are refused", arguments: refused)
    func refuses(message: String, fault: ParseFault) {
        #expect(parseResponse(latin1(message)).fault == fault)
    }

    @Test("A reason may be empty, with or without its space, and beyond ASCII")
    func reasons() {
        #expect(response("200 ").message?.reason == "")
        #expect(response("200").message?.reason == "")
        #expect(parseResponse(latin1("HTTP/1.1 500 \u{C3}\u{A4}\t!\r\n\r\n")).message?.reason == "ä\t!")
    }

    @Test("101 passes where an upgrade was asked for")
    func upgrade() {
        #expect(response("101 Switching Protocols", upgrade: true).message?.status == 101)
        func agreed(_ lines: String..., version: String = "1.1") -> Upgrade? {
            let head = "HTTP/\(version) 101 Some\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
            return parseResponse(latin1(head), allowsUpgrade: true).message?.upgrade
        }
        #expect(agreed("Connection: upgrade", "Upgrade: WebSocket") == .websocket)
        #expect(agreed("Connection: upgrade", "Upgrade: websocket", version: "1.0") == Upgrade.none)
        #expect(agreed("Upgrade: websocket") == Upgrade.none)
        #expect(agreed("Connection: upgrade") == Upgrade.none)
        #expect(agreed("Connection: upgrade", "Upgrade: h2c") == .h2c)
        #expect(agreed("Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c") == .other)
    }

    @Test("Fields of the hop are marked in responses too")
    func hopByHop() {
        let message = response(
            "200 OK", "Connection: x-a", "X-A: 1", "Keep-Alive: timeout=5", "X-B: 2", "Content-Length: 0"
        ).message
        #expect(
            message?.fields.filter(\.hopByHop).map(\.name) == ["Connection", "X-A", "Keep-Alive", "Content-Length"])
    }
}
