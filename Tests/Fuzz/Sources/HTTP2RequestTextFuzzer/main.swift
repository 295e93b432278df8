// Heads of HTTP/1.1 as field lists of HTTP/2: whatever the text, the list is of its bytes and may be sent, and it says
// what the strict parser reads in the text.
import CNGHTTP2
import FuzzDriver
import HTTP1

struct Line: Equatable {
    var name: [UInt8]
    var value: [UInt8]
}

/// RFC 9113 §8.2.2, and `te`, which is said anew.
let ofConnection = [
    "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade",
].map { Array($0.utf8) }

func copy(_ bytes: sluice_bytes) -> [UInt8] { Array(UnsafeBufferPointer(start: bytes.data, count: bytes.size)) }

func lowercased(_ name: [UInt8]) -> [UInt8] { name.map { (65...90).contains($0) ? $0 | 0x20 : $0 } }

/// The list that the strict parser's reading of the text gives, without `te`; nil when it is no head of a request
/// alone. No head that the gateway writes begins with an empty line.
func expected(_ data: UnsafePointer<UInt8>, _ count: Int) -> [Line]? {
    let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: FieldSection.countAtMost)
    defer { fields.deallocate() }
    var head = RequestHead(fields: fields)
    var progress = HeadProgress()
    let limits = HeadLimits(headerBytes: 1 << 16, fieldCount: FieldSection.countAtMost, targetBytes: 1 << 16)
    let outcome = HeadParser(limits: limits).parseRequest(
        data, count: count, fields: fields, into: &head, progress: &progress)
    guard outcome == .complete, head.headSize == count, data[0] != 13 else { return nil }
    let read = (0..<head.fields.count).map {
        Line(name: lowercased(copy(head.fields[$0].name)), value: copy(head.fields[$0].value))
    }
    let host = Array("host".utf8)
    return [
        Line(name: Array(":method".utf8), value: copy(head.method)),
        Line(name: Array(":path".utf8), value: copy(head.target)),
        Line(name: Array(":authority".utf8), value: read.last { $0.name == host }?.value ?? []),
    ] + read.filter { $0.name != host && !ofConnection.contains($0.name) }
}

func check(_ field: nghttp2_nv, at index: Int, of count: Int, in text: Buffer, wantsTrailers: Bool) -> Line {
    func isInText(_ start: UnsafeMutablePointer<UInt8>?, _ size: Int) -> Bool {
        guard size > 0, let start else { return size == 0 }
        return start >= text.head && start + size <= text.tail
    }
    let line = Line(
        name: Array(UnsafeBufferPointer(start: field.name, count: field.namelen)),
        value: Array(UnsafeBufferPointer(start: field.value, count: field.valuelen)))
    let isTrailers = wantsTrailers && index == count - 1
    if index < 4 {
        expect(line.name.first == UInt8(ascii: ":"), "pseudo-header fields come first")
    } else if isTrailers {
        expect(line.name == Array("te".utf8) && line.value == Array("trailers".utf8), "trailers are asked for")
    } else {
        expect(isInText(field.name, field.namelen), "a name is of the text")
        expect(!ofConnection.contains(line.name), "no field is of a connection")
    }
    if index != 1, !isTrailers { expect(isInText(field.value, field.valuelen), "a value is of the text") }
    expect(!line.name.contains { (65...90).contains($0) }, "a name has no capitals")
    return line
}

fuzz { data, count in
    guard let data, count > 0 else { return 0 }
    let wanted = expected(data, count)
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
    defer { memory.deallocate() }
    memory.update(from: data, count: count)
    let text = Buffer(base: memory, capacity: count, start: 0, end: count)
    let (isSecured, wantsTrailers) = (count & 1 == 1, count & 2 == 2)
    var made: [Line]?
    let fields = HTTP2FieldList()
    defer { fields.deallocate() }
    let answer = HTTP2RequestText.withFields(
        of: text, isSecured: isSecured, wantsTrailers: wantsTrailers, in: fields
    ) { list, size in
        expect(size >= (wantsTrailers ? 5 : 4) && size <= 192, "a list has its bounds")
        made = (0..<size).map { check(list[$0], at: $0, of: size, in: text, wantsTrailers: wantsTrailers) }
        return 7
    }
    expect(answer == (made == nil ? -1 : 7), "the answer is that of the body, or none")
    guard var made else {
        expect(wanted == nil, "a head of a request becomes a list")
        return 0
    }
    let scheme = made.remove(at: 1)
    expect(scheme == Line(name: Array(":scheme".utf8), value: Array((isSecured ? "https" : "http").utf8)), "a scheme")
    if wantsTrailers { made.removeLast() }
    guard let wanted else { return 0 }
    // White space at the end of a value is the writer's to leave out.
    let read = made.map { line in
        let end = line.value.lastIndex { $0 != 0x20 && $0 != 0x09 } ?? -1
        return Line(name: line.name, value: Array(line.value[...end]))
    }
    expect(read == wanted, "the list says what the parser reads")
    return 0
}
