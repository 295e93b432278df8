// Infer messages as JSON: what is accepted as a request can be written and read again, to the same tensors.
import FuzzArena
import FuzzDriver
import OpenInferenceCodec
import SluiceABI
import SluiceJSON

func equal(_ one: sluice_bytes, _ other: sluice_bytes) -> Bool {
    one.size == other.size && (0..<one.size).allSatisfy { one.buffer[$0] == other.buffer[$0] }
}

func message(_ body: UnsafePointer<sluice_bytes>) -> sluice_message {
    var message = sluice_message()
    message.body_state = UInt32(SLUICE_BODY_WHOLE)
    message.body = body
    message.body_count = 1
    return message
}

func read(_ body: sluice_bytes, _ direction: InferDirection, _ arena: ExchangeArena) -> InferMessage? {
    withUnsafePointer(to: body) { body in
        do throws(CodecFailure) {
            return try InferReader.read(message(body), direction, arena: arena)
        } catch {
            expect(error.status < 0, "a failure has a code")
            let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: CodecFailure.maximumTextSize)
            let size = error.write(to: text)
            expect(UTF8Sequence.isValid(sluice_bytes(data: text.baseAddress, size: size)), "a failure's text is UTF-8")
            text.deallocate()
            return nil
        }
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
    var text: [UInt8] = []
    for index in 0..<Int(sent.body_count) { text += Array(sent.body[index].buffer) }
    text.withUnsafeBufferPointer { text in
        let again = read(sluice_bytes(data: text.baseAddress, size: text.count), .request, memory.arena)
        expect(again != nil, "what was written can be read")
        guard let again else { return }
        expect(equal(again.id, request.id), "the id is kept")
        expect(again.payload.tensor_count == request.payload.tensor_count, "all tensors are kept")
        expect(again.payload.output_count == request.payload.output_count, "all outputs are kept")
        for index in 0..<Int(request.payload.tensor_count) {
            guard let one = request.payload.tensors?[index], let other = again.payload.tensors?[index] else { continue }
            expect(equal(one.name, other.name) && one.datatype == other.datatype, "tensors keep name and datatype")
            expect(one.shapeBuffer.elementsEqual(other.shapeBuffer), "tensors keep their shape")
            expect(equal(one.data, other.data) && equal(one.region, other.region), "tensors keep their data")
        }
    }
    return 0
}
