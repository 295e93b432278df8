import SluiceABI
import SluiceJSON
import SluiceProtobuf
import TFServingCodec
import Testing

private var codec: TFServingProtocol { TFServingProtocol() }

/// tensorflow.serving messages by hand.
private enum Predict {
    static func spec(_ name: String, version: Int64? = nil, label: String? = nil, signature: String = "") -> [UInt8] {
        var bytes = Wire.text(1, name)
        if let version {
            bytes += Wire.bytes(2, version == 0 ? [] : Wire.number(1, UInt64(bitPattern: version)))
        }
        if let label {
            bytes += Wire.text(4, label)
        }
        return bytes + (signature.isEmpty ? [] : Wire.text(3, signature))
    }

    static func shape(_ sizes: [Int64]) -> [UInt8] {
        sizes.flatMap { Wire.bytes(2, $0 == 0 ? [] : Wire.number(1, UInt64(bitPattern: $0))) }
    }

    static func tensor(_ type: UInt64, _ sizes: [Int64], _ values: [UInt8]) -> [UInt8] {
        Wire.number(1, type) + Wire.bytes(2, shape(sizes)) + values
    }

    static func request(_ tensor: [UInt8]) -> [UInt8] {
        Wire.bytes(1, spec("m", version: 1)) + Wire.entry(2, "x", tensor)
    }
}

private func head(
    _ method: TFServingProtocol.Method, _ body: [UInt8]?, in test: TestArena
) throws(CodecFailure) -> (verdict: Int32, request: sluice_request) {
    try test.head(codec, method, body)
}

private func decoded(_ body: [UInt8], in test: TestArena) throws(CodecFailure) -> sluice_request {
    var request = try head(.predict, body, in: test).request
    try codec.decodeBody(&request, arena: test.arena)
    return request
}

private func refusal(_ tensor: [UInt8], limit: Int = 1 << 28) -> String {
    let test = TestArena(limit: limit)
    return withExtendedLifetime(test) {
        failure { () throws(CodecFailure) in _ = try decoded(Predict.request(tensor), in: test) } ?? "accepted"
    }
}

private func send(
    _ request: sluice_request, over transport: Int32 = SLUICE_TRANSPORT_GRPC, same: Bool = true, version: String = "7",
    in test: TestArena
) throws(CodecFailure) -> (verdict: Int32, message: sluice_message) {
    try test.send(request, codec, over: transport, same: same, renamed: true, version: version)
}

@Suite struct TFServingTests {
    @Test func theModelIsAskedForAndThenPeekedAt() throws {
        let test = TestArena()
        for method in TFServingProtocol.Method.allCases {
            #expect(try head(method, nil, in: test).verdict == SLUICE_NEED_BODY)
        }
        // What is no tensor is not looked into.
        let broken = Wire.bytes(2, [0xFF, 0xFF, 0xFF])
        for (spec, version) in [
            (Predict.spec("m"), ""), (Predict.spec("m", version: 12), "12"), (Predict.spec("m", version: 0), "0"),
            (Predict.spec("m", label: "stable"), "stable"), (Predict.spec("m", version: 1, label: "late"), "late"),
        ] {
            let (verdict, request) = try head(.predict, broken + Wire.bytes(1, spec), in: test)
            #expect(verdict == SLUICE_OK && request.model.text == "m" && request.version.text == version)
            #expect(request.operation == UInt32(SLUICE_OPERATION_INFER))
        }
        let metadata = try head(.getModelMetadata, Wire.bytes(1, Predict.spec("m")), in: test).request
        #expect(metadata.operation == UInt32(SLUICE_OPERATION_MODEL_METADATA) && metadata.model.text == "m")
        let tasks = Wire.bytes(1, Wire.bytes(1, Predict.spec("a"))) + Wire.bytes(1, Wire.bytes(1, Predict.spec("b")))
        #expect(try head(.multiInference, tasks, in: test).request.model.text == "a")
        // Fields that come in parts are one message.
        let parts = Wire.bytes(1, Predict.spec("", version: 3)) + Wire.bytes(1, Wire.text(1, "m"))
        let joined = try head(.predict, parts, in: test).request
        #expect(joined.model.text == "m" && joined.version.text == "3")
        for (body, reason) in [
            ([], "the request names no model"), (Wire.bytes(1, [0x0A]), "ends within a field"),
            (Wire.number(1, 1), "another wire type than it must have 'model_spec'"),
            (Wire.bytes(1, Wire.bytes(2, [0x08])), "ends within a field"),
        ] as [([UInt8], String)] {
            let text = failure { () throws(CodecFailure) in _ = try head(.predict, body, in: test) } ?? ""
            #expect(text.contains(reason), "\(text)")
        }
    }

