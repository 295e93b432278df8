import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// The `parameters` of messages, tensors and outputs: a map to InferParameter, on the wire a repeated entry of key and
/// value.
struct InferParameters {
    private var list: ArenaList<sluice_parameter>
    private(set) var region = SharedMemoryRegion()

    init(arena: ExchangeArena) {
        list = ArenaList(arena: arena, limit: MessageLimits.parameters)
    }

    var view: (start: UnsafePointer<sluice_parameter>?, count: UInt32) { list.view }

    /// - Parameter scope: of a tensor, what describes a region in shared memory is taken apart from the others.
    mutating func read(_ entry: sluice_bytes, _ scope: ParameterScope) throws(CodecFailure) {
        var reader = ProtobufReader(entry)
        var name = sluice_bytes()
        var value: ProtobufReader?
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try field.string("parameters.key")
            case 2: value = try field.message("parameters.value")
            default: break
            }
        }
        guard !name.isEmpty else { throw CodecFailure("a parameter has no name") }
        guard var value, let parameter = try read(name, &value) else { return }
        guard !scope.isLayout(name) else { return }
        if scope == .tensor, try takeRegion(parameter) {
            return
        }
        try list.set(parameter)
    }

    /// - Returns: nil when no member of the oneof is set.
    private func read(
        _ name: sluice_bytes, _ value: inout ProtobufReader
    ) throws(CodecFailure) -> sluice_parameter? {
        var parameter = sluice_parameter()
        parameter.name = name
        while let field = try value.next() {
            switch field.number {
            case 1:
                parameter.kind = UInt32(SLUICE_PARAMETER_BOOL)
                parameter.integer = try field.boolean("bool_param") ? 1 : 0
            case 2:
                parameter.kind = UInt32(SLUICE_PARAMETER_INT64)
                parameter.integer = try field.int64("int64_param")
            case 3:
                parameter.kind = UInt32(SLUICE_PARAMETER_STRING)
                parameter.text = try field.string("string_param")
            case 4:
                parameter.kind = UInt32(SLUICE_PARAMETER_DOUBLE)
                parameter.number = try field.double("double_param")
            case 5:
                guard let integer = Int64(exactly: try field.uint64("uint64_param")) else {
                    throw CodecFailure("a uint64 parameter is beyond the range of int64", subject: name)
                }
                parameter.kind = UInt32(SLUICE_PARAMETER_INT64)
                parameter.integer = integer
            default: break
            }
        }
        return parameter.kind == 0 ? nil : parameter
    }

    private mutating func takeRegion(_ parameter: sluice_parameter) throws(CodecFailure) -> Bool {
        if parameter.name.equals("shared_memory_region") {
            guard parameter.kind == UInt32(SLUICE_PARAMETER_STRING) else { throw wrongKind(parameter) }
            region.name = parameter.text
        } else if parameter.name.equals("shared_memory_offset") {
            guard parameter.kind == UInt32(SLUICE_PARAMETER_INT64) else { throw wrongKind(parameter) }
            region.offset = parameter.integer
        } else if parameter.name.equals("shared_memory_byte_size") {
            guard parameter.kind == UInt32(SLUICE_PARAMETER_INT64) else { throw wrongKind(parameter) }
            region.size = parameter.integer
        } else {
            return false
        }
        return true
    }

    private func wrongKind(_ parameter: sluice_parameter) -> CodecFailure {
        CodecFailure("a parameter is of the wrong type", subject: parameter.name)
    }

    // MARK: - Writing

    static func write(
        _ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32, _ number: UInt32,
        _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        guard let parameters else { return }
        for index in 0..<Int(count) {
            try write(parameters[index], number, &out)
        }
    }

    static func write(
        _ parameter: sluice_parameter, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        try out.message(number) { (entry: inout ProtobufWriter) throws(CodecFailure) in
            try entry.text(1, parameter.name)
            try entry.message(2) { (value: inout ProtobufWriter) throws(CodecFailure) in
                // A member of a oneof is written also when it is 0 or empty.
                switch parameter.kind {
                case UInt32(SLUICE_PARAMETER_BOOL): try value.varint(1, parameter.integer != 0 ? 1 : 0)
                case UInt32(SLUICE_PARAMETER_INT64): try value.varint(2, UInt64(bitPattern: parameter.integer))
                case UInt32(SLUICE_PARAMETER_DOUBLE): try value.double(4, parameter.number)
                default: try value.bytes(3, parameter.text)
                }
            }
        }
    }

    /// A region in shared memory, as parameters of its tensor.
    static func writeRegion(_ tensor: sluice_tensor, _ number: UInt32, _ out: inout ProtobufWriter) throws(CodecFailure)
    {
        var parameter = sluice_parameter()
        parameter.name = .literal("shared_memory_region")
        parameter.kind = UInt32(SLUICE_PARAMETER_STRING)
        parameter.text = tensor.region
        try write(parameter, number, &out)
        parameter.kind = UInt32(SLUICE_PARAMETER_INT64)
        parameter.name = .literal("shared_memory_offset")
        parameter.integer = Int64(truncatingIfNeeded: tensor.region_offset)
        try write(parameter, number, &out)
        parameter.name = .literal("shared_memory_byte_size")
        parameter.integer = Int64(truncatingIfNeeded: tensor.region_size)
        try write(parameter, number, &out)
    }
}
