import OpenInferenceCodec
import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

@Suite struct OpenInferenceAnswerTests {
    private let codec = OpenInferenceProtocol(isBinary: false)

    private func tensor(
        _ test: TestArena, _ name: String, _ datatype: Datatype, _ shape: [Int64], _ data: [UInt8]
    ) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = test.bytes(name)
        tensor.datatype = datatype.rawValue
        tensor.rank = UInt32(shape.count)
        tensor.shape = test.array(shape)
        tensor.data = test.bytes(data)
        return tensor
    }

    private func payload(_ test: TestArena, _ tensors: [sluice_tensor]) -> sluice_payload {
        var payload = sluice_payload()
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        payload.tensors = test.array(tensors)
        payload.tensor_count = UInt32(tensors.count)
        return payload
    }

    private func floats(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> ($0 * 8)) } }
    }

    /// The answers of the specification and of Triton's binary extension, field by field.
    @Test func answersLookAsThePublishedOnes() throws {
        let test = TestArena()
        var response = sluice_response()
        response.operation = UInt32(SLUICE_OPERATION_INFER)
        response.model = test.bytes("mymodel")
        response.version = test.bytes("1")
        response.payload = payload(
            test, [tensor(test, "output0", .fp32, [3, 2], floats([1, 1.1, 2, 2.1, 3, 3.1]))])
        var request = sluice_request()
        request.id = test.bytes("42")
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(message.status == 200)
        #expect(message.field("content-type")?.text == "application/json")
        #expect(
            message.bodyText
                == #"{"model_name":"mymodel","model_version":"1","id":"42","outputs":[{"name":"output0","#
                + #""datatype":"FP32","shape":[3,2],"data":[1.0,1.1,2.0,2.1,3.0,3.1]}]}"#)

        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.payload.flags = UInt32(SLUICE_PAYLOAD_FLAG_BINARY)
        message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        let json =
            #"{"model_name":"mymodel","model_version":"1","id":"42","outputs":[{"name":"output0","datatype":"FP32","#
            + #""shape":[3,2],"parameters":{"binary_data_size":24}}]}"#
        #expect(message.field("content-type")?.text == "application/octet-stream")
        #expect(message.field("Inference-Header-Content-Length")?.text == "\(json.utf8.count)")
        #expect(message.joinedBody == Array(json.utf8) + floats([1, 1.1, 2, 2.1, 3, 3.1]))
        #expect(message.body_size == UInt64(json.utf8.count + 24))
    }

    @Test func onlyRequestedOutputsAreAnsweredEachInItsForm() throws {
        let test = TestArena()
        var response = sluice_response()
        response.operation = UInt32(SLUICE_OPERATION_INFER)
        response.payload = payload(
            test,
            [
                tensor(test, "a", .int8, [1], [1]), tensor(test, "b", .int8, [1], [2]),
                tensor(test, "c", .int8, [1], [3]),
            ])
        var request = sluice_request()
        request.model = test.bytes("m")
        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        var outputs = [sluice_output(), sluice_output()]
        outputs[0].name = test.bytes("c")
        outputs[0].flags = UInt32(SLUICE_OUTPUT_BINARY)
        outputs[1].name = test.bytes("a")
        request.payload.outputs = test.array(outputs)
        request.payload.output_count = 2
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(
            String(decoding: message.joinedBody.dropLast(), as: UTF8.self)
                == #"{"model_name":"m","outputs":[{"name":"a","datatype":"INT8","shape":[1],"data":[1]},"#
                + #"{"name":"c","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}"#)
        #expect(message.joinedBody.last == 3)
    }

    @Test func statesAndMetadata() throws {
        let test = TestArena()
        func body(_ response: sluice_response, status: UInt32 = 200) throws -> String {
            var message = sluice_message()
            var request = sluice_request()
            request.model = test.bytes("m")
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            #expect(message.status == status)
            return message.bodyText
        }
        var response = sluice_response()
        response.ready = 1
        response.operation = UInt32(SLUICE_OPERATION_SERVER_LIVE)
        #expect(try body(response) == #"{"live":true}"#)
        response.operation = UInt32(SLUICE_OPERATION_MODEL_READY)
        #expect(try body(response) == #"{"name":"m","ready":true}"#)
        response.ready = 0
        #expect(try body(response, status: 503) == #"{"name":"m","ready":false}"#)
        var spec = sluice_tensor_spec()
        spec.name = test.bytes("x")
        spec.datatype = UInt32(SLUICE_DATATYPE_FP32)
        spec.rank = 2
        spec.shape = test.array([-1, 4])
        var metadata = sluice_metadata()
        metadata.name = test.bytes("m")
        metadata.platform = test.bytes("p")
        metadata.versions = test.array([test.bytes("1"), test.bytes("2")])
        metadata.version_count = 2
        metadata.inputs = test.array([spec])
        metadata.input_count = 1
        response.metadata = test.array([metadata])
        response.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        let text = try body(response)
        #expect(
            text
                == #"{"name":"m","versions":["1","2"],"platform":"p","inputs":[{"name":"x","datatype":"FP32","#
                + #""shape":[-1,4]}],"outputs":[]}"#)
        // Read back as from a backend.
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        var answer = sluice_response()
        let refusal = try codec.decodeResponse(
            test.message(text, status: 200), to: request, into: &answer, arena: test.arena)
        #expect(refusal == nil)
        let read = try #require(answer.metadata).pointee
        #expect(read.version_count == 2)
        #expect(read.inputs[0].shape[0] == -1)
        // Of a backend that has another name for it.
        metadata.name = test.bytes("theirs")
        response.metadata = test.array([metadata])
        #expect(try body(response) == text)
        response.model = test.bytes("ours")
        #expect(try body(response).hasPrefix(#"{"name":"ours","versions""#))
        response.operation = UInt32(SLUICE_OPERATION_MODEL_LIST)
        metadata.name = test.bytes("m")
        response.metadata = test.array([metadata])
        response.operation = UInt32(SLUICE_OPERATION_SERVER_METADATA)
        #expect(try body(response) == #"{"name":"m","version":"","extensions":["binary_tensor_data","1","2"]}"#)
        response.operation = UInt32(SLUICE_OPERATION_MODEL_LIST)
        #expect(try body(response) == #"{"models":["1","2"]}"#)
    }

    @Test func backendsRefusalsKeepTheirWords() throws {
        let test = TestArena()
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        for (status, body, code, text) in [
            (400, #"{"error":"bad \u00e9"}"#, SLUICE_INVALID_ARGUMENT, "bad é"),
            (422, #"{"detail":[{"loc":["body"]}]}"#, SLUICE_INVALID_ARGUMENT, #"[{"loc":["body"]}]"#),
            (503, "overloaded", SLUICE_UNAVAILABLE, "overloaded"), (500, "", SLUICE_INTERNAL, ""),
            (404, "{}", SLUICE_NOT_FOUND, "{}"),
        ] {
            var response = sluice_response()
            let refusal = try codec.decodeResponse(
                test.message(body, status: UInt32(status)), to: request, into: &response, arena: test.arena)
            #expect(refusal?.status == code)
            #expect(refusal?.text.text == text)
            #expect(response.http_status == UInt32(status))
        }
        var response = sluice_response()
        #expect(
            failure { () throws(CodecFailure) in
                _ = try codec.decodeResponse(
                    test.message("{\"outputs\":[{}]}", status: 200), to: request, into: &response, arena: test.arena)
            }?.hasPrefix("the backend's answer cannot be read: a tensor has no name") == true)
        #expect(response.http_status == 502)
    }

    @Test func requestsTowardBackends() throws {
        let test = TestArena()
        var target = sluice_target()
        target.model = test.bytes("iris v3")
        target.version = test.bytes("7")
        target.same_protocol = 1
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        var received = sluice_message()
        received.query = test.bytes("a=b")
        request.message = test.array([received])
        request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        var message = sluice_message()
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_PASS)
        #expect(message.target.size == 0)
        target.renamed = 1
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_PASS)
        #expect(message.target.text == "/v2/models/iris%20v3/versions/7/infer?a=b")
        request.operation = UInt32(SLUICE_OPERATION_OTHER)
        request.rest = test.bytes("generate?a=b")
        target.version = sluice_bytes()
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_PASS)
        #expect(message.target.text == "/v2/models/iris%20v3/generate?a=b")

        target.same_protocol = 0
        #expect(
            failure { () throws(CodecFailure) in
                _ = try codec.encodeRequest(request, for: target, into: &message, arena: test.arena)
            } != nil)
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_NEED_BODY)
        request.payload = payload(test, [tensor(test, "x", .fp32, [1, 2], floats([1, 2.5]))])
        request.id = test.bytes("i")
        message = sluice_message()
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_OK)
        #expect(message.method.text == "POST")
        #expect(message.target.text == "/v2/models/iris%20v3/infer")
        #expect(
            message.bodyText
                == #"{"id":"i","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.5]}]}"#)
    }

    /// Every datatype, in JSON and as binary data, in several shapes: what is encoded toward a backend is decoded to
    /// the same tensors, both as a request and as an answer.
    @Test(arguments: Datatype.allCases, [false, true])
    func tensorsSurviveTheWay(_ datatype: Datatype, _ isBinary: Bool) throws {
        var random = SplitMix64(seed: UInt64(datatype.rawValue))
        for shape in [[], [0], [1], [3], [2, 3], [2, 0, 3], [1, 1, 1, 1, 2], [64, 33]] as [[Int64]] {
            let test = TestArena()
            let count = Int(shape.reduce(1, *))
            let data = Self.elements(datatype, count, &random)
            let original = tensor(test, "t\"\n", datatype, shape, data)
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            request.payload = payload(test, [original, tensor(test, "second", .int8, [1], [5])])
            request.payload.flags = isBinary ? UInt32(SLUICE_PAYLOAD_FLAG_BINARY) : 0
            var sent = sluice_message()
            let codec = OpenInferenceProtocol(isBinary: isBinary)
            #expect(
                try codec.encodeRequest(request, for: sluice_target(), into: &sent, arena: test.arena) == SLUICE_OK)
            // FP16 and BF16 are written as numbers for backends that know JSON only, but not read from clients.
            if isBinary || (datatype != .fp16 && datatype != .bf16) {
                try check(sent, .request, original, test)
            }
            var response = sluice_response()
            response.operation = UInt32(SLUICE_OPERATION_INFER)
            response.payload = request.payload
            sent = sluice_message()
            try codec.encode(response, to: request, into: &sent, arena: test.arena)
            try check(sent, .response, original, test)
        }
    }

    private func check(
        _ sent: sluice_message, _ direction: InferDirection, _ original: sluice_tensor, _ test: TestArena
    ) throws {
        let fields = (0..<Int(sent.field_count)).map { (sent.fields[$0].name.text, sent.fields[$0].value.text) }
        let received = test.message(sent.joinedBody, fields: fields, status: 200)
        let infer = try InferReader.read(received, direction, arena: test.arena)
        #expect(infer.payload.tensor_count == 2)
        let tensor = infer.payload.tensors[0]
        #expect(tensor.name.array == original.name.array)
        #expect(tensor.datatype == original.datatype)
        #expect(Array(tensor.shapeBuffer) == Array(original.shapeBuffer))
        #expect(tensor.data.array == original.data.array)
        #expect(infer.payload.tensors[1].data.array == [5])
    }

    /// Random elements that JSON can say.
    private static func elements(_ datatype: Datatype, _ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        (0..<count).flatMap { _ -> [UInt8] in
            var bytes = withUnsafeBytes(of: random.next().littleEndian) { Array($0) }
            switch datatype {
            case .bool: return [bytes[0] & 1]
            case .bytes:
                let text = String(repeating: "é\"\\\u{1}z", count: Int(bytes[0] % 4))
                return withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian) { Array($0) } + Array(text.utf8)
            case .fp16, .bf16:
                // Exponents that are not all ones: finite.
                bytes[1] &= datatype == .fp16 ? 0xBF : 0xBF
                return Array(bytes[0..<2])
            case .fp32:
                bytes[3] &= 0xBF
                return Array(bytes[0..<4])
            case .fp64:
                bytes[7] &= 0xBF
                return bytes
            default: return Array(bytes[0..<datatype.elementSize])
            }
        }
    }

    /// Seeded changes of valid messages: each is accepted or refused, within the message's bounds, and what is accepted
    /// can be encoded again.
    @Test func hostileMessagesDoNoHarm() throws {
        let json =
            #"{"id":"1","inputs":[{"name":"a","shape":[2,2],"datatype":"FP32","data":[[1.5,-2e3],[3,4]]},"#
            + #"{"name":"b","shape":[1],"datatype":"BYTES","data":["x\u00e9"]},"#
            + #"{"name":"c","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}}],"#
            + #""outputs":[{"name":"o","parameters":{"binary_data":true}}],"parameters":{"p":1}}"#
        let seed = Array(json.utf8) + [1, 2, 3, 4]
        var random = SplitMix64(seed: 99)
        var accepted = 0
        for _ in 0..<20_000 {
            var body = seed
            var headerSize = json.utf8.count
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let index = Int.random(in: 0..<max(body.count, 1), using: &random)
                switch Int.random(in: 0..<6, using: &random) {
                case 0 where !body.isEmpty: body[index] = UInt8.random(in: 0...255, using: &random)
                case 1 where !body.isEmpty: body.remove(at: index)
                case 2: body.insert(Array("[]{}\",:0123456789-e\\".utf8).randomElement(using: &random) ?? 0, at: index)
                case 3: body.removeSubrange(index...)
                case 4: body.insert(contentsOf: body.prefix(index), at: index)
                default: headerSize += Int.random(in: -4...4, using: &random)
                }
                if body.isEmpty { break }
            }
            let test = TestArena(limit: 1 << 20)
            let message = test.message(body, fields: [("inference-header-content-length", "\(max(headerSize, 0))")])
            let outcome = failure { () throws(CodecFailure) in
                let infer = try InferReader.read(message, .request, arena: test.arena)
                var sent = sluice_message()
                try InferWriter(arena: test.arena).request(infer.payload, id: infer.id, isBinary: true, into: &sent)
            }
            accepted += outcome == nil ? 1 : 0
            _ = failure { () throws(CodecFailure) in _ = try InferReader.read(message, .response, arena: test.arena) }
        }
        // Some changes leave a message valid, most do not.
        #expect(accepted > 4000 && accepted < 16_000)
    }
}
