import Testing

@testable import HTTP1

/// Writes a head with room for `capacity` bytes; nil unless it was written.
func written(capacity: Int = 4096, _ write: (inout HeadWriter) -> Void) -> (text: String?, outcome: WriteOutcome) {
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: max(capacity, 1))
    defer { buffer.deallocate() }
    var writer = HeadWriter(buffer, capacity: capacity)
    write(&writer)
    let outcome = writer.finish()
    guard case .written(let count) = outcome else { return (nil, outcome) }
    return (text(sluice_bytes(data: buffer, size: count)), outcome)
}

/// Parses a request and hands it to `body` with its bytes still there.
func withRequest<Result>(_ message: String, _ body: (RequestHead) throws -> Result) throws -> Result {
    let bytes = latin1(message)
    let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: 128)
    defer { fields.deallocate() }
    return try bytes.withUnsafeBufferPointer { buffer in
        var head = RequestHead(fields: fields)
        var progress = HeadProgress()
        let start = try #require(buffer.baseAddress)
        let outcome = HeadParser().parseRequest(
            start, count: buffer.count, fields: fields, into: &head, progress: &progress)
        try #require(outcome == .complete)
        return try body(head)
    }
}

@Suite("Written heads")
struct WriterTests {
    static let request =
        "POST http://b.example/p?q HTTP/1.0\r\nHost: b.example\r\nAccept:\t*/*  \r\nX-A: 1\r\nX-B: 2\r\n"
        + "Connection: keep-alive, X-C\r\nX-C: 3\r\nX-D:\r\nContent-Length: 0005\r\nX-E: 4\r\n\r\n"

    static let forwarded =
        "POST /p?q HTTP/1.1\r\nHost: b.example\r\nAccept: */*\r\nX-A: 1\r\nX-B: 2\r\nX-D: \r\nX-E: 4\r\n"
        + "Via: 1.0 sluice\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"

    private func forward(_ head: RequestHead, _ writer: inout HeadWriter) {
        writer.appendRequestLine(head)
        writer.appendFields(head.fields, except: head.fields.hopByHop)
        writer.appendField("Via", ("1.0 sluice" as StaticString).bytes)
        writer.appendFraming(head.body)
        writer.appendConnection(close: true)
    }

    @Test("A request is forwarded in one form, without what belongs to the hop")
    func forwards() throws {
        try withRequest(Self.request) { head in
            #expect(written { forward(head, &$0) }.text == Self.forwarded)
        }
    }

    @Test("A head fits or does not, to the byte")
    func capacity() throws {
        try withRequest(Self.request) { head in
            let size = Self.forwarded.utf8.count
            for capacity in 0..<size {
                #expect(written(capacity: capacity) { forward(head, &$0) }.outcome == .doesNotFit, "\(capacity)")
            }
            #expect(written(capacity: size) { forward(head, &$0) }.outcome == .written(size))
        }
    }

    @Test("Status lines have the usual reason or the backend's")
    func statusLines() {
        #expect(written { $0.appendStatusLine(200) }.text == "HTTP/1.1 200 OK\r\n\r\n")
        #expect(written { $0.appendStatusLine(404) }.text == "HTTP/1.1 404 Not Found\r\n\r\n")
        #expect(written { $0.appendStatusLine(299) }.text == "HTTP/1.1 299 \r\n\r\n")
        let reason: StaticString = "All Well"
        #expect(written { $0.appendStatusLine(200, reason: reason.bytes) }.text == "HTTP/1.1 200 All Well\r\n\r\n")
        for reason in ["OK", "ok", "No"] {
            let text = withBytes(reason) { reason in written { $0.appendStatusLine(200, reason: reason) }.text }
            #expect(text == "HTTP/1.1 200 \(reason)\r\n\r\n")
        }
        #expect(written { $0.appendStatusLine(99) }.outcome == .malformed)
        #expect(written { $0.appendStatusLine(600) }.outcome == .malformed)
    }

