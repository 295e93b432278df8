import LengthPrefixedCodec
import ModelServiceCodec
import OpenInferenceCodec
import RestPredictCodec
import SluiceABI
import SluiceJSON
import TFServingCodec
import Testing

/// A client gets the outputs that it names, or learns which one the model does not have.
@Suite struct RequestedOutputsTests {
    enum Form: CaseIterable {
        case openInference, openInferenceCall, tfServing, modelService, lengthPrefixed

        var codec: any MessageCodec {
            switch self {
            case .openInference, .openInferenceCall: OpenInferenceProtocol(isBinary: false)
            case .tfServing: TFServingProtocol()
            case .modelService: ModelServiceProtocol()
            case .lengthPrefixed: LengthPrefixedProtocol()
            }
        }

        var transport: Int32 {
            switch self {
            case .openInference: SLUICE_TRANSPORT_HTTP
            case .lengthPrefixed: SLUICE_TRANSPORT_TCP
            default: SLUICE_TRANSPORT_GRPC
            }
        }
    }

    private func request(for outputs: [String], over transport: Int32, in test: TestArena) -> sluice_request {
        var received = sluice_message()
        received.transport = UInt32(transport)
        var request = sluice_request()
        request.message = test.array([received])
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.payload.outputs = test.array(
            outputs.map { name in
                var output = sluice_output()
                output.name = test.bytes(name)
                return output
            })
        request.payload.output_count = UInt32(outputs.count)
        return request
    }

    @Test(arguments: Form.allCases) func anOutputThatTheAnswerLacksIsAnError(form: Form) throws {
        for (outputs, missing) in [
            ([], nil), (["b"], nil), (["b", "a"], nil), (["c"], "c"), (["a", "c", "d"], "c"), (["ab"], "ab"),
        ] as [([String], String?)] {
            let test = TestArena()
            var response = sluice_response()
            response.operation = UInt32(SLUICE_OPERATION_INFER)
            response.payload = test.payload([test.tensor("a", .int8, [1], [1]), test.tensor("b", .int8, [1], [2])])
            let request = request(for: outputs, over: form.transport, in: test)
            var message = sluice_message()
            do throws(CodecFailure) {
                try form.codec.encode(response, to: request, into: &message, arena: test.arena)
                #expect(missing == nil, "\(outputs)")
                #expect(message.body_count > 0)
            } catch {
                #expect(error.status == SLUICE_INVALID_ARGUMENT)
                #expect(error.text == "the model has no output of that name '\(missing ?? "")'", "\(outputs)")
            }
        }
    }

    /// Where a backend cannot be asked to write to shared memory its answer would come in the message, and the client
    /// would read what lay in the region before.
    @Test func anOutputInSharedMemoryNeedsABackendThatWritesThere() throws {
        let forms: [(any MessageCodec, Int32, takes: Bool)] = [
            (OpenInferenceProtocol(isBinary: false), SLUICE_TRANSPORT_HTTP, true),
            (OpenInferenceProtocol(isBinary: false), SLUICE_TRANSPORT_GRPC, true),
            (RestPredictProtocol(PredictOptions()), SLUICE_TRANSPORT_HTTP, false),
            (TFServingProtocol(), SLUICE_TRANSPORT_GRPC, false),
            (ModelServiceProtocol(), SLUICE_TRANSPORT_GRPC, false),
            (LengthPrefixedProtocol(), SLUICE_TRANSPORT_TCP, false),
        ]
        for (codec, transport, takes) in forms {
            let test = TestArena()
            var output = sluice_output()
            output.name = test.bytes("y")
            output.parameters = test.array([test.parameter("a", "b"), test.parameter("shared_memory_region", "r")])
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            request.payload = test.payload([test.tensor("x", .int8, [1], [1])])
            request.payload.output_count = 1
            for (count, isShared) in [(UInt32(1), false), (2, true)] {
                output.parameter_count = count
                request.payload.outputs = test.array([output])
                var message = sluice_message()
                message.transport = UInt32(transport)
                do throws(CodecFailure) {
                    _ = try codec.encodeRequest(request, for: sluice_target(), into: &message, arena: test.arena)
                    #expect(takes || !isShared, "\(codec)")
                } catch {
                    #expect(isShared && !takes, "\(codec): \(error.text)")
                    #expect(error.status == SLUICE_UNIMPLEMENTED)
                    #expect(error.text == "an output in shared memory has no form in the backend's protocol 'y'")
                }
            }
        }
    }

    /// The REST predict protocol cannot be asked for outputs, and does not name a lone one.
    @Test func aLoneTensorIsTheOneOutputThatWasAskedFor() throws {
        for (outputs, body, names) in [
            (["y"], #"{"predictions":[[1,2]]}"#, ["y"]), (["y"], #"{"outputs":[1,2]}"#, ["y"]),
            ([], #"{"predictions":[[1,2]]}"#, ["output-0"]), (["y", "z"], #"{"outputs":[1,2]}"#, ["output-0"]),
            (["y"], #"{"outputs":{"x":[1,2]}}"#, ["x"]), (["y"], #"{"predictions":[{"x":1,"y":2}]}"#, ["x", "y"]),
        ] {
            let test = TestArena()
            let request = request(for: outputs, over: SLUICE_TRANSPORT_HTTP, in: test)
            var response = sluice_response()
            _ = try RestPredictProtocol(PredictOptions()).decodeResponse(
                test.message(body, status: 200), to: request, into: &response, arena: test.arena)
            let read = (0..<Int(response.payload.tensor_count)).map { response.payload.tensors[$0].name.text }
            #expect(read == names, "\(outputs) \(body)")
        }
    }
}
