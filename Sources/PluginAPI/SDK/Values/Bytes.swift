import SluiceABI

/// A borrowed view of bytes that somebody else keeps: the host's receive buffer, an exchange's arena, static storage.
/// It ends when the call that passed it returns, unless what handed it out says until when. Trivially copied; copying
/// it copies no byte. Subscripts are checked; `at` is for indices that come from outside.
@frozen
public struct Bytes: RandomAccessCollection, @unchecked Sendable {
    public let raw: sluice_bytes

    @inlinable @inline(__always)
    public init(_ raw: sluice_bytes) { self.raw = raw }

    /// No bytes.
    @inlinable @inline(__always)
    public init() { raw = sluice_bytes(data: nil, size: 0) }

    /// The UTF-8 of a literal; lives as long as the process.
    @inlinable @inline(__always)
    public init(_ literal: StaticString) {
        if literal.hasPointerRepresentation {
            raw = sluice_bytes(data: literal.utf8Start, size: literal.utf8CodeUnitCount)
        } else {
            raw = sluice_bytes(data: nil, size: 0)
        }
    }

    /// A view of memory that the caller keeps alive.
    @inlinable @inline(__always)
    public init(_ buffer: UnsafeRawBufferPointer) {
        raw = sluice_bytes(data: buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), size: buffer.count)
    }

    @inlinable @inline(__always)
    public var startIndex: Int { 0 }
    @inlinable @inline(__always)
    public var endIndex: Int { raw.size }
    @inlinable @inline(__always)
    public var count: Int { raw.size }
    @inlinable @inline(__always)
    public var isEmpty: Bool { raw.size == 0 }

    @inlinable @inline(__always)
    public subscript(index: Int) -> UInt8 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: raw.size), "index out of the view")
        return raw.data.unsafelyUnwrapped[index]
    }

    /// The part of the view in `range`, sharing its memory.
    @inlinable @inline(__always)
    public subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= raw.size, "range out of the view")
        guard let start = raw.data else { return Bytes() }
        return Bytes(sluice_bytes(data: start + range.lowerBound, size: range.count))
    }

    /// The byte at `index`, or nil outside of the view.
    @inlinable @inline(__always)
    public func at(_ index: Int) -> UInt8? {
        UInt(bitPattern: index) < UInt(bitPattern: raw.size) ? raw.data.unsafelyUnwrapped[index] : nil
    }

    /// The first `count` bytes, or all when there are fewer.
    @inlinable
    public func prefix(_ count: Int) -> Bytes { self[0..<Swift.min(Swift.max(count, 0), raw.size)] }

    /// The first `count` bytes of a text of UTF-8, or up to three fewer where those would end inside a character: half
    /// of one would make all of it unreadable to whoever checks (RFC 3629 §3). What is no UTF-8 is cut where it happens
    /// to be.
    public func textPrefix(_ count: Int) -> Bytes {
        guard count > 0, count < raw.size else { return prefix(count) }
        for end in stride(from: count, through: Swift.max(0, count - 3), by: -1) where self[end] & 0xC0 != 0x80 {
            return prefix(end)
        }
        return prefix(count)
    }

    /// What follows the first `count` bytes.
    @inlinable
    public func dropFirst(_ count: Int = 1) -> Bytes { self[Swift.min(Swift.max(count, 0), raw.size)..<raw.size] }

    /// All but the last `count` bytes.
    @inlinable
    public func dropLast(_ count: Int = 1) -> Bytes { self[0..<Swift.max(raw.size - Swift.max(count, 0), 0)] }

    /// Calls `body` with the memory; the pointer ends with the call.
    @inlinable @inline(__always)
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: raw.data, count: raw.size))
    }

    @inlinable @inline(__always)
    public func withContiguousStorageIfAvailable<Result>(
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) rethrows -> Result? {
        try body(UnsafeBufferPointer(start: raw.data, count: raw.size))
    }

    /// Calls `body` with a span over the bytes, which the compiler keeps from escaping.
    @inlinable @inline(__always)
    public func withSpan<Result, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: raw.data, count: raw.size).bytes)
    }
}