    @Test("Framing fields come from the framing alone")
    func framing() {
        let cases: [(BodyFraming, String)] = [
            (.none, "\r\n"), (.untilClose, "\r\n"), (.chunked, "Transfer-Encoding: chunked\r\n\r\n"),
            (.length(0), "Content-Length: 0\r\n\r\n"), (.length(9), "Content-Length: 9\r\n\r\n"),
            (.length(10), "Content-Length: 10\r\n\r\n"),
            (.length(.max), "Content-Length: 18446744073709551615\r\n\r\n"),
        ]
        for (body, expected) in cases { #expect(written { $0.appendFraming(body) }.text == expected) }
        // Around each power of ten, where a number gets a digit more.
        var power: UInt64 = 10
        for _ in 0..<19 {
            for number in [power - 1, power, power + 1] {
                let text = written { $0.appendFraming(.length(number)) }.text
                #expect(text == "Content-Length: \(number)\r\n\r\n")
            }
            power = power.multipliedReportingOverflow(by: 10).partialValue
        }
        // Those of up to four digits are written in another way than larger ones.
        for number: UInt64 in 0...10_010 {
            let text = written { $0.appendFraming(.length(number)) }.text
            #expect(text == "Content-Length: \(number)\r\n\r\n")
        }
    }

    @Test("What a plugin makes can't break a message")
    func checked() {
        func outcome(_ name: String, _ value: String) -> (text: String?, outcome: WriteOutcome) {
            withBytes(name) { name in
                withBytes(value) { value in written { $0.appendField(sluice_field(name: name, value: value)) } }
            }
        }
        #expect(outcome("X-Tenant", "vip \u{E4}\t1").outcome == .written(21))
        #expect(outcome("X-Tenant", "").text == "X-Tenant: \r\n\r\n")
        for value in ["a\r\nX: y", "a\nb", "a\rb", "\0", "\u{7F}"] {
            #expect(outcome("X", value).outcome == .malformed)
        }
        for name in ["", "a b", "a:", "a\r\n", "\u{E4}"] { #expect(outcome(name, "x").outcome == .malformed) }
        for name in ["Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Keep-Alive"] {
            #expect(outcome(name, "5").text == "\r\n")
        }
        func line(_ method: String, _ path: String, _ query: String?) -> WriteOutcome {
            withBytes(method) { method in
                withBytes(path) { path in
                    withBytes(query ?? "") { queryBytes in
                        written {
                            $0.appendRequestLine(
                                method: method, path: path, query: query == nil ? sluice_bytes() : queryBytes)
                        }.outcome
                    }
                }
            }
        }
        #expect(line("GET", "/a", nil) == .written(19))
        #expect(line("GET", "/a", "") == .written(20))
        #expect(line("OPTIONS", "*", nil) == .written(22))
        for path in ["", "a", "/a b", "/a?b", "/\r\n", "/#"] { #expect(line("GET", path, nil) == .malformed) }
        for method in ["", "G T", "GET\r"] { #expect(line(method, "/", nil) == .malformed) }
        #expect(line("GET", "/", "a b") == .malformed)
    }

    @Test("A field that a plugin put into the parsed ones is written, and checked")
    func replacedFields() throws {
        try withRequest("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\n\r\n") { head in
            withBytes("new") { value in
                head.fields.base[1].value = value
                let text = written { $0.appendFields(head.fields, except: FieldMask()) }.text
                #expect(text == "Host: a\r\nX-A: new\r\nX-B: 2\r\n\r\n")
            }
            withBytes("new\r\nX: y") { value in
                head.fields.base[1].value = value
                #expect(written { $0.appendFields(head.fields, except: FieldMask()) }.outcome == .malformed)
            }
        }
    }

    private func withBytes<Result>(_ text: String, _ body: (sluice_bytes) -> Result) -> Result {
        let bytes = latin1(text) + [0]
        return bytes.withUnsafeBufferPointer { body(sluice_bytes(data: $0.baseAddress, size: bytes.count - 1)) }
    }
}
