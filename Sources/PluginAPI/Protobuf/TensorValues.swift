import SluiceABI
import SluiceJSON

/// Collects the elements of a tensor from repeated numbers, in the layout of `sluice_tensor.data`.
///
/// Memory is taken for `count` elements at once, so a caller says how many the message can hold at most, unless it has
/// seen to it that the count is bounded: a shape alone must make nobody allocate.
public struct TensorValues {
    private let datatype: Datatype
    private let name: sluice_bytes
    private let count: Int
    private let most: Int
    private let arena: ExchangeArena
    private var target: UnsafeMutableRawPointer?
    /// The view that serves as the data as it is: packed numbers whose layout is that of the tensor.
    private var view = sluice_bytes()
    public private(set) var found = 0

    /// - Parameter most: elements that the message can hold; a number takes at least a byte.
    public init(_ datatype: Datatype, count: Int, most: Int = .max, of tensor: sluice_bytes, arena: ExchangeArena) {
        self.datatype = datatype
        self.count = count
        self.most = most
        name = tensor
        self.arena = arena
    }

    /// Takes the numbers of one field.
    public mutating func append(_ values: PackedValues) throws(CodecFailure) {
        if found == 0, values.wireType != .varint, values.packed.size == count * datatype.elementSize, count > 0 {
            // FP32 and FP64, packed in one run: the wire has them as a tensor does.
            view = values.packed
            found = count
            return
        }
        guard view.isEmpty || values.packed.isEmpty else { throw tooMany(values.packed.size) }
        var values = values
        while let bits = try values.next() {
            guard found < count else { throw tooMany(found + 1) }
            try store(bits)
        }
    }

    private mutating func store(_ bits: UInt64) throws(CodecFailure) {
        guard view.isEmpty else { throw tooMany(found + 1) }
        if target == nil {
            guard count <= most else { throw TensorBytes.mismatch(name, expected: count, found: most) }
            target = try arena.allocate(count * datatype.elementSize)
        }
        let place = target.unsafelyUnwrapped + found * datatype.elementSize
        switch datatype {
        case .bool: place.storeBytes(of: bits != 0 ? 1 : 0, as: UInt8.self)
        case .int8: place.storeBytes(of: try narrow(bits, Int8.self), as: Int8.self)
        case .int16: place.storeBytes(of: try narrow(bits, Int16.self).littleEndian, as: Int16.self)
        case .int32: place.storeBytes(of: try narrow(bits, Int32.self).littleEndian, as: Int32.self)
        case .uint8: place.storeBytes(of: try narrow(bits, UInt8.self), as: UInt8.self)
        case .uint16: place.storeBytes(of: try narrow(bits, UInt16.self).littleEndian, as: UInt16.self)
        // Half floats come as the number that their bits spell (`half_val`).
        case .fp16, .bf16: place.storeBytes(of: try narrow(bits, UInt16.self).littleEndian, as: UInt16.self)
        case .uint32, .fp32: place.storeBytes(of: try narrow(bits, UInt32.self).littleEndian, as: UInt32.self)
        case .int64, .uint64, .fp64: place.storeBytes(of: bits.littleEndian, as: UInt64.self)
        case .bytes: throw CodecFailure("a BYTES tensor has numbers, tensor", subject: name)
        }
        found += 1
    }

    /// A number that its datatype can hold. Varints carry signed ones in 64 bits of two's complement.
    @inline(__always)
    private func narrow<Value: FixedWidthInteger>(
        _ bits: UInt64, _ type: Value.Type
    ) throws(CodecFailure) -> Value {
        let value = Value.isSigned ? Value(exactly: Int64(bitPattern: bits)) : Value(exactly: bits)
        guard let value else {
            throw CodecFailure("a number is out of the range of its datatype, in tensor", subject: name)
        }
        return value
    }

    /// Repeats the last number until there are as many as the shape says; zeros when there was none.
    public mutating func fill() throws(CodecFailure) {
        guard found < count else { return }
        let size = datatype.elementSize
        if target == nil {
            target = try arena.allocate(count * size)
        }
        let start = target.unsafelyUnwrapped
        if found == 0 {
            start.initializeMemory(as: UInt8.self, repeating: 0, count: count * size)
        } else {
            // What is there doubles with each step.
            var filled = found * size
            let last = start + (found - 1) * size
            (start + filled).copyMemory(from: last, byteCount: size)
            let origin = start + filled
            filled += size
            var run = size
            while filled < count * size {
                let next = min(run, count * size - filled)
                (start + filled).copyMemory(from: origin, byteCount: next)
                filled += next
                run += next
            }
        }
        found = count
    }

    /// The data. Fails when there are fewer elements than the shape says.
    public func finish() throws(CodecFailure) -> sluice_bytes {
        guard found == count else { throw TensorBytes.mismatch(name, expected: count, found: found) }
        guard view.isEmpty, let target else { return view }
        return sluice_bytes(
            data: UnsafePointer(target.assumingMemoryBound(to: UInt8.self)), size: count * datatype.elementSize)
    }

    private func tooMany(_ found: Int) -> CodecFailure {
        CodecFailure(
            "the data does not have as many elements as the shape says, in tensor", subject: name,
            expected: Int64(count), found: Int64(found))
    }
}

/// Collects the elements of a BYTES tensor from texts, with a length before each.
public struct TensorTexts {
    private let name: sluice_bytes
    private let count: Int
    private var elements: ArenaList<sluice_bytes>
    private let arena: ExchangeArena

    public init(count: Int, of tensor: sluice_bytes, arena: ExchangeArena) {
        name = tensor
        self.count = count
        self.arena = arena
        elements = ArenaList(arena: arena, limit: count)
    }

    public var found: Int { elements.count }

    /// Bytes that missing elements take when they are as the last one; nil when these cannot be counted.
    public var missingSize: Int? {
        guard found < count else { return 0 }
        let last = found > 0 ? elements[found - 1].buffer.count : 0
        let (size, overflow) = (count - found).multipliedReportingOverflow(by: 4 + last)
        return overflow ? nil : size
    }

    public mutating func append(_ text: sluice_bytes) throws(CodecFailure) {
        guard elements.count < count else {
            throw CodecFailure(
                "the data does not have as many elements as the shape says, in tensor", subject: name,
                expected: Int64(count), found: Int64(count) + 1)
        }
        try elements.append(text)
    }

    /// - Parameter repeatsLast: missing elements are as the last one, or empty when there is none. The caller bounds
    ///   `missingSize`.
    public func finish(repeatsLast: Bool) throws(CodecFailure) -> sluice_bytes {
        guard found == count || repeatsLast else {
            throw TensorBytes.mismatch(name, expected: count, found: found)
        }
        guard count > 0 else { return sluice_bytes() }
        let last = found > 0 ? elements[found - 1] : sluice_bytes()
        var size = 0
        for index in 0..<found {
            size += 4 + elements[index].buffer.count
        }
        guard let missing = missingSize, missing < 1 << 59 else { throw CodecFailure.outOfMemory }
        let target = try arena.allocate(size + missing)
        var place = target
        for index in 0..<count {
            let element = index < found ? elements[index] : last
            guard let length = UInt32(exactly: element.buffer.count) else { throw CodecFailure.outOfMemory }
            place.storeBytes(of: length.littleEndian, as: UInt32.self)
            place += 4
            if let data = element.data, length > 0 {
                place.copyMemory(from: data, byteCount: element.size)
                place += element.size
            }
        }
        return sluice_bytes(data: UnsafePointer(target.assumingMemoryBound(to: UInt8.self)), size: size + missing)
    }
}
