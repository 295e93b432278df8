import SluiceABI

/// The element types of the Open Inference Protocol v2, with the numbers of `SLUICE_DATATYPE_*`.
public enum Datatype: UInt32, CaseIterable, BitwiseCopyable, Sendable {
    case bool = 1, uint8, uint16, uint32, uint64, int8, int16, int32, int64, fp16, fp32, fp64, bytes, bf16

    /// Bytes of one element; 0 for BYTES, whose elements have sizes of their own.
    public var elementSize: Int {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .fp16, .bf16: 2
        case .uint32, .int32, .fp32: 4
        case .uint64, .int64, .fp64: 8
        case .bytes: 0
        }
    }

    public var name: StaticString {
        switch self {
        case .bool: "BOOL"
        case .uint8: "UINT8"
        case .uint16: "UINT16"
        case .uint32: "UINT32"
        case .uint64: "UINT64"
        case .int8: "INT8"
        case .int16: "INT16"
        case .int32: "INT32"
        case .int64: "INT64"
        case .fp16: "FP16"
        case .fp32: "FP32"
        case .fp64: "FP64"
        case .bytes: "BYTES"
        case .bf16: "BF16"
        }
    }

    public init?(name: sluice_bytes) {
        // The size leaves few to compare with.
        let candidate: Datatype
        switch (name.size, name.buffer.first) {
        case (4, UInt8(ascii: "F")):
            candidate = name.equals("FP32") ? .fp32 : name.equals("FP64") ? .fp64 : .fp16
        case (4, UInt8(ascii: "I")): candidate = .int8
        case (4, UInt8(ascii: "B")): candidate = name.equals("BOOL") ? .bool : .bf16
        case (5, UInt8(ascii: "I")):
            candidate = name.equals("INT64") ? .int64 : name.equals("INT32") ? .int32 : .int16
        case (5, UInt8(ascii: "U")): candidate = .uint8
        case (5, UInt8(ascii: "B")): candidate = .bytes
        case (6, UInt8(ascii: "U")):
            candidate = name.equals("UINT64") ? .uint64 : name.equals("UINT32") ? .uint32 : .uint16
        default: return nil
        }
        guard name.equals(candidate.name) else { return nil }
        self = candidate
    }
}

/// Shapes of tensors.
public enum TensorShape {
    /// The most dimensions, as `sluice_tensor.rank` has it.
    public static let maximumRank = 16

    /// The number of elements: the product, 1 for rank 0. Fails for a negative dimension and for an overflow, also one
    /// that a dimension of 0 would hide.
    public static func elementCount(_ shape: UnsafeBufferPointer<Int64>, of tensor: sluice_bytes) throws(CodecFailure)
        -> Int
    {
        var count: Int64 = 1
        var hasZero = false
        for dimension in shape {
            guard dimension >= 0 else {
                throw CodecFailure("the shape has a negative dimension, in tensor", subject: tensor)
            }
            if dimension == 0 {
                hasZero = true
                continue
            }
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            // 2^59 elements of 8 bytes, and as many bytes again, can still be counted.
            guard !overflow, product < 1 << 59 else {
                throw CodecFailure("the shape has more elements than can be, in tensor", subject: tensor)
            }
            count = product
        }
        return hasZero ? 0 : Int(count)
    }
}

extension TensorShape {
    /// How many lists stand inside the outermost one of a tensor that has no elements: as many as a shape says, with
    /// not a byte of data to bear them. 0 where there are elements, each of which bears 16 at most. Cut at `Int.max`.
    public static func emptyLists(_ shape: UnsafeBufferPointer<Int64>) -> Int {
        var (level, lists) = (1, 0)
        for dimension in shape {
            if dimension == 0 { return lists }
            let (product, overflow) = level.multipliedReportingOverflow(by: Int(max(dimension, 1)))
            level = overflow ? .max : product
            let (sum, isBeyond) = lists.addingReportingOverflow(level)
            lists = isBeyond ? .max : sum
        }
        return 0
    }
}

extension sluice_tensor {
    public var shapeBuffer: UnsafeBufferPointer<Int64> {
        UnsafeBufferPointer(start: shape, count: shape == nil ? 0 : Int(rank))
    }
}

/// The elements of a BYTES tensor: a little-endian 32-bit length before each.
public struct BytesElements {
    private var rest: sluice_bytes

    public init(_ data: sluice_bytes) {
        rest = data
    }

    public var isAtEnd: Bool { rest.isEmpty }

    /// The next element, or nil when the data is at its end or cut off (see `isAtEnd`).
    public mutating func next() -> sluice_bytes? {
        guard rest.size >= 4, let start = rest.data else { return nil }
        let size = Int(UInt32(littleEndian: UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)))
        guard rest.size - 4 >= size else { return nil }
        let element = rest.slice(4, size)
        rest = rest.slice(4 + size, rest.size - 4 - size)
        return element
    }

    /// How many elements there are, or nil when the data does not end with one.
    public static func count(_ data: sluice_bytes) -> Int? {
        var elements = BytesElements(data)
        var count = 0
        while elements.next() != nil {
            count += 1
        }
        return elements.isAtEnd ? count : nil
    }
}
