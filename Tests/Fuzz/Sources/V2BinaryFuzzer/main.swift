// Infer messages with the binary tensor data extension: the first two bytes give the size of the JSON. What is accepted
// has as many bytes as its shape says, all inside the body.
import FuzzArena
import FuzzDriver
import OpenInferenceCodec
import SluiceABI
import SluiceJSON

/// Reads a body with the field that gives the size of its JSON.
func read(_ body: sluice_bytes, jsonSize: Int, _ arena: ExchangeArena) -> InferMessage? {
    var digits = Array("\(jsonSize)".utf8)
    return digits.withUnsafeMutableBufferPointer { digits in
        let field = sluice_field(
            name: .literal("inference-header-content-length"),
            value: sluice_bytes(data: digits.baseAddress, size: digits.count))
        return withUnsafePointer(to: body) { body in
            withUnsafePointer(to: field) { field in
                var message = sluice_message()
                message.body_state = UInt32(SLUICE_BODY_WHOLE)
                message.body = body
                message.body_count = 1
                message.fields = field
                message.field_count = 1
                return try? InferReader.read(message, .request, arena: arena)
            }
        }
    }
}

fuzz { data, count in
    guard let data, count >= 2 else { return 0 }
    let body = sluice_bytes(data: data + 2, size: count - 2)
    let memory = BoundedArena()
    guard let request = read(body, jsonSize: Int(data[0]) << 8 | Int(data[1]), memory.arena) else { return 0 }
    expectSized(request.payload)
    var sent = sluice_message()
    do throws(CodecFailure) {
        try InferWriter(arena: memory.arena).request(request.payload, id: request.id, isBinary: true, into: &sent)
    } catch {
        expect(false, "what was read can be written")
    }
    return 0
}
