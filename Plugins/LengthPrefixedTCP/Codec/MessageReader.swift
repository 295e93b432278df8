import SluiceABI
import SluiceJSON

/// Reads a message from front to end. Views of it are not copied.
struct MessageReader {
    private let bytes: sluice_bytes
    private var offset = 0

    init(_ bytes: sluice_bytes) { self.bytes = bytes }

    var left: Int { bytes.buffer.count - offset }

    private mutating func take(_ count: Int) throws(CodecFailure) -> sluice_bytes {
        guard count <= left else {
            throw CodecFailure("the message ends within a value", offset: offset)
        }
        defer { offset += count }
        return bytes.slice(offset, count)
    }

    private mutating func number<Value: FixedWidthInteger>(_ type: Value.Type) throws(CodecFailure) -> Value {
        let view = try take(MemoryLayout<Value>.size)
        guard let data = view.data else { return 0 }
        return Value(bigEndian: UnsafeRawPointer(data).loadUnaligned(as: Value.self))
    }

    mutating func uint8() throws(CodecFailure) -> UInt8 { try number(UInt8.self) }
    mutating func uint16() throws(CodecFailure) -> UInt16 { try number(UInt16.self) }
    mutating func uint32() throws(CodecFailure) -> UInt32 { try number(UInt32.self) }
    mutating func uint64() throws(CodecFailure) -> UInt64 { try number(UInt64.self) }

    /// A text behind its 16-bit size.
    mutating func text(_ complaint: StaticString) throws(CodecFailure) -> sluice_bytes {
        let start = offset
        let size = Int(try uint16())
        guard size <= left, UTF8Sequence.isValid(bytes.slice(offset, size)) else {
            throw CodecFailure(complaint, offset: start)
        }
        return try take(size)
    }

    /// The bytes of a tensor behind their 64-bit size.
    mutating func data(of tensor: sluice_bytes) throws(CodecFailure) -> sluice_bytes {
        let size = try uint64()
        guard size <= UInt64(left) else {
            throw CodecFailure("the data is cut off, in tensor", subject: tensor)
        }
        return try take(Int(size))
    }

    func expectEnd() throws(CodecFailure) {
        guard left == 0 else { throw CodecFailure("bytes follow the message's last value", offset: offset) }
    }
}
