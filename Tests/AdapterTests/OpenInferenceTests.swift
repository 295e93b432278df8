import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import Testing

/// A request as the host makes it, and what the adapter did with it.
struct Decoded {
    let test: TestArena
    var request = sluice_request()
    var payload: sluice_payload { request.payload }

    /// - Parameter test: to be kept by a caller that reads the failure, which points into it.
    init(_ body: [UInt8], fields: [(String, String)] = [], in test: TestArena = TestArena()) throws(CodecFailure) {
        self.test = test
        request.message = test.array([test.message(body, fields: fields)])
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        try OpenInferenceProtocol(isBinary: false).decodeBody(&request, arena: test.arena)
    }

    init(_ body: String, fields: [(String, String)] = [], in test: TestArena = TestArena()) throws(CodecFailure) {
        try self.init(Array(body.utf8), fields: fields, in: test)
    }

    func tensor(_ index: Int) -> sluice_tensor { payload.tensors[index] }
}

private func refusal(_ body: String, fields: [(String, String)] = []) -> String {
    let test = TestArena()
    return withExtendedLifetime(test) {
        failure { () throws(CodecFailure) in _ = try Decoded(body, fields: fields, in: test) } ?? "accepted"
    }
}

private func tensorRefusal(_ tensor: String) -> String { refusal("{\"inputs\":[\(tensor)]}") }

