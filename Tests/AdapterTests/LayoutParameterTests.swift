import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import Testing

/// Parameters that say how tensors are laid out in a message over HTTP belong to that message. KServe's SDK, client and
/// server, sets `binary_data_size` over gRPC as well, where it means nothing.
@Suite struct LayoutParameterTests {
    private let size = Wire.entry(4, "binary_data_size", Wire.number(2, 4))
    private let kept = Wire.entry(4, "scale", Wire.number(2, 3))

    private func request(_ message: UnsafePointer<sluice_message>) -> sluice_request {
        var request = sluice_request()
        request.message = message
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        return request
    }

    private func sent(_ request: sluice_request, isBinary: Bool, _ test: TestArena) throws -> String {
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        _ = try OpenInferenceProtocol(isBinary: isBinary).encodeRequest(
            request, for: sluice_target(), into: &message, arena: test.arena)
        return message.bodyText
    }

    @Test func thoseOfACallDoNotReachABackendOverHTTP() throws {
        let test = TestArena()
        let body = Infer.request(
            [Infer.tensor("x", "FP32", [1], more: size + kept)], raw: [[0, 0, 0x80, 0x3F]],
            more: Wire.entry(4, "binary_data_output", Wire.number(1, 1)) + Wire.entry(4, "seed", Wire.number(2, 7))
                + Wire.bytes(
                    6,
                    Wire.text(1, "y") + Wire.entry(2, "binary_data", Wire.number(1, 1))
                        + Wire.entry(2, "classification", Wire.number(2, 2))))
        var request = request(test.call(Infer.path, body))
        try OpenInferenceProtocol(isBinary: false).decodeBody(&request, arena: test.arena)
        #expect(
            try sent(request, isBinary: false, test)
                == #"{"id":"id","parameters":{"seed":7},"inputs":[{"name":"x","datatype":"FP32","shape":[1],"#
                + #""parameters":{"scale":3},"data":[1.0]}],"outputs":[{"name":"y","parameters":"#
                + #"{"classification":2}}]}"#)
        #expect(
            try sent(request, isBinary: true, test).hasPrefix(
                #"{"id":"id","parameters":{"seed":7},"inputs":[{"name":"x","datatype":"FP32","shape":[1],"#
                    + #""parameters":{"scale":3,"binary_data_size":4}}],"outputs":[{"name":"y","parameters":"#
                    + #"{"classification":2,"binary_data":true}}]}"#))
    }

    @Test(arguments: [false, true]) func thoseOfACallsAnswerDoNotReachAClientOverHTTP(asksBinary: Bool) throws {
        let test = TestArena()
        let codec = OpenInferenceProtocol(isBinary: false)
        let received = test.call(
            Infer.path, Infer.response([Infer.tensor("y", "FP32", [1], more: kept + size)], raw: [[0, 0, 0x80, 0x3F]]))
        var request = request(test.array([sluice_message()]))
        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.payload.flags = asksBinary ? UInt32(SLUICE_PAYLOAD_FLAG_BINARY) : 0
        var response = sluice_response()
        let refusal = try codec.decodeResponse(received.pointee, to: request, into: &response, arena: test.arena)
        #expect(refusal == nil)
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        let tail = asksBinary ? #"{"scale":3,"binary_data_size":4}}]}"# : #"{"scale":3},"data":[1.0]}]}"#
        let head = #"{"model_name":"m","model_version":"3","id":"id","outputs":[{"name":"y","datatype":"FP32","#
        #expect(message.bodyText.hasPrefix(head + #""shape":[1],"parameters":"# + tail))
    }

    /// Adapters of other protocols know nothing of these names.
    @Test(arguments: [false, true]) func thoseOfOtherProtocolsAreNotWritten(isBinary: Bool) throws {
        let test = TestArena()
        var tensor = test.tensor("x", .int8, [1], [5])
        tensor.parameters = test.array([test.parameter("binary_data_size", "9"), test.parameter("a", "b")])
        tensor.parameter_count = 2
        var output = sluice_output()
        output.name = test.bytes("y")
        output.parameters = test.array([test.parameter("binary_data", "no")])
        output.parameter_count = 1
        var request = request(test.array([sluice_message()]))
        request.payload = test.payload([tensor])
        request.payload.outputs = test.array([output])
        request.payload.output_count = 1
        request.payload.parameters = test.array([test.parameter("binary_data_output", "no")])
        request.payload.parameter_count = 1
        let text = try sent(request, isBinary: isBinary, test)
        #expect(!text.contains("no") && !text.contains("\"9\""), "\(text)")
        #expect(text.contains(#""parameters":{"a":"b""#), "\(text)")
        #expect(text.split(separator: "binary_data_size").count == (isBinary ? 2 : 1), "\(text)")
    }
}
