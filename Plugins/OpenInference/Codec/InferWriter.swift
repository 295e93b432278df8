import SluiceABI
import SluiceJSON

/// Writes infer messages.
public struct InferWriter {
    private let arena: ExchangeArena

    public init(arena: ExchangeArena) {
        self.arena = arena
    }

    /// Toward a backend `null` would be another number than the client has sent, or none.
    private static let notFinite: StaticString =
        "JSON has no NaN and no infinities: set `binary: true` of the backend's adapter, or ask it over gRPC, in tensor"

    /// A request with the tensors of `payload`.
    ///
    /// - Parameter isBinary: sends the tensors, and asks for the outputs, as binary data.
    public func request(
        _ payload: sluice_payload, id: sluice_bytes, isBinary: Bool, into message: inout sluice_message
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{")
        if !id.isEmpty {
            try json.raw("\"id\":")
            try json.string(id)
            try json.raw(",")
        }
        try checkParameters(payload)
        try writeMessageParameters(payload, isBinaryOutput: isBinary && payload.output_count == 0, &json)
        try json.raw("\"inputs\":[")
        for index in 0..<Int(payload.tensor_count) {
            guard let tensors = payload.tensors else { break }
            if index > 0 {
                try json.raw(",")
            }
            try write(tensors[index], isBinary: isBinary, refusing: Self.notFinite, &json)
        }
        try json.raw("]")
        if payload.output_count > 0, let outputs = payload.outputs {
            try json.raw(",\"outputs\":[")
            for index in 0..<Int(payload.output_count) {
                if index > 0 {
                    try json.raw(",")
                }
                try write(outputs[index], isBinary: isBinary, &json)
            }
            try json.raw("]")
        }
        try json.raw("}")
        try finish(&json, payload, into: &message) { _ in isBinary }
    }

    /// A response with the tensors of `payload`: those that `request` asks for, or all.
    ///
    /// - Parameter request: as far as it was decoded; without tensors, the answer keeps the form in which it came.
    public func response(
        _ payload: sluice_payload, to request: sluice_payload, model: sluice_bytes, version: sluice_bytes,
        id: sluice_bytes, into message: inout sluice_message
    ) throws(CodecFailure) {
        let wish = request.kind == UInt32(SLUICE_PAYLOAD_TENSORS) ? request : payload
        var kept = payload
        if request.kind == UInt32(SLUICE_PAYLOAD_TENSORS), request.output_count > 0 {
            try select(&kept, request)
        }
        var json = JSONWriter(arena: arena)
        try json.raw("{\"model_name\":")
        try json.string(model)
        if !version.isEmpty {
            try json.raw(",\"model_version\":")
            try json.string(version)
        }
        if !id.isEmpty {
            try json.raw(",\"id\":")
            try json.string(id)
        }
        try json.raw(",")
        try writeMessageParameters(kept, isBinaryOutput: false, &json)
        try json.raw("\"outputs\":[")
        for index in 0..<Int(kept.tensor_count) {
            guard let tensors = kept.tensors else { break }
            if index > 0 {
                try json.raw(",")
            }
            try write(tensors[index], isBinary: Self.wantsBinary(tensors[index], wish), &json)
        }
        try json.raw("]}")
        try finish(&json, kept, into: &message) { Self.wantsBinary($0, wish) }
    }

    /// Only the tensors that were asked for, all of which must be there.
    func select(_ payload: inout sluice_payload, _ request: sluice_payload) throws(CodecFailure) {
        try request.requireOutputs(in: payload)
        let all = UnsafeBufferPointer(start: payload.tensors, count: Int(payload.tensor_count))
        let kept = try arena.allocate(sluice_tensor.self, count: all.count)
        var count = 0
        for tensor in all where request.asksForOutput(tensor.name) {
            kept[count] = tensor
            count += 1
        }
        payload.tensors = UnsafePointer(kept)
        payload.tensor_count = UInt32(count)
    }

    private static func output(named name: sluice_bytes, _ payload: sluice_payload) -> sluice_output? {
        for index in 0..<Int(payload.output_count) {
            if let output = payload.outputs?[index], output.name.equals(name) {
                return output
            }
        }
        return nil
    }

    private static func wantsBinary(_ tensor: sluice_tensor, _ wish: sluice_payload) -> Bool {
        if let output = output(named: tensor.name, wish) {
            return output.flags & UInt32(SLUICE_OUTPUT_BINARY) != 0
        }
        return wish.flags & UInt32(SLUICE_PAYLOAD_FLAG_BINARY) != 0
    }

    // MARK: - Parts

    /// - Parameter notFinite: as `TensorWriter` has it.
    private func write(
        _ tensor: sluice_tensor, isBinary: Bool, refusing notFinite: StaticString? = nil, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        guard let datatype = Datatype(rawValue: tensor.datatype) else {
            throw CodecFailure("a tensor has no known datatype", status: SLUICE_INTERNAL, subject: tensor.name)
        }
        try json.raw("{\"name\":")
        try json.string(tensor.name)
        try json.raw(",\"datatype\":\"")
        try json.raw(datatype.name)
        try json.raw("\",\"shape\":")
        try write(tensor.shapeBuffer, &json)
        let hasRegion = !tensor.region.isEmpty
        if tensor.parameter_count > 0 || isBinary || hasRegion {
            try json.raw(",\"parameters\":{")
            var isFirst = true
            try write(tensor.parameters, tensor.parameter_count, .tensor, &isFirst, &json)
            if hasRegion {
                try key("shared_memory_region", &isFirst, &json)
                try json.string(tensor.region)
                try key("shared_memory_offset", &isFirst, &json)
                try json.integer(tensor.region_offset)
                try key("shared_memory_byte_size", &isFirst, &json)
                try json.integer(tensor.region_size)
            } else if isBinary {
                try key("binary_data_size", &isFirst, &json)
                try json.integer(UInt64(tensor.data.buffer.count))
            }
            try json.raw("}")
        }
        if !isBinary, !hasRegion {
            try json.raw(",\"data\":")
            var elements = try TensorWriter(tensor, binaryText: .refuse, refusing: notFinite)
            try elements.writeFlat(&json)
        }
        try json.raw("}")
    }

    private func write(_ output: sluice_output, isBinary: Bool, _ json: inout JSONWriter) throws(CodecFailure) {
        try json.raw("{\"name\":")
        try json.string(output.name)
        if output.parameter_count > 0 || isBinary {
            try json.raw(",\"parameters\":{")
            var isFirst = true
            try write(output.parameters, output.parameter_count, .output, &isFirst, &json)
            if isBinary {
                try key("binary_data", &isFirst, &json)
                try json.boolean(true)
            }
            try json.raw("}")
        }
        try json.raw("}")
    }

    private func write(_ shape: UnsafeBufferPointer<Int64>, _ json: inout JSONWriter) throws(CodecFailure) {
        try json.raw("[")
        for index in shape.indices {
            if index > 0 {
                try json.raw(",")
            }
            try json.integer(shape[index])
        }
        try json.raw("]")
    }

    /// Parameters stand in JSON whatever form the tensors have; gRPC has some that JSON cannot say.
    private func checkParameters(_ payload: sluice_payload) throws(CodecFailure) {
        try checkParameters(payload.parameters, payload.parameter_count)
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            try checkParameters(tensor.parameters, tensor.parameter_count)
        }
        for index in 0..<Int(payload.output_count) {
            guard let output = payload.outputs?[index] else { break }
            try checkParameters(output.parameters, output.parameter_count)
        }
    }

