import Glibc
import SluiceABI

extension sluice_bytes {
    /// The bytes of a literal, which live for ever.
    @inline(__always)
    public static func literal(_ text: StaticString) -> sluice_bytes {
        sluice_bytes(data: text.utf8Start, size: text.utf8CodeUnitCount)
    }

    /// The bytes as a buffer, empty when there are none.
    @inline(__always)
    public var buffer: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: data, count: data == nil ? 0 : size)
    }

    @inline(__always)
    public var isEmpty: Bool { size == 0 || data == nil }

    /// Whether the bytes are those of `text`, case kept.
    @inline(__always)
    public func equals(_ text: StaticString) -> Bool {
        equals(.literal(text))
    }

    @inline(__always)
    public func equals(_ other: sluice_bytes) -> Bool {
        guard size == other.size else { return false }
        guard size > 0, let mine = data, let theirs = other.data else { return size == 0 }
        return memcmp(mine, theirs, size) == 0
    }

    /// Whether the bytes are those of `other` without regard to ASCII case, as names of fields compare (RFC 9110
    /// §5.1).
    public func equalsIgnoringCase(_ other: sluice_bytes) -> Bool {
        guard size == other.size else { return false }
        for index in 0..<size where buffer[index].asciiLowercased != other.buffer[index].asciiLowercased {
            return false
        }
        return true
    }

    /// Whether `needle` occurs, without regard to ASCII case.
    public func containsIgnoringCase(_ needle: StaticString) -> Bool {
        let needle = sluice_bytes.literal(needle)
        guard needle.size > 0, size >= needle.size else { return needle.size == 0 }
        for start in 0...(size - needle.size) where slice(start, needle.size).equalsIgnoringCase(needle) {
            return true
        }
        return false
    }

    public func hasPrefix(_ prefix: sluice_bytes) -> Bool {
        size >= prefix.size && slice(0, prefix.size).equals(prefix)
    }

    /// `count` bytes from `start`; both must lie inside.
    @inline(__always)
    public func slice(_ start: Int, _ count: Int) -> sluice_bytes {
        precondition(start >= 0 && count >= 0 && start <= size && count <= size - start)
        return sluice_bytes(data: data.map { $0 + start }, size: count)
    }
}

extension UInt8 {
    @inline(__always)
    public var asciiLowercased: UInt8 {
        self >= 0x41 && self <= 0x5A ? self | 0x20 : self
    }
}

extension sluice_message {
    /// The value of the first field of that name, or nil.
    public func field(_ name: StaticString) -> sluice_bytes? {
        guard let fields else { return nil }
        let name = sluice_bytes.literal(name)
        for index in 0..<Int(field_count) where fields[index].name.equalsIgnoringCase(name) {
            return fields[index].value
        }
        return nil
    }

    /// The value of the field of that name, or nil. Fails where there are two: readers may differ in which one counts.
    public func onlyField(_ name: StaticString) throws(CodecFailure) -> sluice_bytes? {
        guard let fields else { return nil }
        var value: sluice_bytes?
        let name = sluice_bytes.literal(name)
        for index in 0..<Int(field_count) where fields[index].name.equalsIgnoringCase(name) {
            guard value == nil else { throw CodecFailure("a header field is given twice", subject: name) }
            value = fields[index].value
        }
        return value
    }

    /// The body in one piece: received messages have at most one.
    public var wholeBody: sluice_bytes {
        guard body_count > 0, let body else { return sluice_bytes() }
        return body[0]
    }
}
