import OpenInferenceCodec
import RestPredictCodec
import SluiceABI
import SluiceJSON
import Testing

/// JSON has no NaN and no infinities. In an answer `null` says so; a request must not be changed on its way.
@Suite struct NotFiniteTests {
    /// Words of the datatype, little-endian, as they lie in a tensor.
    private static func bytes<Bits: FixedWidthInteger>(_ words: [Bits]) -> [UInt8] {
        words.flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } }
    }

    /// Infinity, its negative, a quiet NaN and the one with the smallest payload, each alone among ordinary numbers.
    private static let tensors: [(Datatype, [[UInt8]])] = [
        (.fp16, [0x7C00, 0xFC00, 0x7E00, 0xFC01].map { bytes([0x3C00, $0, 0x8000] as [UInt16]) }),
        (.bf16, [0x7F80, 0xFF80, 0x7FC0, 0xFF81].map { bytes([0x3F80, $0, 0x8000] as [UInt16]) }),
        (
            .fp32,
            [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFF80_0001].map { bytes([0x3F80_0000, $0, 0] as [UInt32]) }
        ),
        (
            .fp64,
            [0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0xFFF0 << 48 | 1].map {
                bytes([0x3FF0 << 48, $0, 0] as [UInt64])
            }
        ),
    ]

    /// The largest numbers of each datatype.
    private static let largest: [(Datatype, [UInt8])] = [
        (.fp16, bytes([0x7BFF, 0xFBFF] as [UInt16])), (.bf16, bytes([0x7F7F, 0xFF7F] as [UInt16])),
        (.fp32, bytes([0x7F7F_FFFF, 0xFF7F_FFFF] as [UInt32])),
        (.fp64, bytes([0x7FEF_FFFF_FFFF_FFFF, 0xFFEF_FFFF_FFFF_FFFF] as [UInt64])),
        // No number of these datatypes is not finite, whatever its bits.
        (.int16, bytes([0x7C00, 0x7F80] as [UInt16])), (.uint64, bytes([0x7FF0 << 48, .max] as [UInt64])),
    ]

    private func payload(
        _ test: TestArena, _ datatype: Datatype, _ shape: [Int64], _ data: [UInt8]
    ) -> sluice_payload {
        var tensor = sluice_tensor()
        tensor.name = test.bytes("x")
        tensor.datatype = datatype.rawValue
        tensor.rank = UInt32(shape.count)
        tensor.shape = test.array(shape)
        tensor.data = test.bytes(data)
        var payload = sluice_payload()
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        payload.tensors = test.array([tensor])
        payload.tensor_count = 1
        return payload
    }

    private func request(_ payload: sluice_payload) -> sluice_request {
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.payload = payload
        return request
    }

    /// What a backend of the Open Inference Protocol over HTTP would be sent; the status and words that refuse it.
    private func openInference(
        _ payload: sluice_payload, isBinary: Bool, _ test: TestArena
    ) -> (status: sluice_status, text: String) {
        var sent = sluice_message()
        do throws(CodecFailure) {
            _ = try OpenInferenceProtocol(isBinary: isBinary).encodeRequest(
                request(payload), for: sluice_target(), into: &sent, arena: test.arena)
            return (SLUICE_OK, sent.bodyText)
        } catch {
            return (error.status, error.text)
        }
    }

    private func restPredict(_ payload: sluice_payload, _ test: TestArena) -> (status: sluice_status, text: String) {
        var sent = sluice_message()
        do throws(CodecFailure) {
            _ = try RestPredictProtocol(PredictOptions()).encodeRequest(
                request(payload), for: sluice_target(), into: &sent, arena: test.arena)
            return (SLUICE_OK, sent.bodyText)
        } catch {
            return (error.status, error.text)
        }
    }

    @Test func aRequestInJSONIsRefused() {
        for (datatype, samples) in Self.tensors {
            for data in samples {
                let test = TestArena()
                let sent = openInference(payload(test, datatype, [3], data), isBinary: false, test)
                #expect(sent.status == SLUICE_INVALID_ARGUMENT, "\(datatype.name) \(data): \(sent.text)")
                #expect(sent.text.contains("no NaN and no infinities"), "\(sent.text)")
                #expect(sent.text.contains("`binary: true`") && sent.text.hasSuffix("in tensor 'x'"), "\(sent.text)")
                // By rows and, for a scalar's shape has none, by columns.
                let size = data.count / 3
                let shapes: [(shape: [Int64], data: [UInt8])] = [([3], data), ([], Array(data[size..<2 * size]))]
                for (shape, data) in shapes {
                    let predict = restPredict(payload(test, datatype, shape, data), test)
                    #expect(predict.status == SLUICE_INVALID_ARGUMENT, "\(datatype.name) \(data): \(predict.text)")
                    #expect(predict.text.hasSuffix("in tensor 'x'"), "\(predict.text)")
                }
            }
        }
    }

    @Test func allOtherNumbersAreSent() {
        for (datatype, data) in Self.largest {
            let test = TestArena()
            let tensor = payload(test, datatype, [2], data)
            #expect(openInference(tensor, isBinary: false, test).status == SLUICE_OK, "\(datatype.name)")
            #expect(restPredict(tensor, test).status == SLUICE_OK, "\(datatype.name)")
        }
        let test = TestArena()
        #expect(openInference(payload(test, .fp32, [0], []), isBinary: false, test).status == SLUICE_OK)
    }

    @Test func binaryDataIsKept() {
        for (datatype, samples) in Self.tensors {
            let test = TestArena()
            #expect(
                openInference(payload(test, datatype, [3], samples[0]), isBinary: true, test).status == SLUICE_OK)
        }
    }

    /// They are in JSON whatever form the tensors have.
    @Test(arguments: [false, true]) func parametersAreRefused(_ isBinary: Bool) {
        for place in 0..<2 {
            let test = TestArena()
            var parameter = sluice_parameter()
            parameter.name = test.bytes("p")
            parameter.kind = UInt32(SLUICE_PARAMETER_DOUBLE)
            parameter.number = .nan
            var content = payload(test, .int8, [1], [1])
            if place == 0 {
                content.parameters = test.array([parameter])
                content.parameter_count = 1
            } else {
                var tensor = content.tensors[0]
                tensor.parameters = test.array([parameter])
                tensor.parameter_count = 1
                content.tensors = test.array([tensor])
            }
            let sent = openInference(content, isBinary: isBinary, test)
            #expect(sent.status == SLUICE_INVALID_ARGUMENT && sent.text.hasSuffix("in parameter 'p'"), "\(sent.text)")
        }
    }

    @Test func anAnswerInJSONSaysNull() throws {
        for (datatype, samples) in Self.tensors {
            let test = TestArena()
            var response = sluice_response()
            response.operation = UInt32(SLUICE_OPERATION_INFER)
            response.payload = payload(test, datatype, [3], samples[0])
            var sent = sluice_message()
            try OpenInferenceProtocol(isBinary: false).encode(
                response, to: request(sluice_payload()), into: &sent, arena: test.arena)
            #expect(sent.bodyText.contains("\"data\":[1.0,null,"), "\(datatype.name): \(sent.bodyText)")
            sent = sluice_message()
            try RestPredictProtocol(PredictOptions()).encode(
                response, to: request(sluice_payload()), into: &sent, arena: test.arena)
            #expect(sent.bodyText.contains("[1.0,null,"), "\(datatype.name): \(sent.bodyText)")
        }
    }
}
