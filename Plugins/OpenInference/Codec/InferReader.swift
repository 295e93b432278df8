import SluiceABI
import SluiceJSON

/// Reads infer messages: JSON, and the binary tensor data extension, in which a field gives the size of the JSON and
/// the tensors' bytes follow it (Triton, extension_binary_data.md).
public struct InferReader {
    let arena: ExchangeArena
    let direction: InferDirection
    private var binary: sluice_bytes
    private var binaryOffset = 0

    /// - Parameters:
    ///   - arena: takes what is not a view of the message; all that is returned lives as long as both.
    public static func read(
        _ message: sluice_message, _ direction: InferDirection, arena: ExchangeArena
    ) throws(CodecFailure) -> InferMessage {
        try message.requirePlainBody()
        let body = message.wholeBody
        var jsonSize = body.buffer.count
        if let header = try message.onlyField("inference-header-content-length") {
            guard let size = DecimalText.read(header), size <= body.buffer.count else {
                throw CodecFailure("inference-header-content-length is no size within the body", subject: header)
            }
            jsonSize = size
        }
        var reader = InferReader(
            arena: arena, direction: direction, binary: body.slice(jsonSize, body.buffer.count - jsonSize))
        return try reader.read(body.slice(0, jsonSize))
    }

    private init(arena: ExchangeArena, direction: InferDirection, binary: sluice_bytes) {
        self.arena = arena
        self.direction = direction
        self.binary = binary
    }

    // MARK: - The message

