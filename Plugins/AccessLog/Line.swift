import SluicePlugin

/// One line of the log while it is made, in memory of `limit` bytes.
struct Line {
    /// Bytes of a value that are shown. Longer paths are cut: a line must fit beside others.
    static let valueLimit = 2_048
    /// Nine texts, of which the path may be as long as `valueLimit` and the others a quarter of it, each byte at most
    /// six when it is escaped; numbers and names take less than 1 KiB.
    static let limit = (valueLimit + 8 * valueLimit / 4) * 6 + 1_024

    private let memory: UnsafeMutableBufferPointer<UInt8>
    private(set) var count = 0

    /// `memory` has `limit` bytes.
    init(_ memory: UnsafeMutableBufferPointer<UInt8>) { self.memory = memory }

    mutating func append(_ byte: UInt8) {
        guard count < memory.count else { return }
        memory[count] = byte
        count &+= 1
    }

    mutating func append(_ literal: StaticString) { append(run: Bytes(literal)) }

    /// Bytes as they are.
    private mutating func append(run: Bytes) {
        guard run.count <= memory.count &- count, let start = memory.baseAddress else { return }
        run.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            UnsafeMutableRawPointer(start + count).copyMemory(from: from, byteCount: source.count)
        }
        count &+= run.count
    }

    /// How many bytes from `index` on may stand as they are: printable ASCII but for quote and backslash, and for blank
    /// where `blank` is not allowed.
    private static func plainRun(_ value: Bytes, from index: Int, blank: Bool) -> Int {
        let lowest: UInt8 = blank ? 0x20 : 0x21
        return value.withUnsafeBytes { bytes in
            var end = index
            while end < bytes.count {
                let byte = bytes[end]
                if byte < lowest || byte > 0x7E || byte == 0x22 || byte == 0x5C { break }
                end &+= 1
            }
            return end &- index
        }
    }

    /// In decimal, with leading zeros up to `digits`.
    mutating func append(_ value: UInt64, digits: Int = 1) {
        var places = 1
        var bound: UInt64 = 10
        // 20 digits are all that 64 bits have; the bound does not fit for the last.
        while places < 20, value >= bound {
            places &+= 1
            bound = places < 20 ? bound &* 10 : UInt64.max
        }
        places = max(places, digits)
        guard places <= memory.count &- count else { return }
        var rest = value
        var index = count &+ places
        while index > count {
            index &-= 1
            memory[index] = UInt8(truncatingIfNeeded: 0x30 &+ rest % 10)
            rest /= 10
        }
        count &+= places
    }

    /// Nanoseconds as milliseconds with three places.
    mutating func append(milliseconds nanoseconds: UInt64) {
        append(nanoseconds / 1_000_000)
        append(0x2E)
        append(nanoseconds / 1_000 % 1_000, digits: 3)
    }

    /// `2026-11-22T22:36:46.123Z` (RFC 3339) for nanoseconds since 1970-01-01 UTC.
    mutating func append(time nanoseconds: UInt64) {
        let seconds = nanoseconds / 1_000_000_000
        let date = Line.date(days: seconds / 86_400)
        append(date.year, digits: 4)
        append(0x2D)
        append(date.month, digits: 2)
        append(0x2D)
        append(date.day, digits: 2)
        append(0x54)
        append(seconds % 86_400 / 3_600, digits: 2)
        append(0x3A)
        append(seconds % 3_600 / 60, digits: 2)
        append(0x3A)
        append(seconds % 60, digits: 2)
        append(0x2E)
        append(nanoseconds % 1_000_000_000 / 1_000_000, digits: 3)
        append(0x5A)
    }

    /// The day of the Gregorian calendar, counted in years that begin in March so that the leap day is the last.
    static func date(days: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        // Days from 0000-03-01 to 1970-01-01; 146,097 days make 400 years.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        )
    }

    // MARK: Values from outside

    private static func hexadecimal(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    /// The contents of a JSON string (RFC 8259 section 7). Bytes that are no UTF-8 become U+FFFD.
    mutating func append(json value: Bytes, limit: Int) {
        let value = value.prefix(limit)
        var index = 0
        while true {
            let plain = Line.plainRun(value, from: index, blank: true)
            append(run: value[index..<index + plain])
            index += plain
            guard let byte = value.at(index) else { return }
            let length = UTF8Sequence.length(value, at: index)
            if byte == 0x22 || byte == 0x5C {
                append(0x5C)
                append(byte)
            } else if byte < 0x20 || byte == 0x7F {
                append("\\u00")
                append(Line.hexadecimal(byte >> 4))
                append(Line.hexadecimal(byte & 15))
            } else if length == 0 {
                append("\\ufffd")
            } else {
                append(run: value[index..<index + length])
            }
            index += max(length, 1)
        }
    }

    /// Printable ASCII but for blank, quote and backslash; all else as `\xNN`, so that a line stays one line of words.
    mutating func append(word value: Bytes, limit: Int) {
        if value.isEmpty { append(0x2D) }
        let value = value.prefix(limit)
        var index = 0
        while true {
            let plain = Line.plainRun(value, from: index, blank: false)
            append(run: value[index..<index + plain])
            index += plain
            guard let byte = value.at(index) else { return }
            append("\\x")
            append(Line.hexadecimal(byte >> 4))
            append(Line.hexadecimal(byte & 15))
            index += 1
        }
    }
}

/// Well-formed sequences of UTF-8 (Unicode 15, table 3-7).
enum UTF8Sequence {
    /// Bytes of the sequence that begins at `index`; 0 when it is not well formed.
    static func length(_ bytes: Bytes, at index: Int) -> Int {
        guard let lead = bytes.at(index) else { return 0 }
        let next = bytes.at(index + 1) ?? 0
        switch lead {
        case 0x00...0x7F: return 1
        case 0xC2...0xDF: return isContinuation(next) ? 2 : 0
        case 0xE0...0xEF:
            let low: UInt8 = lead == 0xE0 ? 0xA0 : 0x80
            let high: UInt8 = lead == 0xED ? 0x9F : 0xBF
            return next >= low && next <= high && isContinuation(bytes.at(index + 2)) ? 3 : 0
        case 0xF0...0xF4:
            let low: UInt8 = lead == 0xF0 ? 0x90 : 0x80
            let high: UInt8 = lead == 0xF4 ? 0x8F : 0xBF
            let rest = isContinuation(bytes.at(index + 2)) && isContinuation(bytes.at(index + 3))
            return next >= low && next <= high && rest ? 4 : 0
        default: return 0
        }
    }

    private static func isContinuation(_ byte: UInt8?) -> Bool { byte.map { $0 & 0xC0 == 0x80 } ?? false }
}
