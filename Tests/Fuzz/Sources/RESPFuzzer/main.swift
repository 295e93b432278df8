// Replies of Redis: what is taken is within bounds, does not depend on what follows, and is not there before it is
// whole; written anew it reads the same.
import FuzzDriver
import RateLimitProtocol

func written(_ value: RESPValue) -> [UInt8] {
    switch value {
    case .simple(let text): return Array("+\(text)\r\n".utf8)
    case .error(let text): return Array("-\(text)\r\n".utf8)
    case .integer(let number): return Array(":\(number)\r\n".utf8)
    case .bulk(nil): return Array("$-1\r\n".utf8)
    case .bulk(let bytes?): return Array("$\(bytes.count)\r\n".utf8) + bytes + [0x0D, 0x0A]
    case .array(nil): return Array("*-1\r\n".utf8)
    case .array(let values?): return values.reduce(Array("*\(values.count)\r\n".utf8)) { $0 + written($1) }
    }
}

/// Texts that were no UTF-8 have grown by their replacements, beyond what a line may have.
func isPlain(_ value: RESPValue) -> Bool {
    switch value {
    case .simple(let text), .error(let text): !text.unicodeScalars.contains("\u{FFFD}")
    case .array(let values?): values.allSatisfy(isPlain)
    case .integer, .bulk, .array: true
    }
}

fuzz { data, count in
    let bytes = UnsafeRawBufferPointer(start: data, count: count)
    guard case .value(let value, let size) = RESPReader.first(in: bytes) else { return 0 }
    expect(size > 0 && size <= count, "a reply lies within what came")
    expect(
        RESPReader.first(in: UnsafeRawBufferPointer(rebasing: bytes[..<size])) == .value(value, size: size),
        "what follows makes no difference")
    for cut in [0, size / 2, size - 1] {
        let part = RESPReader.first(in: UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
        expect(part == .incomplete, "a reply is not there before it is whole")
    }
    if isPlain(value) {
        let again = written(value)
        expect(
            again.withUnsafeBytes { RESPReader.first(in: $0) } == .value(value, size: again.count),
            "what was read can be written and read again")
    }
    _ = FleetStore.answer(value, count: 2)
    return 0
}