    /// One value stands for all that are missing, none for zeros.
    @Test func missingValuesAreFilledUp() throws {
        let one: [UInt8] = [0, 0, 0x80, 0x3F]
        let cases: [([UInt8], String)] = [
            (Predict.tensor(1, [3], Wire.bytes(5, one)), "x:FP32:3:" + String(repeating: one.hexadecimal, count: 3)),
            (Predict.tensor(3, [5], Wire.bytes(7, [1, 2])), "x:INT32:5:0100000002000000020000000200000002000000"),
            (Predict.tensor(4, [40], Wire.number(7, 9)), "x:UINT8:40:" + String(repeating: "09", count: 40)),
            (Predict.tensor(9, [2], []), "x:INT64:2:00000000000000000000000000000000"),
            (Predict.tensor(9, [], []), "x:INT64:-:0000000000000000"),
            (Predict.tensor(7, [3], Wire.text(8, "ab")), "x:BYTES:3:020000006162020000006162020000006162"),
            (Predict.tensor(7, [2], []), "x:BYTES:2:0000000000000000"),
            (Predict.tensor(9, [0, 2], []), "x:INT64:0,2:-"),
            (Predict.tensor(19, [2], Wire.number(13, 0x3C00)), "x:FP16:2:003c003c"),
        ]
        for (tensor, expected) in cases {
            let test = TestArena()
            #expect(try decoded(Predict.request(tensor), in: test).payload.tensors[0].description == expected)
        }
        // A scalar may come without a shape.
        let test = TestArena()
        let scalar = Wire.number(1, 10) + Wire.number(11, 1)
        #expect(try decoded(Predict.request(scalar), in: test).payload.tensors[0].description == "x:BOOL:-:01")
    }

    /// A few bytes must not make the gateway take hundreds of megabytes: of all tensors together 16 MiB are filled up.
    @Test func fillingUpIsBounded() throws {
        let reason = "one value stands for more elements than a message may leave to be filled up, in tensor 'x'"
        let test = TestArena()
        let most = Predict.tensor(4, [1 << 24], Wire.number(7, 1))
        #expect(try decoded(Predict.request(most), in: test).payload.tensors[0].data.size == 1 << 24)
        for tensor in [
            Predict.tensor(4, [1 << 24 + 1], Wire.number(7, 1)), Predict.tensor(2, [1 << 21 + 1], []),
            Predict.tensor(7, [1 << 22 + 1], []), Predict.tensor(7, [1 << 20], Wire.text(8, "0123456789abc")),
            Predict.tensor(7, [1 << 58], Wire.text(8, String(repeating: "a", count: 100))),
            Predict.tensor(1, [1 << 58], []),
        ] {
            #expect(refusal(tensor, limit: 1 << 14) == reason)
        }
        let half = Predict.tensor(4, [1 << 23 + 1], [])
        let two = Predict.request(half) + Wire.entry(2, "y", half)
        let text = failure { () throws(CodecFailure) in _ = try decoded(two, in: test) }
        #expect(text == reason.replacing("'x'", with: "'y'"))
    }

