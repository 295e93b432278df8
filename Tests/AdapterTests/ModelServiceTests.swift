import ModelServiceCodec
import SluiceABI
import SluiceJSON
import SluiceProtobuf
import Testing

private var codec: ModelServiceProtocol { ModelServiceProtocol() }
private typealias Method = ModelServiceProtocol.Method

/// sluice.v1 messages by hand.
private enum Unified {
    static let httpBody = "type.googleapis.com/google.api.HttpBody"

    static func tensor(
        _ name: String, _ datatype: Datatype, _ shape: [Int64], _ data: [UInt8], more: [UInt8] = []
    ) -> [UInt8] {
        let dimensions = shape.flatMap { Wire.varint(UInt64(bitPattern: $0)) }
        return Wire.text(1, name) + Wire.number(2, UInt64(datatype.rawValue))
            + (shape.isEmpty ? [] : Wire.bytes(3, dimensions)) + (data.isEmpty ? [] : Wire.bytes(4, data)) + more
    }

    static func message(_ model: String, version: String = "3", id: String = "id", more: [UInt8]) -> [UInt8] {
        Wire.text(1, model) + Wire.text(2, version) + Wire.text(3, id) + more
    }

    static func any(_ type: String, _ value: [UInt8]) -> [UInt8] {
        Wire.bytes(4, Wire.text(1, type) + Wire.bytes(2, value))
    }
}

private func head(
    _ method: Method, _ body: [UInt8]?, in test: TestArena
) throws(CodecFailure) -> (verdict: Int32, request: sluice_request) {
    try test.head(codec, method, body)
}

private func decoded(_ body: [UInt8], in test: TestArena) throws(CodecFailure) -> sluice_request {
    var request = try head(.predict, body, in: test).request
    try codec.decodeBody(&request, arena: test.arena)
    return request
}

private func refusal(_ more: [UInt8]) -> String {
    let test = TestArena()
    return withExtendedLifetime(test) {
        failure { () throws(CodecFailure) in _ = try decoded(Unified.message("m", more: more), in: test) }
            ?? "accepted"
    }
}

private func send(
    _ request: sluice_request, over transport: Int32 = SLUICE_TRANSPORT_GRPC, same: Bool = true, renamed: Bool = true,
    in test: TestArena
) throws(CodecFailure) -> (verdict: Int32, message: sluice_message) {
    try test.send(request, codec, over: transport, same: same, renamed: renamed)
}

@Suite struct ModelServiceTests {
    @Test func theModelIsAskedForAndThenPeekedAt() throws {
        let test = TestArena(limit: 0)
        let one = Unified.message("m", more: Wire.bytes(5, [0xFF, 0xFF]))
        for (method, body, operation) in [
            (Method.predict, one, SLUICE_OPERATION_INFER), (.streamPredict, one, SLUICE_OPERATION_OTHER),
            (.batchPredict, Wire.bytes(1, one) + Wire.bytes(1, one), SLUICE_OPERATION_OTHER),
        ] {
            #expect(try head(method, nil, in: test).verdict == SLUICE_NEED_BODY)
            let (verdict, request) = try head(method, body, in: test)
            #expect(verdict == SLUICE_OK && request.operation == UInt32(operation))
            #expect(request.model.text == "m" && request.version.text == "3")
        }
        let other = Unified.message("n", more: [])
        for (method, body, reason) in [
            (Method.predict, Wire.text(2, "3"), "the request names no model"),
            (.batchPredict, [], "the batch has no requests"),
            (.batchPredict, Wire.bytes(1, one) + Wire.bytes(1, other), "name more than one model 'n'"),
            (.predict, [0x0A, 0x7F], "ends within a field"),
        ] as [(Method, [UInt8], String)] {
            let text = failure { () throws(CodecFailure) in _ = try head(method, body, in: test) } ?? "accepted"
            #expect(text.contains(reason), "\(text)")
        }
    }

