import SluiceABI
import SluicePlugin

extension JSONReader {
    /// Reads a string: a view of the text, or a copy in the arena when it has escapes.
    public mutating func string() throws(CodecFailure) -> sluice_bytes {
        let raw = try rawString()
        guard raw.hasEscapes else { return raw.bytes }
        let target = try arena.allocate(UInt8.self, count: raw.bytes.size)
        let size = try unescape(raw.bytes, to: target)
        return sluice_bytes(data: target, size: size)
    }

    /// Reads a string into `target`, which has room for its text (an escape is never shorter than what it stands for).
    ///
    /// - Returns: the size in bytes.
    mutating func string(
        into target: UnsafeMutablePointer<UInt8>, capacity: Int
    ) throws(CodecFailure) -> Int {
        let raw = try rawString()
        guard raw.bytes.size <= capacity else { throw fail("a string is longer than its tensor has room for") }
        if raw.hasEscapes {
            return try unescape(raw.bytes, to: target)
        }
        if let source = raw.bytes.data {
            target.update(from: source, count: raw.bytes.size)
        }
        return raw.bytes.size
    }

    mutating func skipString() throws(CodecFailure) {
        let raw = try rawString()
        if raw.hasEscapes {
            try checkEscapes(raw.bytes)
        }
    }

    private struct RawString {
        var bytes: sluice_bytes
        var hasEscapes: Bool
    }

    /// Finds the end of a string and checks its UTF-8; escapes are only seen.
    private mutating func rawString() throws(CodecFailure) -> RawString {
        skipWhitespace()
        guard cursor < end, cursor.pointee == UInt8(ascii: "\"") else { throw fail("expected a string") }
        let begin = cursor + 1
        var position = begin
        var hasEscapes = false
        while true {
            position = Self.skipPlain(position, end)
            guard position < end else { throw fail("a string does not end", at: begin - 1) }
            let byte = position.pointee
            if byte == UInt8(ascii: "\"") {
                break
            } else if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                // The escaped character may be a quotation mark: go past it.
                guard end - position >= 2 else { throw fail("a string does not end", at: begin - 1) }
                position += 2
            } else if byte < 0x20 {
                throw fail("a string has a control character in it", at: position)
            } else {
                let size = UTF8Sequence.size(at: position, end)
                guard size > 0 else { throw fail("a string is no UTF-8", at: position) }
                position += size
            }
        }
        cursor = position + 1
        return RawString(bytes: sluice_bytes(data: begin, size: position - begin), hasEscapes: hasEscapes)
    }

    /// The first byte that is a quotation mark, a backslash, a control character or not ASCII: eight at a time.
    @inline(__always)
    private static func skipPlain(
        _ begin: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> UnsafePointer<UInt8> {
        var position = begin
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while end - position >= 8 {
            let word = UInt64(littleEndian: UnsafeRawPointer(position).loadUnaligned(as: UInt64.self))
            let quotes = word ^ (ones &* 0x22)
            let backslashes = word ^ (ones &* 0x5C)
            // A byte's top bit is set by x - 1 where x is 0, by x - 0x20 where x is a control character, and where it
            // is not ASCII already. A borrow may mark a byte above the first one that is marked, never below it.
            let marks = ((quotes &- ones) | (backslashes &- ones) | (word &- ones &* 0x20) | word) & tops
            if marks != 0 {
                return position + marks.trailingZeroBitCount / 8
            }
            position += 8
        }
        while position < end {
            let byte = position.pointee
            if byte == 0x22 || byte == 0x5C || byte < 0x20 || byte >= 0x80 {
                break
            }
            position += 1
        }
        return position
    }

    private func unescape(
        _ text: sluice_bytes, to target: UnsafeMutablePointer<UInt8>
    ) throws(CodecFailure) -> Int {
        var size = 0
        guard var position = text.data else { return 0 }
        let textEnd = position + text.size
        while position < textEnd {
            if position.pointee == UInt8(ascii: "\\") {
                let scalar = try escape(&position, textEnd)
                size += UTF8Sequence.write(scalar, to: target + size)
            } else {
                target[size] = position.pointee
                size += 1
                position += 1
            }
        }
        return size
    }

    private func checkEscapes(_ text: sluice_bytes) throws(CodecFailure) {
        guard var position = text.data else { return }
        let textEnd = position + text.size
        while position < textEnd {
            if position.pointee == UInt8(ascii: "\\") {
                _ = try escape(&position, textEnd)
            } else {
                position += 1
            }
        }
    }

    /// Reads one escape (RFC 8259 §7), a pair of surrogates as one.
    private func escape(
        _ position: inout UnsafePointer<UInt8>, _ textEnd: UnsafePointer<UInt8>
    ) throws(CodecFailure) -> UInt32 {
        let begin = position
        guard textEnd - position >= 2 else { throw fail("a string has an escape that is cut off", at: begin) }
        let letter = position[1]
        position += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UInt32(letter)
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "u"): break
        default: throw fail("a string has an unknown escape", at: begin)
        }
        let unit = try hexUnit(&position, textEnd)
        guard unit >= 0xD800, unit <= 0xDFFF else { return unit }
        guard unit <= 0xDBFF, textEnd - position >= 6, position[0] == UInt8(ascii: "\\"),
            position[1] == UInt8(ascii: "u")
        else { throw fail("a string has half of a surrogate pair", at: begin) }
        position += 2
        let low = try hexUnit(&position, textEnd)
        guard low >= 0xDC00, low <= 0xDFFF else { throw fail("a string has half of a surrogate pair", at: begin) }
        return 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
    }

    private func hexUnit(
        _ position: inout UnsafePointer<UInt8>, _ textEnd: UnsafePointer<UInt8>
    ) throws(CodecFailure) -> UInt32 {
        guard textEnd - position >= 4 else { throw fail("a string has an escape that is cut off", at: position) }
        var unit: UInt32 = 0
        for index in 0..<4 {
            guard let digit = position[index].hexDigit else {
                throw fail("a string has an escape that is no hexadecimal number", at: position)
            }
            unit = unit << 4 | UInt32(digit)
        }
        position += 4
        return unit
    }
}

