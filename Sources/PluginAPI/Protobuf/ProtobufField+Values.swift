import SluiceABI
import SluiceJSON

// What a known field says. A wire type that the field cannot have is refused: to skip the field, as libraries do,
// would serve a request that says something else than its sender meant. `name` is the field's, for the error.
extension ProtobufField {
    @inline(__always)
    private func require(_ type: WireType, _ name: StaticString) throws(CodecFailure) {
        guard wireType == type else {
            throw CodecFailure(
                "a field of the protobuf message has another wire type than it must have", subject: .literal(name),
                offset: start)
        }
    }

    /// Bytes, or a message to be read by a reader of its own.
    @inline(__always)
    public func bytes(_ name: StaticString) throws(CodecFailure) -> sluice_bytes {
        try require(.bytes, name)
        return content
    }

    /// Text: UTF-8, as proto3 demands.
    public func string(_ name: StaticString) throws(CodecFailure) -> sluice_bytes {
        try require(.bytes, name)
        guard UTF8Sequence.isValid(content) else {
            throw CodecFailure(
                "a text of the protobuf message is no UTF-8, in field", subject: .literal(name), offset: start)
        }
        return content
    }

    public func message(_ name: StaticString) throws(CodecFailure) -> ProtobufReader {
        try require(.bytes, name)
        return ProtobufReader(content)
    }

    public func uint64(_ name: StaticString) throws(CodecFailure) -> UInt64 {
        try require(.varint, name)
        return bits
    }

    public func int64(_ name: StaticString) throws(CodecFailure) -> Int64 {
        try require(.varint, name)
        return Int64(bitPattern: bits)
    }

    /// An int32 or an enum: the lower half of the varint counts (protobuf.dev, "Updating A Message Type").
    public func int32(_ name: StaticString) throws(CodecFailure) -> Int32 {
        try require(.varint, name)
        return Int32(truncatingIfNeeded: bits)
    }

    public func boolean(_ name: StaticString) throws(CodecFailure) -> Bool {
        try require(.varint, name)
        return bits != 0
    }

    public func double(_ name: StaticString) throws(CodecFailure) -> Double {
        try require(.fixed64, name)
        return Double(bitPattern: bits)
    }

    /// The numbers of a repeated field, packed or one to a field: a reader takes both (protobuf.dev, "Packed Fields").
    public func values(_ type: WireType, _ name: StaticString) throws(CodecFailure) -> PackedValues {
        if wireType == .bytes, type != .bytes {
            return PackedValues(packed: content, type)
        }
        try require(type, name)
        return PackedValues(single: bits, type)
    }
}

/// The numbers of a repeated field, as bits.
public struct PackedValues: BitwiseCopyable {
    /// The packed values; without bytes when there is but one, in `single`.
    public let packed: sluice_bytes
    public let wireType: WireType
    private let single: UInt64
    private var hasSingle: Bool
    private var offset = 0

    init(packed: sluice_bytes, _ type: WireType) {
        self.packed = packed
        wireType = type
        single = 0
        hasSingle = false
    }

    init(single: UInt64, _ type: WireType) {
        packed = sluice_bytes()
        wireType = type
        self.single = single
        hasSingle = true
    }

    @inline(__always)
    public mutating func next() throws(CodecFailure) -> UInt64? {
        if hasSingle {
            hasSingle = false
            return single
        }
        guard offset < packed.size, let data = packed.data else { return nil }
        switch wireType {
        case .varint:
            guard let value = Varint.read(packed, &offset) else { throw malformed() }
            return value
        case .fixed32:
            guard packed.size - offset >= 4 else { throw malformed() }
            let value = UnsafeRawPointer(data + offset).loadUnaligned(as: UInt32.self)
            offset += 4
            return UInt64(UInt32(littleEndian: value))
        case .fixed64:
            guard packed.size - offset >= 8 else { throw malformed() }
            let value = UnsafeRawPointer(data + offset).loadUnaligned(as: UInt64.self)
            offset += 8
            return UInt64(littleEndian: value)
        case .bytes: return nil
        }
    }

    private func malformed() -> CodecFailure {
        CodecFailure("the packed numbers of a field end within one, or have one of more than 64 bits")
    }
}

extension ShapeReader {
    /// Takes the dimensions of a repeated int64, packed or not.
    public mutating func append(_ values: PackedValues, of tensor: sluice_bytes) throws(CodecFailure) {
        var values = values
        while let value = try values.next() {
            try append(Int64(bitPattern: value), of: tensor)
        }
    }
}
