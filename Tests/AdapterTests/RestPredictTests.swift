import RestPredictCodec
import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

@Suite struct RestPredictTests {
    /// A request that was read, and the arena that holds it.
    private struct Decoded {
        let test: TestArena
        var request = sluice_request()

        /// - Parameter test: to be kept by a caller that reads the failure, which points into it.
        init(
            _ body: String, _ options: PredictOptions = PredictOptions(), in test: TestArena = TestArena()
        ) throws(CodecFailure) {
            self.test = test
            request.message = test.array([test.message(body)])
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            try RestPredictProtocol(options).decodeBody(&request, arena: test.arena)
        }

        func tensor(_ index: Int) -> sluice_tensor { request.payload.tensors[index] }

        func describe() -> [String] {
            (0..<Int(request.payload.tensor_count)).map { index in
                let tensor = self.tensor(index)
                let datatype = Datatype(rawValue: tensor.datatype).map { "\($0.name)" } ?? "?"
                return "\(tensor.name.text) \(datatype) \(Array(tensor.shapeBuffer))"
            }
        }
    }

    private func refusal(_ body: String) -> String {
        let test = TestArena()
        return withExtendedLifetime(test) {
            failure { () throws(CodecFailure) in _ = try Decoded(body, in: test) } ?? "accepted"
        }
    }

    /// The requests of TensorFlow Serving's api_rest.md, "Predict API".
    @Test func publishedExamples() throws {
        let rows = try Decoded(
            """
            {"instances": [
              {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
              {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]}
            ]}
            """)
        #expect(rows.describe() == ["tag BYTES [2]", "signal INT64 [2, 5]", "sensor INT64 [2, 2, 2]"])
        #expect(rows.tensor(0).data.array == [3, 0, 0, 0, 0x66, 0x6F, 0x6F, 3, 0, 0, 0, 0x62, 0x61, 0x72])
        #expect(
            rows.tensor(2).data.array.enumerated().filter { $0.offset % 8 == 0 }.map(\.element) == [
                1, 2, 3, 4, 4, 5, 6, 8,
            ])
        #expect(rows.request.payload.flags == 0)

        let columns = try Decoded(
            """
            {"inputs": {"tag": ["foo", "bar"], "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
              "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]]}}
            """)
        #expect(columns.describe() == rows.describe())
        for index in 0..<3 {
            #expect(columns.tensor(index).data.array == rows.tensor(index).data.array)
        }
        #expect(columns.request.payload.flags == UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS))

