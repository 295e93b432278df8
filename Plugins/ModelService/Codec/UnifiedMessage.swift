import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// UnifiedRequest and UnifiedResponse, whose fields have the same numbers.
struct UnifiedMessage {
    var model = sluice_bytes()
    var version = sluice_bytes()
    var id = sluice_bytes()
    var payload = sluice_payload()

    // MARK: - Reading

    static func read(_ bytes: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> UnifiedMessage {
        var message = UnifiedMessage()
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: MessageLimits.tensors)
        var outputs = ArenaList<sluice_output>(arena: arena, limit: MessageLimits.tensors)
        var values = ArenaList<sluice_parameter>(arena: arena, limit: MessageLimits.parameters)
        var data: (type: sluice_bytes, value: sluice_bytes)?
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: message.model = try field.string("model")
            case 2: message.version = try field.string("version")
            case 3: message.id = try field.string("id")
            case 4: data = try AnyMessage.read(try field.bytes("data"))
            case 5:
                let tensor = try readTensor(try field.bytes("tensors"), arena)
                try tensors.requireNew(tensor.name)
                try tensors.append(tensor)
            case 6: try readValue(try field.bytes("metadata"), &values)
            case 7: try outputs.appendRequested(try field.string("outputs"))
            default: break
            }
        }
        if let data {
            guard tensors.count == 0 else { throw CodecFailure("the message has both data and tensors") }
            message.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            (message.payload.content_type, message.payload.raw) = try AnyMessage.content(data, arena)
        } else {
            message.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
            (message.payload.tensors, message.payload.tensor_count) = tensors.view
        }
        (message.payload.outputs, message.payload.output_count) = outputs.view
        (message.payload.parameters, message.payload.parameter_count) = values.view
        return message
    }

    private static func readTensor(_ bytes: sluice_bytes, _ arena: ExchangeArena) throws(CodecFailure) -> sluice_tensor
    {
        var tensor = sluice_tensor()
        var shape = ShapeReader(arena: arena)
        var values = ArenaList<sluice_parameter>(arena: arena, limit: MessageLimits.parameters)
        var number: Int32 = 0
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: tensor.name = try field.string("tensor.name")
            case 2: number = try field.int32("tensor.datatype")
            case 3: try shape.append(try field.values(.varint, "tensor.shape"), of: tensor.name)
            case 4: tensor.data = try field.bytes("tensor.data")
            case 5: try readValue(try field.bytes("tensor.metadata"), &values)
            default: break
            }
        }
        guard !tensor.name.isEmpty else { throw CodecFailure("a tensor has no name") }
        // The enum has the numbers of `SLUICE_DATATYPE_*`.
        guard let datatype = UInt32(exactly: number).flatMap({ Datatype(rawValue: $0) }) else {
            throw CodecFailure("the datatype is missing or unknown, in tensor", subject: tensor.name)
        }
        tensor.datatype = datatype.rawValue
        (tensor.shape, tensor.rank) = shape.view
        (tensor.parameters, tensor.parameter_count) = values.view
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        try TensorBytes.check(tensor.data, datatype, count: count, of: tensor.name)
        return tensor
    }

    /// An entry of a map to Value.
    private static func readValue(
        _ entry: sluice_bytes, _ values: inout ArenaList<sluice_parameter>
    ) throws(CodecFailure) {
        var parameter = sluice_parameter()
        var value: ProtobufReader?
        var reader = ProtobufReader(entry)
        while let field = try reader.next() {
            switch field.number {
            case 1: parameter.name = try field.string("metadata.key")
            case 2: value = try field.message("metadata.value")
            default: break
            }
        }
        guard !parameter.name.isEmpty else { throw CodecFailure("an entry of the metadata has no name") }
        while let field = try value?.next() {
            switch field.number {
            case 1:
                parameter.kind = UInt32(SLUICE_PARAMETER_BOOL)
                parameter.integer = try field.boolean("boolean") ? 1 : 0
            case 2:
                parameter.kind = UInt32(SLUICE_PARAMETER_INT64)
                parameter.integer = try field.int64("integer")
            case 3:
                parameter.kind = UInt32(SLUICE_PARAMETER_DOUBLE)
                parameter.number = try field.double("number")
            case 4:
                parameter.kind = UInt32(SLUICE_PARAMETER_STRING)
                parameter.text = try field.string("text")
            default: break
            }
        }
        guard parameter.kind != 0 else { return }
        try values.set(parameter)
    }

    // MARK: - Writing

    /// - Parameter wanted: of a response, the request, whose outputs must be there; it names none: all.
    func write(
        wanted: sluice_payload, isRequest: Bool, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        try out.text(1, model)
        try out.text(2, version)
        try out.text(3, id)
        switch Int32(bitPattern: payload.kind) {
        case SLUICE_PAYLOAD_RAW:
            try out.message(4) { (part: inout ProtobufWriter) throws(CodecFailure) in
                try AnyMessage.write(payload.content_type, payload.raw, &part)
            }
        case SLUICE_PAYLOAD_TENSORS:
            try wanted.requireOutputs(in: payload)
            for index in 0..<Int(payload.tensor_count) {
                guard let tensor = payload.tensors?[index], wanted.asksForOutput(tensor.name) else { continue }
                try Self.write(tensor, &out)
            }
        case SLUICE_PAYLOAD_NONE: break
        default:
            throw CodecFailure("the message has no form in sluice.v1.ModelService", status: SLUICE_UNIMPLEMENTED)
        }
        try Self.write(payload.parameters, payload.parameter_count, 6, &out)
        guard isRequest else { return }
        for index in 0..<Int(payload.output_count) {
            guard let output = payload.outputs?[index] else { break }
            try out.text(7, output.name)
        }
    }

    private static func write(_ tensor: sluice_tensor, _ out: inout ProtobufWriter) throws(CodecFailure) {
        let (datatype, _) = try TensorBytes.checkMade(tensor)
        let data = try TensorBytes.requireData(tensor)
        try out.message(5) { (part: inout ProtobufWriter) throws(CodecFailure) in
            try part.text(1, tensor.name)
            try part.integer(2, UInt64(datatype.rawValue))
            try part.packed(3, tensor.shapeBuffer)
            try part.text(4, data)
            try write(tensor.parameters, tensor.parameter_count, 5, &part)
        }
    }

    private static func write(
        _ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32, _ number: UInt32,
        _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        for index in 0..<Int(count) {
            guard let parameter = parameters?[index] else { break }
            try out.message(number) { (entry: inout ProtobufWriter) throws(CodecFailure) in
                try entry.text(1, parameter.name)
                try entry.message(2) { (value: inout ProtobufWriter) throws(CodecFailure) in
                    // A member of a oneof is written also when it is 0 or empty.
                    switch parameter.kind {
                    case UInt32(SLUICE_PARAMETER_BOOL): try value.varint(1, parameter.integer != 0 ? 1 : 0)
                    case UInt32(SLUICE_PARAMETER_INT64): try value.varint(2, UInt64(bitPattern: parameter.integer))
                    case UInt32(SLUICE_PARAMETER_DOUBLE): try value.double(3, parameter.number)
                    default: try value.bytes(4, parameter.text)
                    }
                }
            }
        }
    }
}