extension Bytes: Hashable {
    @inlinable
    public static func == (left: Bytes, right: Bytes) -> Bool {
        guard left.raw.size == right.raw.size else { return false }
        guard let a = left.raw.data, let b = right.raw.data, a != b else { return true }
        var index = 0
        while index < left.raw.size {
            if a[index] != b[index] { return false }
            index &+= 1
        }
        return true
    }

    @inlinable @inline(__always)
    public static func == (left: Bytes, right: StaticString) -> Bool { left == Bytes(right) }

    @inlinable @inline(__always)
    public static func != (left: Bytes, right: StaticString) -> Bool { !(left == Bytes(right)) }

    /// A literal as a pattern of `switch`.
    @inlinable @inline(__always)
    public static func ~= (pattern: StaticString, value: Bytes) -> Bool { value == Bytes(pattern) }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes: UnsafeRawBufferPointer(start: raw.data, count: raw.size))
    }
}

extension Bytes {
    /// ASCII letters in lower case, all else as it is: how field names compare (RFC 9110 section 5.1).
    @inlinable @inline(__always)
    static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    @inlinable
    public func equalsIgnoringCase(_ other: Bytes) -> Bool {
        guard raw.size == other.raw.size else { return false }
        guard let a = raw.data, let b = other.raw.data else { return true }
        var index = 0
        while index < raw.size {
            if Self.lowercased(a[index]) != Self.lowercased(b[index]) { return false }
            index &+= 1
        }
        return true
    }

    @inlinable @inline(__always)
    public func equalsIgnoringCase(_ literal: StaticString) -> Bool { equalsIgnoringCase(Bytes(literal)) }

    @inlinable
    public func hasPrefix(_ other: Bytes) -> Bool { count >= other.count && self[0..<other.count] == other }

    @inlinable @inline(__always)
    public func hasPrefix(_ literal: StaticString) -> Bool { hasPrefix(Bytes(literal)) }

    @inlinable
    public func hasPrefixIgnoringCase(_ literal: StaticString) -> Bool {
        let other = Bytes(literal)
        return count >= other.count && self[0..<other.count].equalsIgnoringCase(other)
    }

    @inlinable
    public func hasSuffix(_ literal: StaticString) -> Bool {
        let other = Bytes(literal)
        return count >= other.count && self[(count - other.count)..<count] == other
    }

    /// Index of the first `byte` at or after `start`.
    @inlinable
    public func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        guard let data = raw.data else { return nil }
        var index = Swift.max(start, 0)
        while index < raw.size {
            if data[index] == byte { return index }
            index &+= 1
        }
        return nil
    }

    /// Without the spaces and tabs at both ends: optional whitespace of RFC 9110 section 5.6.3.
    @inlinable
    public var trimmed: Bytes {
        var low = 0
        var high = count
        while low < high, self[low] == 0x20 || self[low] == 0x09 { low += 1 }
        while high > low, self[high - 1] == 0x20 || self[high - 1] == 0x09 { high -= 1 }
        return self[low..<high]
    }

    /// The number that the bytes say in decimal; nil for anything but 1 to 19 digits with an optional minus that fit.
    @inlinable
    public var integer: Int64? {
        let negative = at(0) == 0x2D
        let digits = negative ? dropFirst() : self
        guard !digits.isEmpty, digits.count <= 19 else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard byte &- 0x30 < 10 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let digit = Int64(byte &- 0x30)
            let (sum, overflowed) =
                negative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            guard !overflow, !overflowed else { return nil }
            value = sum
        }
        return value
    }
}

extension String {
    /// A copy as text; bytes that are no UTF-8 become U+FFFD. Allocates: not for the way of a request.
    @inlinable
    public init(_ bytes: Bytes) {
        self = bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}
