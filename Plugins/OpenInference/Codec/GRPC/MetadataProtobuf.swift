import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// ServerMetadataResponse and ModelMetadataResponse.
enum MetadataProtobuf {
    static func writeServer(_ metadata: sluice_metadata, _ out: inout ProtobufWriter) throws(CodecFailure) {
        try out.text(1, metadata.name)
        try out.text(2, metadata.version)
        for index in 0..<Int(metadata.version_count) {
            guard let extensions = metadata.versions else { break }
            try out.bytes(3, extensions[index])
        }
    }

    /// - Parameter model: the name that the client knows; the backend's own may be another.
    static func writeModel(
        _ metadata: sluice_metadata, model: sluice_bytes, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        try out.text(1, model)
        for index in 0..<Int(metadata.version_count) {
            guard let versions = metadata.versions else { break }
            try out.bytes(2, versions[index])
        }
        try out.text(3, metadata.platform)
        try write(metadata.inputs, metadata.input_count, 4, &out)
        try write(metadata.outputs, metadata.output_count, 5, &out)
    }

    private static func write(
        _ specs: UnsafePointer<sluice_tensor_spec>?, _ count: UInt32, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        for index in 0..<Int(count) {
            guard let spec = specs?[index], let datatype = Datatype(rawValue: spec.datatype) else {
                throw CodecFailure("a tensor of the metadata has no known datatype", status: SLUICE_INTERNAL)
            }
            try out.message(number) { (part: inout ProtobufWriter) throws(CodecFailure) in
                try part.text(1, spec.name)
                try part.text(2, .literal(datatype.name))
                let rank = spec.shape == nil ? 0 : Int(spec.rank)
                try part.packed(3, UnsafeBufferPointer(start: spec.shape, count: rank))
            }
        }
    }

    static func readModel(
        _ bytes: sluice_bytes, arena: ExchangeArena
    ) throws(CodecFailure) -> UnsafePointer<sluice_metadata> {
        var metadata = sluice_metadata()
        var versions = ArenaList<sluice_bytes>(arena: arena, limit: MetadataText.maximumVersions)
        var inputs = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        var outputs = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: metadata.name = try field.string("name")
            case 2: try versions.append(try field.string("versions"))
            case 3: metadata.platform = try field.string("platform")
            case 4: try inputs.append(try readSpec(try field.message("inputs"), arena))
            case 5: try outputs.append(try readSpec(try field.message("outputs"), arena))
            default: break
            }
        }
        (metadata.versions, metadata.version_count) = versions.view
        (metadata.inputs, metadata.input_count) = inputs.view
        (metadata.outputs, metadata.output_count) = outputs.view
        let place = try arena.allocate(sluice_metadata.self, count: 1)
        place.pointee = metadata
        return UnsafePointer(place)
    }

    private static func readSpec(
        _ message: ProtobufReader, _ arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_tensor_spec {
        var reader = message
        var spec = sluice_tensor_spec()
        var shape = ShapeReader(arena: arena)
        while let field = try reader.next() {
            switch field.number {
            case 1: spec.name = try field.string("name")
            case 2:
                let name = try field.string("datatype")
                guard let datatype = Datatype(name: name) else {
                    throw CodecFailure("unknown datatype", subject: name)
                }
                spec.datatype = datatype.rawValue
            case 3: try shape.append(try field.values(.varint, "shape"), of: spec.name)
            default: break
            }
        }
        guard !spec.name.isEmpty, spec.datatype != 0 else {
            throw CodecFailure("a tensor of the metadata has no name or datatype", subject: spec.name)
        }
        (spec.shape, spec.rank) = shape.view
        return spec
    }
}
