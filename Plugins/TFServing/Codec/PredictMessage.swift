import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// PredictRequest and PredictResponse.
struct PredictMessage {
    var spec = ModelSpec()
    var payload = sluice_payload()

    // MARK: - Reading

    static func readRequest(_ bytes: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> PredictMessage {
        var message = PredictMessage()
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: MessageLimits.tensors)
        var outputs = ArenaList<sluice_output>(arena: arena, limit: MessageLimits.tensors)
        var fill = TensorMessage.maximumFill
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: try message.spec.read(try field.bytes("model_spec"), arena: arena)
            case 2: try readEntry(try field.bytes("inputs"), &tensors, &fill, arena)
            case 3: try outputs.appendRequested(try field.string("output_filter"))
            default: break
            }
        }
        try message.fill(tensors, arena)
        message.payload.flags = UInt32(SLUICE_PAYLOAD_FLAG_BINARY | SLUICE_PAYLOAD_FLAG_COLUMNS)
        (message.payload.outputs, message.payload.output_count) = outputs.view
        return message
    }

    static func readResponse(_ bytes: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> PredictMessage {
        var message = PredictMessage()
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: MessageLimits.tensors)
        var fill = TensorMessage.maximumFill
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: try readEntry(try field.bytes("outputs"), &tensors, &fill, arena)
            case 2: try message.spec.read(try field.bytes("model_spec"), arena: arena)
            default: break
            }
        }
        try message.fill(tensors, arena)
        return message
    }

    private mutating func fill(_ tensors: ArenaList<sluice_tensor>, _ arena: ExchangeArena) throws(CodecFailure) {
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        (payload.tensors, payload.tensor_count) = tensors.view
        guard !spec.signature.isEmpty else { return }
        try payload.setSignatureName(spec.signature, arena: arena)
    }

    private static func readEntry(
        _ bytes: sluice_bytes, _ tensors: inout ArenaList<sluice_tensor>, _ fill: inout Int, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        var name = sluice_bytes()
        var value = sluice_bytes()
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try field.string("a tensor's name")
            case 2: value = try field.bytes("a tensor")
            default: break
            }
        }
        guard !name.isEmpty else { throw CodecFailure("a tensor has no name") }
        try tensors.requireNew(name)
        try tensors.append(try TensorMessage.read(value, name: name, fill: &fill, arena: arena))
    }

    // MARK: - Writing

    func writeRequest(_ out: inout ProtobufWriter) throws(CodecFailure) {
        try spec.write(1, &out)
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            try TensorMessage.writeEntry(tensor, 2, &out)
        }
        for index in 0..<Int(payload.output_count) {
            guard let output = payload.outputs?[index] else { break }
            try out.text(3, output.name)
        }
    }

    /// - Parameter wanted: the request, whose outputs must be there; it names none: all.
    func writeResponse(wanted: sluice_payload, _ out: inout ProtobufWriter) throws(CodecFailure) {
        try wanted.requireOutputs(in: payload)
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index], wanted.asksForOutput(tensor.name) else { continue }
            try TensorMessage.writeEntry(tensor, 1, &out)
        }
        try spec.write(2, &out)
    }
}