    @Test(arguments: Datatype.allCases)
    func tensorsComeAndGo(_ datatype: Datatype) throws {
        let test = TestArena()
        let element = datatype == .bytes ? [2, 0, 0, 0, 0xFF, 0] : [UInt8](repeating: 1, count: datatype.elementSize)
        for (shape, data) in [([2, 1], element + element), ([], element), ([0, 3], [])] as [([Int64], [UInt8])] {
            let tensor = Unified.tensor("x", datatype, shape, data, more: Wire.entry(5, "q", Wire.number(1, 0)))
            let values =
                Wire.entry(6, "b", Wire.number(1, 1)) + Wire.entry(6, "i", Wire.number(2, 0))
                + Wire.entry(6, "d", Wire.tag(3, 1) + [0, 0, 0, 0, 0, 0, 0xF8, 0x3F])
                + Wire.entry(6, "t", Wire.text(4, ""))
            let body = Unified.message("m", more: Wire.bytes(5, tensor) + values)
            let request = try decoded(body + Wire.text(7, "x"), in: test)
            let text = shape.isEmpty ? "-" : shape.map { "\($0)" }.joined(separator: ",")
            #expect(
                request.payload.tensors[0].description
                    == "x:\(datatype.name):\(text):\(data.isEmpty ? "-" : data.hexadecimal)")
            #expect(request.payload.parameter_count == 4 && request.payload.parameters[2].number == 1.5)
            #expect(request.id.text == "id" && request.payload.outputs[0].name.text == "x")
            // Encoded anew as a request, and as an answer.
            let (verdict, sent) = try send(request, same: false, in: test)
            #expect(verdict == SLUICE_OK && sent.target.text == "/sluice.v1.ModelService/Predict")
            #expect(
                sent.joinedBody
                    == Unified.message("other", version: "7", more: Wire.bytes(5, tensor) + values) + Wire.text(7, "x"))
            var response = sluice_response()
            response.operation = request.operation
            response.version = test.bytes("3")
            response.payload = request.payload
            var message = sluice_message()
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            #expect(message.joinedBody == body)
            var answer = sluice_response()
            _ = try codec.decodeResponse(
                test.call("", message.joinedBody).pointee, to: request, into: &answer, arena: test.arena)
            #expect(answer.model.text == "m" && answer.version.text == "3" && answer.id.text == "id")
            #expect(answer.payload.tensors[0].description == request.payload.tensors[0].description)
        }
    }

    @Test func mistakesAreNamed() {
        let good = Unified.tensor("x", .bool, [1], [1])
        let cases: [([UInt8], String)] = [
            (Wire.bytes(5, Unified.tensor("x", .fp32, [2], [0])), "in tensor 'x': expected 8, found 1"),
            (Wire.bytes(5, Unified.tensor("x", .bytes, [2], [0, 0, 0, 0])), "in tensor 'x': expected 2, found 1"),
            (Wire.bytes(5, Unified.tensor("x", .bytes, [1], [9, 0, 0, 0])), "element is cut off, in tensor 'x'"),
            (Wire.bytes(5, Unified.tensor("x", .bool, [1], [7])), "a BOOL element is neither 0 nor 1, in tensor 'x'"),
            (Wire.bytes(5, Unified.tensor("x", .int8, [-1], [])), "negative dimension, in tensor 'x'"),
            (Wire.bytes(5, Unified.tensor("x", .int8, [.max, 3], [])), "more elements than can be, in tensor 'x'"),
            (Wire.bytes(5, Unified.tensor("x", .int8, [.max, 3, 0], [])), "more elements than can be, in tensor 'x'"),
            (Wire.bytes(5, Unified.tensor("", .bool, [1], [1])), "a tensor has no name"),
            (Wire.bytes(5, Wire.text(1, "x")), "the datatype is missing or unknown, in tensor 'x'"),
            (Wire.bytes(5, Wire.text(1, "x") + Wire.number(2, 15)), "the datatype is missing or unknown"),
            (Wire.bytes(5, Wire.text(1, "x") + Wire.number(2, .max)), "the datatype is missing or unknown"),
            (Wire.bytes(5, good) + Wire.bytes(5, good), "two tensors have the name 'x'"),
            (Wire.bytes(5, good) + Unified.any("t", []), "the message has both data and tensors"),
            (Wire.text(7, "o") + Wire.text(7, "o"), "an output is requested twice 'o'"),
            (Wire.text(7, ""), "a requested output has no name"),
            (Wire.bytes(6, []), "an entry of the metadata has no name"),
            (Unified.any("a\"b", []), "the type of the data is no URL"),
            (Unified.any(Unified.httpBody, [0xFF]), "ends within a field"),
            (Wire.bytes(5, [0x0A, 0x05]), "ends within a field"),
        ]
        for (more, reason) in cases {
            let text = refusal(more)
            #expect(text.contains(reason), "\(text)")
        }
    }

    /// What is no tensor is bytes with a content type, and comes back as it went.
    @Test func dataKeepsItsType() throws {
        let test = TestArena()
        let json = Wire.text(1, "application/json") + Wire.text(2, "{}")
        for (type, value, contentType, raw) in [
            (Unified.httpBody, json, "application/json", Array("{}".utf8)),
            ("a.example/Ask", [1, 2, 3], "application/protobuf; messageType=\"a.example/Ask\"", [1, 2, 3]),
        ] as [(String, [UInt8], String, [UInt8])] {
            let request = try decoded(Unified.message("m", more: Unified.any(type, value)), in: test)
            #expect(request.payload.kind == UInt32(SLUICE_PAYLOAD_RAW))
            #expect(request.payload.content_type.text == contentType && request.payload.raw.array == raw)
            let sent = try send(request, same: false, in: test).message
            #expect(sent.joinedBody == Unified.message("other", version: "7", more: Unified.any(type, value)))
        }
        // A content type that only begins like one of ours.
        var request = try decoded(Unified.message("m", more: []), in: test)
        request.payload = sluice_payload()
        request.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
        request.payload.content_type = test.bytes("application/protobuf; messageType=\"x")
        let sent = try send(request, same: false, in: test).message
        let body = Wire.text(1, "application/protobuf; messageType=\"x")
        #expect(
            sent.joinedBody == Unified.message("other", version: "7", more: Unified.any(Unified.httpBody, body)))
    }

    @Test func anotherNameIsSplicedIn() throws {
        let test = TestArena()
        let tensor = Wire.bytes(5, Unified.tensor("x", .uint8, [4], [1, 2, 3, 4]))
        let body = tensor + Unified.message("m", more: Wire.number(99, 1))
        let renamed = Wire.text(1, "other") + Wire.text(2, "7") + tensor + Wire.text(3, "id") + Wire.number(99, 1)
        let one = try head(.predict, body, in: test).request
        #expect(try send(one, renamed: false, in: test).verdict == SLUICE_PASS)
        #expect(try send(one, in: test).message.joinedBody == renamed)
        let batch = Wire.number(9, 1) + Wire.bytes(1, body) + Wire.bytes(1, body)
        let (verdict, all) = try send(try head(.batchPredict, batch, in: test).request, in: test)
        // Method, path and fields are the client's.
        #expect(verdict == SLUICE_PASS && all.target.isEmpty && all.method.isEmpty)
        #expect(all.joinedBody == Wire.number(9, 1) + Wire.bytes(1, renamed) + Wire.bytes(1, renamed))
        let stream = try head(.streamPredict, body, in: test).request
        let text = failure { () throws(CodecFailure) in _ = try send(stream, in: test) }
        #expect(text?.contains("each message of a stream names the model") == true)
        let http = failure { () throws(CodecFailure) in _ = try send(one, over: SLUICE_TRANSPORT_HTTP, in: test) }
        #expect(http?.contains("needs gRPC") == true && http?.contains("'backend:1'") == true)
    }

    /// Readiness goes by gRPC's health checking protocol.
    @Test func readinessIsAskedOfTheHealthService() throws {
        let test = TestArena()
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_MODEL_READY)
        let sent = try send(request, same: false, in: test).message
        #expect(sent.target.text == "/grpc.health.v1.Health/Check" && sent.joinedBody == Wire.text(1, "other"))
        for (body, ready) in [(Wire.number(1, 1), 1), (Wire.number(1, 2), 0), (Wire.number(1, 3), 0), ([], 0)]
            as [([UInt8], UInt32)]
        {
            var response = sluice_response()
            _ = try codec.decodeResponse(test.call("", body).pointee, to: request, into: &response, arena: test.arena)
            #expect(response.ready == ready)
        }
        request.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        let text = failure { () throws(CodecFailure) in _ = try send(request, same: false, in: test) }
        #expect(text == "the operation has no form in sluice.v1.ModelService")
    }
}