extension UInt8 {
    /// The value of a hexadecimal digit, or nil.
    public var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return self - UInt8(ascii: "A") + 10
        default: return nil
        }
    }
}

/// UTF-8 as RFC 3629 §4 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
public enum UTF8Sequence {
    /// The size of the sequence at `position`, or 0 when it is none.
    static func size(at position: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Int {
        let lead = position.pointee
        let size: Int
        var lowest: UInt8 = 0x80
        var highest: UInt8 = 0xBF
        switch lead {
        case 0x00...0x7F: return 1
        case 0xC2...0xDF: size = 2
        case 0xE0:
            size = 3
            lowest = 0xA0
        case 0xED:
            size = 3
            highest = 0x9F
        case 0xE1...0xEF: size = 3
        case 0xF0:
            size = 4
            lowest = 0x90
        case 0xF4:
            size = 4
            highest = 0x8F
        case 0xF1...0xF3: size = 4
        default: return 0
        }
        guard end - position >= size, position[1] >= lowest, position[1] <= highest else { return 0 }
        for index in 2..<max(size, 2) where position[index] & 0xC0 != 0x80 {
            return 0
        }
        return size
    }

    /// Whether all of `bytes` is UTF-8.
    public static func isValid(_ bytes: sluice_bytes) -> Bool {
        guard var position = bytes.data, bytes.size > 0 else { return true }
        let end = position + bytes.size
        while position < end {
            if end - position >= 8,
                UnsafeRawPointer(position).loadUnaligned(as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                position += 8
                continue
            }
            let size = size(at: position, end)
            guard size > 0 else { return false }
            position += size
        }
        return true
    }

    /// The begin of a text of at most `limit` bytes, not cut inside a character.
    public static func prefix(_ text: sluice_bytes, limit: Int) -> sluice_bytes { Bytes(text).textPrefix(limit).raw }

    /// The text, or a copy in which U+FFFD stands for each byte that is no UTF-8 (Unicode §3.9): a sentence with a hole
    /// says more than none.
    public static func repaired(_ text: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> sluice_bytes {
        guard !isValid(text), let start = text.data else { return text }
        let replacement: StaticString = "\u{FFFD}"
        let (room, overflow) = text.size.multipliedReportingOverflow(by: replacement.utf8CodeUnitCount)
        guard !overflow else { throw CodecFailure.outOfMemory }
        let copy = try arena.allocate(UInt8.self, count: room)
        let end = start + text.size
        var position = start
        var count = 0
        while position < end {
            let size = size(at: position, end)
            if size > 0 {
                (copy + count).update(from: position, count: size)
                count += size
                position += size
            } else {
                (copy + count).update(from: replacement.utf8Start, count: replacement.utf8CodeUnitCount)
                count += replacement.utf8CodeUnitCount
                position += 1
            }
        }
        return sluice_bytes(data: copy, size: count)
    }

    /// Writes a scalar value, and returns its size: 1 to 4.
    static func write(_ scalar: UInt32, to target: UnsafeMutablePointer<UInt8>) -> Int {
        func tail(_ shift: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: 0x80 | (scalar >> shift & 0x3F)) }
        switch scalar {
        case 0..<0x80:
            target[0] = UInt8(truncatingIfNeeded: scalar)
            return 1
        case 0x80..<0x800:
            target[0] = UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6)
            target[1] = tail(0)
            return 2
        case 0x800..<0x10000:
            target[0] = UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12)
            target[1] = tail(6)
            target[2] = tail(0)
            return 3
        default:
            target[0] = UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18)
            target[1] = tail(12)
            target[2] = tail(6)
            target[3] = tail(0)
            return 4
        }
    }
}