    private mutating func read(_ text: sluice_bytes) throws(CodecFailure) -> InferMessage {
        var json = JSONReader(text, arena: arena)
        var message = InferMessage()
        message.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: MessageLimits.tensors)
        var outputs = ArenaList<sluice_output>(arena: arena, limit: MessageLimits.tensors)
        // For each binary tensor its flag of `sluice_output`, so that an answer can be encoded as it came.
        var forms = ArenaList<sluice_output>(arena: arena, limit: MessageLimits.tensors)
        var parameters = Parameters()
        var seen = Seen()
        var hasTensors = false
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals(direction == .request ? "inputs" : "outputs") {
                try seen.mark(0, key, json)
                hasTensors = true
                try readTensors(&json, &tensors, &forms)
            } else if key.equals("outputs") {
                try seen.mark(1, key, json)
                if try !json.takeNull() {
                    try readOutputs(&json, &outputs)
                }
            } else if key.equals("id") {
                try seen.mark(2, key, json)
                message.id = try json.takeNull() ? sluice_bytes() : json.string()
            } else if key.equals("parameters") {
                try seen.mark(3, key, json)
                parameters = try readParameters(&json, .message)
            } else if direction == .response, key.equals("model_name") {
                try seen.mark(4, key, json)
                message.model = try json.takeNull() ? sluice_bytes() : json.string()
            } else if direction == .response, key.equals("model_version") {
                try seen.mark(5, key, json)
                message.version = try json.takeNull() ? sluice_bytes() : json.string()
            } else {
                // Triton's own examples have a `model_name` in requests; servers ignore what they don't know.
                try json.skip()
            }
        }
        try json.finish()
        guard hasTensors else {
            throw CodecFailure("the message lacks the field", subject: .literal(tensorsKey))
        }
        guard binaryOffset == binary.buffer.count else {
            throw CodecFailure(
                "the binary data after the JSON is not as large as the tensors say", expected: Int64(binaryOffset),
                found: Int64(binary.buffer.count))
        }
        resolveOutputs(outputs, parameters)
        fill(&message.payload, tensors, direction == .request ? outputs : forms, parameters)
        return message
    }

    private var tensorsKey: StaticString { direction == .request ? "inputs" : "outputs" }

    private func fill(
        _ payload: inout sluice_payload, _ tensors: ArenaList<sluice_tensor>, _ outputs: ArenaList<sluice_output>,
        _ parameters: Parameters
    ) {
        (payload.tensors, payload.tensor_count) = tensors.view
        (payload.outputs, payload.output_count) = outputs.view
        (payload.parameters, payload.parameter_count) = parameters.view
        payload.flags = parameters.isBinaryOutput == true ? UInt32(SLUICE_PAYLOAD_FLAG_BINARY) : 0
    }

    /// An output that does not say how it wants to be answered follows the message's `binary_data_output`.
    private func resolveOutputs(_ outputs: ArenaList<sluice_output>, _ parameters: Parameters) {
        for index in 0..<outputs.count {
            var output = outputs[index]
            if output.flags == Self.isUnresolved {
                output.flags = parameters.isBinaryOutput == true ? UInt32(SLUICE_OUTPUT_BINARY) : 0
                outputs[index] = output
            }
        }
    }

    /// Stands in `sluice_output.flags` while the message's parameters are not known.
    private static let isUnresolved = UInt32.max

    // MARK: - Requested outputs

    private func readOutputs(_ json: inout JSONReader, _ outputs: inout ArenaList<sluice_output>) throws(CodecFailure) {
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            var output = sluice_output()
            output.flags = Self.isUnresolved
            var seen = Seen()
            try json.beginObject()
            var isFirstKey = true
            while let key = try json.nextKey(&isFirstKey) {
                if key.equals("name") {
                    try seen.mark(0, key, json)
                    output.name = try json.string()
                } else if key.equals("parameters") {
                    try seen.mark(1, key, json)
                    let parameters = try readParameters(&json, .output)
                    (output.parameters, output.parameter_count) = parameters.view
                    if let isBinary = parameters.isBinaryOutput {
                        output.flags = isBinary ? UInt32(SLUICE_OUTPUT_BINARY) : 0
                    }
                } else {
                    try json.skip()
                }
            }
            try outputs.appendRequested(output)
        }
    }

    // MARK: - Tensors

    private mutating func readTensors(
        _ json: inout JSONReader, _ tensors: inout ArenaList<sluice_tensor>, _ forms: inout ArenaList<sluice_output>
    ) throws(CodecFailure) {
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            let before = binaryOffset
            let (tensor, isBinary) = try readTensor(&json)
            precondition(binaryOffset >= before)
            try tensors.requireNew(tensor.name)
            try tensors.append(tensor)
            if direction == .response {
                var form = sluice_output()
                form.name = tensor.name
                form.flags = isBinary ? UInt32(SLUICE_OUTPUT_BINARY) : 0
                try forms.append(form)
            }
        }
    }

    private mutating func readTensor(_ json: inout JSONReader) throws(CodecFailure) -> (sluice_tensor, Bool) {
        var tensor = sluice_tensor()
        var datatype: Datatype?
        var hasShape = false
        var dataPosition: JSONReader.Position?
        var data: sluice_bytes?
        var parameters = Parameters()
        var seen = Seen()
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("name") {
                try seen.mark(0, key, json)
                tensor.name = try json.string()
            } else if key.equals("shape") {
                try seen.mark(1, key, json)
                try readShape(&json, &tensor)
                hasShape = true
            } else if key.equals("datatype") {
                try seen.mark(2, key, json)
                let name = try json.string()
                datatype = Datatype(name: name)
                guard datatype != nil else { throw CodecFailure("unknown datatype", subject: name) }
            } else if key.equals("parameters") {
                try seen.mark(3, key, json)
                parameters = try readParameters(&json, .tensor)
            } else if key.equals("data") {
                try seen.mark(4, key, json)
                if let datatype, hasShape, !tensor.name.isEmpty {
                    data = try readData(&json, tensor, datatype)
                } else {
                    dataPosition = json.position
                    try json.skip()
                }
            } else {
                try json.skip()
            }
        }
        guard !tensor.name.isEmpty else { throw CodecFailure("a tensor has no name") }
        guard hasShape else { throw CodecFailure("the shape is missing, in tensor", subject: tensor.name) }
        guard let datatype else { throw CodecFailure("the datatype is missing, in tensor", subject: tensor.name) }
        if let dataPosition {
            let after = json.position
            json.restore(dataPosition)
            data = try readData(&json, tensor, datatype)
            json.restore(after)
        }
        tensor.datatype = datatype.rawValue
        (tensor.parameters, tensor.parameter_count) = parameters.view
        let isBinary = try place(&tensor, datatype, data, parameters)
        return (tensor, isBinary)
    }

    private func readShape(_ json: inout JSONReader, _ tensor: inout sluice_tensor) throws(CodecFailure) {
        var shape = ShapeReader(arena: arena)
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            try shape.append(try json.integer(), of: tensor.name)
        }
        (tensor.shape, tensor.rank) = shape.view
    }

    private func readData(
        _ json: inout JSONReader, _ tensor: sluice_tensor, _ datatype: Datatype
    ) throws(CodecFailure) -> sluice_bytes {
        // The 16-bit floats have no JSON form in the protocol; KServe's and Triton's servers refuse it, too. MLServer
        // knows no binary form and answers with numbers.
        guard direction == .response || (datatype != .fp16 && datatype != .bf16) else {
            throw CodecFailure("a tensor of FP16 or BF16 must be sent as binary data, tensor", subject: tensor.name)
        }
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        let reader = TensorReader(
            datatype: datatype, shape: tensor.shapeBuffer, count: count, name: tensor.name, arena: arena,
            acceptsNull: direction == .response)
        return try reader.read(&json, .flatOrNested)
    }

    /// Gives the tensor its bytes: from the JSON, from after the JSON, or from a shared-memory region.
    ///
    /// - Returns: whether they came as binary data.
    private mutating func place(
        _ tensor: inout sluice_tensor, _ datatype: Datatype, _ data: sluice_bytes?, _ parameters: Parameters
    ) throws(CodecFailure) -> Bool {
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        let sources =
            (data == nil ? 0 : 1) + (parameters.binarySize == nil ? 0 : 1) + (parameters.region.isAbsent ? 0 : 1)
        guard sources <= 1 else {
            throw CodecFailure("there is more than one source of data, for tensor", subject: tensor.name)
        }
        if let data {
            tensor.data = data
            return false
        }
        if !parameters.region.isAbsent {
            try parameters.region.place(&tensor, datatype, count: count)
            return false
        }
        guard let size = parameters.binarySize else {
            // A shared-memory output is answered without data.
            throw CodecFailure("the data is missing, in tensor", subject: tensor.name)
        }
        guard size >= 0, size <= Int64(binary.buffer.count - binaryOffset) else {
            throw CodecFailure("the body ends before the binary data of tensor", subject: tensor.name)
        }
        let bytes = binary.slice(binaryOffset, Int(size))
        binaryOffset += Int(size)
        try TensorBytes.check(bytes, datatype, count: count, of: tensor.name)
        tensor.data = bytes
        return true
    }
}
