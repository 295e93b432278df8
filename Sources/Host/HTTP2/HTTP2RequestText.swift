import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Room for the fields of one message on their way to libnghttp2, which copies the list. A worker has one: on the
/// stack, at 40 bytes each, they would be beyond what Swift puts there, and be allocated for each message.
struct HTTP2FieldList {
    /// As many as a head may have, and those that the gateway and its plugins add.
    static let capacity = 192

    let start: UnsafeMutablePointer<nghttp2_nv> = .allocate(capacity: capacity)

    func deallocate() { start.deallocate() }
}

/// The head of a request, written for HTTP/1.1, as the field list of HTTP/2 (RFC 9113 §8.3.1).
enum HTTP2RequestText {
    /// Calls `body` with the fields, in `list`; their bytes are those of `text`, names folded to lower case in place.
    /// libnghttp2 copies none of them: `text` has to stay until it has sent the header block, or closed the stream.
    /// Fields of one connection of HTTP/1.1 are left out (§8.2.2). -1 when it is not called: there are too many fields.
    static func withFields(
        of text: Buffer, isSecured: Bool, wantsTrailers: Bool, in list: HTTP2FieldList,
        _ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> Int32
    ) -> Int32 {
        var cursor = text.head
        let end = text.tail
        guard let method = word(&cursor, end), let path = word(&cursor, end) else { return -1 }
        guard let lineEnd = memchr(cursor, 0x0A, end - cursor) else { return -1 }
        cursor = lineEnd.assumingMemoryBound(to: UInt8.self) + 1
        let list = list.start
        set(list, ":method", method)
        set(list + 1, ":scheme", sluice_bytes(isSecured ? "https" : "http"))
        set(list + 2, ":path", path)
        // Pseudo-header fields come first: the place of :authority is kept until Host is found.
        set(list + 3, ":authority", .empty)
        var count = 4
        while cursor < end {
            guard let found = memchr(cursor, 0x0D, end - cursor) else { break }
            let line = cursor
            let lineEnd = found.assumingMemoryBound(to: UInt8.self)
            cursor = min(lineEnd + 2, end)
            guard lineEnd > line, let colon = memchr(line, 0x3A, lineEnd - line) else { continue }
            let size = colon.assumingMemoryBound(to: UInt8.self) - line
            for place in 0..<size where line[place] &- 0x41 < 26 { line[place] |= 0x20 }
            var value = line + size + 1
            while value < lineEnd, value[0] == 0x20 || value[0] == 0x09 { value += 1 }
            let name = sluice_bytes(line.asImmutable, size)
            let content = sluice_bytes(value.asImmutable, lineEnd - value)
            if name == sluice_bytes("host") {
                set(list + 3, ":authority", content)
                continue
            }
            guard !isOfConnection(name) else { continue }
            guard count < HTTP2FieldList.capacity - 1 else { return -1 }
            set(list + count, name, content)
            count += 1
        }
        if wantsTrailers {
            set(list + count, sluice_bytes("te"), sluice_bytes("trailers"))
            count += 1
        }
        return body(list, count)
    }

    private static func word(_ cursor: inout UnsafeMutablePointer<UInt8>, _ end: UnsafeMutablePointer<UInt8>)
        -> sluice_bytes?
    {
        guard let found = memchr(cursor, 0x20, end - cursor)?.assumingMemoryBound(to: UInt8.self) else { return nil }
        let word = sluice_bytes(cursor.asImmutable, found - cursor)
        cursor = found + 1
        return word
    }

    private static func isOfConnection(_ name: sluice_bytes) -> Bool {
        switch name.size {
        case 2: name == sluice_bytes("te")
        case 7: name == sluice_bytes("upgrade")
        case 10: name == sluice_bytes("connection") || name == sluice_bytes("keep-alive")
        case 16: name == sluice_bytes("proxy-connection")
        case 17: name == sluice_bytes("transfer-encoding")
        default: false
        }
    }

    private static var uncopied: UInt8 {
        UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
    }

    private static func set(_ field: UnsafeMutablePointer<nghttp2_nv>, _ name: StaticString, _ value: sluice_bytes) {
        set(field, sluice_bytes(name), value)
    }

    private static func set(_ field: UnsafeMutablePointer<nghttp2_nv>, _ name: sluice_bytes, _ value: sluice_bytes) {
        // Not nil, as nothing says that libnghttp2 takes that for an empty value that it does not copy.
        let content = value.data ?? name.data
        field.initialize(
            to: nghttp2_nv(
                name: UnsafeMutablePointer(mutating: name.data), value: UnsafeMutablePointer(mutating: content),
                namelen: name.size, valuelen: value.size, flags: uncopied))
    }
}
