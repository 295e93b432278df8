import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// GetModelMetadataResponse: of a model's signatures the default one, which is what other protocols call its inputs
/// and outputs.
enum SignatureMessage {
    private static let signatureField: StaticString = "signature_def"
    private static let defaultSignature: StaticString = "serving_default"
    private static let mapType: StaticString = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

    // MARK: - Reading

    static func read(
        _ bytes: sluice_bytes, arena: ExchangeArena
    ) throws(CodecFailure) -> UnsafePointer<sluice_metadata> {
        var spec = ModelSpec()
        var map = sluice_bytes()
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: try spec.read(try field.bytes("model_spec"), arena: arena)
            case 2:
                let (name, value) = try readEntry(try field.bytes("metadata"))
                if name.equals(signatureField) {
                    map = try readAny(value)
                }
            default: break
            }
        }
        let place = try arena.allocate(sluice_metadata.self, count: 1)
        place.initialize(to: sluice_metadata())
        place.pointee.name = spec.name
        place.pointee.platform = .literal("tensorflow")
        if !spec.version.isEmpty {
            let versions = try arena.allocate(sluice_bytes.self, count: 1)
            versions.initialize(to: spec.version)
            place.pointee.versions = UnsafePointer(versions)
            place.pointee.version_count = 1
        }
        if let signature = try signature(map) {
            try readSignature(signature, &place.pointee, arena)
        }
        return UnsafePointer(place)
    }

    /// The default signature, or the first when there is none of that name.
    private static func signature(_ map: sluice_bytes) throws(CodecFailure) -> sluice_bytes? {
        var first: sluice_bytes?
        var reader = ProtobufReader(map)
        while let field = try reader.next() {
            guard field.number == 1 else { continue }
            let (name, value) = try readEntry(try field.bytes("signature_def"))
            if name.equals(defaultSignature) {
                return value
            }
            first = first ?? value
        }
        return first
    }

    private static func readEntry(
        _ bytes: sluice_bytes
    ) throws(CodecFailure) -> (name: sluice_bytes, value: sluice_bytes) {
        var entry = (name: sluice_bytes(), value: sluice_bytes())
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: entry.name = try field.string("a map's key")
            case 2: entry.value = try field.bytes("a map's value")
            default: break
            }
        }
        return entry
    }

    private static func readAny(_ bytes: sluice_bytes) throws(CodecFailure) -> sluice_bytes {
        var value = sluice_bytes()
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            if field.number == 2 {
                value = try field.bytes("metadata.value")
            }
        }
        return value
    }

    private static func readSignature(
        _ bytes: sluice_bytes, _ metadata: inout sluice_metadata, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        var inputs = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        var outputs = ArenaList<sluice_tensor_spec>(arena: arena, limit: MessageLimits.tensors)
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: try inputs.append(try readInfo(try field.bytes("inputs"), arena))
            case 2: try outputs.append(try readInfo(try field.bytes("outputs"), arena))
            default: break
            }
        }
        (metadata.inputs, metadata.input_count) = inputs.view
        (metadata.outputs, metadata.output_count) = outputs.view
    }

    private static func readInfo(
        _ bytes: sluice_bytes, _ arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_tensor_spec {
        let (name, value) = try readEntry(bytes)
        var spec = sluice_tensor_spec()
        spec.name = name
        var shape = ShapeReader(arena: arena)
        var isKnown = true
        var reader = ProtobufReader(value)
        while let field = try reader.next() {
            switch field.number {
            case 2:
                guard let datatype = TensorFlowDatatype.datatype(try field.int32("dtype")) else {
                    throw CodecFailure("the datatype has no counterpart here, of tensor", subject: name)
                }
                spec.datatype = datatype.rawValue
            case 3:
                isKnown = try ShapeMessage.read(
                    try field.message("tensor_shape"), of: name, &shape, isSignature: true)
            default: break
            }
        }
        guard !name.isEmpty, spec.datatype != 0 else {
            throw CodecFailure("a tensor of the signature has no name or datatype", subject: name)
        }
        if !isKnown, shape.rank == 0 {
            // What comes nearest to any number of dimensions.
            try shape.append(-1, of: name)
        }
        (spec.shape, spec.rank) = shape.view
        return spec
    }

    // MARK: - Writing

    static func write(
        _ metadata: sluice_metadata, _ spec: ModelSpec, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        try spec.write(1, &out)
        try out.message(2) { (entry: inout ProtobufWriter) throws(CodecFailure) in
            try entry.text(1, .literal(signatureField))
            try entry.message(2) { (any: inout ProtobufWriter) throws(CodecFailure) in
                try any.text(1, .literal(mapType))
                try any.message(2) { (map: inout ProtobufWriter) throws(CodecFailure) in
                    try map.message(1) { (named: inout ProtobufWriter) throws(CodecFailure) in
                        try named.text(1, .literal(defaultSignature))
                        try named.message(2) { (signature: inout ProtobufWriter) throws(CodecFailure) in
                            try writeInfos(metadata.inputs, metadata.input_count, 1, &signature)
                            try writeInfos(metadata.outputs, metadata.output_count, 2, &signature)
                            try signature.text(3, .literal("tensorflow/serving/predict"))
                        }
                    }
                }
            }
        }
    }

    private static func writeInfos(
        _ specs: UnsafePointer<sluice_tensor_spec>?, _ count: UInt32, _ number: UInt32, _ out: inout ProtobufWriter
    ) throws(CodecFailure) {
        for index in 0..<Int(count) {
            guard let spec = specs?[index], let datatype = Datatype(rawValue: spec.datatype) else {
                throw CodecFailure("a tensor of the metadata has no known datatype", status: SLUICE_INTERNAL)
            }
            try out.message(number) { (entry: inout ProtobufWriter) throws(CodecFailure) in
                try entry.text(1, spec.name)
                try entry.message(2) { (info: inout ProtobufWriter) throws(CodecFailure) in
                    try info.text(1, spec.name)
                    try info.integer(2, TensorFlowDatatype.number(datatype))
                    let shape = UnsafeBufferPointer(start: spec.shape, count: spec.shape == nil ? 0 : Int(spec.rank))
                    try ShapeMessage.write(shape, 3, &info)
                }
            }
        }
    }
}
