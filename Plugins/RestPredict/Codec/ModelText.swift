import SluiceABI
import SluiceJSON

/// What is said of models: their state, metadata and list. TensorFlow Serving, api_rest.md, "Model status API" and
/// "Model Metadata API"; KServe v1's `{"name", "ready"}`.
enum ModelText {
    /// Both protocols' answers in one: clients of either read their own fields.
    static func writeState(
        _ model: sluice_bytes, version: sluice_bytes, isReady: Bool, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{\"name\":")
        try json.string(model)
        try json.raw(",\"ready\":")
        try json.boolean(isReady)
        try json.raw(",\"model_version_status\":[{\"version\":")
        try json.string(version)
        try json.raw(",\"state\":")
        try json.raw(isReady ? "\"AVAILABLE\"" : "\"UNKNOWN\"")
        try json.raw(",\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}]}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    /// Whether an answer with a status of success says that the model is ready.
    static func readState(_ body: sluice_bytes, arena: ExchangeArena) -> Bool {
        do throws(CodecFailure) {
            return try state(body, arena)
        } catch {
            // The status alone says it.
            return true
        }
    }

    private static func state(_ body: sluice_bytes, _ arena: ExchangeArena) throws(CodecFailure) -> Bool {
        var json = JSONReader(body, arena: arena)
        var isReady = true
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("ready") {
                switch try json.peek() {
                case .true, .false: isReady = try json.boolean() && isReady
                // KServe's server wrote "True" once.
                case .string: isReady = try json.string().equalsIgnoringCase(.literal("true")) && isReady
                default: try json.skip()
                }
            } else if key.equals("model_version_status") {
                isReady = try hasAvailableVersion(&json) && isReady
            } else {
                try json.skip()
            }
        }
        return isReady
    }

    private static func hasAvailableVersion(_ json: inout JSONReader) throws(CodecFailure) -> Bool {
        var isAvailable = false
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            try json.beginObject()
            var isFirstKey = true
            while let key = try json.nextKey(&isFirstKey) {
                if key.equals("state"), try json.peek() == .string {
                    isAvailable = try json.string().equals("AVAILABLE") || isAvailable
                } else {
                    try json.skip()
                }
            }
        }
        return isAvailable
    }

    static func writeList(
        _ metadata: sluice_metadata, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{\"models\":[")
        for index in 0..<Int(metadata.version_count) {
            guard let names = metadata.versions else { break }
            if index > 0 {
                try json.raw(",")
            }
            try json.string(names[index])
        }
        try json.raw("]}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    // MARK: - Metadata

    static func writeMetadata(
        _ metadata: sluice_metadata, model: sluice_bytes, version: sluice_bytes, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{\"model_spec\":{\"name\":")
        try json.string(model)
        try json.raw(",\"signature_name\":\"\",\"version\":")
        try json.string(version)
        try json.raw("},\"metadata\":{\"signature_def\":{\"signature_def\":{\"serving_default\":{\"inputs\":")
        try write(metadata.inputs, metadata.input_count, &json)
        try json.raw(",\"outputs\":")
        try write(metadata.outputs, metadata.output_count, &json)
        try json.raw(",\"method_name\":\"tensorflow/serving/predict\"}}}}}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    private static func write(
        _ tensors: UnsafePointer<sluice_tensor_spec>?, _ count: UInt32, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        try json.raw("{")
        for index in 0..<Int(count) {
            guard let tensor = tensors?[index], let datatype = Datatype(rawValue: tensor.datatype) else {
                throw CodecFailure("a tensor of the metadata has no known datatype", status: SLUICE_INTERNAL)
            }
            if index > 0 {
                try json.raw(",")
            }
            try json.string(tensor.name)
            try json.raw(":{\"dtype\":\"")
            try json.raw(name(of: datatype))
            try json.raw("\",\"tensor_shape\":{\"dim\":[")
            for dimension in 0..<Int(tensor.rank) {
                // The JSON form of protocol buffers writes 64-bit integers as texts.
                try json.raw(dimension > 0 ? ",{\"size\":\"" : "{\"size\":\"")
                try json.integer(tensor.shape?[dimension] ?? -1)
                try json.raw("\",\"name\":\"\"}")
            }
            try json.raw("],\"unknown_rank\":false},\"name\":")
            try json.string(tensor.name)
            try json.raw("}")
        }
        try json.raw("}")
    }

    /// The signature `serving_default`, or the first when there is none of that name.
    static func readMetadata(
        _ body: sluice_bytes, arena: ExchangeArena
    ) throws(CodecFailure) -> UnsafePointer<sluice_metadata> {
        var json = JSONReader(body, arena: arena)
        var metadata = sluice_metadata()
        metadata.platform = .literal("tensorflow_serving")
        try member("model_spec", of: &json) { json throws(CodecFailure) in
            try readSpec(&json, &metadata, arena)
        }
        json = JSONReader(body, arena: arena)
        try member("metadata", of: &json) { json throws(CodecFailure) in
            try member("signature_def", of: &json) { json throws(CodecFailure) in
                try member("signature_def", of: &json) { json throws(CodecFailure) in
                    guard let place = try signature(&json) else { return }
                    let end = json.position
                    json.restore(place)
                    try readSignature(&json, &metadata, arena)
                    json.restore(end)
                }
            }
        }
        let place = try arena.allocate(sluice_metadata.self, count: 1)
        place.pointee = metadata
        return UnsafePointer(place)
    }

    private static func readSpec(
        _ json: inout JSONReader, _ metadata: inout sluice_metadata, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("name") {
                metadata.name = try json.string()
            } else if key.equals("version"), try json.peek() == .string {
                let versions = try arena.allocate(sluice_bytes.self, count: 1)
                versions.initialize(to: try json.string())
                guard !versions.pointee.isEmpty else { continue }
                metadata.versions = UnsafePointer(versions)
                metadata.version_count = 1
            } else {
                try json.skip()
            }
        }
    }

    /// Where the signature lies that stands for the model. Those that TensorFlow makes for itself, to initialise what
    /// it loads, have a name of their own and no inputs.
    private static func signature(_ json: inout JSONReader) throws(CodecFailure) -> JSONReader.Position? {
        var first: JSONReader.Position?
        var standard: JSONReader.Position?
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("serving_default") {
                standard = json.position
            } else if first == nil, !key.hasPrefix(.literal("__saved_model_")) {
                first = json.position
            }
            try json.skip()
        }
        return standard ?? first
    }

    /// Reads an object, and its member of that name with `body`. For messages off the busy way.
    private static func member(
        _ name: StaticString, of json: inout JSONReader,
        _ body: (inout JSONReader) throws(CodecFailure) -> Void
    ) throws(CodecFailure) {
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals(name) {
                try body(&json)
            } else {
                try json.skip()
            }
        }
    }

