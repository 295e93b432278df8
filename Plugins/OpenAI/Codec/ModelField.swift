import SluiceABI
import SluiceJSON

/// The model that a request's body names: the value of `model` at the top of a JSON object. Nothing else of the body is
/// kept, but all of it is checked: what the gateway reads one way, a backend must not be able to read another way.
public struct ModelField {
    /// The name, escapes taken off.
    public var name: sluice_bytes
    /// Where its value stands in the body: from the opening quotation mark to behind the closing one.
    public var start: Int
    public var end: Int

    /// Fails when the body is no JSON object (RFC 8259), when `model` is missing, no string or empty, and when it is
    /// there twice: readers differ in which one counts.
    ///
    /// - Parameter isAboutModel: whether a failure is one of `model` itself.
    public static func find(
        in body: sluice_bytes, arena: ExchangeArena, isAboutModel: inout Bool
    ) throws(CodecFailure) -> ModelField {
        isAboutModel = false
        var json = JSONReader(body, arena: arena)
        try json.beginObject()
        var found: ModelField?
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            guard key.equals("model") else {
                try json.skip()
                continue
            }
            isAboutModel = true
            let kind = try json.peek()
            let start = json.offset
            guard found == nil else { throw CodecFailure("the body has 'model' more than once", offset: start) }
            guard kind == .string else { throw CodecFailure("the field 'model' is not a string", offset: start) }
            let name = try json.string()
            guard !name.isEmpty else { throw CodecFailure("the field 'model' is empty", offset: start) }
            found = ModelField(name: name, start: start, end: json.offset)
            isAboutModel = false
        }
        try json.finish()
        guard let found else {
            isAboutModel = true
            throw CodecFailure("the body lacks the field 'model'")
        }
        return found
    }
}
