import SluiceABI
import SluiceJSON

/// Metadata of servers and models (Open Inference Protocol, inference_rest.md: `$metadata_server_response`,
/// `$metadata_model_response`), and KServe's list of models.
enum MetadataText {
    /// Versions of a model. Servers list those that they have loaded.
    static let maximumVersions = 1024

    /// - Parameter model: the name that the client knows; the backend's own may be another.
    static func write(
        _ metadata: sluice_metadata, operation: UInt32, model: sluice_bytes, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        switch Int32(bitPattern: operation) {
        case SLUICE_OPERATION_SERVER_METADATA:
            try json.raw("{\"name\":")
            try json.string(metadata.name)
            try json.raw(",\"version\":")
            try json.string(metadata.version)
            // What this adapter serves whatever the host adds: clients look here before they send binary tensors.
            try json.raw(",\"extensions\":[\"binary_tensor_data\"")
            for index in 0..<Int(metadata.version_count) {
                guard let versions = metadata.versions else { break }
                try json.raw(",")
                try json.string(versions[index])
            }
            try json.raw("]")
        case SLUICE_OPERATION_MODEL_LIST:
            try json.raw("{\"models\":")
            try write(metadata, &json)
        default:
            try json.raw("{\"name\":")
            try json.string(model)
            if metadata.version_count > 0 {
                try json.raw(",\"versions\":")
                try write(metadata, &json)
            }
            try json.raw(",\"platform\":")
            try json.string(metadata.platform)
            try json.raw(",\"inputs\":")
            try write(metadata.inputs, metadata.input_count, &json)
            try json.raw(",\"outputs\":")
            try write(metadata.outputs, metadata.output_count, &json)
        }
        try json.raw("}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    private static func write(_ metadata: sluice_metadata, _ json: inout JSONWriter) throws(CodecFailure) {
        try json.raw("[")
        for index in 0..<Int(metadata.version_count) {
            guard let versions = metadata.versions else { break }
            if index > 0 {
                try json.raw(",")
            }
            try json.string(versions[index])
        }
        try json.raw("]")
    }

    private static func write(
        _ tensors: UnsafePointer<sluice_tensor_spec>?, _ count: UInt32, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        try json.raw("[")
        for index in 0..<Int(count) {
            guard let tensor = tensors?[index], let datatype = Datatype(rawValue: tensor.datatype) else {
                throw CodecFailure("a tensor of the metadata has no known datatype", status: SLUICE_INTERNAL)
            }
            try json.raw(index > 0 ? ",{\"name\":" : "{\"name\":")
            try json.string(tensor.name)
            try json.raw(",\"datatype\":\"")
            try json.raw(datatype.name)
            try json.raw("\",\"shape\":[")
            for dimension in 0..<Int(tensor.rank) {
                if dimension > 0 {
                    try json.raw(",")
                }
                try json.integer(tensor.shape?[dimension] ?? -1)
            }
            try json.raw("]}")
        }
        try json.raw("]")
    }

    static func read(_ text: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> UnsafePointer<sluice_metadata>
    {
        var json = JSONReader(text, arena: arena)
        var metadata = sluice_metadata()
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            if try json.takeNull() {
                continue
            } else if key.equals("name") {
                metadata.name = try json.string()
            } else if key.equals("platform") {
                metadata.platform = try json.string()
            } else if key.equals("versions") {
                var versions = ArenaList<sluice_bytes>(arena: arena, limit: maximumVersions)
                try json.beginArray()
                var isFirstVersion = true
                while try json.nextElement(&isFirstVersion) {
                    try versions.append(try json.string())
                }
                (metadata.versions, metadata.version_count) = versions.view
            } else if key.equals("inputs") {
                let tensors = try readTensors(&json, arena)
                (metadata.inputs, metadata.input_count) = tensors.view
            } else if key.equals("outputs") {
                let tensors = try readTensors(&json, arena)
                (metadata.outputs, metadata.output_count) = tensors.view
            } else {
                try json.skip()
            }
        }
        try json.finish()
        let place = try arena.allocate(sluice_metadata.self, count: 1)
        place.pointee = metadata
        return UnsafePointer(place)
    }

    private static func readTensors(
        _ json: inout JSONReader, _ arena: ExchangeArena
    ) throws(CodecFailure) -> ArenaList<sluice_tensor_spec> {
        var tensors = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            var tensor = sluice_tensor_spec()
            try json.beginObject()
            var isFirstKey = true
            while let key = try json.nextKey(&isFirstKey) {
                if key.equals("name") {
                    tensor.name = try json.string()
                } else if key.equals("datatype") {
                    let name = try json.string()
                    guard let datatype = Datatype(name: name) else {
                        throw CodecFailure("unknown datatype", subject: name)
                    }
                    tensor.datatype = datatype.rawValue
                } else if key.equals("shape") {
                    try readShape(&json, &tensor, arena)
                } else {
                    try json.skip()
                }
            }
            guard !tensor.name.isEmpty, tensor.datatype != 0 else {
                throw CodecFailure("a tensor of the metadata has no name or datatype", subject: tensor.name)
            }
            try tensors.append(tensor)
        }
        return tensors
    }

    private static func readShape(
        _ json: inout JSONReader, _ tensor: inout sluice_tensor_spec, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        var shape = ArenaList<Int64>(arena: arena, limit: TensorShape.maximumRank)
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            try shape.append(try json.integer())
        }
        (tensor.shape, tensor.rank) = shape.view
    }
}
