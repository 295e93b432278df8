import SluiceABI

/// Which arrays a tensor's JSON may be.
public enum TensorLayout {
    /// One array of all elements in row-major order, or arrays inside each other as the shape says.
    case flatOrNested
    /// Only as the shape says; a bare value for rank 0.
    case nested
}

/// Reads the elements of a tensor whose datatype and shape are known.
public struct TensorReader: BitwiseCopyable {
    private let datatype: Datatype
    private let shape: UnsafeBufferPointer<Int64>
    private let count: Int
    private let name: sluice_bytes
    private let arena: ExchangeArena
    /// JSON's null stands for NaN: some servers answer so, for JSON has no NaN.
    private let acceptsNull: Bool
    /// `{"b64": "…"}` stands for the bytes of a BYTES element.
    private let acceptsBase64: Bool

    /// - Parameters:
    ///   - count: the number of elements of `shape`.
    ///   - name: of the tensor, for failures.
    public init(
        datatype: Datatype, shape: UnsafeBufferPointer<Int64>, count: Int, name: sluice_bytes, arena: ExchangeArena,
        acceptsNull: Bool = false, acceptsBase64: Bool = false
    ) {
        self.datatype = datatype
        self.shape = shape
        self.count = count
        self.name = name
        self.arena = arena
        self.acceptsNull = acceptsNull
        self.acceptsBase64 = acceptsBase64
    }

    /// Reads the tensor's value, and returns its elements as they lie in memory.
    public func read(_ reader: inout JSONReader, _ layout: TensorLayout) throws(CodecFailure) -> sluice_bytes {
        // An element takes at least a character and the comma after it: no body can ask for more memory than this.
        guard count <= reader.remaining / 2 + 1 else { throw tooFew(reader) }
        var capacity = count * datatype.elementSize
        if datatype == .bytes {
            let begin = reader.position
            capacity = try Self.bytesCapacity(textSize: reader.skip().size, count: count)
            reader.restore(begin)
        }
        let target = try arena.allocate(capacity)
        let size = try read(&reader, layout, into: target, capacity: capacity)
        return sluice_bytes(data: target.assumingMemoryBound(to: UInt8.self), size: size)
    }

    /// Enough for the elements of a BYTES tensor: a string's quotation marks and comma make up for three of the four
    /// bytes of its length.
    static func bytesCapacity(textSize: Int, count: Int) throws(CodecFailure) -> Int {
        let (capacity, overflow) = textSize.addingReportingOverflow(count + 8)
        guard !overflow else { throw CodecFailure.outOfMemory }
        return capacity
    }

    /// Reads the tensor's value into memory of the caller, aligned for the datatype, and returns the size in bytes.
    func read(
        _ reader: inout JSONReader, _ layout: TensorLayout, into target: UnsafeMutableRawPointer, capacity: Int
    ) throws(CodecFailure) -> Int {
        if datatype == .bytes {
            var sink = BytesSink(
                start: target.bindMemory(to: UInt8.self, capacity: capacity), capacity: capacity,
                acceptsBase64: acceptsBase64)
            try walk(&reader, &sink, layout)
            return sink.size
        }
        precondition(capacity >= count * datatype.elementSize)
        switch datatype {
        case .bool: try fill(target, as: BoolElement.self, &reader, layout)
        case .uint8: try fill(target, as: UInt8.self, &reader, layout)
        case .uint16: try fill(target, as: UInt16.self, &reader, layout)
        case .uint32: try fill(target, as: UInt32.self, &reader, layout)
        case .uint64: try fill(target, as: UInt64.self, &reader, layout)
        case .int8: try fill(target, as: Int8.self, &reader, layout)
        case .int16: try fill(target, as: Int16.self, &reader, layout)
        case .int32: try fill(target, as: Int32.self, &reader, layout)
        case .int64: try fill(target, as: Int64.self, &reader, layout)
        case .fp16: try fill(target, as: HalfElement.self, &reader, layout)
        case .bf16: try fill(target, as: BrainElement.self, &reader, layout)
        case .fp32: try fill(target, as: Float.self, &reader, layout)
        case .fp64: try fill(target, as: Double.self, &reader, layout)
        case .bytes: break
        }
        return count * datatype.elementSize
    }

    // MARK: - Elements of one size

    private func fill<Element: TensorElement>(
        _ target: UnsafeMutableRawPointer, as type: Element.Type, _ reader: inout JSONReader, _ layout: TensorLayout
    ) throws(CodecFailure) {
        var sink = FixedSink(next: target.bindMemory(to: type, capacity: max(count, 1)), acceptsNull: acceptsNull)
        try walk(&reader, &sink, layout)
    }

    // MARK: - Arrays

    @inline(__always)
    private func walk<Sink: ElementSink>(
        _ reader: inout JSONReader, _ sink: inout Sink, _ layout: TensorLayout
    ) throws(CodecFailure) {
        if shape.isEmpty, try reader.peek() != .array || layout == .nested {
            return try sink.take(&reader)
        }
        if layout == .flatOrNested {
            let begin = reader.position
            try reader.beginArray()
            let next = try reader.peekOrEnd()
            reader.restore(begin)
            if shape.count < 2 || next != UInt8(ascii: "[") {
                return try row(&reader, &sink, count: count)
            }
        }
        try level(0, &reader, &sink)
    }

    private func level<Sink: ElementSink>(
        _ depth: Int, _ reader: inout JSONReader, _ sink: inout Sink
    ) throws(CodecFailure) {
        let length = Int(shape[depth])
        if depth == shape.count - 1 {
            return try row(&reader, &sink, count: length)
        }
        try reader.beginArray()
        var isFirst = true
        var index = 0
        while try reader.nextElement(&isFirst) {
            guard index < length else { throw mismatch(reader, length, index + 1) }
            try level(depth + 1, &reader, &sink)
            index += 1
        }
        guard index == length else { throw mismatch(reader, length, index) }
    }

