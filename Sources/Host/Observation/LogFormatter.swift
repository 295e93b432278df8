import Glibc
import Logging

/// A log record as it lies in the ring: a fixed part, then source, message and metadata.
///
///     u64 wall clock in ns | u8 level | u8 0 | u16 source | u16 message | u16 metadata | bytes...
///
/// Metadata is pairs of u16 length and bytes.
enum LogRecord {
    static let fixedBytes = 16
    static let longestText = LogRing.longestRecord - fixedBytes

    static func write(
        _ record: UnsafeMutableRawBufferPointer, wallNs: UInt64, level: UInt8, source: UnsafeRawBufferPointer,
        message: UnsafeRawBufferPointer, metadata: UnsafeRawBufferPointer
    ) {
        record.storeBytes(of: wallNs, toByteOffset: 0, as: UInt64.self)
        record.storeBytes(of: level, toByteOffset: 8, as: UInt8.self)
        record.storeBytes(of: 0, toByteOffset: 9, as: UInt8.self)
        record.storeBytes(of: UInt16(source.count), toByteOffset: 10, as: UInt16.self)
        record.storeBytes(of: UInt16(message.count), toByteOffset: 12, as: UInt16.self)
        record.storeBytes(of: UInt16(metadata.count), toByteOffset: 14, as: UInt16.self)
        var place = fixedBytes
        for part in [source, message, metadata] where part.count > 0 {
            UnsafeMutableRawBufferPointer(rebasing: record[place..<place + part.count]).copyMemory(from: part)
            place += part.count
        }
    }
}

/// Turns records into lines, on the writer's thread.
struct LogFormatter {
    enum Format: UInt8, Sendable { case text, json }

    /// Levels as one byte, the most severe lowest, so that "is it written" is one comparison.
    static func rank(_ level: Logger.Level) -> UInt8 {
        switch level {
        case .critical: 0
        case .error: 1
        case .warning: 2
        case .notice: 3
        case .info: 4
        case .debug: 5
        case .trace: 6
        }
    }

    private static let levelNames = ["critical", "error", "warning", "notice", "info", "debug", "trace"]

    /// Appends the line of a record to `output`.
    static func append(_ record: UnsafeRawBufferPointer, as format: Format, to output: inout [UInt8]) {
        guard record.count >= LogRecord.fixedBytes else { return }
        let wallNs = record.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
        let rank = Int(record[8])
        let sizes = [10, 12, 14].map { Int(record.loadUnaligned(fromByteOffset: $0, as: UInt16.self)) }
        guard LogRecord.fixedBytes + sizes.reduce(0, +) <= record.count else { return }
        let source = LogRecord.fixedBytes..<LogRecord.fixedBytes + sizes[0]
        let message = source.upperBound..<source.upperBound + sizes[1]
        let metadata = pairs(record[message.upperBound..<message.upperBound + sizes[2]])
        let level = levelNames[min(rank, levelNames.count - 1)]
        switch format {
        case .text:
            appendTime(wallNs, to: &output)
            output.append(contentsOf: " \(level) ".utf8)
            appendPlain(record[source], to: &output)
            output.append(contentsOf: ": ".utf8)
            appendPlain(record[message], to: &output)
            for (key, value) in metadata {
                output.append(UInt8(ascii: " "))
                appendPlain(key, to: &output)
                output.append(UInt8(ascii: "="))
                appendPlain(value, to: &output)
            }
        case .json:
            output.append(contentsOf: "{\"time\":\"".utf8)
            appendTime(wallNs, to: &output)
            output.append(contentsOf: "\",\"level\":\"\(level)\",\"source\":".utf8)
            appendQuoted(record[source], to: &output)
            output.append(contentsOf: ",\"message\":".utf8)
            appendQuoted(record[message], to: &output)
            if !metadata.isEmpty {
                output.append(contentsOf: ",\"metadata\":{".utf8)
                for (index, pair) in metadata.enumerated() {
                    if index > 0 { output.append(UInt8(ascii: ",")) }
                    appendQuoted(pair.0, to: &output)
                    output.append(UInt8(ascii: ":"))
                    appendQuoted(pair.1, to: &output)
                }
                output.append(UInt8(ascii: "}"))
            }
            output.append(UInt8(ascii: "}"))
        }
        output.append(UInt8(ascii: "\n"))
    }

