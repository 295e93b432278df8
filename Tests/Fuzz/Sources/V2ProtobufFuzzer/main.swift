// Messages of inference.GRPCInferenceService: what is accepted as a ModelInferRequest can be renamed, and written as a
// request and as a response, and read again to the same tensors.
import FuzzArena
import FuzzDriver
import OpenInferenceCodec
import SluiceABI
import SluiceJSON

let path: StaticString = "/inference.GRPCInferenceService/ModelInfer"

/// Reads a ModelInferRequest and hands it on; false when it is refused.
func read(
    _ bytes: sluice_bytes, _ codec: OpenInferenceProtocol, _ arena: ExchangeArena, then: (sluice_request) -> Void
) -> Bool {
    withCall(path, bytes) { readInference($0, codec, arena, then: then) }
}

/// Reads a backend's answer; nil when it is refused.
func answer(
    _ operation: Int32, _ bytes: sluice_bytes, _ codec: OpenInferenceProtocol, _ arena: ExchangeArena
) -> sluice_response? {
    withCall(path, bytes) { readAnswer(operation, $0, codec, arena) }
}

fuzz { data, count in
    let body = sluice_bytes(data: data, size: count)
    let codec = OpenInferenceProtocol(isBinary: false)
    let memory = BoundedArena()
    _ = answer(SLUICE_OPERATION_MODEL_METADATA, body, codec, memory.arena)
    if let response = answer(SLUICE_OPERATION_INFER, body, codec, memory.arena) {
        expectSized(response.payload)
    }
    let taken = memory.used
    _ = read(body, codec, memory.arena) { request in
        // A tensor of 13 bytes has room for 16 dimensions; lists begin with four entries.
        expect(memory.used - taken <= 64 * count + 4096, "memory is bounded by the message")
        expectSized(request.payload)
        var target = sluice_target()
        target.model = .literal("other")
        // As it came but for the model, and encoded anew.
        for isSame in [true, false] {
            target.same_protocol = isSame ? 1 : 0
            target.renamed = 1
            var sent = sluice_message()
            sent.transport = UInt32(SLUICE_TRANSPORT_GRPC)
            let isSent = succeeds { () throws(CodecFailure) in
                _ = try codec.encodeRequest(request, for: target, into: &sent, arena: memory.arena)
            }
            expect(isSent, "what was read can be sent on")
            withBody(of: sent) { bytes in
                let isRead = read(bytes, codec, memory.arena) { again in
                    expect(again.model.equals("other"), "the model has its other name")
                    expect(again.id.equals(request.id), "the id is kept")
                    expect(again.payload.output_count == request.payload.output_count, "all outputs are kept")
                    expect(again.payload.parameter_count == request.payload.parameter_count, "parameters are kept")
                    expectSame(request.payload, again.payload)
                }
                expect(isRead, "what was sent can be read")
            }
        }
        // As an answer, in the form of the request; all tensors, whatever it asks for.
        answerWithItsTensors(request, codec, memory.arena) { bytes in
            guard let again = answer(SLUICE_OPERATION_INFER, bytes, codec, memory.arena) else {
                return expect(false, "what was answered can be read")
            }
            expectSame(request.payload, again.payload)
        }
    }
    return 0
}
