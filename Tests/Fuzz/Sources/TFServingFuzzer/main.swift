// Messages of tensorflow.serving.PredictionService: what is accepted as a PredictRequest can be written as a request
// and as a response, and read again to the same tensors.
import FuzzArena
import FuzzDriver
import SluiceABI
import SluiceJSON
import TFServingCodec

let path: StaticString = "/tensorflow.serving.PredictionService/Predict"

/// Reads a PredictRequest and hands it on; false when it is refused.
func read(
    _ bytes: sluice_bytes, _ codec: TFServingProtocol, _ arena: ExchangeArena, then: (sluice_request) -> Void
) -> Bool {
    withCall(path, bytes) { readInference($0, codec, arena, then: then) }
}

/// Reads a backend's answer; nil when it is refused.
func answer(
    _ operation: Int32, _ bytes: sluice_bytes, _ codec: TFServingProtocol, _ arena: ExchangeArena
) -> sluice_response? {
    withCall(path, bytes) { readAnswer(operation, $0, codec, arena) }
}

fuzz { data, count in
    let body = sluice_bytes(data: data, size: count)
    let codec = TFServingProtocol()
    let other = BoundedArena()
    _ = answer(SLUICE_OPERATION_MODEL_METADATA, body, codec, other.arena)
    if let response = answer(SLUICE_OPERATION_INFER, body, codec, other.arena) {
        expectSized(response.payload)
    }
    let memory = BoundedArena()
    _ = read(body, codec, memory.arena) { request in
        expectSized(request.payload)
        var size = 0
        for index in 0..<Int(request.payload.tensor_count) {
            size += request.payload.tensors?[index].data.buffer.count ?? 0
        }
        expect(memory.used - size <= 64 * count + 4096, "memory is bounded by the message and what it leaves to fill")
        // What was filled up takes more memory to be read again than there is.
        guard size < 1 << 16 else { return }
        var target = sluice_target()
        target.model = .literal("other")
        for isSame in [true, false] {
            target.same_protocol = isSame ? 1 : 0
            target.renamed = 1
            let next = BoundedArena()
            var sent = sluice_message()
            sent.transport = UInt32(SLUICE_TRANSPORT_GRPC)
            let isSent = succeeds { () throws(CodecFailure) in
                _ = try codec.encodeRequest(request, for: target, into: &sent, arena: next.arena)
            }
            expect(isSent, "what was read can be sent on")
            withBody(of: sent) { bytes in
                let isRead = read(bytes, codec, next.arena) { again in
                    expect(again.model.equals("other"), "the model has its other name")
                    expect(again.payload.output_count == request.payload.output_count, "all outputs are kept")
                    expect(again.payload.parameter_count == request.payload.parameter_count, "the signature is kept")
                    expectSame(request.payload, again.payload)
                }
                expect(isRead, "what was sent can be read")
            }
        }
        let next = BoundedArena()
        answerWithItsTensors(request, codec, next.arena) { bytes in
            guard let again = answer(SLUICE_OPERATION_INFER, bytes, codec, next.arena) else {
                return expect(false, "what was answered can be read")
            }
            expectSame(request.payload, again.payload)
        }
    }
    return 0
}
