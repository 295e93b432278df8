import SluiceABI
import SluiceJSON

/// Writes a message as pieces: what is made here, and between it the bytes of tensors where they lie.
struct MessageWriter {
    private let made: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private var end = 0
    /// Where the piece at hand begins in `made`.
    private var pieceStart = 0
    private let pieces: UnsafeMutablePointer<sluice_bytes>
    private let pieceCapacity: Int
    private var pieceCount = 0
    private var size = 0

    /// - Parameters:
    ///   - capacity: an upper bound of what is written but tensors' bytes; the message's length is counted in.
    ///   - tensors: how many tensors' bytes go between.
    init(arena: ExchangeArena, capacity: Int, tensors: Int) throws(CodecFailure) {
        made = try arena.allocate(UInt8.self, count: capacity)
        self.capacity = capacity
        pieceCapacity = 2 * tensors + 1
        pieces = try arena.allocate(sluice_bytes.self, count: pieceCapacity)
        // The length, which is known at the end.
        uint32(0)
    }

    private mutating func number<Value: FixedWidthInteger>(_ value: Value) {
        let count = MemoryLayout<Value>.size
        precondition(capacity - end >= count)
        UnsafeMutableRawPointer(made + end).storeBytes(of: value.bigEndian, as: Value.self)
        end += count
    }

    mutating func uint8(_ value: UInt8) { number(value) }
    mutating func uint16(_ value: UInt16) { number(value) }
    mutating func uint32(_ value: UInt32) { number(value) }
    mutating func uint64(_ value: UInt64) { number(value) }

    mutating func text(_ text: sluice_bytes) throws(CodecFailure) {
        let text = text.isEmpty ? sluice_bytes() : text
        guard let count = UInt16(exactly: text.size) else {
            throw CodecFailure("a name is longer than the protocol can say", status: SLUICE_UNIMPLEMENTED)
        }
        uint16(count)
        precondition(capacity - end >= text.size)
        if let data = text.data { (made + end).update(from: data, count: text.size) }
        end += text.size
    }

    /// Bytes that stay where they are.
    mutating func data(_ bytes: sluice_bytes) {
        uint64(UInt64(bytes.buffer.count))
        reference(bytes)
    }

    /// The same without their size.
    mutating func reference(_ bytes: sluice_bytes) {
        guard !bytes.isEmpty else { return }
        cut()
        append(bytes)
    }

    private mutating func cut() {
        guard end > pieceStart else { return }
        append(sluice_bytes(data: made + pieceStart, size: end - pieceStart))
        pieceStart = end
    }

    private mutating func append(_ piece: sluice_bytes) {
        precondition(pieceCount < pieceCapacity)
        (pieces + pieceCount).initialize(to: piece)
        pieceCount += 1
        size += piece.size
    }

    mutating func finish(into message: inout sluice_message) throws(CodecFailure) {
        cut()
        guard let length = UInt32(exactly: size - 4) else {
            throw CodecFailure(
                "the message is larger than its length can say", status: SLUICE_OUT_OF_RANGE, httpStatus: 413)
        }
        UnsafeMutableRawPointer(made).storeBytes(of: length.bigEndian, as: UInt32.self)
        message.transport = UInt32(SLUICE_TRANSPORT_TCP)
        message.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.body_size = UInt64(size)
        message.body = UnsafePointer(pieces)
        message.body_count = UInt32(pieceCount)
    }
}
