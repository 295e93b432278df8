import SluiceABI
import SluiceJSON

extension InferReader {
    // MARK: - Parameters

    /// What a `parameters` object says: those that the adapter understands apart from the others.
    struct Parameters {
        var view: (start: UnsafePointer<sluice_parameter>?, count: UInt32) = (nil, 0)
        /// `binary_data_output` of a message, `binary_data` of an output.
        var isBinaryOutput: Bool?
        var binarySize: Int64?
        var region = SharedMemoryRegion()
    }

    func readParameters(
        _ json: inout JSONReader, _ scope: ParameterScope
    ) throws(CodecFailure) -> Parameters {
        var result = Parameters()
        if try json.takeNull() {
            return result
        }
        var list = ArenaList<sluice_parameter>(arena: arena, limit: MessageLimits.parameters)
        var seen = Seen()
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if scope == .message, key.equals("binary_data_output") {
                try seen.mark(0, key, json)
                result.isBinaryOutput = try json.boolean()
            } else if scope == .output, key.equals("binary_data") {
                try seen.mark(0, key, json)
                result.isBinaryOutput = try json.boolean()
            } else if scope == .tensor, key.equals("binary_data_size") {
                try seen.mark(1, key, json)
                result.binarySize = try json.integer()
            } else if scope == .tensor, key.equals("shared_memory_region") {
                try seen.mark(2, key, json)
                result.region.name = try json.string()
            } else if scope == .tensor, key.equals("shared_memory_offset") {
                try seen.mark(3, key, json)
                result.region.offset = try json.integer()
            } else if scope == .tensor, key.equals("shared_memory_byte_size") {
                try seen.mark(4, key, json)
                result.region.size = try json.integer()
            } else if let parameter = try readParameter(key, &json) {
                for index in 0..<list.count where list[index].name.equals(key) {
                    throw CodecFailure("a parameter is given twice", subject: key)
                }
                try list.append(parameter)
            }
        }
        result.view = list.view
        return result
    }

    /// - Returns: nil for a value that says nothing.
    private func readParameter(
        _ key: sluice_bytes, _ json: inout JSONReader
    ) throws(CodecFailure) -> sluice_parameter? {
        var parameter = sluice_parameter()
        parameter.name = key
        switch try json.peek() {
        case .true, .false:
            parameter.kind = UInt32(SLUICE_PARAMETER_BOOL)
            parameter.integer = try json.boolean() ? 1 : 0
        case .string:
            parameter.kind = UInt32(SLUICE_PARAMETER_STRING)
            parameter.text = try json.string()
        case .number:
            let number = try json.number()
            if let integer = number.asInt64 {
                parameter.kind = UInt32(SLUICE_PARAMETER_INT64)
                parameter.integer = integer
            } else if number.isInteger {
                // As a double it would be another number, or none that a backend takes for an integer.
                throw CodecFailure("an integer is beyond the range of int64, in parameter", subject: key)
            } else if let value = number.asDouble {
                parameter.kind = UInt32(SLUICE_PARAMETER_DOUBLE)
                parameter.number = value
            } else {
                throw CodecFailure("a number is out of range, in parameter", subject: key)
            }
        case .null:
            try json.null()
            return nil
        case .object, .array:
            // The protocol has none; MLServer answers with some that only speak of its own codecs.
            guard direction == .response else {
                throw CodecFailure("a parameter is neither boolean nor number nor text", subject: key)
            }
            try json.skip()
            return nil
        }
        return parameter
    }
}

/// Which fields of an object were there: a second one would leave open which of them counts.
struct Seen {
    private var bits: UInt32 = 0

    mutating func mark(_ bit: UInt32, _ key: sluice_bytes, _ json: JSONReader) throws(CodecFailure) {
        guard bits & (1 << bit) == 0 else {
            throw CodecFailure("a field is given twice", subject: key, offset: json.offset)
        }
        bits |= 1 << bit
    }
}

extension JSONReader {
    /// Takes a null if one comes: servers write it for optional fields that are absent.
    mutating func takeNull() throws(CodecFailure) -> Bool {
        guard try peek() == .null else { return false }
        try null()
        return true
    }
}
