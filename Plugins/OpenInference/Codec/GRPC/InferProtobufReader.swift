import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// Reads ModelInferRequest and ModelInferResponse. Their tensors are described in one list; their elements come either
/// with each tensor, as typed `contents`, or in a second list of raw bytes in the same order (Open Inference Protocol,
/// inference_grpc.md, "Tensor Data"). Raw bytes stay where they are.
struct InferProtobufReader {
    private let arena: ExchangeArena
    private let fields: Fields
    private var tensors: ArenaList<sluice_tensor>
    /// The tensors as they came, for their contents: read only after the datatype is known.
    private var sources: ArenaList<sluice_bytes>
    private var raws: ArenaList<sluice_bytes>
    private var outputs: ArenaList<sluice_output>
    private var parameters: InferParameters
    private var message = InferMessage()

    /// The numbers of the fields; 0: the message has no such field.
    struct Fields {
        let id: UInt32
        let parameters: UInt32
        let tensors: UInt32
        let outputs: UInt32
        let raw: UInt32

        static let request = Fields(id: 3, parameters: 4, tensors: 5, outputs: 6, raw: 7)
        static let response = Fields(id: 3, parameters: 4, tensors: 5, outputs: 0, raw: 6)
    }

    static func read(
        _ bytes: sluice_bytes, _ direction: InferDirection, arena: ExchangeArena
    ) throws(CodecFailure) -> InferMessage {
        var reader = InferProtobufReader(arena: arena, fields: direction == .request ? .request : .response)
        return try reader.read(bytes)
    }

    private init(arena: ExchangeArena, fields: Fields) {
        self.arena = arena
        self.fields = fields
        tensors = ArenaList(arena: arena, limit: MessageLimits.tensors)
        sources = ArenaList(arena: arena, limit: MessageLimits.tensors)
        raws = ArenaList(arena: arena, limit: MessageLimits.tensors)
        outputs = ArenaList(arena: arena, limit: MessageLimits.tensors)
        parameters = InferParameters(arena: arena)
    }

    // MARK: - The message

    private mutating func read(_ bytes: sluice_bytes) throws(CodecFailure) -> InferMessage {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: message.model = try field.string("model_name")
            case 2: message.version = try field.string("model_version")
            case fields.id: message.id = try field.string("id")
            case fields.parameters: try parameters.read(try field.bytes("parameters"), .message)
            case fields.tensors: try readTensor(try field.bytes("inputs, outputs"))
            case fields.raw: try raws.append(try field.bytes("raw_input_contents, raw_output_contents"))
            case fields.outputs: try readOutput(try field.bytes("outputs"))
            default: break
            }
        }
        try placeAll()
        message.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        (message.payload.tensors, message.payload.tensor_count) = tensors.view
        (message.payload.outputs, message.payload.output_count) = outputs.view
        (message.payload.parameters, message.payload.parameter_count) = parameters.view
        return message
    }

    private mutating func readOutput(_ bytes: sluice_bytes) throws(CodecFailure) {
        var output = sluice_output()
        var parameters = InferParameters(arena: arena)
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: output.name = try field.string("outputs.name")
            case 2: try parameters.read(try field.bytes("outputs.parameters"), .output)
            default: break
            }
        }
        (output.parameters, output.parameter_count) = parameters.view
        try outputs.appendRequested(output)
    }

    private mutating func readTensor(_ bytes: sluice_bytes) throws(CodecFailure) {
        var tensor = sluice_tensor()
        var datatype: Datatype?
        var shape = ShapeReader(arena: arena)
        var parameters = InferParameters(arena: arena)
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: tensor.name = try field.string("tensor.name")
            case 2:
                let name = try field.string("tensor.datatype")
                datatype = Datatype(name: name)
                guard datatype != nil else { throw CodecFailure("unknown datatype", subject: name) }
            case 3: try shape.append(try field.values(.varint, "tensor.shape"), of: tensor.name)
            case 4: try parameters.read(try field.bytes("tensor.parameters"), .tensor)
            default: break
            }
        }
        guard !tensor.name.isEmpty else { throw CodecFailure("a tensor has no name") }
        guard let datatype else { throw CodecFailure("the datatype is missing, in tensor", subject: tensor.name) }
        try tensors.requireNew(tensor.name)
        tensor.datatype = datatype.rawValue
        (tensor.shape, tensor.rank) = shape.view
        (tensor.parameters, tensor.parameter_count) = parameters.view
        if !parameters.region.isAbsent {
            let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
            try parameters.region.place(&tensor, datatype, count: count)
        }
        try tensors.append(tensor)
        try sources.append(bytes)
    }

    // MARK: - Elements

    /// Gives each tensor its elements. Raw bytes for one tensor leave no other form for the others. Tensors in shared
    /// memory have no entry among a request's; in a response Triton gives each an empty one, and tritonclient counts on
    /// it (triton-inference-server/server, grpc/infer_handler.cc, `ResponseAllocatorHelper`).
    private mutating func placeAll() throws(CodecFailure) {
        let isRaw = raws.count > 0
        if isRaw {
            message.payload.flags = UInt32(SLUICE_PAYLOAD_FLAG_BINARY)
        }
        let hasEntryForEach = raws.count == tensors.count
        var nextRaw = 0
        for index in 0..<tensors.count {
            var tensor = tensors[index]
            guard let datatype = Datatype(rawValue: tensor.datatype) else { continue }
            let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
            if isRaw || !tensor.region.isEmpty {
                guard try !InferContents.hasValues(sources[index]) else {
                    throw CodecFailure("there is more than one source of data, for tensor", subject: tensor.name)
                }
            }
            guard tensor.region.isEmpty else {
                if isRaw, hasEntryForEach {
                    guard raws[nextRaw].isEmpty else {
                        throw CodecFailure("there is more than one source of data, for tensor", subject: tensor.name)
                    }
                    nextRaw += 1
                }
                continue
            }
            if isRaw {
                guard nextRaw < raws.count else { throw rawCount(nextRaw + 1) }
                try TensorBytes.check(raws[nextRaw], datatype, count: count, of: tensor.name)
                tensor.data = raws[nextRaw]
                nextRaw += 1
            } else {
                tensor.data = try InferContents.read(
                    sources[index], datatype, count: count, of: tensor.name, arena: arena)
            }
            tensors[index] = tensor
        }
        guard nextRaw == raws.count else { throw rawCount(nextRaw) }
    }

    private func rawCount(_ expected: Int) -> CodecFailure {
        CodecFailure(
            "there are not as many raw contents as tensors", expected: Int64(expected), found: Int64(raws.count))
    }
}
