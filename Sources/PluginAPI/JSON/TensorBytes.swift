import SluiceABI

/// The bytes of tensors against their shapes.
public enum TensorBytes {
    /// Checks that `data` holds `count` elements: as many bytes as they take; for BYTES whole elements; for BOOL
    /// nothing but 0 and 1.
    public static func check(
        _ data: sluice_bytes, _ datatype: Datatype, count: Int, of tensor: sluice_bytes
    ) throws(CodecFailure) {
        let size = data.buffer.count
        guard datatype != .bytes else {
            guard let found = BytesElements.count(data) else {
                throw CodecFailure("the last BYTES element is cut off, in tensor", subject: tensor)
            }
            guard found == count else { throw mismatch(tensor, expected: count, found: found) }
            return
        }
        guard size == count * datatype.elementSize else {
            throw mismatch(tensor, expected: count * datatype.elementSize, found: size)
        }
        guard datatype == .bool else { return }
        var combined: UInt8 = 0
        for byte in data.buffer {
            combined |= byte
        }
        guard combined <= 1 else {
            throw CodecFailure("a BOOL element is neither 0 nor 1, in tensor", subject: tensor)
        }
    }

    /// Checks a tensor that is to be encoded; whoever made it is at fault, not the one who is sent it.
    ///
    /// - Returns: its datatype and its number of elements.
    public static func checkMade(_ tensor: sluice_tensor) throws(CodecFailure) -> (datatype: Datatype, count: Int) {
        guard let datatype = Datatype(rawValue: tensor.datatype), Int(tensor.rank) <= TensorShape.maximumRank else {
            throw CodecFailure(
                "a tensor has no known datatype or too many dimensions", status: SLUICE_INTERNAL,
                subject: tensor.name)
        }
        do throws(CodecFailure) {
            let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
            if tensor.region.isEmpty {
                try check(tensor.data, datatype, count: count, of: tensor.name)
            }
            return (datatype, count)
        } catch {
            var failure = error
            failure.status = SLUICE_INTERNAL
            throw failure
        }
    }

    /// The bytes of a tensor, for protocols that have no shared memory.
    public static func requireData(_ tensor: sluice_tensor) throws(CodecFailure) -> sluice_bytes {
        guard tensor.region.isEmpty else {
            throw CodecFailure(
                "a tensor in shared memory has no form in the backend's protocol", status: SLUICE_UNIMPLEMENTED,
                subject: tensor.name)
        }
        return tensor.data.isEmpty ? sluice_bytes() : tensor.data
    }

    public static func mismatch(_ tensor: sluice_bytes, expected: Int, found: Int) -> CodecFailure {
        CodecFailure(
            "the data is not as large as the shape says, in tensor", subject: tensor, expected: Int64(expected),
            found: Int64(found))
    }
}

/// A shape as it is read, value by value, into an exchange's arena.
public struct ShapeReader {
    private let arena: ExchangeArena
    private var start: UnsafeMutablePointer<Int64>?
    public private(set) var rank = 0

    public init(arena: ExchangeArena) {
        self.arena = arena
    }

    /// The shape as the ABI's structs have it; lives until the exchange ends.
    public var view: (start: UnsafePointer<Int64>?, rank: UInt32) {
        (start.map { UnsafePointer($0) }, UInt32(rank))
    }

    public mutating func append(_ dimension: Int64, of tensor: sluice_bytes) throws(CodecFailure) {
        guard rank < TensorShape.maximumRank else {
            throw CodecFailure(
                "a shape has too many dimensions", subject: tensor, expected: Int64(TensorShape.maximumRank))
        }
        if start == nil {
            start = try arena.allocate(Int64.self, count: TensorShape.maximumRank)
        }
        start.unsafelyUnwrapped[rank] = dimension
        rank += 1
    }
}