    private typealias Bytes = Slice<UnsafeRawBufferPointer>

    private static func pairs(_ bytes: Bytes) -> [(Bytes, Bytes)] {
        var parts: [Bytes] = []
        var rest = bytes
        while rest.count >= 2 {
            let size = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
            guard rest.count >= 2 + size else { break }
            parts.append(rest[rest.startIndex + 2..<rest.startIndex + 2 + size])
            rest = rest[(rest.startIndex + 2 + size)...]
        }
        return stride(from: 0, to: parts.count - 1, by: 2).map { (parts[$0], parts[$0 + 1]) }
    }

    /// RFC 3339 in UTC with milliseconds.
    private static func appendTime(_ wallNs: UInt64, to output: inout [UInt8]) {
        var seconds = time_t(wallNs / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: Int, _ count: Int) {
            let text = String(value)
            for _ in 0..<max(count - text.utf8.count, 0) { output.append(UInt8(ascii: "0")) }
            output.append(contentsOf: text.utf8)
        }
        digits(Int(parts.tm_year) + 1900, 4)
        output.append(UInt8(ascii: "-"))
        digits(Int(parts.tm_mon) + 1, 2)
        output.append(UInt8(ascii: "-"))
        digits(Int(parts.tm_mday), 2)
        output.append(UInt8(ascii: "T"))
        digits(Int(parts.tm_hour), 2)
        output.append(UInt8(ascii: ":"))
        digits(Int(parts.tm_min), 2)
        output.append(UInt8(ascii: ":"))
        digits(Int(parts.tm_sec), 2)
        output.append(UInt8(ascii: "."))
        digits(Int(wallNs / 1_000_000 % 1_000), 3)
        output.append(UInt8(ascii: "Z"))
    }

    /// Control characters, those of ISO 6429 in two bytes included, and what is no UTF-8 are shown escaped: a message
    /// can forge neither a line nor a terminal's commands, and the log stays text.
    private static func appendPlain(_ bytes: Bytes, to output: inout [UInt8]) {
        let hexadecimal = Array("0123456789abcdef".utf8)
        func escape(_ byte: UInt8) {
            output.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "x")])
            output.append(hexadecimal[Int(byte >> 4)])
            output.append(hexadecimal[Int(byte & 15)])
        }
        var place = bytes.startIndex
        while place < bytes.endIndex {
            let byte = bytes[place]
            if byte < 0x80 {
                if byte >= 0x20, byte != 0x7F { output.append(byte) } else { escape(byte) }
                place += 1
                continue
            }
            let size = characterSize(bytes[place...])
            let isControl = size == 2 && byte == 0xC2 && bytes[place + 1] < 0xA0
            for byte in bytes[place..<place + max(size, 1)] {
                if size == 0 || isControl { escape(byte) } else { output.append(byte) }
            }
            place += max(size, 1)
        }
    }

    /// Bytes of the character of UTF-8 beyond ASCII that `bytes` begins with; 0: none.
    private static func characterSize(_ bytes: Bytes) -> Int {
        var decoder = UTF8.ForwardParser()
        var rest = bytes.prefix(4).makeIterator()
        guard case .valid(let character) = decoder.parseScalar(from: &rest) else { return 0 }
        return character.count
    }

    private static func appendQuoted(_ bytes: Bytes, to output: inout [UInt8]) {
        JSONText.appendQuoted(String(decoding: bytes, as: UTF8.self), to: &output)
    }
}
