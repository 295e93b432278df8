import SluiceABI

/// How a BYTES element that is no UTF-8 is written.
public enum BinaryText: BitwiseCopyable {
    /// Not at all: a failure.
    case refuse
    /// As `{"b64": "…"}`, the form of TensorFlow Serving.
    case base64
}

/// Writes the elements of a tensor as JSON.
public struct TensorWriter: BitwiseCopyable {
    private let datatype: Datatype
    private let tensor: sluice_tensor
    private let binaryText: BinaryText
    /// The next byte of the data.
    private var offset = 0

    /// Checks that `tensor` holds as many bytes as its shape says.
    ///
    /// - Parameter notFinite: in a request, where `null` would stand for another number than was sent: the words that
    ///   refuse NaN and the infinities, which JSON lacks (RFC 8259 §6), before the tensor's name. Nil writes `null`.
    public init(
        _ tensor: sluice_tensor, binaryText: BinaryText, refusing notFinite: StaticString? = nil
    ) throws(CodecFailure) {
        guard let datatype = Datatype(rawValue: tensor.datatype), Int(tensor.rank) <= TensorShape.maximumRank else {
            throw CodecFailure(
                "a tensor has no known datatype or too many dimensions", status: sluice_status(SLUICE_INTERNAL),
                subject: tensor.name)
        }
        guard tensor.region.isEmpty else {
            throw CodecFailure(
                "a tensor in shared memory has no JSON form", status: sluice_status(SLUICE_UNIMPLEMENTED),
                subject: tensor.name)
        }
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        let isWhole =
            datatype == .bytes
            ? BytesElements.count(tensor.data) == count : tensor.data.buffer.count == count * datatype.elementSize
        guard isWhole else {
            throw CodecFailure(
                "a tensor has more or fewer bytes than its shape says", status: sluice_status(SLUICE_INTERNAL),
                subject: tensor.name)
        }
        if let notFinite, !Self.areFinite(tensor.data, datatype) {
            throw CodecFailure(notFinite, subject: tensor.name)
        }
        self.datatype = datatype
        self.tensor = tensor
        self.binaryText = binaryText
    }

    /// Whether there is neither NaN nor an infinity: whose exponents are all ones (IEEE 754 §3.4).
    private static func areFinite(_ data: sluice_bytes, _ datatype: Datatype) -> Bool {
        switch datatype {
        case .fp16: lack(0x7C00 as UInt16, data)
        case .bf16: lack(0x7F80 as UInt16, data)
        case .fp32: lack(0x7F80_0000 as UInt32, data)
        case .fp64: lack(0x7FF0_0000_0000_0000 as UInt64, data)
        default: true
        }
    }

    /// Whether no element has all of these bits. All are looked at, which takes a small part of the time that writing
    /// them does.
    private static func lack<Bits: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ exponent: Bits, _ data: sluice_bytes
    ) -> Bool {
        guard var position = UnsafeRawPointer(data.data) else { return true }
        var found = false
        for _ in 0..<data.size / MemoryLayout<Bits>.size {
            found = (position.loadUnaligned(as: Bits.self) & exponent == exponent) || found
            position += MemoryLayout<Bits>.size
        }
        return !found
    }

    /// One array of all elements, in row-major order.
    public mutating func writeFlat(_ writer: inout JSONWriter) throws(CodecFailure) {
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        try writeRow(count, &writer)
    }

    /// Arrays inside each other, as the shape says; a bare value for rank 0.
    public mutating func writeNested(_ writer: inout JSONWriter) throws(CodecFailure) {
        try writeLevel(0, &writer)
    }

    /// The next entry along the first dimension. To be called as often as that has entries.
    public mutating func writeNextRow(_ writer: inout JSONWriter) throws(CodecFailure) {
        try writeLevel(1, &writer)
    }

    private mutating func writeLevel(_ depth: Int, _ writer: inout JSONWriter) throws(CodecFailure) {
        let shape = tensor.shapeBuffer
        if depth >= shape.count {
            return try writeElements(1, &writer)
        }
        if depth == shape.count - 1 {
            return try writeRow(Int(shape[depth]), &writer)
        }
        try writer.byte(UInt8(ascii: "["))
        for index in 0..<shape[depth] {
            if index > 0 {
                try writer.byte(UInt8(ascii: ","))
            }
            try writeLevel(depth + 1, &writer)
        }
        try writer.byte(UInt8(ascii: "]"))
    }

    private mutating func writeRow(_ count: Int, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.byte(UInt8(ascii: "["))
        try writeElements(count, &writer)
        try writer.byte(UInt8(ascii: "]"))
    }

    private mutating func writeElements(_ count: Int, _ writer: inout JSONWriter) throws(CodecFailure) {
        switch datatype {
        case .bool: try writeFixed(count, BoolElement.self, &writer)
        case .uint8: try writeFixed(count, UInt8.self, &writer)
        case .uint16: try writeFixed(count, UInt16.self, &writer)
        case .uint32: try writeFixed(count, UInt32.self, &writer)
        case .uint64: try writeFixed(count, UInt64.self, &writer)
        case .int8: try writeFixed(count, Int8.self, &writer)
        case .int16: try writeFixed(count, Int16.self, &writer)
        case .int32: try writeFixed(count, Int32.self, &writer)
        case .int64: try writeFixed(count, Int64.self, &writer)
        case .fp16: try writeFixed(count, HalfElement.self, &writer)
        case .bf16: try writeFixed(count, BrainElement.self, &writer)
        case .fp32: try writeFixed(count, Float.self, &writer)
        case .fp64: try writeFixed(count, Double.self, &writer)
        case .bytes: try writeBytes(count, &writer)
        }
    }

    private mutating func writeFixed<Element: TensorElement>(
        _ count: Int, _ type: Element.Type, _ writer: inout JSONWriter
    ) throws(CodecFailure) {
        let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.size)
        precondition(!overflow && count >= 0 && size <= tensor.data.buffer.count - offset)
        guard count > 0, let data = tensor.data.data else { return }
        // Views of a received body need not be aligned.
        var position = UnsafeRawPointer(data + offset)
        for index in 0..<count {
            if index > 0 {
                try writer.byte(UInt8(ascii: ","))
            }
            try Element.write(position.loadUnaligned(as: type), &writer)
            position += MemoryLayout<Element>.size
        }
        offset += size
    }

    private mutating func writeBytes(_ count: Int, _ writer: inout JSONWriter) throws(CodecFailure) {
        for index in 0..<count {
            if index > 0 {
                try writer.byte(UInt8(ascii: ","))
            }
            var elements = BytesElements(tensor.data.slice(offset, tensor.data.buffer.count - offset))
            guard let element = elements.next() else { return }
            offset += 4 + element.size
            if UTF8Sequence.isValid(element) {
                try writer.string(element)
            } else if binaryText == .base64 {
                try writer.raw("{\"b64\":\"")
                try Base64.write(element, &writer)
                try writer.raw("\"}")
            } else {
                throw CodecFailure(
                    "a BYTES element is no UTF-8 and has no JSON form: ask for binary data, in tensor",
                    subject: tensor.name)
            }
        }
    }
}