/// google.protobuf.Any, and what of it the gateway calls a content type. A message of a type known to both ends is
/// `application/protobuf; messageType="…"`; anything else travels as a google.api.HttpBody, with its own content type.
enum AnyMessage {
    private static let httpBody: StaticString = "type.googleapis.com/google.api.HttpBody"
    private static let prefix: StaticString = "application/protobuf; messageType=\""

    static func read(_ bytes: sluice_bytes) throws(CodecFailure) -> (type: sluice_bytes, value: sluice_bytes) {
        var data = (type: sluice_bytes(), value: sluice_bytes())
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: data.type = try field.string("data.type_url")
            case 2: data.value = try field.bytes("data.value")
            default: break
            }
        }
        return data
    }

    static func content(
        _ data: (type: sluice_bytes, value: sluice_bytes), _ arena: ExchangeArena
    ) throws(CodecFailure) -> (type: sluice_bytes, raw: sluice_bytes) {
        guard !data.type.equals(httpBody) else {
            var body = (type: sluice_bytes(), raw: sluice_bytes())
            var reader = ProtobufReader(data.value)
            while let field = try reader.next() {
                switch field.number {
                case 1: body.type = try field.string("data.content_type")
                case 2: body.raw = try field.bytes("data.data")
                default: break
                }
            }
            return body
        }
        // A content type with a quote or a control character in it would not come back as it went.
        for byte in data.type.buffer where byte < 0x21 || byte > 0x7E || byte == 0x22 || byte == 0x5C {
            throw CodecFailure("the type of the data is no URL", subject: data.type)
        }
        let start = sluice_bytes.literal(prefix)
        let text = try arena.allocate(UInt8.self, count: start.size + data.type.buffer.count + 1)
        text.update(from: start.data.unsafelyUnwrapped, count: start.size)
        if let type = data.type.data {
            (text + start.size).update(from: type, count: data.type.size)
        }
        text[start.size + data.type.buffer.count] = UInt8(ascii: "\"")
        return (sluice_bytes(data: text, size: start.size + data.type.buffer.count + 1), data.value)
    }

    static func write(
        _ type: sluice_bytes, _ raw: sluice_bytes, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        let start = sluice_bytes.literal(prefix)
        if type.hasPrefix(start), type.size > start.size, type.buffer.last == UInt8(ascii: "\"") {
            try out.text(1, type.slice(start.size, type.size - start.size - 1))
            try out.text(2, raw)
            return
        }
        try out.text(1, .literal(httpBody))
        try out.message(2) { (body: inout ProtobufWriter) throws(CodecFailure) in
            try body.text(1, type)
            try body.text(2, raw)
        }
    }
}
