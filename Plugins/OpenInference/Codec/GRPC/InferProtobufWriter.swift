import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// Writes ModelInferRequest and ModelInferResponse.
struct InferProtobufWriter {
    let arena: ExchangeArena

    /// A request with the tensors of `payload`, raw: every datatype has that form, and no byte of a tensor is touched.
    func request(
        _ payload: sluice_payload, model: sluice_bytes, version: sluice_bytes, id: sluice_bytes,
        into message: inout sluice_message
    ) throws(CodecFailure) {
        var out = ProtobufWriter(arena: arena)
        try out.text(1, model)
        try out.text(2, version)
        try out.text(3, id)
        try InferParameters.write(payload.parameters, payload.parameter_count, 4, &out)
        try writeTensors(payload, isTyped: false, &out)
        for index in 0..<Int(payload.output_count) {
            guard let output = payload.outputs?[index] else { break }
            try out.message(6) { (part: inout ProtobufWriter) throws(CodecFailure) in
                try part.text(1, output.name)
                try InferParameters.write(output.parameters, output.parameter_count, 2, &part)
            }
        }
        try writeRaw(payload, 7, namesRegions: false, &out)
        try out.finish(into: &message)
    }

    /// A response with the tensors of `payload`: those that `request` asks for, or all.
    ///
    /// - Parameter isTyped: as typed contents, as far as the datatypes have them. A message is all of one kind, so a
    ///   single FP16 or BF16 tensor makes it raw.
    func response(
        _ payload: sluice_payload, to request: sluice_payload, model: sluice_bytes, version: sluice_bytes,
        id: sluice_bytes, isTyped: Bool, into message: inout sluice_message
    ) throws(CodecFailure) {
        var kept = payload
        if request.kind == UInt32(SLUICE_PAYLOAD_TENSORS), request.output_count > 0 {
            try InferWriter(arena: arena).select(&kept, request)
        }
        let isTyped = isTyped && Self.canBeTyped(kept)
        var out = ProtobufWriter(arena: arena)
        try out.text(1, model)
        try out.text(2, version)
        try out.text(3, id)
        try InferParameters.write(kept.parameters, kept.parameter_count, 4, &out)
        try writeTensors(kept, isTyped: isTyped, &out)
        if !isTyped {
            try writeRaw(kept, 6, namesRegions: true, &out)
        }
        try out.finish(into: &message)
    }

    private static func canBeTyped(_ payload: sluice_payload) -> Bool {
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index], let datatype = Datatype(rawValue: tensor.datatype),
                InferContents.field(datatype) != nil
            else { return false }
        }
        return true
    }

    private func writeTensors(
        _ payload: sluice_payload, isTyped: Bool, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            let (datatype, _) = try TensorBytes.checkMade(tensor)
            // The field of the tensors has one number in both messages.
            try out.message(5) { (part: inout ProtobufWriter) throws(CodecFailure) in
                try part.text(1, tensor.name)
                try part.text(2, .literal(datatype.name))
                try part.packed(3, tensor.shapeBuffer)
                try InferParameters.write(tensor.parameters, tensor.parameter_count, 4, &part)
                if !tensor.region.isEmpty {
                    try InferParameters.writeRegion(tensor, 4, &part)
                } else if isTyped {
                    try InferContents.write(tensor, datatype, &part)
                }
            }
        }
    }

    /// - Parameter namesRegions: gives tensors in shared memory an empty entry (`InferProtobufReader.placeAll`).
    private func writeRaw(
        _ payload: sluice_payload, _ number: UInt32, namesRegions: Bool, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            if tensor.region.isEmpty {
                try out.bytes(number, tensor.data)
            } else if namesRegions {
                try out.bytes(number, sluice_bytes())
            }
        }
    }
}
