import SluiceABI
import Testing

@testable import Host

@Suite struct HTTP2HeadTests {
    /// Every byte at every place of texts of every size up to five words of eight.
    @Test func whatEndsALineIsFoundWhereverItStands() {
        for size in 0...40 {
            let fine = [UInt8](repeating: 0x61, count: size)
            #expect(isOneLine(fine))
            for place in 0..<size {
                for byte in UInt8.min...UInt8.max {
                    var text = fine
                    text[place] = byte
                    let isFine = byte != 0 && byte != 0x0A && byte != 0x0D
                    if isOneLine(text) != isFine { Issue.record("byte \(byte) at \(place) of \(size)") }
                }
            }
        }
        #expect(HTTP2Head.isOneLine(.empty))
    }

    private func isOneLine(_ text: [UInt8]) -> Bool {
        text.withUnsafeBufferPointer { HTTP2Head.isOneLine(sluice_bytes(data: $0.baseAddress, size: $0.count)) }
    }

    private func add(_ fields: [(String, String)], to head: inout HTTP2Head, _ pool: inout BufferPool) {
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBufferPointer { name in
                Array(value.utf8).withUnsafeBufferPointer { value in
                    head.add(
                        sluice_bytes(data: name.baseAddress, size: name.count),
                        sluice_bytes(data: value.baseAddress, size: value.count), &pool)
                }
            }
        }
    }

    /// A Host beside `:authority` says the same or is refused; the letters of a host have no case (RFC 9110 §4.2.3).
    @Test(arguments: [
        ("a.test", true), ("A.tEst", true), ("b.test", false), ("a.test:80", false), ("a.test.", false), ("", false),
    ]) func hostAgreesWithAuthority(_ host: String, _ agrees: Bool) {
        var pool = BufferPool(spareBytes: 0)
        var head = HTTP2Head(limit: 4_096)
        add(
            [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), ("host", host)],
            to: &head, &pool)
        #expect(head.fault == (agrees ? nil : .malformed))
        head.release(&pool)
    }

    @Test func fieldsAreLinesOfText() throws {
        var pool = BufferPool(spareBytes: 0)
        var head = HTTP2Head(limit: 4_096)
        add(
            [
                (":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x?y=1"), ("x-empty", ""),
                ("x-long", String(repeating: "v", count: 300)), ("cookie", "a=1"), ("cookie", "b=2"),
            ], to: &head, &pool)
        let finished = head.finish(&pool)
        let whole = try #require(finished)
        let text = String(decoding: UnsafeBufferPointer(start: whole.head, count: whole.count), as: UTF8.self)
        #expect(
            text == "GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\nx-empty: \r\nx-long: "
                + String(repeating: "v", count: 300) + "\r\ncookie: a=1; b=2\r\n\r\n")
        pool.give(whole)
        let inUse = pool.inUse
        #expect(inUse == (0, 0, 0, 0))
    }
}
