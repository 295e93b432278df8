import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// tensorflow.TensorProto. Its elements are bytes in `tensor_content`, which stay where they are, or a list of values,
/// of which the last stands for those that are missing (tensor_util.py, `make_tensor_proto` and `MakeNdarray`).
enum TensorMessage {
    /// Bytes of elements that a message may leave for its reader to fill up, of all its tensors together. Else a shape
    /// of some bytes could make the gateway take all that an exchange may. 16 MiB are 27 images of 224 × 224 × 3 in
    /// FP32; who sends that much of one value is testing.
    static let maximumFill = 1 << 24

    // MARK: - Reading

    /// - Parameter fill: what is left of `maximumFill` for the message.
    static func read(
        _ bytes: sluice_bytes, name: sluice_bytes, fill: inout Int, arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = name
        var type: Int32 = 0
        var shape = ShapeReader(arena: arena)
        var content = sluice_bytes()
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: type = try field.int32("dtype")
            case 2: _ = try ShapeMessage.read(try field.message("tensor_shape"), of: name, &shape)
            case 4: content = try field.bytes("tensor_content")
            default: break
            }
        }
        guard let datatype = TensorFlowDatatype.datatype(type) else {
            throw CodecFailure(
                "the datatype is missing or has no counterpart here, in tensor", subject: name, expected: -1,
                found: Int64(type))
        }
        tensor.datatype = datatype.rawValue
        (tensor.shape, tensor.rank) = shape.view
        for dimension in tensor.shapeBuffer where dimension < 0 {
            throw CodecFailure("the shape has a negative dimension, in tensor", subject: name)
        }
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: name)
        if content.isEmpty {
            tensor.data = try readValues(bytes, datatype, count: count, of: name, &fill, arena)
        } else if datatype == .bytes {
            tensor.data = try readTexts(content, count: count, of: name, arena)
        } else {
            try TensorBytes.check(content, datatype, count: count, of: name)
            tensor.data = content
        }
        return tensor
    }

    private static func readValues(
        _ bytes: sluice_bytes, _ datatype: Datatype, count: Int, of name: sluice_bytes, _ fill: inout Int,
        _ arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_bytes {
        let place = TensorFlowDatatype.values(datatype)
        // One value may stand for any number of elements. A value takes at least a byte, so that a tensor with more
        // elements than bytes has to be filled up, as far as that may be.
        if datatype != .bytes, count > bytes.size {
            guard count <= fill / datatype.elementSize else { throw tooMuchFill(name) }
            fill -= count * datatype.elementSize
        }
        var values = TensorValues(datatype, count: count, of: name, arena: arena)
        var texts = TensorTexts(count: count, of: name, arena: arena)
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            if field.number == place.number {
                if datatype == .bytes {
                    try texts.append(try field.bytes("string_val"))
                } else {
                    try values.append(try field.values(place.type, "the tensor's values"))
                }
            } else if TensorFlowDatatype.listsValues(field.number) {
                throw CodecFailure("the values are not of the datatype, in tensor", subject: name)
            }
        }
        if datatype == .bytes {
            guard let added = texts.missingSize, added <= fill else { throw tooMuchFill(name) }
            fill -= added
            return try texts.finish(repeatsLast: true)
        }
        try values.fill()
        return try values.finish()
    }

    private static func tooMuchFill(_ name: sluice_bytes) -> CodecFailure {
        CodecFailure(
            "one value stands for more elements than a message may leave to be filled up, in tensor",
            status: SLUICE_RESOURCE_EXHAUSTED, subject: name)
    }

    /// Strings in `tensor_content`: the sizes of all as varints, then their bytes (tensor_coding.cc,
    /// `EncodeStringList`).
    private static func readTexts(
        _ content: sluice_bytes, count: Int, of name: sluice_bytes, _ arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_bytes {
        guard count <= content.size else {
            throw TensorBytes.mismatch(name, expected: count, found: content.size)
        }
        var offset = 0
        for _ in 0..<count where Varint.read(content, &offset) == nil {
            throw CodecFailure("the sizes of the strings are cut off, in tensor", subject: name)
        }
        var texts = TensorTexts(count: count, of: name, arena: arena)
        var sizes = 0
        var place = offset
        for _ in 0..<count {
            let size = Varint.read(content, &sizes) ?? 0
            guard size <= UInt64(content.size - place) else {
                throw CodecFailure("the last string is cut off, in tensor", subject: name)
            }
            try texts.append(content.slice(place, Int(size)))
            place += Int(size)
        }
        guard place == content.size else { throw TensorBytes.mismatch(name, expected: place, found: content.size) }
        return try texts.finish(repeatsLast: false)
    }

    // MARK: - Writing

    /// An entry of a map from names to tensors.
    static func writeEntry(
        _ tensor: sluice_tensor, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        let (datatype, _) = try TensorBytes.checkMade(tensor)
        let data = try TensorBytes.requireData(tensor)
        try out.message(number) { (entry: inout ProtobufWriter) throws(CodecFailure) in
            try entry.text(1, tensor.name)
            try entry.message(2) { (part: inout ProtobufWriter) throws(CodecFailure) in
                try part.integer(1, TensorFlowDatatype.number(datatype))
                // Without a shape a server would take it for unknown; a scalar's has no dimensions.
                try ShapeMessage.write(tensor.shapeBuffer, 2, &part)
                guard datatype == .bytes else { return try part.text(4, data) }
                var elements = BytesElements(data)
                while let element = elements.next() {
                    try part.bytes(8, element)
                }
            }
        }
    }
}

/// tensorflow.TensorShapeProto.
enum ShapeMessage {
    /// - Returns: false when the rank is unknown, which only a signature can say; a tensor is refused.
    static func read(
        _ message: ProtobufReader, of name: sluice_bytes, _ shape: inout ShapeReader, isSignature: Bool = false
    ) throws(CodecFailure) -> Bool {
        var reader = message
        var isKnown = true
        while let field = try reader.next() {
            switch field.number {
            case 2:
                var size: Int64 = 0
                var dimension = try field.message("tensor_shape.dim")
                while let part = try dimension.next() {
                    if part.number == 1 {
                        size = try part.int64("tensor_shape.dim.size")
                    }
                }
                try shape.append(size, of: name)
            case 3:
                isKnown = try !field.boolean("tensor_shape.unknown_rank")
                guard isKnown || isSignature else {
                    throw CodecFailure("the shape is unknown, in tensor", subject: name)
                }
            default: break
            }
        }
        return isKnown
    }

    static func write(
        _ shape: UnsafeBufferPointer<Int64>, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        try out.message(number) { (part: inout ProtobufWriter) throws(CodecFailure) in
            for size in shape {
                try part.message(2) { (dimension: inout ProtobufWriter) throws(CodecFailure) in
                    try dimension.integer(1, UInt64(bitPattern: size))
                }
            }
        }
    }
}
