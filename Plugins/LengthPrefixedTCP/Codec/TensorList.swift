import SluiceABI
import SluiceJSON

/// The tensors of a message, and the outputs that a request asks for.
struct TensorList {
    /// Name's size, datatype, rank and data's size.
    private static let fixedTensorSize = 12

    // MARK: - Reading

    static func readOutputs(
        _ reader: inout MessageReader, into payload: inout sluice_payload, arena: ExchangeArena
    ) throws(CodecFailure) {
        let count = Int(try reader.uint16())
        var outputs = ArenaList<sluice_output>(arena: arena, limit: MessageLimits.tensors)
        for _ in 0..<count {
            try outputs.appendRequested(try reader.text("the name of an output is cut off or no UTF-8"))
        }
        (payload.outputs, payload.output_count) = outputs.view
    }

    static func read(
        _ reader: inout MessageReader, into payload: inout sluice_payload, arena: ExchangeArena
    ) throws(CodecFailure) {
        let count = Int(try reader.uint16())
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: MessageLimits.tensors)
        for _ in 0..<count {
            let tensor = try readTensor(&reader, arena: arena)
            try tensors.requireNew(tensor.name)
            try tensors.append(tensor)
        }
        try reader.expectEnd()
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        (payload.tensors, payload.tensor_count) = tensors.view
    }

    private static func readTensor(
        _ reader: inout MessageReader, arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = try reader.text("the name of a tensor is cut off or no UTF-8")
        guard !tensor.name.isEmpty else { throw CodecFailure("a tensor has no name") }
        let number = try reader.uint8()
        guard let datatype = Datatype(rawValue: UInt32(number)), datatype != .bytes else {
            throw CodecFailure(
                "the tensor has a datatype that the protocol does not have", subject: tensor.name,
                found: Int64(number))
        }
        tensor.datatype = datatype.rawValue
        let rank = Int(try reader.uint8())
        guard rank <= TensorShape.maximumRank else {
            throw CodecFailure(
                "the tensor has too many dimensions", subject: tensor.name, expected: Int64(TensorShape.maximumRank),
                found: Int64(rank))
        }
        let shape = try arena.allocate(Int64.self, count: rank)
        for index in 0..<rank {
            guard let dimension = Int64(exactly: try reader.uint64()) else {
                throw CodecFailure("the shape has more elements than can be, in tensor", subject: tensor.name)
            }
            shape[index] = dimension
        }
        tensor.rank = UInt32(rank)
        tensor.shape = UnsafePointer(shape)
        let count = try TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        tensor.data = try reader.data(of: tensor.name)
        try TensorBytes.check(tensor.data, datatype, count: count, of: tensor.name)
        return tensor
    }

    // MARK: - Writing

    /// An upper bound of what `writeOutputs` and `write` make, without the tensors' bytes.
    static func writtenSize(_ payload: sluice_payload) -> Int {
        var size = 4
        for index in 0..<Int(payload.output_count) { size += 2 + (payload.outputs?[index].name.size ?? 0) }
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            size += fixedTensorSize + tensor.name.size + 8 * Int(tensor.rank)
        }
        return size
    }

    static func writeOutputs(_ payload: sluice_payload, _ writer: inout MessageWriter) throws(CodecFailure) {
        guard let count = UInt16(exactly: payload.output_count) else { throw tooMany }
        writer.uint16(count)
        for index in 0..<Int(count) {
            guard let output = payload.outputs?[index] else { break }
            try writer.text(output.name)
        }
    }

    /// - Parameter wanted: of an answer, the request, whose outputs must be there; it names none: all.
    static func write(
        _ payload: sluice_payload, wanted: sluice_payload, _ writer: inout MessageWriter
    ) throws(CodecFailure) {
        try wanted.requireOutputs(in: payload)
        var count = 0
        for index in 0..<Int(payload.tensor_count) {
            if let tensor = payload.tensors?[index], wanted.asksForOutput(tensor.name) { count += 1 }
        }
        guard let number = UInt16(exactly: count) else { throw tooMany }
        writer.uint16(number)
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index], wanted.asksForOutput(tensor.name) else { continue }
            try write(tensor, &writer)
        }
    }

    private static func write(_ tensor: sluice_tensor, _ writer: inout MessageWriter) throws(CodecFailure) {
        let (datatype, _) = try TensorBytes.checkMade(tensor)
        guard datatype != .bytes else {
            throw CodecFailure(
                "a BYTES tensor has no form in the length-prefixed protocol", status: SLUICE_UNIMPLEMENTED,
                subject: tensor.name)
        }
        let data = try TensorBytes.requireData(tensor)
        try writer.text(tensor.name)
        writer.uint8(UInt8(datatype.rawValue))
        writer.uint8(UInt8(tensor.rank))
        for dimension in tensor.shapeBuffer { writer.uint64(UInt64(dimension)) }
        writer.data(data)
    }

    private static var tooMany: CodecFailure {
        CodecFailure("there are more tensors than the protocol can say", status: SLUICE_UNIMPLEMENTED)
    }
}
