import Glibc
import SluiceABI

/// What a JSON value begins as.
public enum JSONKind: UInt8 {
    case object, array, string, number, `true`, `false`, null
}

/// A strict pull reader of one JSON text (RFC 8259): the caller asks for what it expects, and nothing is built that it
/// did not ask for. UTF-8 is checked, also in what is skipped. Strings without escapes are views of the text.
///
/// Not accepted though some readers do: comments, trailing commas, NaN and Infinity, leading zeros, a byte order mark,
/// control characters in strings, lone surrogates.
public struct JSONReader {
    /// Objects and arrays inside each other. Tensors have at most 16 dimensions, and nothing of the protocols comes
    /// near this; it bounds the reader's work per byte and the recursion of its callers.
    public static let maximumDepth = 64

    let start: UnsafePointer<UInt8>
    @usableFromInline var cursor: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>
    let arena: ExchangeArena
    private var depth = 0

    /// - Parameters:
    ///   - text: must outlive the reader, and what it returned.
    ///   - arena: takes the strings that had escapes.
    public init(_ text: sluice_bytes, arena: ExchangeArena) {
        // Without bytes there is nothing to point to; the literal's address is never read.
        let base = text.data ?? ("" as StaticString).utf8Start
        start = base
        cursor = base
        end = base + (text.data == nil ? 0 : text.size)
        self.arena = arena
    }

    /// The position in the text, in bytes.
    public var offset: Int { cursor - start }

    /// Bytes not read yet.
    public var remaining: Int { end - cursor }

    // MARK: - Positions

    /// A place to come back to, only within the same reader.
    public struct Position {
        fileprivate var cursor: UnsafePointer<UInt8>
        fileprivate var depth: Int
    }

    /// The begin of the next value.
    public var position: Position { Position(cursor: cursor, depth: depth) }

    public mutating func restore(_ position: Position) {
        cursor = position.cursor
        depth = position.depth
    }

    // MARK: - Structure

    /// What comes next, without taking it.
    public mutating func peek() throws(CodecFailure) -> JSONKind {
        skipWhitespace()
        guard cursor < end else { throw fail("the JSON text ends too early") }
        switch cursor.pointee {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"): return .true
        case UInt8(ascii: "f"): return .false
        case UInt8(ascii: "n"): return .null
        default: throw fail("the JSON text has an unexpected character")
        }
    }

    public mutating func beginObject() throws(CodecFailure) {
        try begin(UInt8(ascii: "{"), "expected a JSON object")
    }

    public mutating func beginArray() throws(CodecFailure) {
        try begin(UInt8(ascii: "["), "expected a JSON array")
    }

    private mutating func begin(_ byte: UInt8, _ reason: StaticString) throws(CodecFailure) {
        skipWhitespace()
        guard cursor < end, cursor.pointee == byte else { throw fail(reason) }
        guard depth < Self.maximumDepth else { throw fail("the JSON text is nested too deep") }
        depth += 1
        cursor += 1
    }

    /// The next key of the object, the reader then standing before its value; nil at the object's end.
    ///
    /// - Parameter isFirst: true before the first call, and changed by it.
    public mutating func nextKey(_ isFirst: inout Bool) throws(CodecFailure) -> sluice_bytes? {
        guard try next(UInt8(ascii: "}"), &isFirst) else { return nil }
        guard cursor < end, cursor.pointee == UInt8(ascii: "\"") else {
            throw fail("expected a key of a JSON object")
        }
        let key = try string()
        skipWhitespace()
        guard cursor < end, cursor.pointee == UInt8(ascii: ":") else { throw fail("expected ':' after a JSON key") }
        cursor += 1
        return key
    }

    /// Whether the array has one more element, the reader then standing before it.
    @inline(__always)
    public mutating func nextElement(_ isFirst: inout Bool) throws(CodecFailure) -> Bool {
        try next(UInt8(ascii: "]"), &isFirst)
    }

    @inline(__always)
    private mutating func next(_ closing: UInt8, _ isFirst: inout Bool) throws(CodecFailure) -> Bool {
        skipWhitespace()
        guard cursor < end else { throw fail("the JSON text ends too early") }
        if cursor.pointee == closing {
            cursor += 1
            depth -= 1
            return false
        }
        if isFirst {
            isFirst = false
            return true
        }
        guard cursor.pointee == UInt8(ascii: ",") else { throw fail("expected ',' or the end of a JSON list") }
        cursor += 1
        skipWhitespace()
        guard cursor < end, cursor.pointee != closing else { throw fail("the JSON text has a comma too many") }
        return true
    }

    /// Checks that nothing but white space follows.
    public mutating func finish() throws(CodecFailure) {
        skipWhitespace()
        guard cursor == end else { throw fail("the JSON text has something after its end") }
    }

    // MARK: - Values

    public mutating func boolean() throws(CodecFailure) -> Bool {
        switch try peek() {
        case .true:
            try take("true")
            return true
        case .false:
            try take("false")
            return false
        default:
            throw fail("expected true or false")
        }
    }

    public mutating func null() throws(CodecFailure) {
        skipWhitespace()
        try take("null")
    }

    public mutating func integer() throws(CodecFailure) -> Int64 {
        let number = try number()
        guard let value = number.asInt64 else {
            throw fail("expected an integer of 64 bits", at: number.text)
        }
        return value
    }

    private mutating func take(_ word: StaticString) throws(CodecFailure) {
        guard remaining >= word.utf8CodeUnitCount, memcmp(cursor, word.utf8Start, word.utf8CodeUnitCount) == 0 else {
            throw fail("the JSON text has an unexpected character")
        }
        cursor += word.utf8CodeUnitCount
    }

    /// Reads past the next value, whatever it is, with all its checks. Its text is what lies between the positions.
    @discardableResult
    public mutating func skip() throws(CodecFailure) -> sluice_bytes {
        skipWhitespace()
        let begin = cursor
        let outer = depth
        // One bit a level: 1 for an object.
        var kinds: UInt64 = 0
        var isFirst = true
        repeat {
            if depth > outer {
                let isObject = kinds & 1 == 1
                let hasMore = isObject ? try nextKey(&isFirst) != nil : try nextElement(&isFirst)
                if !hasMore {
                    kinds >>= 1
                    isFirst = false
                    continue
                }
            }
            switch try peek() {
            case .object:
                try beginObject()
                kinds = kinds << 1 | 1
                isFirst = true
            case .array:
                try beginArray()
                kinds <<= 1
                isFirst = true
            case .string: try skipString()
            case .number: _ = try number()
            case .true: try take("true")
            case .false: try take("false")
            case .null: try take("null")
            }
        } while depth > outer
        return sluice_bytes(data: begin, size: cursor - begin)
    }

    // MARK: - Failures

    func fail(_ reason: StaticString, at position: UnsafePointer<UInt8>? = nil) -> CodecFailure {
        CodecFailure(reason, offset: (position ?? cursor) - start)
    }

    @inline(__always)
    mutating func skipWhitespace() {
        while cursor < end, cursor.pointee <= 0x20 {
            switch cursor.pointee {
            case 0x20, 0x0A, 0x0D, 0x09: cursor += 1
            default: return
            }
        }
    }
}

extension JSONReader {
    /// The next character, without taking it; 0 at the end.
    @inline(__always)
    mutating func peekOrEnd() throws(CodecFailure) -> UInt8 {
        skipWhitespace()
        return cursor < end ? cursor.pointee : 0
    }
}

extension JSONReader {
    /// The size of the text between an earlier position and this one, in bytes.
    public func offset(since position: Position) -> Int { cursor - position.cursor }
}
