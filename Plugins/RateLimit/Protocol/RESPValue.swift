/// A reply of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/, version 2 of the protocol).
public indirect enum RESPValue: Equatable, Sendable {
    case simple(String)
    case error(String)
    case integer(Int64)
    /// Nil: the null string.
    case bulk([UInt8]?)
    /// Nil: the null array.
    case array([RESPValue]?)
}

/// Reads replies. What is taken is bounded, and far above what a gateway asks for: a peer that is no Redis, or not
/// itself, can neither fill the memory nor end the process.
public enum RESPReader {
    public enum Step: Equatable, Sendable {
        /// The first reply, of `size` bytes.
        case value(RESPValue, size: Int)
        /// It has only begun.
        case incomplete
        /// These are no replies.
        case malformed
    }

    /// A line's bytes without its end. Errors are the longest: a script's have a few hundred.
    public static let lineAtMost = 1_024
    public static let bulkAtMost = 65_536
    public static let elementsAtMost = 1_024
    /// Arrays in arrays.
    public static let depthAtMost = 4
    /// A whole reply.
    public static let bytesAtMost = 262_144

    public static func first(in bytes: UnsafeRawBufferPointer) -> Step {
        var cursor = Cursor(bytes: bytes)
        switch cursor.value(depth: 0) {
        case .value(let value): return .value(value, size: cursor.position)
        case .incomplete: return bytes.count > bytesAtMost ? .malformed : .incomplete
        case .malformed: return .malformed
        }
    }

    private enum Part<Content> {
        case value(Content)
        case incomplete, malformed
    }

    private struct Cursor {
        let bytes: UnsafeRawBufferPointer
        var position = 0
        /// Of all arrays together: nested ones must not multiply.
        var elements = 0

        mutating func value(depth: Int) -> Part<RESPValue> {
            guard position < bytes.count else { return .incomplete }
            let kind = bytes[position]
            position += 1
            switch kind {
            case UInt8(ascii: "+"), UInt8(ascii: "-"):
                switch line() {
                case .incomplete: return .incomplete
                case .malformed: return .malformed
                case .value(let range):
                    let text = String(decoding: bytes[range], as: UTF8.self)
                    return .value(kind == UInt8(ascii: "+") ? .simple(text) : .error(text))
                }
            case UInt8(ascii: ":"):
                switch integer() {
                case .incomplete: return .incomplete
                case .malformed: return .malformed
                case .value(let number): return .value(.integer(number))
                }
            case UInt8(ascii: "$"): return bulk()
            case UInt8(ascii: "*"): return array(depth: depth)
            default: return .malformed
            }
        }

        /// Up to the end of the line, which is passed.
        private mutating func line() -> Part<Range<Int>> {
            let begin = position
            while position < bytes.count {
                let byte = bytes[position]
                if byte == 0x0A || position - begin > RESPReader.lineAtMost { return .malformed }
                if byte == 0x0D {
                    guard position + 1 < bytes.count else { return .incomplete }
                    guard bytes[position + 1] == 0x0A else { return .malformed }
                    let range = begin..<position
                    position += 2
                    return range.count > RESPReader.lineAtMost ? .malformed : .value(range)
                }
                position += 1
            }
            return position - begin > RESPReader.lineAtMost ? .malformed : .incomplete
        }

        private mutating func integer() -> Part<Int64> {
            let range: Range<Int>
            switch line() {
            case .incomplete:
                // The longest number has 20 characters.
                return .incomplete
            case .malformed: return .malformed
            case .value(let found): range = found
            }
            var digits = bytes[range]
            let isNegative = digits.first == UInt8(ascii: "-")
            if isNegative { digits = digits.dropFirst() }
            guard !digits.isEmpty, digits.count <= 19 else { return .malformed }
            var value: Int64 = 0
            for digit in digits {
                guard (0x30...0x39).contains(digit) else { return .malformed }
                // Downward: the least number has no positive counterpart.
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, overflowed) = product.subtractingReportingOverflow(Int64(digit - 0x30))
                if overflow || overflowed { return .malformed }
                value = sum
            }
            if isNegative { return .value(value) }
            return value == .min ? .malformed : .value(-value)
        }

        private mutating func bulk() -> Part<RESPValue> {
            switch integer() {
            case .incomplete: return .incomplete
            case .malformed: return .malformed
            case .value(-1): return .value(.bulk(nil))
            case .value(let size):
                guard size >= 0, size <= RESPReader.bulkAtMost else { return .malformed }
                let end = position + Int(size)
                // What is there of the end must be one, or a reply that has gone wrong is waited for.
                if end < bytes.count, bytes[end] != 0x0D { return .malformed }
                guard end + 1 < bytes.count else { return .incomplete }
                guard bytes[end + 1] == 0x0A else { return .malformed }
                let content = Array(bytes[position..<end])
                position = end + 2
                return .value(.bulk(content))
            }
        }

        private mutating func array(depth: Int) -> Part<RESPValue> {
            switch integer() {
            case .incomplete: return .incomplete
            case .malformed: return .malformed
            case .value(-1): return .value(.array(nil))
            case .value(let count):
                guard count >= 0, depth < RESPReader.depthAtMost else { return .malformed }
                elements += Int(min(count, 1 << 32))
                guard elements <= RESPReader.elementsAtMost else { return .malformed }
                var values: [RESPValue] = []
                for _ in 0..<count {
                    switch value(depth: depth + 1) {
                    case .incomplete: return .incomplete
                    case .malformed: return .malformed
                    case .value(let value): values.append(value)
                    }
                }
                return .value(.array(values))
            }
        }
    }
}

/// Commands, each an array of strings.
public enum RESPWriter {
    public static func command(_ arguments: [String]) -> [UInt8] {
        var bytes = Array("*\(arguments.count)\r\n".utf8)
        for argument in arguments {
            bytes += Array("$\(argument.utf8.count)\r\n".utf8)
            bytes += Array(argument.utf8)
            bytes += [0x0D, 0x0A]
        }
        return bytes
    }
}