    @Test func shapesAndBytesMustAgree() {
        let cases: [([UInt8], String)] = [
            (Predict.tensor(1, [2], Wire.bytes(4, [0, 0, 0, 0])), "in tensor 'x': expected 8, found 4"),
            (Predict.tensor(10, [1], Wire.bytes(4, [2])), "a BOOL element is neither 0 nor 1, in tensor 'x'"),
            (Predict.tensor(3, [1], Wire.bytes(7, [1, 2])), "in tensor 'x': expected 1, found 2"),
            (Predict.tensor(6, [1], Wire.number(7, 200)), "out of the range of its datatype, in tensor 'x'"),
            (Predict.tensor(19, [1], Wire.number(13, 1 << 16)), "out of the range of its datatype, in tensor 'x'"),
            (Predict.tensor(1, [1], Wire.number(7, 1)), "the values are not of the datatype, in tensor 'x'"),
            (Predict.tensor(7, [1], Wire.text(8, "a") + Wire.text(8, "b")), "in tensor 'x': expected 1, found 2"),
            (Predict.tensor(7, [2], Wire.bytes(4, [1, 1, 0x61])), "the last string is cut off, in tensor 'x'"),
            (Predict.tensor(7, [2], Wire.bytes(4, [1, 0x80])), "the sizes of the strings are cut off, in tensor 'x'"),
            (Predict.tensor(7, [1], Wire.bytes(4, [1, 0x61, 0x62])), "in tensor 'x': expected 2, found 3"),
            (Predict.tensor(7, [9], Wire.bytes(4, [0])), "in tensor 'x': expected 9, found 1"),
            (Predict.tensor(1, [-1], []), "the shape has a negative dimension, in tensor 'x'"),
            (Predict.tensor(1, [1 << 40, 1 << 40], []), "more elements than can be, in tensor 'x'"),
            (Predict.tensor(1, [1 << 40, 1 << 40, 0], []), "more elements than can be, in tensor 'x'"),
            (Predict.tensor(1, [Int64](repeating: 1, count: 17), []), "too many dimensions 'x'"),
            (Predict.tensor(8, [1], []), "has no counterpart here, in tensor 'x': found 8"),  // COMPLEX64
            (Wire.bytes(2, []), "the datatype is missing or has no counterpart here, in tensor 'x'"),
            (Wire.number(1, 1) + Wire.bytes(2, Wire.number(3, 1)), "the shape is unknown, in tensor 'x'"),
            ([0xFF], "ends within a field"),
        ]
        for (tensor, reason) in cases {
            let text = refusal(tensor)
            #expect(text.contains(reason), "\(text)")
        }
        let test = TestArena()
        let good = Predict.tensor(10, [1], Wire.number(11, 1))
        for (body, reason) in [
            (Predict.request(good) + Wire.entry(2, "x", good), "two tensors have the name 'x'"),
            (Predict.request(good) + Wire.bytes(2, Wire.bytes(2, good)), "a tensor has no name"),
            (Predict.request(good) + Wire.text(3, "o") + Wire.text(3, "o"), "an output is requested twice 'o'"),
            (Predict.request(good) + Wire.text(3, ""), "a requested output has no name"),
        ] {
            #expect(failure { () throws(CodecFailure) in _ = try decoded(body, in: test) } == reason)
        }
    }

