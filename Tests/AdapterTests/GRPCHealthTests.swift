import GRPCHealthCodec
import SluiceABI
import SluiceJSON
import SluiceProtobuf
import Testing

@Suite struct GRPCHealthTests {
    private let codec = HealthProtocol()

    private func head(
        _ method: HealthProtocol.Method, _ body: [UInt8]?, in test: TestArena
    ) throws(CodecFailure) -> (verdict: Int32, request: sluice_request) {
        try test.head(codec, method, body)
    }

    @Test func theServiceSaysWhoIsAskedAfter() throws {
        let test = TestArena()
        #expect(try head(.check, nil, in: test).verdict == SLUICE_NEED_BODY)
        for gateway in [[], Wire.text(1, ""), Wire.number(9, 1)] {
            let (verdict, request) = try head(.check, gateway, in: test)
            #expect(verdict == SLUICE_OK && request.model.isEmpty)
            #expect(request.operation == UInt32(SLUICE_OPERATION_SERVER_READY))
        }
        // Of a field that is there twice the last one counts (protobuf.dev/programming-guides/encoding).
        let (verdict, request) = try head(.check, Wire.text(1, "a") + Wire.text(1, "iris"), in: test)
        #expect(verdict == SLUICE_OK && request.model.text == "iris")
        #expect(request.operation == UInt32(SLUICE_OPERATION_MODEL_READY))
    }

    @Test func whatCannotBeReadOrWatchedIsRefused() {
        let test = TestArena()
        for broken in [[0x0a, 5, 97], Wire.number(1, 4), Wire.bytes(1, [0xff])] as [[UInt8]] {
            #expect(failure { () throws(CodecFailure) in _ = try head(.check, broken, in: test) } != nil)
        }
        let watch = failure { () throws(CodecFailure) in _ = try head(.watch, nil, in: test) }
        #expect(watch?.contains("ask by Check") == true)
    }

    @Test func theAnswerIsServingOrNot() throws {
        for (ready, expected) in [(1, 1), (0, 2)] as [(UInt32, UInt64)] {
            let test = TestArena()
            var response = sluice_response()
            response.ready = ready
            var message = sluice_message()
            try codec.encode(response, to: sluice_request(), into: &message, arena: test.arena)
            #expect(message.transport == UInt32(SLUICE_TRANSPORT_GRPC))
            #expect(Array(message.wholeBody.buffer) == Wire.number(1, expected))
        }
    }
}
