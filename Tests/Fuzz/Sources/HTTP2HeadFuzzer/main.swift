// Header blocks of HTTP/2: one becomes the head of one HTTP/1.1 request that says the same, or is refused for a reason.
import CNGHTTP2
import FuzzDriver
import HTTP1

struct Line: Equatable {
    var name: [UInt8]
    var value: [UInt8]

    init(_ name: [UInt8], _ value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// Names that have a meaning of their own, to the block or to the parser behind it.
let names = [
    ":method", ":path", ":authority", ":scheme", "host", "cookie", "content-length", "te", "transfer-encoding",
    "connection", "upgrade", "expect", "accept", "content-type", "x",
].map { Array($0.utf8) }

/// The input as a limit and a header block: for each field a name and a value, before each its size in a byte. A size
/// of 128 and more is one of `names`; a value's of 192 and more means that many times 64 of the byte behind it.
struct Input {
    let limit: Int
    var lines: [Line] = []
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
        limit = 64 * (1 + Int(rest.popFirst() ?? 255))
        while let first = rest.popFirst() {
            let name = first >= 128 ? names[Int(first & 127) % names.count] : take(Int(first))
            let size = Int(rest.popFirst() ?? 0)
            let value =
                size >= 192
                ? [UInt8](repeating: rest.popFirst() ?? 97, count: (size - 191) * 64) : take(size)
            if Self.mayCome(name) { lines.append(Line(name, value)) }
        }
    }

    private mutating func take(_ size: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(size) }
        return Array(rest.prefix(size))
    }

    /// libnghttp2 hands over no other names: tokens without capitals, and the pseudo-header fields of a request.
    private static func mayCome(_ name: [UInt8]) -> Bool {
        if name.first == UInt8(ascii: ":") { return names[..<4].contains(name) }
        return !name.isEmpty && nghttp2_check_header_name(name, name.count) != 0
    }
}

/// What RFC 9113 §8.3 makes of the block.
struct Expected {
    let method, target: [UInt8]
    let authority: [UInt8]?
    let isSound: Bool
    let size: Int
    /// As they stand in HTTP/1.1, Host first and the cookies in one field.
    var fields: [Line] = []

    init(_ input: Input) {
        let lines = input.lines
        func last(_ name: Int) -> [UInt8]? { lines.last { $0.name == names[name] }?.value }
        let regular = lines.filter { $0.name.first != UInt8(ascii: ":") }
        let (path, host) = (last(1) ?? [], last(2))
        method = last(0) ?? []
        target = path.isEmpty ? host ?? [] : path
        authority = host
        size = lines.reduce(0) { $0 + $1.name.count + $1.value.count + 32 }
        let firstRegular = lines.firstIndex { $0.name.first != UInt8(ascii: ":") } ?? lines.count
        isSound =
            size <= input.limit && !method.isEmpty && !target.isEmpty
            && lines[firstRegular...].count == regular.count
            && lines.allSatisfy { $0.value.allSatisfy { $0 != 0 && $0 != 10 && $0 != 13 } }
            && (host == nil || regular.allSatisfy { $0.name != names[4] || $0.value == host })
        if let host { fields.append(Line(names[4], host)) }
        fields += regular.filter { $0.name != names[5] && ($0.name != names[4] || host == nil) }
        let cookies = regular.filter { $0.name == names[5] }.map(\.value)
        if !cookies.isEmpty { fields.append(Line(names[5], Array(cookies.joined(separator: "; ".utf8)))) }
    }

    var text: [UInt8] {
        fields.reduce(method + " ".utf8 + target + " HTTP/1.1\r\n".utf8) {
            $0 + $1.name + ": ".utf8 + $1.value + "\r\n".utf8
        } + "\r\n".utf8
    }
}

/// Without the white space around it, which no parser counts to a value.
func trimmed(_ value: [UInt8]) -> [UInt8] {
    func isWhite(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    let front = value.drop(while: isWhite)
    return Array(front[..<((front.lastIndex { !isWhite($0) } ?? front.startIndex - 1) + 1)])
}

func copy(_ bytes: sluice_bytes) -> [UInt8] { Array(UnsafeBufferPointer(start: bytes.data, count: bytes.size)) }

/// Calls `body` with a view of memory of the view's exact size.
func withView(_ bytes: [UInt8], _ body: (sluice_bytes) -> Void) {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
    defer { memory.deallocate() }
    memory.update(from: bytes, count: bytes.count)
    body(sluice_bytes(memory.asImmutable, bytes.count))
}

/// Reads `text` as a listener of HTTP/1.1 would.
func check(_ text: sluice_bytes, _ expected: Expected) {
    let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: FieldSection.countAtMost)
    defer { fields.deallocate() }
    var head = RequestHead(fields: fields)
    var progress = HeadProgress()
    let limits = HeadLimits(headerBytes: 1 << 16, fieldCount: FieldSection.countAtMost, targetBytes: 1 << 16)
    let outcome = HeadParser(limits: limits).parseRequest(
        text.data.unsafelyUnwrapped, count: text.size, fields: fields, into: &head, progress: &progress)
    expect(outcome != .needMore, "a head is whole")
    guard outcome == .complete else { return }
    expect(head.headSize == text.size, "a block is one request, and nothing behind it")
    expect(head.minorVersion == 1, "a request is of HTTP/1.1")
    expect(copy(head.method) == expected.method, "the method is that of the block")
    expect(copy(head.target) == expected.target, "the target is that of the block")
    if let authority = expected.authority {
        expect(copy(head.authority) == trimmed(authority), "the authority is that of the block")
    }
    let read = (0..<head.fields.count).map { Line(copy(head.fields[$0].name), copy(head.fields[$0].value)) }
    expect(read == expected.fields.map { Line($0.name, trimmed($0.value)) }, "the fields are those of the block")
}

/// Memory of all inputs, as of all requests of a worker.
enum Memory {
    nonisolated(unsafe) static var pool = BufferPool(spareBytes: 1 << 20)
}

fuzz { data, count in
    let input = Input(Array(UnsafeBufferPointer(start: data, count: count)))
    let expected = Expected(input)
    var head = HTTP2Head(limit: input.limit)
    for line in input.lines {
        withView(line.name) { name in withView(line.value) { value in head.add(name, value, &Memory.pool) } }
    }
    let text = head.finish(&Memory.pool)
    expect((text != nil) == expected.isSound, "a block is refused for a reason, and for no other cause")
    expect((text == nil) == (head.fault != nil), "what is refused has a fault")
    if head.fault == .tooLarge { expect(expected.size > input.limit, "what is too large is beyond the limit") }
    head.release(&Memory.pool)
    if let text {
        expect(Memory.pool.bytesInUse == text.capacity, "the head alone is held")
        let bytes = copy(sluice_bytes(text.head.asImmutable, text.count))
        expect(bytes == expected.text, "a head is its request line and a line for each field")
        withView(bytes) { check($0, expected) }
        Memory.pool.give(text)
    }
    expect(Memory.pool.bytesInUse == 0, "all memory is given back")
    return 0
}