        #expect(try Decoded(#"{"instances": ["foo", "bar", "baz"]}"#).describe() == ["input-0 BYTES [3]"])
        let encoded = try Decoded(#"{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}"#)
        #expect(
            encoded.tensor(0).data.array == [5, 0, 0, 0] + Array("hello".utf8) + [5, 0, 0, 0] + Array("world".utf8))
        let image = try Decoded(
            """
            {"signature_name": "classify_objects",
             "instances": [{"image": {"b64": "aW1hZ2U="}, "caption": "seaside"}]}
            """
        )
        #expect(image.describe() == ["image BYTES [1]", "caption BYTES [1]"])
        #expect(image.request.payload.parameters[0].text.text == "classify_objects")
    }

    @Test func datatypesFollowTheValues() throws {
        #expect(try Decoded(#"{"instances":[1,2]}"#).describe() == ["input-0 INT64 [2]"])
        #expect(try Decoded(#"{"instances":[1,2.5]}"#).describe() == ["input-0 FP64 [2]"])
        // Among numbers with a fraction one without is such a number, too: some clients write all that are large so.
        for text in ["18446744073709551616,0.5", "1e2,-100000000000000000000", "0.5,100000000000000000000,1"] {
            #expect(try Decoded("{\"inputs\":[\(text)]}").tensor(0).datatype == Datatype.fp64.rawValue, "\(text)")
        }
        #expect(try Decoded(#"{"instances":[[true],[false]]}"#).describe() == ["input-0 BOOL [2, 1]"])
        #expect(try Decoded(#"{"instances":[18446744073709551615]}"#).describe() == ["input-0 UINT64 [1]"])
        #expect(try Decoded(#"{"instances":[]}"#).describe() == ["input-0 FP64 [0]"])
        #expect(try Decoded(#"{"instances":[[],[]]}"#).describe() == ["input-0 FP64 [2, 0]"])
        #expect(try Decoded(#"{"inputs":7}"#).describe() == ["input-0 INT64 []"])
        #expect(try Decoded(#"{"inputs":{"b64":"AA=="}}"#).describe() == ["input-0 BYTES []"])
        #expect(try Decoded(#"{"instances":[{"x":1},{"x":2.5}]}"#).describe() == ["x FP64 [2]"])
        let reordered = try Decoded(#"{"instances":[{"a":1,"b":2},{"b":4,"a":3}]}"#)
        #expect(reordered.tensor(0).data.array[8] == 3)
        let options = PredictOptions(float: .fp32, inputName: "x", datatypes: [("y", .int8)])
        #expect(try Decoded(#"{"instances":[0.1]}"#, options).describe() == ["x FP32 [1]"])
        let named = PredictOptions(datatypes: [("y", .fp32)])
        #expect(try Decoded(#"{"instances":[{"y":1}]}"#, named).describe() == ["y FP32 [1]"])
    }

    @Test func aTensorMayHaveTheNameOfBase64() throws {
        for (body, tensors) in [
            (#"{"inputs":{"b64":"AA==","x":[1]}}"#, ["b64 BYTES []", "x INT64 [1]"]),
            (#"{"inputs":{"x":[1],"b64":"AA=="}}"#, ["x INT64 [1]", "b64 BYTES []"]),
            (#"{"inputs":{"b64":[1,2]}}"#, ["b64 INT64 [2]"]),
            (#"{"inputs":{"b64":{"b64":"AA=="}}}"#, ["b64 BYTES []"]),
            (#"{"instances":[{"b64":"AA==","x":1}]}"#, ["b64 BYTES [1]", "x INT64 [1]"]),
            (#"{"instances":[{"x":1,"b64":"AA=="},{"b64":"","x":2}]}"#, ["x INT64 [2]", "b64 BYTES [2]"]),
            (#"{"instances":[{"b64":7},{"b64":8}]}"#, ["b64 INT64 [2]"]),
            (#"{"instances":[{"b64":"AA=="},{"b64":"AA=="}]}"#, ["input-0 BYTES [2]"]),
        ] {
            #expect(try Decoded(body).describe() == tensors, "\(body)")
        }
        // As a tensor it is the text itself.
        let text = try Decoded(#"{"inputs":{"x":[1],"b64":"AA=="}}"#)
        #expect(text.tensor(1).data.array == [4, 0, 0, 0] + Array("AA==".utf8))
    }

    @Test func whatIsWrongIsNamed() {
        let digits = String(repeating: "0", count: 40)
        #expect(refusal("{}").contains("neither 'instances' nor 'inputs'"))
        #expect(refusal("{\"instances\":[1],\"inputs\":[1]}").contains("twice"))
        #expect(refusal("{\"instances\":[[1,2],[3]]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[[1],2]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[1,[2]]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[[],[[]]]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[[],[1]]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[1,\"a\"]}").contains("mixed"))
        #expect(refusal("{\"instances\":[1,true]}").contains("mixed"))
        #expect(refusal("{\"instances\":[null]}").contains("null"))
        #expect(refusal("{\"instances\":[-1,18446744073709551615]}").contains("64 bits"))
        for huge in ["18446744073709551616", "-9223372036854775809", "1,100000000000000000000", "[-1,1\(digits)]"] {
            #expect(refusal("{\"instances\":[\(huge)]}").contains("64 bits"), "\(huge)")
            #expect(refusal("{\"instances\":[{\"x\":[\(huge)]}]}").contains("64 bits, in 'x'"), "\(huge)")
        }
        #expect(refusal("{\"instances\":5}").contains("expected a JSON array"))
        #expect(refusal("{\"instances\":[{\"a\":1},{\"b\":1}]}").contains("lacks 'b'"))
        #expect(refusal("{\"instances\":[{\"a\":1},{}]}").contains("expected 1, found 0"))
        #expect(refusal("{\"instances\":[{\"a\":1,\"a\":2}]}").contains("twice 'a'"))
        #expect(refusal("{\"instances\":[{\"a\":[1]},{\"a\":[1,2]}]}").contains("not all of one shape"))
        #expect(refusal("{\"instances\":[{\"a\":1},2]}").contains("expected a JSON object"))
        #expect(refusal("{\"instances\":[{\"b64\":\"?\"}]}").contains("base 64"))
        #expect(refusal("{\"instances\":[[{\"b64\":\"AA==\",\"x\":1}]]}").contains("b64"))
        #expect(refusal("{\"instances\":[{\"b64\":\"AA==\"},{\"b64\":1}]}").contains("expected a string"))
        #expect(refusal("{\"inputs\":{\"a\":1,\"a\":2}}").contains("twice 'a'"))
        let deep = String(repeating: "[", count: 17) + "1" + String(repeating: "]", count: 17)
        #expect(refusal("{\"instances\":\(deep)}").contains("too many arrays"))
    }

    private func answer(_ body: String, asking request: String) throws -> String {
        let decoded = try Decoded(request)
        let codec = RestPredictProtocol(PredictOptions())
        var asked = sluice_request()
        asked.operation = UInt32(SLUICE_OPERATION_INFER)
        var response = sluice_response()
        let refusal = try codec.decodeResponse(
            decoded.test.message(body, status: 200), to: asked, into: &response, arena: decoded.test.arena)
        #expect(refusal == nil)
        var message = sluice_message()
        try codec.encode(response, to: decoded.request, into: &message, arena: decoded.test.arena)
        #expect(message.status == 200)
        return message.bodyText
    }

    @Test func answersAreInTheFormatOfTheRequest() throws {
        let row = #"{"instances":[1,2]}"#
        let column = #"{"inputs":[1,2]}"#
        let single = #"{"predictions":[[1.5,2.0],[3.0,null]]}"#
        #expect(try answer(single, asking: row) == single)
        #expect(try answer(single, asking: column) == #"{"outputs":[[1.5,2.0],[3.0,null]]}"#)
        let rows = #"{"predictions":[{"a":1,"b":["x"]},{"a":2,"b":["y"]}]}"#
        let columns = #"{"outputs":{"a":[1,2],"b":[["x"],["y"]]}}"#
        #expect(try answer(rows, asking: row) == rows)
        #expect(try answer(rows, asking: column) == columns)
        #expect(try answer(columns, asking: row) == rows)
        #expect(try answer(#"{"outputs":{"b64":"/w=="}}"#, asking: column) == #"{"outputs":{"b64":"/w=="}}"#)
        // Numbers of a server that writes all without a fraction, which no integer of 64 bits can hold together.
        for beyond in ["[10000000000000000000,-1]", "[100000000000000000000,-1]"] {
            let body = try answer("{\"predictions\":\(beyond)}", asking: row)
            #expect(body == "{\"predictions\":[1e19,-1.0]}" || body == "{\"predictions\":[1e20,-1.0]}", "\(body)")
        }
        #expect(
            failure { () throws(CodecFailure) in
                do { _ = try answer(#"{"outputs":{"a":[1],"b":[1,2]}}"#, asking: row) } catch let error as CodecFailure
                {
                    throw error
                } catch {}
            }?.contains("column format") == true)
    }

    @Test func pathsTowardBackends() throws {
        let test = TestArena()
        func path(_ route: Int, _ form: BackendPath?, renamed: Bool, version: String = "7") throws -> String {
            let codec = RestPredictProtocol(PredictOptions(backendPath: form))
            var request = sluice_request()
            request.message = test.array([sluice_message()])
            let match = sluice_match(
                route: UInt32(route), capture_count: 2, captures: test.array([test.bytes("m"), test.bytes("1")]))
            #expect(try codec.decodeHead(match, &request, arena: test.arena))
            var target = sluice_target()
            target.model = test.bytes("n")
            target.version = test.bytes(version)
            target.same_protocol = 1
            target.renamed = renamed ? 1 : 0
            var message = sluice_message()
            #expect(try codec.encodeRequest(request, for: target, into: &message, arena: test.arena) == SLUICE_PASS)
            return message.target.text
        }
        #expect(try path(0, nil, renamed: false) == "")
        #expect(try path(0, nil, renamed: true) == "/v1/models/n/versions/7/predict")
        #expect(try path(0, .tfserving, renamed: false) == "/v1/models/n/versions/7:predict")
        #expect(try path(1, .tfserving, renamed: false) == "")
        #expect(try path(1, .kserve, renamed: false) == "/v1/models/n:predict")
        #expect(try path(2, .tfserving, renamed: true) == "/v1/models/n/versions/7:predict")
        #expect(try path(3, .kserve, renamed: false) == "")
        #expect(try path(3, nil, renamed: true, version: "") == "/v1/models/n:predict")
        #expect(throws: CodecFailure.self) { try path(3, .versioned, renamed: false, version: "") }
        let classify = try #require(PredictRoute.all.firstIndex { "\($0.path)".hasSuffix("{model}:classify") })
        #expect(try path(classify, nil, renamed: true) == "/v1/models/n/versions/7:classify")
    }

    @Test func tensorsOfOtherProtocolsBecomeInstances() throws {
        let decoded = try Decoded(#"{"inputs":{"x":[[1,2],[3,4]],"s":["a","b"]}}"#)
        let codec = RestPredictProtocol(PredictOptions(backendPath: .kserve))
        var request = decoded.request
        var target = sluice_target()
        target.model = decoded.test.bytes("m")
        var message = sluice_message()
        #expect(
            try codec.encodeRequest(request, for: target, into: &message, arena: decoded.test.arena) == SLUICE_OK)
        #expect(message.bodyText == #"{"inputs":{"x":[[1,2],[3,4]],"s":["a","b"]}}"#)
        request.payload.flags = 0
        #expect(
            try codec.encodeRequest(request, for: target, into: &message, arena: decoded.test.arena) == SLUICE_OK)
        #expect(message.bodyText == #"{"instances":[{"x":[1,2],"s":"a"},{"x":[3,4],"s":"b"}]}"#)
        #expect(message.target.text == "/v1/models/m:predict")
        request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        #expect(
            try codec.encodeRequest(request, for: target, into: &message, arena: decoded.test.arena)
                == SLUICE_NEED_BODY)
    }

    @Test func statesAndMetadata() throws {
        let test = TestArena()
        let codec = RestPredictProtocol(PredictOptions())
        var request = sluice_request()
        request.model = test.bytes("m")
        request.operation = UInt32(SLUICE_OPERATION_MODEL_READY)
        for (body, isReady) in [
            (#"{"name":"m","ready":true}"#, true), (#"{"ready":"False"}"#, false), ("", true),
            (#"{"model_version_status":[{"version":"1","state":"LOADING"}]}"#, false),
            (#"{"model_version_status":[{"state":"END"},{"state":"AVAILABLE"}]}"#, true),
        ] {
            var response = sluice_response()
            _ = try codec.decodeResponse(
                test.message(body, status: 200), to: request, into: &response, arena: test.arena)
            #expect(response.ready == (isReady ? 1 : 0), "\(body)")
        }
        var spec = sluice_tensor_spec()
        spec.name = test.bytes("x")
        spec.datatype = UInt32(SLUICE_DATATYPE_FP32)
        spec.rank = 2
        spec.shape = test.array([-1, 4])
        var metadata = sluice_metadata()
        metadata.inputs = test.array([spec])
        metadata.input_count = 1
        var response = sluice_response()
        response.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        response.metadata = test.array([metadata])
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(message.bodyText.contains(#""x":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","#))
        request.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        var answer = sluice_response()
        _ = try codec.decodeResponse(
            test.message(message.bodyText, status: 200), to: request, into: &answer, arena: test.arena)
        let read = try #require(answer.metadata).pointee
        #expect(read.name.text == "m")
        #expect(Array(UnsafeBufferPointer(start: read.inputs[0].shape, count: 2)) == [-1, 4])
        #expect(read.inputs[0].datatype == UInt32(SLUICE_DATATYPE_FP32))
    }

    /// What a backend says of a model, as `inputs -> outputs` with their shapes, and its version.
    private func told(_ signatures: String) throws -> String {
        let test = TestArena()
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        var response = sluice_response()
        let spec = #""model_spec":{"name":"m","signature_name":"","version":"3"}"#
        let body = "{\(spec),\"metadata\":{\"signature_def\":{\"signature_def\":{\(signatures)}}}}"
        _ = try RestPredictProtocol(PredictOptions()).decodeResponse(
            test.message(body, status: 200), to: request, into: &response, arena: test.arena)
        let read = try #require(response.metadata).pointee
        func list(_ specs: UnsafePointer<sluice_tensor_spec>?, _ count: UInt32) -> String {
            UnsafeBufferPointer(start: specs, count: Int(count)).map {
                "\($0.name.text)\(Array(UnsafeBufferPointer(start: $0.shape, count: Int($0.rank))))"
            }.joined(separator: " ")
        }
        let version = read.version_count == 1 ? read.versions[0].text : "?"
        return "\(list(read.inputs, read.input_count)) -> \(list(read.outputs, read.output_count)) \(version)"
    }

    private func tensor(_ name: String, _ shape: String) -> String {
        #""NAME":{"dtype":"DT_FLOAT","tensor_shape":{SHAPE},"name":"NAME:0"}"#
            .replacing("NAME", with: name).replacing("SHAPE", with: shape)
    }

    /// As TensorFlow Serving writes them: the JSON form of protocol buffers, what is empty left in.
    @Test func aModelIsItsDefaultSignatureOrItsFirst() throws {
        let any = #""dim":[{"size":"-1","name":""},{"size":"4","name":""}],"unknown_rank":false"#
        let other = "{\"inputs\":{\(tensor("a", any))},\"outputs\":{\(tensor("b", any))},\"method_name\":\"\"}"
        let standard = other.replacing("\"a", with: "\"x").replacing("\"b", with: "\"y")
        let initialising = #""__saved_model_init_op":{"inputs":{},"outputs":{},"method_name":""}"#
        #expect(try told("\"serving_default\":\(standard)") == "x[-1, 4] -> y[-1, 4] 3")
        #expect(try told("\"p\":\(other),\"serving_default\":\(standard)") == "x[-1, 4] -> y[-1, 4] 3")
        #expect(try told("\"serving_default\":\(standard),\"p\":\(other)") == "x[-1, 4] -> y[-1, 4] 3")
        #expect(try told("\(initialising),\"p\":\(other),\"q\":\(standard)") == "a[-1, 4] -> b[-1, 4] 3")
        #expect(try told(initialising) == " ->  3")
    }

    @Test func aShapeOfUnknownRankIsNoScalars() throws {
        for (shape, read) in [
            (#""dim":[],"unknown_rank":true"#, "[-1]"), (#""unknown_rank":true,"dim":[]"#, "[-1]"),
            (#""dim":[],"unknown_rank":false"#, "[]"), ("", "[]"), (#""dim":[{"size":3}]"#, "[3]"),
        ] {
            let signature = "\"serving_default\":{\"inputs\":{\(tensor("x", shape))}}"
            #expect(try told(signature) == "x\(read) ->  3", "\(shape)")
        }
    }

    @Test func hostileMessagesDoNoHarm() {
        let seed = Array(
            #"{"signature_name":"s","instances":[{"a":[1,2.5],"b":{"b64":"aGk="}},{"a":[3,4],"b":"x\n"}]}"#.utf8)
        var random = SplitMix64(seed: 7)
        var accepted = 0
        for _ in 0..<10_000 {
            var body = seed
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let index = Int.random(in: 0..<max(body.count, 1), using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where !body.isEmpty: body[index] = UInt8.random(in: 0...255, using: &random)
                case 1 where !body.isEmpty: body.remove(at: index)
                case 2: body.insert(Array("[]{}\",:0123456789-e\\".utf8).randomElement(using: &random) ?? 0, at: index)
                default: body.insert(contentsOf: body.prefix(index), at: index)
                }
            }
            let test = TestArena(limit: 1 << 20)
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            request.message = test.array([test.message(body)])
            let outcome = failure { () throws(CodecFailure) in
                let codec = RestPredictProtocol(PredictOptions())
                try codec.decodeBody(&request, arena: test.arena)
                var sent = sluice_message()
                _ = try codec.encodeRequest(request, for: sluice_target(), into: &sent, arena: test.arena)
            }
            accepted += outcome == nil ? 1 : 0
        }
        #expect(accepted > 2000 && accepted < 9000)
    }

    @Test func endpointsOfGRPCAreRefused() {
        let test = TestArena()
        var target = sluice_target()
        target.authority = test.bytes("backend:1")
        target.same_protocol = 1
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        do throws(CodecFailure) {
            let codec = RestPredictProtocol(PredictOptions())
            _ = try codec.encodeRequest(sluice_request(), for: target, into: &message, arena: test.arena)
            Issue.record("accepted")
        } catch {
            #expect(error.status == SLUICE_UNIMPLEMENTED)
            #expect(error.text.contains("needs HTTP") && error.text.contains("'backend:1'"))
        }
    }
}
