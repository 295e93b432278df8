// What gRPC puts into fields and before messages: prefixes, timeouts, status codes and messages, and trailer lines.
import FuzzDriver
import HTTP1

func copy(_ bytes: sluice_bytes) -> [UInt8] { Array(UnsafeBufferPointer(start: bytes.data, count: bytes.size)) }

/// What `body` writes into `size` bytes of room.
func written(_ size: Int, _ body: (inout ByteWriter) -> Void) -> [UInt8] {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: size)
    body(&writer)
    expect(!writer.isCut, "what is written fits")
    return copy(writer.bytes)
}

/// Calls `body` with a view of memory of the view's exact size.
func withView<Answer>(_ bytes: some Collection<UInt8>, _ body: (sluice_bytes) -> Answer) -> Answer {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { memory.deallocate() }
    _ = memory.initialize(from: bytes)
    return body(sluice_bytes(data: UnsafePointer(memory.baseAddress), size: bytes.count))
}

func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

// MARK: Messages

func checkFrame(_ bytes: [UInt8]) {
    withView(bytes) { input in
        guard let data = input.data else { return }
        let declared = bytes.count < 5 ? nil : 5 + bytes[1..<5].reduce(0) { $0 << 8 | Int($1) }
        let first = GRPCFrame.firstSize(data, input.size)
        expect(first == declared, "a message is of the size that its prefix says")
        for alone in [false, true] {
            let isWhole = first.map { alone ? $0 == input.size : $0 <= input.size } ?? false
            guard let message = try? GRPCFrame.message(input, alone: alone) else {
                expect(!isWhole || data[0] > 1, "what is refused is no message")
                continue
            }
            expect(isWhole && data[0] == (message.isCompressed ? 1 : 0), "a message is whole, and as it says")
            let content = message.content
            expect(content.data == data + 5 && content.size + 5 == first, "a message lies behind its prefix")
        }
    }
    let prefix = UnsafeMutablePointer<UInt8>.allocate(capacity: GRPCFrame.prefixSize)
    defer { prefix.deallocate() }
    GRPCFrame.writePrefix(bytes.count, to: prefix)
    let framed = Array(UnsafeBufferPointer(start: prefix, count: GRPCFrame.prefixSize)) + bytes
    let message = withView(framed) { view in (try? GRPCFrame.message(view, alone: true)).map { copy($0.content) } }
    expect(message == bytes, "what gets a prefix is read back")
}

// MARK: Timeouts

func unit(_ letter: UInt8?) -> UInt64? {
    switch letter {
    case UInt8(ascii: "n"): 1
    case UInt8(ascii: "u"): 1_000
    case UInt8(ascii: "m"): 1_000_000
    case UInt8(ascii: "S"): 1_000_000_000
    case UInt8(ascii: "M"): 60_000_000_000
    case UInt8(ascii: "H"): 3_600_000_000_000
    default: nil
    }
}

func checkWritten(_ nanoseconds: UInt64) {
    let text = written(9) { GRPCTimeout.write(nanoseconds, to: &$0) }
    let again = withView(text) { GRPCTimeout.parse($0) }
    guard let again, let unit = unit(text.last) else {
        return expect(false, "what is written is a timeout")
    }
    expect(again >= nanoseconds, "a timeout is not cut short")
    expect(again - nanoseconds < unit, "a timeout is rounded within its unit")
    if nanoseconds < 99_999_999 { expect(again == nanoseconds, "what fits is written as it is") }
}

func checkTimeout(_ text: ArraySlice<UInt8>) {
    let value = withView(text) { GRPCTimeout.parse($0) }
    let digits = text.dropLast()
    guard (1...8).contains(digits.count), digits.allSatisfy(isDigit), let unit = unit(text.last) else {
        return expect(value == nil, "what is no timeout is none")
    }
    let number = digits.reduce(0) { $0 * 10 + UInt64($1 - 48) }
    let (product, overflow) = number.multipliedReportingOverflow(by: unit)
    expect(value == (overflow ? .max : product), "a timeout is its number of units")
    checkWritten(overflow ? .max : product)
}

// MARK: Status

func decoded(_ text: [UInt8]) -> [UInt8] {
    withView(text) { view in
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: view.size)
        defer { room.deallocate() }
        return copy(GRPCStatus.decode(message: view, into: room))
    }
}

func checkMessage(_ message: [UInt8]) {
    let text = withView(message) { view in written(3 * view.size) { GRPCStatus.write(message: view, to: &$0) } }
    expect(text.allSatisfy { (0x20...0x7E).contains($0) }, "a message is printable")
    expect(decoded(text) == message, "decoding undoes encoding")
}

func checkCode(_ text: ArraySlice<UInt8>) {
    let status = withView(text) { GRPCStatus.parse($0) }
    guard (1...2).contains(text.count), text.allSatisfy(isDigit) else {
        return expect(status == nil, "what is no status code is none")
    }
    let number = text.reduce(0) { $0 * 10 + UInt64($1 - 48) }
    expect(status.map { GRPCStatus.code(of: $0) } == (number > 16 ? 2 : number), "a status code is kept, or UNKNOWN")
}

func checkLines(_ bytes: [UInt8]) {
    withView(bytes) { view in
        _ = GRPCStatus.isContentType(view)
        guard view.size > 0, let data = view.data else { return }
        let lines = Buffer(base: UnsafeMutablePointer(mutating: data), capacity: view.size, start: 0, end: view.size)
        for name: StaticString in ["grpc-status", "grpc-message"] {
            guard let value = GRPCStatus.value(of: name, in: lines), let start = value.data else { continue }
            expect(start > data && start + value.size <= data + view.size, "a value lies within its lines")
            let read = copy(value)
            expect(!read.contains(13) && read.first != 0x20, "a value is of one line")
        }
    }
}

fuzz { data, count in
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    checkFrame(bytes)
    for size in 0...min(count, 10) { checkTimeout(bytes[..<size]) }
    checkWritten(bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    for size in 0...min(count, 3) { checkCode(bytes[..<size]) }
    checkMessage(bytes)
    checkMessage(decoded(bytes))
    checkLines(bytes)
    return 0
}