    private func checkParameters(
        _ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32
    ) throws(CodecFailure) {
        for index in 0..<Int(count) {
            guard let parameter = parameters?[index] else { break }
            if parameter.kind == UInt32(SLUICE_PARAMETER_DOUBLE), !parameter.number.isFinite {
                throw CodecFailure(
                    "JSON has no NaN and no infinities: ask the backend over gRPC, in parameter",
                    subject: parameter.name)
            }
        }
    }

    private func writeMessageParameters(
        _ payload: sluice_payload, isBinaryOutput: Bool, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        guard payload.parameter_count > 0 || isBinaryOutput else { return }
        try json.raw("\"parameters\":{")
        var isFirst = true
        try write(payload.parameters, payload.parameter_count, .message, &isFirst, &json)
        if isBinaryOutput {
            try key("binary_data_output", &isFirst, &json)
            try json.boolean(true)
        }
        try json.raw("},")
    }

    private func key(_ name: StaticString, _ isFirst: inout Bool, _ json: inout JSONWriter) throws(CodecFailure) {
        if !isFirst {
            try json.raw(",")
        }
        isFirst = false
        try json.raw("\"")
        try json.raw(name)
        try json.raw("\":")
    }

    private func write(
        _ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32, _ scope: ParameterScope,
        _ isFirst: inout Bool, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        guard let parameters else { return }
        for index in 0..<Int(count) {
            let parameter = parameters[index]
            // From another protocol: it would stand beside what this message says itself, or belie it.
            guard !scope.isLayout(parameter.name) else { continue }
            if !isFirst {
                try json.raw(",")
            }
            isFirst = false
            try json.string(parameter.name)
            try json.raw(":")
            switch parameter.kind {
            case UInt32(SLUICE_PARAMETER_BOOL): try json.boolean(parameter.integer != 0)
            case UInt32(SLUICE_PARAMETER_INT64): try json.integer(parameter.integer)
            case UInt32(SLUICE_PARAMETER_DOUBLE): try json.number(parameter.number)
            default: try json.string(parameter.text)
            }
        }
    }

    // MARK: - The body

    /// Puts the JSON and, behind it, the bytes of the binary tensors into the body; those are not copied.
    private func finish(
        _ json: inout JSONWriter, _ payload: sluice_payload, into message: inout sluice_message,
        isBinary: (sluice_tensor) -> Bool
    ) throws(CodecFailure) {
        let jsonSize = json.size
        var hasBinary = false
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index], tensor.region.isEmpty, isBinary(tensor) else { continue }
            // Checks that there are as many bytes as the shape says.
            _ = try TensorWriter(tensor, binaryText: .refuse)
            hasBinary = true
            try json.append(tensor.data)
        }
        if hasBinary {
            let digits = try arena.allocate(UInt8.self, count: DecimalText.maximumIntegerSize)
            let count = DecimalText.write(UInt64(jsonSize), to: digits)
            try MessageFields.set(
                [
                    sluice_field(name: .literal("content-type"), value: .literal("application/octet-stream")),
                    sluice_field(
                        name: .literal("inference-header-content-length"),
                        value: sluice_bytes(data: digits, size: count)),
                ], on: &message, arena: arena)
        } else {
            MessageFields.setJSON(on: &message)
        }
        try MessageFields.setBody(&json, on: &message)
    }
}