    private static func readSignature(
        _ json: inout JSONReader, _ metadata: inout sluice_metadata, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("inputs") {
                let tensors = try readTensors(&json, arena)
                (metadata.inputs, metadata.input_count) = tensors.view
            } else if key.equals("outputs") {
                let tensors = try readTensors(&json, arena)
                (metadata.outputs, metadata.output_count) = tensors.view
            } else {
                try json.skip()
            }
        }
    }

    private static func readTensors(
        _ json: inout JSONReader, _ arena: ExchangeArena
    ) throws(CodecFailure) -> ArenaList<sluice_tensor_spec> {
        var tensors = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            var tensor = sluice_tensor_spec()
            tensor.name = key
            try json.beginObject()
            var isFirstKey = true
            while let member = try json.nextKey(&isFirstKey) {
                if member.equals("dtype") {
                    tensor.datatype = datatype(named: try json.string())?.rawValue ?? 0
                } else if member.equals("tensor_shape") {
                    try readShape(&json, &tensor, arena)
                } else {
                    try json.skip()
                }
            }
            guard tensor.datatype != 0 else {
                throw CodecFailure("a tensor of the metadata has no known datatype", subject: key)
            }
            try tensors.append(tensor)
        }
        return tensors
    }

    private static func readShape(
        _ json: inout JSONReader, _ tensor: inout sluice_tensor_spec, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        var shape = ArenaList<Int64>(arena: arena, limit: TensorShape.maximumRank)
        var isUnknown = false
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if key.equals("dim") {
                try readDimensions(&json, &shape, arena)
            } else if key.equals("unknown_rank") {
                isUnknown = try json.boolean()
            } else {
                try json.skip()
            }
        }
        if isUnknown, shape.count == 0 {
            // What comes nearest to any number of dimensions; none would be a scalar.
            try shape.append(-1)
        }
        (tensor.shape, tensor.rank) = shape.view
    }

    private static func readDimensions(
        _ json: inout JSONReader, _ shape: inout ArenaList<Int64>, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            var size: Int64 = 0
            try member("size", of: &json) { json throws(CodecFailure) in
                if try json.peek() == .string {
                    var digits = JSONReader(try json.string(), arena: arena)
                    size = try digits.integer()
                } else {
                    size = try json.integer()
                }
            }
            try shape.append(size)
        }
    }

    /// TensorFlow's names (tensorflow/core/framework/types.proto).
    private static func name(of datatype: Datatype) -> StaticString {
        switch datatype {
        case .bool: "DT_BOOL"
        case .uint8: "DT_UINT8"
        case .uint16: "DT_UINT16"
        case .uint32: "DT_UINT32"
        case .uint64: "DT_UINT64"
        case .int8: "DT_INT8"
        case .int16: "DT_INT16"
        case .int32: "DT_INT32"
        case .int64: "DT_INT64"
        case .fp16: "DT_HALF"
        case .fp32: "DT_FLOAT"
        case .fp64: "DT_DOUBLE"
        case .bytes: "DT_STRING"
        case .bf16: "DT_BFLOAT16"
        }
    }

    private static func datatype(named text: sluice_bytes) -> Datatype? {
        Datatype.allCases.first { text.equals(name(of: $0)) }
    }
}