/// The example model server, asked what the codec writes and read by it.
@Suite(.enabled(if: Oracle.isInstalled, "Python with grpcio in .venv-test"))
struct ModelServiceExampleTests {
    @Test func theExampleServes() throws {
        let test = TestArena()
        func request(_ shape: [Int64], _ values: [Float]) throws -> [UInt8] {
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            request.id = test.bytes("7")
            let data = values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
            request.payload = test.payload([test.tensor("x", .fp32, shape, data)])
            var target = sluice_target()
            target.model = test.bytes("line")
            var message = sluice_message()
            message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
            #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_OK)
            return message.joinedBody
        }
        func outputs(_ answer: [UInt8]) throws -> String {
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            var response = sluice_response()
            let received = test.call("", answer).pointee
            _ = try codec.decodeResponse(received, to: request, into: &response, arena: test.arena)
            return "\(response.id.text) \(response.payload.tensors[0].description)"
        }
        let two = try request([2, 2], [1, 2, 3, 4])
        let wrong = try request([2, 3], [1, 2, 3, 4, 5, 6])
        let answers = try Oracle.askExample([
            ("/sluice.v1.ModelService/Predict", two), ("/sluice.v1.ModelService/Predict", try request([0, 2], [])),
            ("/sluice.v1.ModelService/Predict", wrong), ("/sluice.v1.ModelService/Predict", Wire.text(1, "unknown")),
            ("/sluice.v1.ModelService/BatchPredict", Wire.bytes(1, two) + Wire.bytes(1, wrong)),
            ("/sluice.v1.ModelService/StreamPredict", two), ("/grpc.health.v1.Health/Check", Wire.text(1, "line")),
            ("/grpc.health.v1.Health/Check", Wire.text(1, "unknown")),
        ])
        try #require(answers.count == 8)
        // y = 2 a + 3 b + 1 of each row: 9 and 19.
        let expected = "7 y:FP32:2:0000104100009841"
        #expect(try outputs([UInt8](hexadecimal: answers[0].dropFirst(3))) == expected)
        #expect(try outputs([UInt8](hexadecimal: answers[1].dropFirst(3))) == "7 y:FP32:0:-")
        #expect(answers[2] == "INVALID_ARGUMENT the model takes one tensor x, FP32 of shape [n, 2]")
        #expect(answers[3] == "NOT_FOUND no model 'unknown'")
        var results = ProtobufReader(test.bytes([UInt8](hexadecimal: answers[4].dropFirst(3))))
        var first = try #require(try results.next()).message("results")
        #expect(try outputs(try #require(try first.next()).bytes("response").array) == expected)
        var second = try #require(try results.next()).message("results")
        let error = try #require(try second.next())
        #expect(error.number == 2)
        #expect(
            error.content.array
                == Wire.number(1, 3) + Wire.text(2, "the model takes one tensor x, FP32 of shape [n, 2]"))
        #expect(try outputs([UInt8](hexadecimal: answers[5].dropFirst(3))) == expected)
        #expect(answers[6] == "OK 0801")
        #expect(answers[7].hasPrefix("NOT_FOUND"))
    }
}
