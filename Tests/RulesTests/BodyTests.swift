import Rules
import SluiceABI
import Testing

/// Fields of JSON, and of tensors.
@Suite struct BodyTests {
    static let text = #"""
        { "a": {"b": [ {"c": "deep"}, 2, [3, 4] ], "x.y": true, "e": {} , "l": []},
          "n": null, "i": -12, "f": 1.50e1, "big": 9223372036854775808, "t": "te\"xt", "u": "\u00e9\ud83d\ude00\n\/",
          "t": "second", "\u006bey": "escaped key", "bad": "\ud83d", "s": "}]{[\\", "last": false, "zero": 0 }
        """#

    @Test(arguments: [
        #"json("a.b[0].c") == "deep""#, #"json("a.b[1]") == 2"#, #"json("a.b[2][1]") == 4"#,
        #"json("a[\"x.y\"]") == true"#, #"json("a['x.y']")"#, #"json("n") == null"#, #"exists(json("n"))"#,
        #"json("i") == -12"#, #"json("i") < 0"#, #"json("i") % 5 == -2"#, #"json("f") == 15"#, #"json("f") + 1 > 15.5"#,
        #"json("big") > 1e18"#, #"json("t") == "te\"xt""#, #"json("u") == "é😀\n/""#, #"json("key") == "escaped key""#,
        #"json("s") == "}]{[\\""#, #"json("last") == false"#, #"not json("last")"#, #"exists(json("a"))"#,
        #"exists(json("a.e"))"#, #"exists(json("a.l"))"#, #"json("a.b[0].c") starts_with "de""#,
        #"json("i") == json("i")"#, #"json("i") in [1, "x", -12]"#, #"integer(json("f")) == 15"#,
        #"length(json("a.b[0].c")) == 4"#, #"lower(json("t")) contains "TE""#, #"json("zero") == 0"#,
    ])
    func holdsOfJSON(rule: String) throws {
        #expect(try SampleRequest(body: Self.text).outcome(rule) == .holds, "\(rule)")
    }

    /// What is not there, or of another type, is equal to nothing.
    @Test(arguments: [
        #"exists(json("a.b[3]"))"#, #"exists(json("a.c"))"#, #"exists(json("a.e.x"))"#, #"exists(json("a.l[0]"))"#,
        #"exists(json("n.x"))"#, #"exists(json("i[0]"))"#, #"exists(json("[0]"))"#, #"exists(json("bad"))"#,
        #"json("i") == "-12""#, #"json("t") > 1"#, #"json("n") == false"#, #"json("n") == 0"#, #"json("a") == null"#,
        #"json("zero") == false"#, #"json("t")"#, #"json("a") == json("a")"#, #"json("missing") == null"#,
        #"json("t") == "second""#,
    ])
    func failsOfJSON(rule: String) throws {
        #expect(try SampleRequest(body: Self.text).outcome(rule) == .fails, "\(rule)")
    }

    /// It may be a stream, whose messages answer each other: what has not been read is not waited for.
    @Test func theBodyOfACallThatIsPassedOnIsAbsent() throws {
        let rules = ["exists(body)", "body_size >= 0", #"exists(json("a"))"#, "tensor(0).rank >= 0"]
        let request = SampleRequest()
        request.stream()
        for (transport, operation, outcome) in [
            (SLUICE_TRANSPORT_GRPC, SLUICE_OPERATION_OTHER, RuleOutcome.fails),
            (SLUICE_TRANSPORT_GRPC, SLUICE_OPERATION_INFER, .needsBody),
            (SLUICE_TRANSPORT_HTTP, SLUICE_OPERATION_OTHER, .needsBody),
        ] {
            request.message.pointee.transport = UInt32(transport)
            request.request.pointee.operation = UInt32(operation)
            for rule in rules { #expect(try request.outcome(rule) == outcome, "\(rule)") }
        }
    }

    /// Any body gives an answer, and nothing beyond it is read (the memory has its exact size).
    @Test func everyCutOfATextIsRead() throws {
        let rules = try [#"exists(json("last"))"#, #"exists(json("a.b[2][1]"))"#, #"exists(json("key"))"#].map {
            try Rule($0)
        }
        let whole = Array(Self.text.utf8)
        for end in 0...whole.count {
            let request = SampleRequest()
            request.setBody(Array(whole[..<end]))
            for rule in rules { #expect(request.outcome(rule) != .noMemory) }
        }
    }

    @Test(arguments: ["", " ", "[", "{", "{]", "{\"a\"", "{\"a\":", "{\"a\" 1}", "{\"a\":}", "]", "{,\"a\":1}", "nul"])
    func whatIsNoJSONHasNoFields(body: String) throws {
        #expect(try SampleRequest(body: body).outcome(#"exists(json("a"))"#) == .fails)
    }

    @Test func nestingCostsNoStack() throws {
        let deep = String(repeating: "[", count: 200_000)
        #expect(try SampleRequest(body: "{\"d\":\(deep)").outcome(#"exists(json("a"))"#) == .fails)
        let closed = deep + String(repeating: "]", count: 200_000)
        #expect(try SampleRequest(body: "{\"d\":\(closed),\"a\":1}").outcome(#"json("a") == 1"#) == .holds)
    }

    @Test func shapesAndTypesOfTensors() throws {
        let request = SampleRequest()
        request.setTensors([
            .init(name: "image", datatype: SLUICE_DATATYPE_UINT8, shape: [1, 3, 768, 1025]),
            .init(name: "scale", datatype: SLUICE_DATATYPE_FP32, shape: []),
            .init(name: "text", datatype: SLUICE_DATATYPE_BYTES, shape: [2], data: [1, 0, 0, 0, 65, 0, 0, 0, 0]),
            .init(name: "odd", datatype: 99, shape: [-1, 4]),
            .init(name: "huge", datatype: SLUICE_DATATYPE_FP32, shape: [1 << 40, 1 << 40]),
        ])
        for rule in [
            #"tensor("image").shape[3] > 1024"#, #"tensor("image").shape[-1] == 1025"#,
            #"tensor("image").rank == 4"#, #"tensor("image").elements == 2361600"#, #"tensor(0).shape[1] == 3"#,
            #"tensor("image").datatype == "UINT8""#, #"tensor("scale").rank == 0"#, #"tensor("scale").elements == 1"#,
            #"tensor("text").datatype in ["BYTES"]"#, #"not exists(tensor("image").shape[4])"#,
            #"not exists(tensor("image").shape[-5])"#, #"not exists(tensor("none").rank)"#,
            #"not exists(tensor(5).rank)"#, #"not exists(tensor("text").min)"#, #"not exists(tensor("image").max)"#,
            #"not exists(tensor("odd").datatype)"#, #"not exists(tensor("odd").elements)"#,
            #"not exists(tensor("huge").elements)"#, #"exists(tensor("odd").shape[0])"#,
        ] {
            #expect(try request.outcome(rule) == .holds, "\(rule)")
        }
    }

    @Test func everyElementTypeHasItsName() throws {
        let names = [
            (SLUICE_DATATYPE_BOOL, "BOOL"), (SLUICE_DATATYPE_UINT8, "UINT8"), (SLUICE_DATATYPE_UINT16, "UINT16"),
            (SLUICE_DATATYPE_UINT32, "UINT32"), (SLUICE_DATATYPE_UINT64, "UINT64"), (SLUICE_DATATYPE_INT8, "INT8"),
            (SLUICE_DATATYPE_INT16, "INT16"), (SLUICE_DATATYPE_INT32, "INT32"), (SLUICE_DATATYPE_INT64, "INT64"),
            (SLUICE_DATATYPE_FP16, "FP16"), (SLUICE_DATATYPE_FP32, "FP32"), (SLUICE_DATATYPE_FP64, "FP64"),
            (SLUICE_DATATYPE_BYTES, "BYTES"), (SLUICE_DATATYPE_BF16, "BF16"),
        ]
        for (number, name) in names {
            let request = SampleRequest()
            request.setTensors([.init(name: "t", datatype: number, shape: [0])])
            #expect(try request.outcome("tensor(\"t\").datatype == \"\(name)\"") == .holds, "\(name)")
        }
    }

    private func little<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] {
        numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    }

    @Test func valueRangesOfTensors() throws {
        let request = SampleRequest()
        request.setTensors([
            .init(name: "u8", datatype: SLUICE_DATATYPE_UINT8, shape: [3], data: [7, 255, 9]),
            .init(name: "i8", datatype: SLUICE_DATATYPE_INT8, shape: [3], data: [0x80, 1, 0x7F]),
            .init(name: "u16", datatype: SLUICE_DATATYPE_UINT16, shape: [2], data: little([UInt16(1), 60_000])),
            .init(name: "i16", datatype: SLUICE_DATATYPE_INT16, shape: [2], data: little([Int16(-300), 5])),
            .init(name: "u32", datatype: SLUICE_DATATYPE_UINT32, shape: [2], data: little([UInt32(4e9), 5])),
            .init(name: "i32", datatype: SLUICE_DATATYPE_INT32, shape: [2], data: little([Int32(-70_000), 5])),
            .init(name: "u64", datatype: SLUICE_DATATYPE_UINT64, shape: [2], data: little([UInt64.max, 5])),
            .init(name: "i64", datatype: SLUICE_DATATYPE_INT64, shape: [2], data: little([Int64.min, 5])),
            .init(
                name: "f32", datatype: SLUICE_DATATYPE_FP32, shape: [4],
                data: little([Float.nan, -1.5, 2.25, .nan].map(\.bitPattern))),
            .init(
                name: "f64", datatype: SLUICE_DATATYPE_FP64, shape: [2],
                data: little([-1e300, 1e300].map(\.bitPattern))),
            // 1.5, the smallest subnormal, -65504 (the largest of all), infinity.
            .init(
                name: "f16", datatype: SLUICE_DATATYPE_FP16, shape: [3],
                data: little([UInt16(0x3E00), 0x0001, 0xFBFF])),
            .init(name: "small", datatype: SLUICE_DATATYPE_FP16, shape: [1], data: little([UInt16(0x0001)])),
            .init(name: "inf", datatype: SLUICE_DATATYPE_FP16, shape: [2], data: little([UInt16(0x7C00), 0])),
            .init(name: "bf16", datatype: SLUICE_DATATYPE_BF16, shape: [2], data: little([UInt16(0x3FC0), 0xC000])),
            .init(name: "bool", datatype: SLUICE_DATATYPE_BOOL, shape: [2], data: [0, 1]),
            .init(name: "nan", datatype: SLUICE_DATATYPE_FP32, shape: [1], data: little([Float.nan.bitPattern])),
            .init(name: "empty", datatype: SLUICE_DATATYPE_FP32, shape: [0], data: []),
            .init(name: "short", datatype: SLUICE_DATATYPE_FP32, shape: [2], data: [0, 0, 0, 0]),
            .init(
                name: "long", datatype: SLUICE_DATATYPE_UINT8, shape: [(1 << 20) + 1],
                data: [UInt8](repeating: 1, count: (1 << 20) + 1)),
        ])
        for rule in [
            #"tensor("u8").min == 7 and tensor("u8").max == 255"#, #"tensor("i8").min == -128"#,
            #"tensor("i8").max == 127"#, #"tensor("u16").max == 60000"#, #"tensor("i16").min == -300"#,
            #"tensor("u32").max == 4000000000"#, #"tensor("i32").min == -70000"#,
            #"tensor("u64").max > 9223372036854775807 and tensor("u64").min == 5"#,
            #"tensor("i64").min == -9223372036854775807 - 1"#, #"tensor("f32").min == -1.5"#,
            #"tensor("f32").max == 2.25"#, #"tensor("f64").max > 9e299 and tensor("f64").min < -9e299"#,
            #"tensor("f16").min == -65504 and tensor("f16").max == 1.5"#,
            #"tensor("small").max == 0.000000059604644775390625"#, #"tensor("inf").max > 1e308"#,
            #"tensor("bf16").min == -2 and tensor("bf16").max == 1.5"#, #"tensor("bool").max == 1"#,
            #"not exists(tensor("nan").min)"#, #"not exists(tensor("empty").max)"#,
            #"not exists(tensor("short").max)"#, #"not exists(tensor("long").max)"#,
        ] {
            #expect(try request.outcome(rule) == .holds, "\(rule)")
        }
    }
}
