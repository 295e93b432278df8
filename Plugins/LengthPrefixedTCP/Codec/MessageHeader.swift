import SluiceABI
import SluiceJSON

/// What a message says it is. A request and its answer differ in the highest bit.
public enum MessageKind: UInt8, BitwiseCopyable, Sendable {
    case inferRequest = 0x01
    case readyRequest = 0x02
    case inferAnswer = 0x81
    case readyAnswer = 0x82
    case errorAnswer = 0xFF
}

/// The part that all messages have in common, behind their length. Numbers of it are big-endian, as is the length.
public struct MessageHeader {
    /// "SLTP": enough to tell a client of another protocol at its first bytes.
    static let magic: UInt32 = 0x534C_5450
    static let version: UInt8 = 1
    /// Length, magic, version, kind, status and request id.
    static let fixedSize = 20

    public var kind: MessageKind
    /// 0, or the canonical code of an error (grpc/statuscodes.md).
    public var status: UInt16 = 0
    /// The client's own; an answer has that of its request.
    public var id: UInt64 = 0
    public var model = sluice_bytes()
    public var modelVersion = sluice_bytes()

    public init(_ kind: MessageKind) { self.kind = kind }

    /// The size of the first message in `bytes`, its length included; nil when more bytes are needed to tell.
    public static func frame(_ bytes: sluice_bytes) throws(CodecFailure) -> Int? {
        var reader = MessageReader(bytes)
        guard bytes.size >= 8 else {
            // A stranger is told at once, not when it has waited for an answer to its few bytes.
            let magic = bytes.buffer.dropFirst(4)
            guard magic.elementsEqual([0x53, 0x4C, 0x54, 0x50].prefix(magic.count)) else { throw noMessage }
            return nil
        }
        let length = Int(try reader.uint32())
        guard try reader.uint32() == magic else { throw noMessage }
        guard length >= fixedSize - 4 else {
            throw CodecFailure(
                "the message is shorter than its header", expected: Int64(fixedSize - 4), found: Int64(length))
        }
        return length + 4
    }

    private static var noMessage: CodecFailure {
        CodecFailure("the bytes are no message of this protocol: the fifth to eighth are not \"SLTP\"")
    }

    /// Reads the header of a whole message; `reader` is then at what follows it.
    static func read(_ reader: inout MessageReader) throws(CodecFailure) -> MessageHeader {
        let size = reader.left
        let length = Int(try reader.uint32())
        guard length == size - 4 else {
            throw CodecFailure("the message is not as long as it says", expected: Int64(length), found: Int64(size - 4))
        }
        guard try reader.uint32() == magic else { throw noMessage }
        let version = try reader.uint8()
        guard version == Self.version else {
            throw CodecFailure(
                "the message is of another version of the protocol", status: SLUICE_UNIMPLEMENTED,
                expected: Int64(Self.version), found: Int64(version))
        }
        let number = try reader.uint8()
        guard let kind = MessageKind(rawValue: number) else {
            throw CodecFailure("the message is of an unknown kind", found: Int64(number))
        }
        var header = MessageHeader(kind)
        header.status = try reader.uint16()
        header.id = try reader.uint64()
        header.model = try reader.text("the model's name is cut off or no UTF-8")
        header.modelVersion = try reader.text("the version's name is cut off or no UTF-8")
        return header
    }

    /// The request id of a message that may be broken behind its header's fixed part; 0 when there is none.
    static func id(of message: sluice_bytes) -> UInt64 {
        guard message.size >= fixedSize else { return 0 }
        var reader = MessageReader(message.slice(12, 8))
        return (try? reader.uint64()) ?? 0
    }

    func write(_ writer: inout MessageWriter) throws(CodecFailure) {
        writer.uint32(Self.magic)
        writer.uint8(Self.version)
        writer.uint8(kind.rawValue)
        writer.uint16(status)
        writer.uint64(id)
        try writer.text(model)
        try writer.text(modelVersion)
    }

    /// An upper bound of what `write` writes.
    var writtenSize: Int { Self.fixedSize + 4 + model.size + modelVersion.size }
}
