import SluiceABI
import SluiceJSON

/// How a field's value is laid out (protobuf.dev, Encoding, "Message Structure"). Groups, 3 and 4, are refused: proto3
/// has none, and to skip one takes a stack.
public enum WireType: UInt32, BitwiseCopyable {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
}

/// One field of a message, as it stands on the wire. All views point into the message.
public struct ProtobufField: BitwiseCopyable {
    /// 1 to 2^29 - 1.
    public let number: UInt32
    public let wireType: WireType
    /// The value of a varint or of a fixed one, as bits; 0 of a length-delimited field.
    public let bits: UInt64
    /// The value of a length-delimited field.
    public let content: sluice_bytes
    /// Where the field, its tag included, begins and ends in the message.
    public let start: Int
    public let end: Int
}

/// Reads the fields of one message, one after the other, as views into its bytes: nothing is allocated and nothing is
/// looked into that is not asked for. Unknown fields cost their tag. Nesting is bound by the caller, who opens each
/// message that it knows; nothing here recurses.
///
/// Refused: varints of more than 10 bytes or 64 bits, tags of more than 5 bytes, the field number 0, groups and the
/// reserved wire types, and a value that ends beyond the message. A varint that is longer than it need be is taken, as
/// all protobuf libraries do, for some encoders reserve room for a length that way.
public struct ProtobufReader: BitwiseCopyable {
    private let bytes: sluice_bytes
    private var position = 0

    public init(_ message: sluice_bytes) {
        bytes = message.data == nil ? sluice_bytes() : message
    }

    /// The next field, or nil at the end of the message.
    public mutating func next() throws(CodecFailure) -> ProtobufField? {
        guard position < bytes.size else { return nil }
        let start = position
        let tag = try varint()
        // A tag is a uint32, so that libraries stop after 5 bytes of it.
        guard position - start <= 5, let tag = UInt32(exactly: tag), tag >> 3 != 0 else {
            throw fail("a field of the protobuf message has no valid number", at: start)
        }
        guard let type = WireType(rawValue: tag & 7) else {
            throw fail("a field of the protobuf message is a group or of an unknown wire type", at: start)
        }
        var bits: UInt64 = 0
        var content = sluice_bytes()
        switch type {
        case .varint: bits = try varint()
        case .fixed64: bits = try fixed(UInt64.self)
        case .fixed32: bits = UInt64(try fixed(UInt32.self))
        case .bytes:
            let size = try varint()
            guard size <= UInt64(bytes.size - position) else { throw truncated() }
            content = bytes.slice(position, Int(size))
            position += Int(size)
        }
        return ProtobufField(
            number: tag >> 3, wireType: type, bits: bits, content: content, start: start, end: position)
    }

    @inline(__always)
    private mutating func varint() throws(CodecFailure) -> UInt64 {
        var offset = position
        guard let value = Varint.read(bytes, &offset) else {
            // Ten bytes with their high bit set are no end of the message but a varint that has none.
            throw bytes.size - position >= Varint.maximumSize
                ? fail("a number of the protobuf message has more than 64 bits", at: position) : truncated()
        }
        position = offset
        return value
    }

    @inline(__always)
    private mutating func fixed<Value: FixedWidthInteger>(_ type: Value.Type) throws(CodecFailure) -> Value {
        let size = MemoryLayout<Value>.size
        guard bytes.size - position >= size, let data = bytes.data else { throw truncated() }
        let value = UnsafeRawPointer(data + position).loadUnaligned(as: type)
        position += size
        return Value(littleEndian: value)
    }

    private func truncated() -> CodecFailure {
        fail("the protobuf message ends within a field", at: position)
    }

    private func fail(_ reason: StaticString, at offset: Int) -> CodecFailure {
        CodecFailure(reason, offset: offset)
    }
}