    @Test func anotherNameIsSplicedIn() throws {
        let test = TestArena()
        let tensor = Wire.entry(2, "x", Predict.tensor(4, [4096], Wire.bytes(4, [UInt8](repeating: 7, count: 4096))))
        let body = tensor + Wire.bytes(1, Predict.spec("m", version: 1, signature: "s")) + Wire.text(3, "out")
        let request = try head(.predict, body, in: test).request
        for (version, spec) in [
            ("7", Predict.spec("other", version: 7, signature: "s")), ("", Predict.spec("other", signature: "s")),
            ("beta", Predict.spec("other", label: "beta", signature: "s")),
            ("0", Predict.spec("other", version: 0, signature: "s")),
        ] {
            let (verdict, message) = try send(request, version: version, in: test)
            #expect(verdict == SLUICE_PASS && message.target.isEmpty && message.method.isEmpty)
            #expect(message.joinedBody == Wire.bytes(1, spec) + tensor + Wire.text(3, "out"))
        }
        // Parts of a model_spec stay together.
        let parts = Wire.bytes(1, Predict.spec("m", signature: "s")) + Wire.bytes(1, Wire.text(9, "new"))
        let joined = try send(try head(.getModelMetadata, parts, in: test).request, in: test).message
        #expect(
            joined.joinedBody
                == Wire.bytes(1, Predict.spec("other", version: 7, signature: "s") + Wire.text(9, "new")))
        for method in [TFServingProtocol.Method.multiInference, .predictStreamed] {
            let spec = Wire.bytes(1, Predict.spec("m"))
            let call = try head(method, method == .predictStreamed ? spec : Wire.bytes(1, spec), in: test).request
            let text = failure { () throws(CodecFailure) in _ = try send(call, in: test) }
            #expect(text?.contains("names the model more than once") == true)
        }
    }

    @Test func callsPassWhereNothingChanges() throws {
        let test = TestArena()
        let request = try head(.classify, Wire.bytes(1, Predict.spec("m")), in: test).request
        #expect(request.operation == UInt32(SLUICE_OPERATION_OTHER))
        var target = sluice_target()
        target.same_protocol = 1
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_PASS)
        // Over HTTP TensorFlow Serving speaks another protocol, RestPredict's.
        target.authority = test.bytes("backend:1")
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        do throws(CodecFailure) {
            _ = try codec.encodeRequest(request, for: target, into: &message, arena: test.arena)
            Issue.record("accepted")
        } catch {
            #expect(error.status == SLUICE_UNIMPLEMENTED)
            #expect(error.text.contains("needs gRPC") && error.text.contains("'backend:1'"))
        }
    }

    @Test func signaturesAndFiltersAreKept() throws {
        let test = TestArena()
        let tensor = Predict.tensor(10, [1], Wire.bytes(4, [1]))
        let body =
            Wire.bytes(1, Predict.spec("m", signature: "s")) + Wire.entry(2, "x", tensor) + Wire.text(3, "y")
        let request = try decoded(body, in: test)
        #expect(request.payload.parameters[0].name.text == "signature_name")
        #expect(request.payload.outputs[0].name.text == "y")
        // Toward a backend of this protocol, but encoded anew.
        let (verdict, sent) = try send(request, same: false, in: test)
        #expect(verdict == SLUICE_OK)
        #expect(
            sent.joinedBody == Wire.bytes(1, Predict.spec("other", version: 7, signature: "s"))
                + Wire.entry(2, "x", tensor) + Wire.text(3, "y"))
        // The answer has what was asked for, and says which signature that was.
        var response = sluice_response()
        response.operation = request.operation
        response.version = test.bytes("1")
        response.payload = test.payload([test.tensor("x", .bool, [1], [0]), test.tensor("y", .bool, [1], [1])])
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(
            message.joinedBody == Wire.entry(1, "y", tensor)
                + Wire.bytes(2, Predict.spec("m", version: 1, signature: "s")))
        let read = try answer(SLUICE_OPERATION_INFER, message.joinedBody, in: test)
        #expect(read.model.text == "m" && read.version.text == "1")
        #expect(read.payload.tensors[0].description == "y:BOOL:1:01")
    }

    private func answer(
        _ operation: Int32, _ body: [UInt8], in test: TestArena
    ) throws(CodecFailure) -> sluice_response {
        var request = sluice_request()
        request.operation = UInt32(operation)
        var response = sluice_response()
        _ = try codec.decodeResponse(test.call("", body).pointee, to: request, into: &response, arena: test.arena)
        return response
    }

    @Test func metadataOfABackend() throws {
        let test = TestArena()
        func info(_ name: String, _ type: UInt64, _ shape: [UInt8]) -> [UInt8] {
            Wire.entry(1, name, Wire.text(1, "\(name):0") + Wire.number(2, type) + Wire.bytes(3, shape))
        }
        let signature = info("x", 1, Predict.shape([-1, 4])) + info("any", 7, Wire.number(3, 1))
        let map = Wire.entry(1, "other", []) + Wire.entry(1, "serving_default", signature)
        let any = Wire.text(1, "type.googleapis.com/tensorflow.serving.SignatureDefMap") + Wire.bytes(2, map)
        let body = Wire.bytes(1, Predict.spec("m", version: 4)) + Wire.entry(2, "signature_def", any)
        let metadata = try #require(try answer(SLUICE_OPERATION_MODEL_METADATA, body, in: test).metadata).pointee
        #expect(metadata.name.text == "m" && metadata.versions[0].text == "4" && metadata.version_count == 1)
        #expect(metadata.input_count == 2 && metadata.output_count == 0)
        #expect(metadata.inputs[0].shape[0] == -1 && metadata.inputs[0].shape[1] == 4)
        #expect(metadata.inputs[1].datatype == Datatype.bytes.rawValue && metadata.inputs[1].rank == 1)
        #expect(try answer(SLUICE_OPERATION_MODEL_READY, body, in: test).ready == 1)
        // How the gateway asks: readiness is known by it, too.
        for operation in [SLUICE_OPERATION_MODEL_METADATA, SLUICE_OPERATION_MODEL_READY] {
            var request = sluice_request()
            request.operation = UInt32(operation)
            let message = try send(request, same: false, in: test).message
            #expect(message.target.text == "/tensorflow.serving.PredictionService/GetModelMetadata")
            #expect(
                message.joinedBody
                    == Wire.bytes(1, Predict.spec("other", version: 7)) + Wire.text(2, "signature_def"))
        }
        let broken = Wire.entry(2, "signature_def", Wire.bytes(2, Wire.entry(1, "s", Wire.entry(1, "x", []))))
        let text = failure { () throws(CodecFailure) in
            _ = try answer(SLUICE_OPERATION_MODEL_METADATA, broken, in: test)
        }
        #expect(
            text == "the backend's answer cannot be read: a tensor of the signature has no name or datatype 'x'")
    }

    @Test func messagesAreRefusedWhereverTheyAreCut() throws {
        let spec = Wire.bytes(1, Predict.spec("m"))
        let whole = spec + Wire.entry(2, "x", Predict.tensor(3, [2], Wire.bytes(7, [1, 2]))) + Wire.text(3, "y")
        let ends = [spec.count, whole.count - Wire.text(3, "y").count]
        for size in 1..<whole.count where !ends.contains(size) {
            let test = TestArena()
            let text = failure { () throws(CodecFailure) in _ = try decoded(Array(whole[..<size]), in: test) }
            #expect(text?.contains("ends within a field") == true, "\(size)")
        }
    }
}
