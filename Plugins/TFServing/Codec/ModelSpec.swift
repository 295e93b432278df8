import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// tensorflow.serving.ModelSpec: which model, which version of it or which label, and which of its signatures.
public struct ModelSpec: BitwiseCopyable {
    public var name = sluice_bytes()
    /// A number or a label, as the gateway's versions are.
    public var version = sluice_bytes()
    public var signature = sluice_bytes()

    /// Reads a field of this message; several are joined, as protobuf joins messages.
    mutating func read(_ bytes: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try field.string("model_spec.name")
            case 2: version = try Self.decimal(try field.message("model_spec.version"), arena)
            case 3: signature = try field.string("model_spec.signature_name")
            case 4: version = try field.string("model_spec.version_label")
            default: break
            }
        }
    }

    /// The text of a google.protobuf.Int64Value.
    private static func decimal(
        _ message: ProtobufReader, _ arena: ExchangeArena
    ) throws(CodecFailure) -> sluice_bytes {
        var reader = message
        var number: Int64 = 0
        while let field = try reader.next() {
            if field.number == 1 {
                number = try field.int64("model_spec.version.value")
            }
        }
        let text = try arena.allocate(UInt8.self, count: DecimalText.maximumIntegerSize)
        return sluice_bytes(data: text, size: DecimalText.write(number, to: text))
    }

    func write(_ number: UInt32, _ out: inout ProtobufWriter) throws(CodecFailure) {
        try out.message(number) { (spec: inout ProtobufWriter) throws(CodecFailure) in
            try writeNames(&spec)
            try spec.text(3, signature)
        }
    }

    /// The model and its version, which goes as a label unless it is a number.
    func writeNames(_ out: inout ProtobufWriter) throws(CodecFailure) {
        try out.text(1, name)
        guard !version.isEmpty else { return }
        // Longer numbers than these are no version that a directory has.
        guard let number = DecimalText.read(version) else { return try out.text(4, version) }
        try out.message(2) { (value: inout ProtobufWriter) throws(CodecFailure) in
            try value.integer(1, UInt64(number))
        }
    }

    /// What a message says beside model and version, the signature say, as it came.
    static func appendUnnamed(_ spec: sluice_bytes, to out: inout ProtobufWriter) throws(CodecFailure) {
        try ProtobufSplice.append(spec, without: 1, 2, 4, to: &out)
    }
}
