import SluiceABI
import SluiceJSON

/// Writes a message into pieces of an exchange's arena, which a body can point to as they are. proto3's rule that a
/// field of its default value is left out is the caller's to follow, but for `text` and `integer`, which do.
///
/// A nested message is written twice, first for its size: its length stands before it. So nesting of depth d costs
/// d + 1 passes over the innermost fields; tensors' bytes are counted, not touched, and large views are never copied.
public struct ProtobufWriter {
    /// Below this many bytes a copy costs less than one more piece on the way to the socket.
    private static let copiedSize = 512

    private var out: JSONWriter?
    private var measured = 0

    public init(arena: ExchangeArena) {
        out = JSONWriter(arena: arena)
    }

    /// A writer that only counts.
    private init() {
        out = nil
    }

    /// Bytes written so far.
    public var size: Int { out?.size ?? measured }

    // MARK: - Fields

    /// Text that is left out when it is empty.
    public mutating func text(_ number: UInt32, _ value: sluice_bytes) throws(CodecFailure) {
        guard !value.isEmpty else { return }
        try bytes(number, value)
    }

    /// A number (uint64, enum or boolean) that is left out when it is 0.
    public mutating func integer(_ number: UInt32, _ value: UInt64) throws(CodecFailure) {
        guard value != 0 else { return }
        try varint(number, value)
    }

    /// A varint, also when it is 0: a member of a oneof, or an element that is not packed.
    public mutating func varint(_ number: UInt32, _ value: UInt64) throws(CodecFailure) {
        try tag(number, .varint)
        try raw(value)
    }

    public mutating func double(_ number: UInt32, _ value: Double) throws(CodecFailure) {
        try tag(number, .fixed64)
        var bits = value.bitPattern.littleEndian
        for _ in 0..<8 {
            try byte(UInt8(truncatingIfNeeded: bits))
            bits >>= 8
        }
    }

    /// Bytes, also when there are none. Large ones become a piece of their own: they must live as long as the exchange.
    public mutating func bytes(_ number: UInt32, _ value: sluice_bytes) throws(CodecFailure) {
        let value = value.isEmpty ? sluice_bytes() : value
        try open(number, size: value.size)
        try append(value)
    }

    /// The tag and the length of a field whose `size` bytes the caller appends.
    public mutating func open(_ number: UInt32, size: Int) throws(CodecFailure) {
        try tag(number, .bytes)
        try raw(UInt64(size))
    }

    /// Bytes without a tag: fields that are encoded already, or the content of what was opened.
    public mutating func append(_ value: sluice_bytes) throws(CodecFailure) {
        guard !value.isEmpty else { return }
        guard out != nil else {
            measured += value.size
            return
        }
        if value.size < Self.copiedSize {
            try out?.raw(value)
        } else {
            try out?.append(value)
        }
    }

    /// A nested message; `write` is called twice and must write the same.
    public mutating func message(
        _ number: UInt32, _ write: (inout ProtobufWriter) throws(CodecFailure) -> Void
    ) throws(CodecFailure) {
        var measure = ProtobufWriter()
        try write(&measure)
        try open(number, size: measure.size)
        if out == nil {
            measured += measure.size
        } else {
            try write(&self)
        }
    }

    /// Packed varints: nothing when there are none.
    public mutating func packed(_ number: UInt32, _ values: UnsafeBufferPointer<Int64>) throws(CodecFailure) {
        guard !values.isEmpty else { return }
        var size = 0
        for value in values {
            size += Varint.size(UInt64(bitPattern: value))
        }
        try open(number, size: size)
        for value in values {
            try raw(UInt64(bitPattern: value))
        }
    }

    private mutating func tag(_ number: UInt32, _ type: WireType) throws(CodecFailure) {
        try raw(UInt64(number << 3 | type.rawValue))
    }

    /// A varint without a tag.
    public mutating func raw(_ value: UInt64) throws(CodecFailure) {
        guard out != nil else {
            measured += Varint.size(value)
            return
        }
        var left = value
        while left >= 0x80 {
            try out?.byte(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        try out?.byte(UInt8(truncatingIfNeeded: left))
    }

    private mutating func byte(_ byte: UInt8) throws(CodecFailure) {
        guard out != nil else {
            measured += 1
            return
        }
        try out?.byte(byte)
    }

    // MARK: - The end

    /// Gives `message` what was written as its body: one gRPC message without its prefix. An empty one is a body, too.
    public mutating func finish(into message: inout sluice_message) throws(CodecFailure) {
        guard var out else { return }
        try MessageFields.setBody(&out, on: &message)
        message.body_state = UInt32(SLUICE_BODY_WHOLE)
    }

    /// All that was written, in one view.
    public mutating func finishContiguous() throws(CodecFailure) -> sluice_bytes {
        try out?.finishContiguous() ?? sluice_bytes()
    }
}
