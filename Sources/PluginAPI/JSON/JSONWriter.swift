import SluiceABI

/// Writes a JSON text, and other bytes, into pieces of an exchange's arena, which a message's body can point to as
/// they are: nothing is moved when the text grows. The caller writes the structure; no commas are put in.
public struct JSONWriter {
    /// The first piece: most answers are smaller.
    private static let firstPieceSize = 1024
    /// Pieces double up to this: 64 MB of text are then some 500 of them, and half a piece is wasted at most.
    private static let largestPieceSize = 128 * 1024

    private let arena: ExchangeArena
    private var piece: UnsafeMutablePointer<UInt8>?
    private var used = 0
    private var capacity = 0
    private var pieces: ArenaList<sluice_bytes>
    private var closedSize = 0

    public init(arena: ExchangeArena) {
        self.arena = arena
        // Bound by the memory of the exchange, not by their number.
        pieces = ArenaList(arena: arena, limit: .max)
    }

    /// Bytes written so far.
    public var size: Int { closedSize + used }

    // MARK: - Bytes

    /// Room for `count` contiguous bytes, of which `commit` says how many were used. At most a piece.
    @inline(__always)
    mutating func reserve(_ count: Int) throws(CodecFailure) -> UnsafeMutablePointer<UInt8> {
        if capacity - used < count {
            try openPiece(atLeast: count)
        }
        return piece.unsafelyUnwrapped + used
    }

    @inline(__always)
    mutating func commit(_ count: Int) {
        used += count
    }

    private mutating func openPiece(atLeast count: Int) throws(CodecFailure) {
        let size = max(count, min(max(capacity * 2, Self.firstPieceSize), Self.largestPieceSize))
        try closePiece()
        piece = try arena.allocate(UInt8.self, count: size)
        capacity = size
        used = 0
    }

    private mutating func closePiece() throws(CodecFailure) {
        guard used > 0, let piece else { return }
        try pieces.append(sluice_bytes(data: piece, size: used))
        closedSize += used
        // What is left of it serves the text that follows.
        self.piece = piece + used
        capacity -= used
        used = 0
    }

    @inline(__always)
    public mutating func byte(_ byte: UInt8) throws(CodecFailure) {
        try reserve(1)[0] = byte
        commit(1)
    }

    /// Text that is JSON already.
    @inline(__always)
    public mutating func raw(_ text: StaticString) throws(CodecFailure) {
        try raw(.literal(text))
    }

    /// A copy of bytes that are JSON already.
    public mutating func raw(_ bytes: sluice_bytes) throws(CodecFailure) {
        guard let source = bytes.data, bytes.size > 0 else { return }
        let target = try reserve(bytes.size)
        target.update(from: source, count: bytes.size)
        commit(bytes.size)
    }

    /// A piece of its own, not copied: must live as long as the exchange.
    public mutating func append(_ bytes: sluice_bytes) throws(CodecFailure) {
        guard !bytes.isEmpty else { return }
        try closePiece()
        try pieces.append(bytes)
        closedSize += bytes.size
    }

    /// The pieces written, for the body of a message. The writer is used up.
    public mutating func finish() throws(CodecFailure) -> (start: UnsafePointer<sluice_bytes>?, count: UInt32) {
        try closePiece()
        guard pieces.count <= UInt32.max else { throw CodecFailure.outOfMemory }
        return pieces.view
    }

    /// All that was written, in one view; copied only when it lies in several pieces.
    public mutating func finishContiguous() throws(CodecFailure) -> sluice_bytes {
        let total = size
        try closePiece()
        guard pieces.count != 1 else { return pieces[0] }
        let target = try arena.allocate(UInt8.self, count: total)
        var offset = 0
        for index in 0..<pieces.count {
            guard let source = pieces[index].data else { continue }
            (target + offset).update(from: source, count: pieces[index].size)
            offset += pieces[index].size
        }
        return sluice_bytes(data: target, size: total)
    }

    // MARK: - Values

    public mutating func integer(_ value: Int64) throws(CodecFailure) {
        commit(DecimalText.write(value, to: try reserve(DecimalText.maximumIntegerSize)))
    }

    public mutating func integer(_ value: UInt64) throws(CodecFailure) {
        commit(DecimalText.write(value, to: try reserve(DecimalText.maximumIntegerSize)))
    }

    public mutating func boolean(_ value: Bool) throws(CodecFailure) {
        try raw(value ? "true" : "false")
    }

    /// NaN and the infinities, which JSON cannot say, become null, as orjson writes them. Where that would change what
    /// is asked, in requests, the caller refuses them before.
    public mutating func number(_ value: Double) throws(CodecFailure) {
        guard value.isFinite else { return try raw("null") }
        commit(DecimalText.write(value, to: try reserve(DecimalText.maximumDoubleSize)))
    }

    /// As above.
    public mutating func number(_ value: Float) throws(CodecFailure) {
        guard value.isFinite else { return try raw("null") }
        commit(DecimalText.write(value, to: try reserve(DecimalText.maximumDoubleSize)))
    }

    /// A string with its quotation marks. Bytes that are no UTF-8 are refused.
    public mutating func string(_ text: sluice_bytes) throws(CodecFailure) {
        guard UTF8Sequence.isValid(text) else {
            throw CodecFailure("a text is no UTF-8 and has no JSON form", status: sluice_status(SLUICE_INTERNAL))
        }
        try byte(UInt8(ascii: "\""))
        var plain = 0
        let bytes = text.buffer
        for index in bytes.indices where Self.needsEscape(bytes[index]) {
            try longRaw(text.slice(plain, index - plain))
            try escape(bytes[index])
            plain = index + 1
        }
        try longRaw(text.slice(plain, text.buffer.count - plain))
        try byte(UInt8(ascii: "\""))
    }

    public mutating func string(_ text: StaticString) throws(CodecFailure) {
        try string(.literal(text))
    }

    /// Copies in steps, so that a long text makes no piece of its own size.
    private mutating func longRaw(_ bytes: sluice_bytes) throws(CodecFailure) {
        var offset = 0
        while offset < bytes.size {
            let count = min(bytes.size - offset, 4096)
            try raw(bytes.slice(offset, count))
            offset += count
        }
    }

    @inline(__always)
    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func escape(_ byte: UInt8) throws(CodecFailure) {
        switch byte {
        case UInt8(ascii: "\""): try raw("\\\"")
        case UInt8(ascii: "\\"): try raw("\\\\")
        case 0x0A: try raw("\\n")
        case 0x0D: try raw("\\r")
        case 0x09: try raw("\\t")
        default:
            try raw("\\u00")
            try self.byte(Self.hexDigit(byte >> 4))
            try self.byte(Self.hexDigit(byte & 0xF))
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
