import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// InferTensorContents: the elements of one tensor, in the repeated field that belongs to its datatype. FP16 and BF16
/// have none and can only be raw.
enum InferContents {
    /// Of InferInputTensor and InferOutputTensor.
    static let number: UInt32 = 5

    /// The field of a datatype and how its elements lie in it; nil: it has none.
    static func field(_ datatype: Datatype) -> (number: UInt32, type: WireType)? {
        switch datatype {
        case .bool: (1, .varint)
        case .int8, .int16, .int32: (2, .varint)
        case .int64: (3, .varint)
        case .uint8, .uint16, .uint32: (4, .varint)
        case .uint64: (5, .varint)
        case .fp32: (6, .fixed32)
        case .fp64: (7, .fixed64)
        case .bytes: (8, .bytes)
        case .fp16, .bf16: nil
        }
    }

    /// Whether a tensor has typed contents with anything in them.
    static func hasValues(_ tensor: sluice_bytes) throws(CodecFailure) -> Bool {
        var reader = ProtobufReader(tensor)
        while let field = try reader.next() {
            if field.number == number, try !field.bytes("contents").isEmpty {
                return true
            }
        }
        return false
    }

    /// The elements of a tensor of which `tensor` is the message. Contents that come in several fields are joined, as
    /// protobuf joins messages.
    static func read(
        _ tensor: sluice_bytes, _ datatype: Datatype, count: Int, of name: sluice_bytes, arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_bytes {
        guard let place = field(datatype) else {
            let hasValues = try hasValues(tensor)
            guard count > 0 || hasValues else { return sluice_bytes() }
            throw CodecFailure("a tensor of FP16 or BF16 must be sent as raw contents, tensor", subject: name)
        }
        var values = TensorValues(datatype, count: count, most: tensor.size, of: name, arena: arena)
        var texts = TensorTexts(count: count, of: name, arena: arena)
        var reader = ProtobufReader(tensor)
        while let field = try reader.next() {
            guard field.number == number else { continue }
            var contents = try field.message("contents")
            while let element = try contents.next() {
                guard element.number == place.number else {
                    // Fields that this version doesn't know are skipped, those of another datatype are a mistake.
                    guard element.number > 8 else {
                        throw CodecFailure("the contents are not of the datatype, in tensor", subject: name)
                    }
                    continue
                }
                if datatype == .bytes {
                    try texts.append(try element.bytes("bytes_contents"))
                } else {
                    try values.append(try element.values(place.type, "contents"))
                }
            }
        }
        return datatype == .bytes ? try texts.finish(repeatsLast: false) : try values.finish()
    }

    // MARK: - Writing

    /// Writes the elements of a tensor that was checked, as typed contents.
    static func write(
        _ tensor: sluice_tensor, _ datatype: Datatype, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        guard let place = field(datatype), !tensor.data.isEmpty else { return }
        try out.message(number) { (contents: inout ProtobufWriter) throws(CodecFailure) in
            switch datatype {
            case .bytes:
                var elements = BytesElements(tensor.data)
                while let element = elements.next() {
                    try contents.bytes(place.number, element)
                }
            // The wire has these as a tensor does: varints of one byte, and little-endian floats.
            case .bool, .fp32, .fp64: try contents.bytes(place.number, tensor.data)
            case .int8: try write(tensor.data, Int8.self, place.number, &contents)
            case .int16: try write(tensor.data, Int16.self, place.number, &contents)
            case .int32: try write(tensor.data, Int32.self, place.number, &contents)
            case .int64: try write(tensor.data, Int64.self, place.number, &contents)
            case .uint8: try write(tensor.data, UInt8.self, place.number, &contents)
            case .uint16: try write(tensor.data, UInt16.self, place.number, &contents)
            case .uint32: try write(tensor.data, UInt32.self, place.number, &contents)
            case .uint64: try write(tensor.data, UInt64.self, place.number, &contents)
            case .fp16, .bf16: break
            }
        }
    }

    private static func write<Element: FixedWidthInteger & BitwiseCopyable>(
        _ data: sluice_bytes, _ type: Element.Type, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        guard let start = data.data else { return }
        let stride = MemoryLayout<Element>.size
        let count = data.size / stride
        var size = 0
        for index in 0..<count {
            size += Varint.size(bits(start, index, type))
        }
        try out.open(number, size: size)
        for index in 0..<count {
            try out.raw(bits(start, index, type))
        }
    }

    /// An element as a varint has it: signed ones in two's complement of 64 bits.
    @inline(__always)
    private static func bits<Element: FixedWidthInteger & BitwiseCopyable>(
        _ start: UnsafePointer<UInt8>, _ index: Int, _ type: Element.Type
    ) -> UInt64 {
        let value = UnsafeRawPointer(start + index * MemoryLayout<Element>.size).loadUnaligned(as: type)
        return UInt64(truncatingIfNeeded: Int64(truncatingIfNeeded: Element(littleEndian: value)))
    }
}