    @inline(__always)
    private func row<Sink: ElementSink>(
        _ reader: inout JSONReader, _ sink: inout Sink, count: Int
    ) throws(CodecFailure) {
        try reader.beginArray()
        var isFirst = true
        var index = sink.takeRun(&reader, count, &isFirst)
        while try reader.nextElement(&isFirst) {
            guard index < count else { throw mismatch(reader, count, index + 1) }
            try sink.take(&reader)
            index += 1
            index += sink.takeRun(&reader, count - index, &isFirst)
        }
        guard index == count else { throw mismatch(reader, count, index) }
    }

    private func mismatch(_ reader: JSONReader, _ expected: Int, _ found: Int) -> CodecFailure {
        CodecFailure(
            "the data does not have as many elements as the shape says, in tensor", subject: name,
            offset: reader.offset, expected: Int64(expected), found: Int64(found))
    }

    private func tooFew(_ reader: JSONReader) -> CodecFailure {
        CodecFailure(
            "the data does not have as many elements as the shape says, in tensor", subject: name,
            offset: reader.offset)
    }
}

/// Takes one element after the other; the caller has counted that there is room.
private protocol ElementSink {
    mutating func take(_ reader: inout JSONReader) throws(CodecFailure)
    /// Takes as many elements of an array as can be read fast, `count` at most, and returns their number. The reader
    /// stands before the array's first element, or behind the last one that was taken.
    mutating func takeRun(_ reader: inout JSONReader, _ count: Int, _ isFirst: inout Bool) -> Int
}

private struct FixedSink<Element: TensorElement>: ElementSink {
    var next: UnsafeMutablePointer<Element>
    let acceptsNull: Bool

    @inline(__always)
    mutating func take(_ reader: inout JSONReader) throws(CodecFailure) {
        if acceptsNull, let nan = Element.notANumber, try reader.peek() == .null {
            try reader.null()
            next.pointee = nan
        } else {
            next.pointee = try Element.read(&reader)
        }
        next += 1
    }

    @inline(__always)
    mutating func takeRun(_ reader: inout JSONReader, _ count: Int, _ isFirst: inout Bool) -> Int {
        let taken = reader.readRun(into: next, count: count, isFirst: isFirst)
        next += taken
        isFirst = isFirst && taken == 0
        return taken
    }
}

private struct BytesSink: ElementSink {
    let start: UnsafeMutablePointer<UInt8>
    let capacity: Int
    let acceptsBase64: Bool
    var size = 0

    mutating func take(_ reader: inout JSONReader) throws(CodecFailure) {
        guard capacity - size >= 4 else { throw CodecFailure.outOfMemory }
        let target = start + size + 4
        let room = capacity - size - 4
        let length: Int
        if acceptsBase64, try reader.peek() == .object {
            length = try Self.base64(&reader, target, room)
        } else {
            length = try reader.string(into: target, capacity: room)
        }
        guard let stored = UInt32(exactly: length) else { throw CodecFailure.outOfMemory }
        UnsafeMutableRawPointer(start + size).storeBytes(of: stored.littleEndian, as: UInt32.self)
        size += 4 + length
    }

    mutating func takeRun(_ reader: inout JSONReader, _ count: Int, _ isFirst: inout Bool) -> Int { 0 }

    private static func base64(
        _ reader: inout JSONReader, _ target: UnsafeMutablePointer<UInt8>, _ room: Int
    ) throws(CodecFailure) -> Int {
        var isFirst = true
        try reader.beginObject()
        guard let key = try reader.nextKey(&isFirst), key.equals("b64") else {
            throw reader.fail("an object among the elements is not {\"b64\": …}")
        }
        let text = try reader.string()
        guard text.size <= room, let size = Base64.decode(text, to: target) else {
            throw reader.fail("a text is no base 64")
        }
        guard try reader.nextKey(&isFirst) == nil else {
            throw reader.fail("an object among the elements is not {\"b64\": …}")
        }
        return size
    }
}

/// A tensor that is read piece by piece along its first dimension, where the pieces lie apart in the text.
public struct TensorCells: BitwiseCopyable {
    private let cell: TensorReader
    private let target: UnsafeMutableRawPointer
    private let capacity: Int
    private var size = 0

    /// - Parameters:
    ///   - cell: reads one piece.
    ///   - textSize: of all the text in which the pieces lie.
    public init(
        _ cell: TensorReader, cells: Int, textSize: Int, arena: ExchangeArena
    ) throws(CodecFailure) {
        // Each element takes at least two characters of the text.
        let (count, overflow) = cells.multipliedReportingOverflow(by: cell.elementCount)
        guard !overflow, count <= textSize / 2 + 1 else { throw CodecFailure.outOfMemory }
        capacity = try cell.capacity(elements: count, textSize: textSize)
        target = try arena.allocate(capacity)
        self.cell = cell
    }

    public mutating func read(_ reader: inout JSONReader) throws(CodecFailure) {
        size += try cell.read(&reader, .nested, into: target + size, capacity: capacity - size)
    }

    /// What was read so far.
    public var data: sluice_bytes {
        sluice_bytes(data: UnsafePointer(target.assumingMemoryBound(to: UInt8.self)), size: size)
    }
}

extension TensorReader {
    var elementCount: Int { count }

    func capacity(elements: Int, textSize: Int) throws(CodecFailure) -> Int {
        datatype == .bytes
            ? try Self.bytesCapacity(textSize: textSize, count: elements) : elements * datatype.elementSize
    }
}