@Suite struct OpenInferenceRequestTests {
    /// The example of the specification (open-inference-protocol, inference_rest.md, "Inference Request Examples"), its
    /// second input completed: there it has three elements by its shape and one in its data.
    @Test func theSpecificationsExample() throws {
        let decoded = try Decoded(
            """
            {
              "id" : "42",
              "inputs" : [
                { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : "UINT32", "data" : [ 1, 2, 3, 4 ] },
                { "name" : "input1", "shape" : [ 3 ], "datatype" : "BOOL", "data" : [ true, false, true ] }
              ],
              "outputs" : [ { "name" : "output0" } ]
            }
            """)
        #expect(decoded.request.id.text == "42")
        #expect(decoded.payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS))
        #expect(decoded.payload.tensor_count == 2)
        #expect(decoded.tensor(0).name.text == "input0")
        #expect(Array(decoded.tensor(0).shapeBuffer) == [2, 2])
        #expect(decoded.tensor(0).data.array == [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0])
        #expect(decoded.tensor(1).datatype == UInt32(SLUICE_DATATYPE_BOOL))
        #expect(decoded.tensor(1).data.array == [1, 0, 1])
        #expect(decoded.payload.output_count == 1)
        #expect(decoded.payload.outputs[0].name.text == "output0")
        #expect(decoded.payload.outputs[0].flags == 0)
        #expect(
            refusal(
                "{\"inputs\":[{\"name\":\"input1\",\"shape\":[3],\"datatype\":\"BOOL\",\"data\":[true]}]}"
            )
            .contains("expected 3, found 1"))
    }

    /// The example of Triton's extension_binary_data.md.
    @Test func tritonsBinaryExample() throws {
        let json = """
            {
              "model_name" : "mymodel",
              "inputs" : [
                { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : "UINT32",
                  "parameters" : { "binary_data_size" : 16 } },
                { "name" : "input1", "shape" : [ 3 ], "datatype" : "BOOL",
                  "parameters" : { "binary_data_size" : 3 } }
              ],
              "outputs" : [ { "name" : "output0", "parameters" : { "binary_data" : true } } ]
            }
            """
        let binary = [UInt8](1...16) + [1, 0, 1]
        let decoded = try Decoded(
            Array(json.utf8) + binary,
            fields: [("Inference-Header-Content-Length", "\(json.utf8.count)")])
        #expect(decoded.tensor(0).data.array == [UInt8](1...16))
        #expect(decoded.tensor(0).parameter_count == 0)
        #expect(decoded.tensor(1).data.array == [1, 0, 1])
        #expect(decoded.payload.outputs[0].flags == UInt32(SLUICE_OUTPUT_BINARY))
        // Views of the body, not copies.
        let body = try #require(decoded.request.message).pointee.wholeBody
        #expect(decoded.tensor(0).data.data == body.data.map { $0 + json.utf8.count })
    }

    @Test func outputsFollowTheMessageUnlessTheySayOtherwise() throws {
        let decoded = try Decoded(
            """
            {"outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":false,"classification":3}}],
             "parameters":{"binary_data_output":true,"priority":1,"x":1.5,"s":"t","f":false},"inputs":[]}
            """)
        #expect(decoded.payload.flags == UInt32(SLUICE_PAYLOAD_FLAG_BINARY))
        #expect(decoded.payload.outputs[0].flags == UInt32(SLUICE_OUTPUT_BINARY))
        #expect(decoded.payload.outputs[1].flags == 0)
        #expect(decoded.payload.outputs[1].parameters[0].integer == 3)
        #expect(decoded.payload.parameter_count == 4)
        #expect(decoded.payload.parameters[1].number == 1.5)
        #expect(decoded.payload.parameters[2].text.text == "t")
    }

    @Test func fieldsMayComeInAnyOrder() throws {
        let decoded = try Decoded(
            #"{"inputs":[{"data":[[1,2],[3,4]],"x":{},"datatype":"INT8","parameters":null,"shape":[2,2],"name":"a"}]}"#)
        #expect(decoded.tensor(0).data.array == [1, 2, 3, 4])
    }

    @Test func sharedMemoryIsARegion() throws {
        let decoded = try Decoded(
            """
            {"inputs":[{"name":"a","shape":[4],"datatype":"FP32","parameters":{"shared_memory_region":"r",
            "shared_memory_offset":64,"shared_memory_byte_size":16}}]}
            """)
        #expect(decoded.tensor(0).region.text == "r")
        #expect(decoded.tensor(0).region_offset == 64)
        #expect(decoded.tensor(0).region_size == 16)
        #expect(decoded.tensor(0).data.size == 0)
    }

    @Test func scalarsAndEmptyTensors() throws {
        let decoded = try Decoded(
            """
            {"inputs":[{"name":"a","shape":[],"datatype":"FP64","data":2.5},
            {"name":"b","shape":[],"datatype":"INT16","data":[7]},
            {"name":"c","shape":[0,3],"datatype":"FP32","data":[]},
            {"name":"d","shape":[2,0],"datatype":"FP32","data":[[],[]]},
            {"name":"e","shape":[],"datatype":"BYTES","data":"x"}]}
            """)
        #expect(decoded.tensor(0).data.size == 8)
        #expect(decoded.tensor(1).data.array == [7, 0])
        #expect(decoded.tensor(2).data.size == 0)
        #expect(decoded.tensor(3).data.size == 0)
        #expect(decoded.tensor(4).data.array == [1, 0, 0, 0, 0x78])
    }

    @Test func whatIsWrongIsNamed() {
        let head = "\"name\":\"x\",\"datatype\":\"FP32\""
        #expect(refusal("{}").contains("lacks the field 'inputs'"))
        #expect(refusal("[]").contains("expected a JSON object"))
        #expect(refusal("{\"inputs\":[],\"inputs\":[]}").contains("twice 'inputs'"))
        #expect(refusal("{\"inputs\":[]} x").contains("after its end"))
        #expect(refusal("{\"id\":1,\"inputs\":[]}").contains("expected a string"))
        #expect(tensorRefusal("{\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}").contains("no name"))
        #expect(tensorRefusal("{\(head),\"data\":[1]}").contains("shape is missing"))
        #expect(tensorRefusal("{\"name\":\"x\",\"shape\":[1],\"data\":[1]}").contains("datatype is missing"))
        #expect(tensorRefusal("{\"name\":\"x\",\"datatype\":\"FP31\"}").contains("unknown datatype 'FP31'"))
        #expect(tensorRefusal("{\(head),\"shape\":[1]}").contains("data is missing"))
        #expect(tensorRefusal("{\(head),\"shape\":[-1],\"data\":[1]}").contains("negative dimension"))
        #expect(tensorRefusal("{\(head),\"shape\":[4294967296,4294967296],\"data\":[]}").contains("more elements"))
        #expect(
            tensorRefusal("{\(head),\"shape\":[0,4294967296,4294967296],\"data\":[]}").contains("more elements"))
        #expect(tensorRefusal("{\(head),\"shape\":[1000000000],\"data\":[1]}").contains("as many elements"))
        #expect(tensorRefusal("{\(head),\"shape\":[1.5],\"data\":[1]}").contains("integer"))
        #expect(tensorRefusal("{\(head),\"shape\":[2],\"data\":[1]}").contains("expected 2, found 1"))
        #expect(tensorRefusal("{\(head),\"shape\":[2],\"data\":[1,2,3]}").contains("expected 2, found 3"))
        #expect(tensorRefusal("{\(head),\"shape\":[2,2],\"data\":[[1,2,3,4]]}").contains("expected 2"))
        #expect(tensorRefusal("{\(head),\"shape\":[2,2],\"data\":[[1,2],3]}").contains("expected a JSON array"))
        #expect(tensorRefusal("{\(head),\"shape\":[1],\"data\":[\"a\"]}").contains("expected a number"))
        #expect(tensorRefusal("{\(head),\"shape\":[1],\"data\":[1e39]}").contains("out of the range"))
        #expect(tensorRefusal("{\(head),\"shape\":[1],\"data\":[null]}").contains("expected a number"))
        #expect(tensorRefusal("{\(head),\"shape\":[1],\"data\":[NaN]}").contains("expected a number"))
        #expect(
            tensorRefusal(
                "{\(head),\"shape\":[\(Array(repeating: "1", count: 17).joined(separator: ","))],\"data\":[1]}"
            )
            .contains("too many dimensions"))
        #expect(
            tensorRefusal("{\"name\":\"x\",\"datatype\":\"UINT8\",\"shape\":[1],\"data\":[256]}").contains("range"))
        #expect(
            tensorRefusal("{\"name\":\"x\",\"datatype\":\"INT32\",\"shape\":[1],\"data\":[1.5]}").contains("no integer")
        )
        #expect(
            tensorRefusal("{\"name\":\"x\",\"datatype\":\"FP16\",\"shape\":[1],\"data\":[1]}").contains("binary data"))
        #expect(
            tensorRefusal("{\(head),\"shape\":[1],\"data\":[1]},{\(head),\"shape\":[1],\"data\":[1]}")
                .contains("two tensors have the name 'x'"))
        #expect(refusal("{\"inputs\":[],\"parameters\":{\"a\":{}}}").contains("neither boolean"))
        #expect(refusal("{\"inputs\":[],\"parameters\":{\"a\":1,\"a\":2}}").contains("twice 'a'"))
        #expect(refusal("{\"inputs\":[],\"outputs\":[{\"name\":\"o\"},{\"name\":\"o\"}]}").contains("requested twice"))
    }

    @Test func integerParametersAreExactOrRefused() throws {
        for (text, integer) in [
            ("9223372036854775807", Int64.max), ("-9223372036854775808", .min), ("-0", 0),
            ("9007199254740993", 1 << 53 | 1),
        ] {
            let decoded = try Decoded("{\"inputs\":[],\"parameters\":{\"p\":\(text)}}")
            #expect(decoded.payload.parameters[0].kind == UInt32(SLUICE_PARAMETER_INT64))
            #expect(decoded.payload.parameters[0].integer == integer)
        }
        for (text, number) in [
            ("9223372036854775808.0", 0x1p63), ("1e19", 1e19), ("-1E19", -1e19), ("18446744073709551616.5", 0x1p64),
        ] {
            let decoded = try Decoded("{\"inputs\":[],\"parameters\":{\"p\":\(text)}}")
            #expect(decoded.payload.parameters[0].kind == UInt32(SLUICE_PARAMETER_DOUBLE))
            #expect(decoded.payload.parameters[0].number == number)
        }
        for text in [
            "9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
            "1" + String(repeating: "0", count: 40), String(repeating: "9", count: 400),
        ] {
            let reason = "an integer is beyond the range of int64, in parameter 'p'"
            #expect(refusal("{\"inputs\":[],\"parameters\":{\"p\":\(text)}}") == reason, "\(text)")
            #expect(refusal("{\"inputs\":[],\"outputs\":[{\"name\":\"o\",\"parameters\":{\"p\":\(text)}}]}") == reason)
        }
    }

    @Test func binaryDataMustBeAsLargeAsItIsSaid() {
        func refusal(_ tensor: String, _ tail: [UInt8], _ field: String? = nil) -> String {
            let json = "{\"inputs\":[\(tensor)]}"
            let test = TestArena()
            return withExtendedLifetime(test) {
                failure { () throws(CodecFailure) in
                    _ = try Decoded(
                        Array(json.utf8) + tail,
                        fields: [("inference-header-content-length", field ?? "\(json.utf8.count)")], in: test)
                } ?? "accepted"
            }
        }
        func tensor(_ datatype: String, _ shape: String, _ size: String) -> String {
            "{\"name\":\"x\",\"datatype\":\"\(datatype)\",\"shape\":\(shape),"
                + "\"parameters\":{\"binary_data_size\":\(size)}}"
        }
        #expect(refusal(tensor("FP32", "[1]", "4"), [0, 0, 0, 0]) == "accepted")
        #expect(refusal(tensor("FP16", "[2]", "4"), [0, 0, 0, 0]) == "accepted")
        #expect(refusal(tensor("FP32", "[1]", "4"), [0, 0, 0]).contains("body ends before"))
        #expect(refusal(tensor("FP32", "[1]", "4"), [0, 0, 0, 0, 0]).contains("expected 4, found 5"))
        #expect(refusal(tensor("FP32", "[2]", "4"), [0, 0, 0, 0]).contains("expected 8, found 4"))
        #expect(refusal(tensor("FP32", "[1]", "-4"), [0, 0, 0, 0]).contains("body ends before"))
        #expect(refusal(tensor("FP32", "[1]", "9223372036854775807"), [0]).contains("body ends before"))
        #expect(refusal(tensor("BOOL", "[1]", "1"), [2]).contains("neither 0 nor 1"))
        #expect(refusal(tensor("BYTES", "[1]", "5"), [1, 0, 0, 0, 9]) == "accepted")
        #expect(refusal(tensor("BYTES", "[1]", "5"), [2, 0, 0, 0, 9]).contains("cut off"))
        #expect(refusal(tensor("BYTES", "[2]", "5"), [1, 0, 0, 0, 9]).contains("expected 2, found 1"))
        #expect(refusal(tensor("BYTES", "[1]", "5"), [255, 255, 255, 255, 9]).contains("cut off"))
        #expect(refusal("", [], "12345").contains("no size within the body"))
        #expect(refusal("", [], "-1").contains("no size within the body"))
        #expect(refusal("", [], "99999999999999999999").contains("no size within the body"))
        #expect(
            refusal(
                "{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[1],\"data\":[1],"
                    + "\"parameters\":{\"binary_data_size\":1}}",
                [1]
            ).contains("more than one source"))
    }

    @Test func aCompressedBodyIsRefusedWithItsStatus() throws {
        let test = TestArena()
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.message = test.array([test.message("x", fields: [("Content-Encoding", "gzip")])])
        let codec = OpenInferenceProtocol(isBinary: false)
        #expect(
            failure { () throws(CodecFailure) in
                try codec.decodeBody(&request, arena: test.arena)
            }?.contains("'gzip'") == true)
        var error = sluice_error()
        error.http_status = 501
        error.message = test.bytes("no \"gzip\" here")
        var message = sluice_message()
        try codec.encodeError(error, to: request, into: &message, arena: test.arena)
        #expect(message.status == 415)
        #expect(message.bodyText == #"{"error":"no \"gzip\" here"}"#)
        #expect(message.field("content-type")?.text == "application/json")
    }

    @Test func memoryOfAnExchangeIsBounded() {
        let test = TestArena(limit: 256)
        let text =
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP64\",\"shape\":[100],\"data\":["
            + Array(repeating: "1", count: 100).joined(separator: ",") + "]}]}"
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.message = test.array([test.message(text)])
        #expect(
            failure { () throws(CodecFailure) in
                try OpenInferenceProtocol(isBinary: false).decodeBody(&request, arena: test.arena)
            }?.contains("memory") == true)
    }

    @Test func routesNameTheModel() throws {
        let test = TestArena()
        let codec = OpenInferenceProtocol(isBinary: false)
        func head(_ route: OpenInferenceProtocol.Route, _ captures: [String]) throws -> sluice_request {
            var request = sluice_request()
            let match = sluice_match(
                route: UInt32(route.rawValue), capture_count: UInt32(captures.count),
                captures: test.array(captures.map { test.bytes($0) }))
            #expect(try codec.decodeHead(match, &request, arena: test.arena))
            return request
        }
        let infer = try head(.inferVersion, ["a%20b%2Fc", "7"])
        #expect(infer.model.text == "a b/c")
        #expect(infer.version.text == "7")
        #expect(infer.operation == UInt32(SLUICE_OPERATION_INFER))
        let other = try head(.other, ["m", "generate?x=1"])
        #expect(other.operation == UInt32(SLUICE_OPERATION_OTHER))
        #expect(other.rest.text == "generate?x=1")
        #expect(try head(.serverLive, []).operation == UInt32(SLUICE_OPERATION_SERVER_LIVE))
        var request = sluice_request()
        let match = sluice_match(
            route: UInt32(OpenInferenceProtocol.Route.infer.rawValue), capture_count: 1,
            captures: test.array([test.bytes("a%2")]))
        #expect(
            failure { () throws(CodecFailure) in
                _ = try codec.decodeHead(match, &request, arena: test.arena)
            }?.contains("percent sign") == true)
    }

    @Test func aBodyThatIsNotThereIsNotCompressed() {
        #expect(refusal("", fields: [("content-encoding", "gzip")]).contains("expected a JSON object"))
        #expect(refusal("x", fields: [("content-encoding", "gzip, gzip")]).contains("once; content-encoding is 'gzip,"))
    }

    /// The gateway may read a body that goes on as it came: its backend must not read other tensors in it.
    @Test func whereTheBinaryDataBeginsIsSaidOnce() {
        let body = #"{"inputs":[{"name":"x","datatype":"UINT8","shape":[1],"data":[1]}]}"#
        let size = ("Inference-Header-Content-Length", "\(body.utf8.count)")
        #expect(refusal(body, fields: [size]) == "accepted")
        #expect(refusal(body, fields: [size, size]).contains("twice 'inference-header-content-length'"))
        let other = ("inference-header-content-length", "\(body.utf8.count - 1)")
        #expect(refusal(body, fields: [size, ("x", "y"), other]).contains("twice"))
    }

    private func takes(_ route: OpenInferenceProtocol.Route, _ captures: [String]) throws -> Bool {
        let test = TestArena()
        var request = sluice_request()
        let match = sluice_match(
            route: UInt32(route.rawValue), capture_count: UInt32(captures.count),
            captures: test.array(captures.map { test.bytes($0) }))
        return try OpenInferenceProtocol(isBinary: false).decodeHead(match, &request, arena: test.arena)
    }

    /// A backend that normalises one of these serves another model, itself, or an inference that nobody here has read.
    @Test(arguments: [
        "../secret/infer", "../../repository/index", "generate/../../secret/infer", "%2e%2e/secret/infer", "..",
        "..%2fsecret%2finfer", "..\\secret", "./infer", "/infer", "/generate", "generate//x", "%69nfer",
        "trace%2Fsetting", "x?y/../", "../secret?x",
    ])
    func pathsOfAnotherSpellingAreDeclined(_ rest: String) throws {
        let isTaken = rest.hasPrefix("x?")
        #expect(try takes(.other, ["m", rest]) == isTaken)
        #expect(try takes(.otherVersion, ["m", "1", rest]) == isTaken)
    }

    @Test func pathsOfModelsArePassedOn() throws {
        for rest in ["generate", "trace/setting", "x%20y", "a.b~c_d-e", "...", "generate_stream?a=%69&b=//.."] {
            #expect(try takes(.other, ["a%2Fb", rest]), "\(rest)")
            #expect(try takes(.otherVersion, ["a%2Fb", "%31", rest]), "\(rest)")
        }
    }

    @Test func theHeadTakesNoMemory() throws {
        let test = TestArena(limit: 0)
        var request = sluice_request()
        let match = sluice_match(
            route: UInt32(OpenInferenceProtocol.Route.inferVersion.rawValue), capture_count: 2,
            captures: test.array([test.bytes("model"), test.bytes("1")]))
        #expect(try OpenInferenceProtocol(isBinary: false).decodeHead(match, &request, arena: test.arena))
        #expect(request.model.text == "model")
    }
}
