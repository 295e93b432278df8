// Infer messages as JSON: what is accepted as a request can be written and read again, to the same tensors.
import FuzzArena
import FuzzDriver
import OpenInferenceCodec
import SluiceABI
import SluiceJSON

func message(_ body: UnsafePointer<sluice_bytes>) -> sluice_message {
    var message = sluice_message()
    message.body_state = UInt32(SLUICE_BODY_WHOLE)
    message.body = body
    message.body_count = 1
    return message
}

func read(_ body: sluice_bytes, _ direction: InferDirection, _ arena: ExchangeArena) -> InferMessage? {
    withUnsafePointer(to: body) { body in
        var found: InferMessage?
        _ = succeeds { () throws(CodecFailure) in
            found = try InferReader.read(message(body), direction, arena: arena)
        }
        return found
    }
}

fuzz { data, count in
    let body = sluice_bytes(data: data, size: count)
    let memory = BoundedArena()
    _ = read(body, .response, memory.arena)
    let taken = memory.used
    guard let request = read(body, .request, memory.arena) else { return 0 }
    // Lists begin with four entries; the rest is bounded by the text.
    expect(memory.used - taken <= 64 * count + 4096, "memory is bounded by the message")
    var sent = sluice_message()
    do throws(CodecFailure) {
        try InferWriter(arena: memory.arena).request(request.payload, id: request.id, isBinary: false, into: &sent)
    } catch {
        expect(false, "what was read can be written")
    }
    withBody(of: sent) { text in
        guard let again = read(text, .request, memory.arena) else {
            return expect(false, "what was written can be read")
        }
        expect(again.id.equals(request.id), "the id is kept")
        expect(again.payload.output_count == request.payload.output_count, "all outputs are kept")
        expectSame(request.payload, again.payload)
    }
    return 0
}
