import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import SluiceProtobuf
import Testing

/// ModelInfer messages by hand.
enum Infer {
    static let path = "/inference.GRPCInferenceService/ModelInfer"

    /// InferInputTensor, which looks as InferOutputTensor.
    static func tensor(
        _ name: String, _ datatype: String, _ shape: [Int64], contents: [UInt8]? = nil, more: [UInt8] = []
    ) -> [UInt8] {
        Wire.text(1, name) + Wire.text(2, datatype)
            + Wire.bytes(3, shape.flatMap { Wire.varint(UInt64(bitPattern: $0)) })
            + (contents.map { Wire.bytes(5, $0) } ?? []) + more
    }

    static func request(_ tensors: [[UInt8]], raw: [[UInt8]] = [], more: [UInt8] = []) -> [UInt8] {
        Wire.text(1, "m") + Wire.text(2, "3") + Wire.text(3, "id") + more + tensors.flatMap { Wire.bytes(5, $0) }
            + raw.flatMap { Wire.bytes(7, $0) }
    }

    static func response(_ tensors: [[UInt8]], raw: [[UInt8]] = [], more: [UInt8] = []) -> [UInt8] {
        Wire.text(1, "m") + Wire.text(2, "3") + Wire.text(3, "id") + more + tensors.flatMap { Wire.bytes(5, $0) }
            + raw.flatMap { Wire.bytes(6, $0) }
    }
}

/// A request as the host makes it, decoded whole.
private struct DecodedCall {
    let test: TestArena
    var request = sluice_request()

    init(_ body: [UInt8], in test: TestArena = TestArena()) throws(CodecFailure) {
        self.test = test
        request.message = test.call(Infer.path, body)
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        try OpenInferenceProtocol(isBinary: false).decodeBody(&request, arena: test.arena)
    }

    var tensors: [String] {
        (0..<Int(request.payload.tensor_count)).map { request.payload.tensors[$0].description }
    }
}

private func refusal(_ body: [UInt8], limit: Int = 1 << 28) -> String {
    let test = TestArena(limit: limit)
    return withExtendedLifetime(test) {
        failure { () throws(CodecFailure) in _ = try DecodedCall(body, in: test) } ?? "accepted"
    }
}

/// Each datatype: the bytes of two elements, and its typed contents as a whole InferTensorContents, nil where it has
/// none.
private let datatypes: [(name: String, data: [UInt8], contents: [UInt8]?)] = [
    ("BOOL", [1, 0], Wire.bytes(1, [1, 0])),
    ("UINT8", [255, 1], Wire.bytes(4, [0xFF, 0x01, 0x01])),
    ("UINT16", [0xFF, 0xFF, 2, 0], Wire.bytes(4, [0xFF, 0xFF, 0x03, 0x02])),
    ("UINT32", [0xFF, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0], Wire.bytes(4, [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x03])),
    ("UINT64", [UInt8](repeating: 0xFF, count: 8) + [4, 0, 0, 0, 0, 0, 0, 0], Wire.bytes(5, Wire.varint(.max) + [4])),
    ("INT8", [0x80, 1], Wire.bytes(2, Wire.varint(UInt64(bitPattern: -128)) + [1])),
    ("INT16", [0x00, 0x80, 2, 0], Wire.bytes(2, Wire.varint(UInt64(bitPattern: -32768)) + [2])),
    ("INT32", [0, 0, 0, 0x80, 3, 0, 0, 0], Wire.bytes(2, Wire.varint(UInt64(bitPattern: Int64(Int32.min))) + [3])),
    (
        "INT64", [0, 0, 0, 0, 0, 0, 0, 0x80, 4, 0, 0, 0, 0, 0, 0, 0],
        Wire.bytes(3, Wire.varint(UInt64(bitPattern: .min)) + [4])
    ),
    ("FP16", [0, 0x3C, 1, 0x7E], nil),
    ("FP32", [0, 0, 0x80, 0x3F, 0, 0, 0xC0, 0x7F], Wire.bytes(6, [0, 0, 0x80, 0x3F, 0, 0, 0xC0, 0x7F])),
    (
        "FP64", [0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 1, 0, 0, 0, 0, 0, 0, 0],
        Wire.bytes(7, [0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 1, 0, 0, 0, 0, 0, 0, 0])
    ),
    ("BYTES", [2, 0, 0, 0, 0xFF, 0x00, 0, 0, 0, 0], Wire.bytes(8, [0xFF, 0x00]) + Wire.bytes(8, [])),
    ("BF16", [0x80, 0x3F, 0xC0, 0x7F], nil),
]

@Suite struct InferCallTests {
    @Test(arguments: datatypes.indices)
    func everyDatatypeComesRawAndTyped(_ index: Int) throws {
        let (name, data, contents) = datatypes[index]
        for shape in [[2], [2, 1], [1, 2, 1]] as [[Int64]] {
            let text = shape.map { "\($0)" }.joined(separator: ",")
            let expected = ["x:\(name):\(text):\(data.hexadecimal)"]
            let raw = try DecodedCall(Infer.request([Infer.tensor("x", name, shape)], raw: [data]))
            #expect(raw.tensors == expected)
            #expect(raw.request.payload.flags == UInt32(SLUICE_PAYLOAD_FLAG_BINARY))
            #expect(raw.request.model.text == "m" && raw.request.version.text == "3" && raw.request.id.text == "id")
            let typed = Infer.request([Infer.tensor("x", name, shape, contents: contents ?? [0x0A, 0x01, 0x01])])
            guard contents != nil else {
                #expect(refusal(typed).contains("must be sent as raw contents, tensor 'x'"))
                continue
            }
            let decoded = try DecodedCall(typed)
            #expect(decoded.tensors == expected)
            #expect(decoded.request.payload.flags == 0)
        }
    }

    /// A shape of no dimension is one element, one with a dimension of 0 none, in either form.
    @Test(arguments: datatypes.indices)
    func scalarsAndEmptyTensors(_ index: Int) throws {
        let (name, data, _) = datatypes[index]
        let one = name == "BYTES" ? Array(data.prefix(6)) : Array(data.prefix(data.count / 2))
        let scalar = try DecodedCall(Infer.request([Infer.tensor("x", name, [])], raw: [one]))
        #expect(scalar.tensors == ["x:\(name):-:\(one.hexadecimal)"])
        #expect(refusal(Infer.request([Infer.tensor("x", name, [])], raw: [[]])).contains("in tensor 'x': expected"))
        for shape in [[0], [0, 3], [2, 0, 4]] as [[Int64]] {
            let text = shape.map { "\($0)" }.joined(separator: ",")
            let tensor = Infer.tensor("x", name, shape)
            #expect(try DecodedCall(Infer.request([tensor], raw: [[]])).tensors == ["x:\(name):\(text):-"])
            #expect(try DecodedCall(Infer.request([tensor])).tensors == ["x:\(name):\(text):-"])
            #expect(refusal(Infer.request([tensor], raw: [data])).contains("expected 0, found"))
        }
    }

    /// Numbers one to a field, packed in several runs, and contents in several fields mean the same.
    @Test func repeatedFieldsAreJoined() throws {
        let expected = ["x:INT32:3:010000000200000003000000"]
        for contents in [
            Wire.number(2, 1) + Wire.number(2, 2) + Wire.number(2, 3), Wire.bytes(2, [1]) + Wire.bytes(2, [2, 3]),
            Wire.number(2, 1) + Wire.bytes(2, [2, 3]),
        ] {
            let tensor = Infer.tensor("x", "INT32", [3], contents: contents)
            #expect(try DecodedCall(Infer.request([tensor])).tensors == expected)
        }
        let split = Infer.tensor(
            "x", "INT32", [3], contents: Wire.number(2, 1), more: Wire.bytes(5, Wire.bytes(2, [2, 3])))
        #expect(try DecodedCall(Infer.request([split])).tensors == expected)
        // FP32, of which one packed run serves as it is.
        let floats: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]
        for contents in [
            Wire.bytes(6, floats), Wire.bytes(6, Array(floats[..<4])) + Wire.bytes(6, Array(floats[4...])),
            Wire.tag(6, 5) + floats[..<4] + Wire.tag(6, 5) + floats[4...],
        ] {
            let tensor = Infer.tensor("x", "FP32", [2], contents: contents)
            #expect(try DecodedCall(Infer.request([tensor])).tensors == ["x:FP32:2:\(floats.hexadecimal)"])
        }
        // A shape that is not packed, and unknown fields everywhere.
        let loose =
            Wire.text(1, "x") + Wire.text(2, "BOOL") + Wire.number(3, 1) + Wire.number(3, 2) + Wire.number(99, 1)
            + Wire.bytes(5, Wire.bytes(1, [1, 0]) + Wire.text(98, "?"))
        #expect(try DecodedCall(Infer.request([loose], more: Wire.number(97, 1))).tensors == ["x:BOOL:1,2:0100"])
    }

    @Test func rawBytesAreNotCopied() throws {
        let data = [UInt8](repeating: 3, count: 4096)
        let decoded = try DecodedCall(Infer.request([Infer.tensor("x", "UINT8", [4096])], raw: [data]))
        let tensor = decoded.request.payload.tensors[0]
        let body = try #require(decoded.request.message).pointee.wholeBody
        let start = try #require(tensor.data.data)
        let bodyStart = try #require(body.data)
        #expect(start >= bodyStart && start + tensor.data.size <= bodyStart + body.size)
    }

    @Test func shapesAndBytesMustAgree() {
        let cases: [(String, [Int64], [UInt8], String)] = [
            ("FP32", [2], [0, 0, 0, 0], "not as large as the shape says, in tensor 'x': expected 8, found 4"),
            ("FP32", [1], [UInt8](repeating: 0, count: 5), "in tensor 'x': expected 4, found 5"),
            ("BYTES", [2], [1, 0, 0, 0, 0x61], "in tensor 'x': expected 2, found 1"),
            ("BYTES", [1], [9, 0, 0, 0, 0x61], "the last BYTES element is cut off, in tensor 'x'"),
            ("BYTES", [1], [1, 0], "the last BYTES element is cut off, in tensor 'x'"),
            ("BOOL", [2], [1, 2], "a BOOL element is neither 0 nor 1, in tensor 'x'"),
            ("INT8", [-1], [0], "negative dimension, in tensor 'x'"),
            ("INT8", [1 << 32, 1 << 32], [0], "more elements than can be, in tensor 'x'"),
            ("INT8", [.max, .max], [0], "more elements than can be, in tensor 'x'"),
            ("FP64", [1 << 61], [0], "more elements than can be, in tensor 'x'"),
            ("INT8", [1 << 40, 1 << 40, 0], [], "more elements than can be, in tensor 'x'"),
            ("INT8", [1 << 50], [0], "in tensor 'x': expected 1125899906842624, found 1"),
            ("INT8", [Int64](repeating: 1, count: 17), [0], "too many dimensions 'x': expected 16"),
            ("FLOAT", [1], [0], "unknown datatype 'FLOAT'"),
        ]
        for (datatype, shape, data, reason) in cases {
            let text = refusal(Infer.request([Infer.tensor("x", datatype, shape)], raw: [data]))
            #expect(text.contains(reason), "\(datatype) \(shape): \(text)")
        }
    }

    @Test func typedContentsMustAgree() {
        let cases: [(String, [Int64], [UInt8], String)] = [
            ("INT8", [2], Wire.bytes(2, [1]), "expected 2, found 1"),
            ("INT8", [1], Wire.bytes(2, [1, 2]), "elements as the shape says, in tensor 'x': expected 1, found 2"),
            ("INT8", [0], Wire.bytes(2, [1]), "expected 0, found 1"),
            ("INT8", [1], Wire.bytes(2, [0x80, 0x01]), "out of the range of its datatype, in tensor 'x'"),
            ("UINT8", [1], Wire.bytes(4, [0x80, 0x02]), "out of the range of its datatype, in tensor 'x'"),
            ("INT32", [1], Wire.bytes(2, Wire.varint(1 << 31)), "out of the range of its datatype, in tensor 'x'"),
            ("UINT32", [1], Wire.bytes(4, Wire.varint(1 << 32)), "out of the range of its datatype, in tensor 'x'"),
            ("INT8", [1], Wire.bytes(4, [1]), "the contents are not of the datatype, in tensor 'x'"),
            ("FP32", [1], Wire.bytes(7, [UInt8](repeating: 0, count: 8)), "not of the datatype, in tensor 'x'"),
            ("FP32", [1], Wire.number(6, 1), "another wire type than it must have"),
            ("FP32", [2], Wire.bytes(6, [0, 0, 0, 0, 0]), "the packed numbers of a field end within one"),
            ("INT64", [2], Wire.bytes(3, [1, 0x80]), "the packed numbers of a field end within one"),
            ("BYTES", [2], Wire.text(8, "a"), "expected 2, found 1"),
            ("BYTES", [1], Wire.text(8, "a") + Wire.text(8, "b"), "expected 1, found 2"),
            ("BYTES", [1], Wire.number(8, 1), "another wire type than it must have"),
        ]
        for (datatype, shape, contents, reason) in cases {
            let text = refusal(Infer.request([Infer.tensor("x", datatype, shape, contents: contents)]))
            #expect(text.contains(reason), "\(datatype) \(shape): \(text)")
        }
        // A shape alone makes nobody take memory.
        let huge = Infer.tensor("x", "INT64", [1 << 40], contents: Wire.bytes(3, [1]))
        #expect(refusal(Infer.request([huge]), limit: 1 << 14).contains("expected 1099511627776"))
    }

    @Test func otherMistakesAreNamed() {
        let good = Infer.tensor("x", "BOOL", [1])
        let typed = Infer.tensor("x", "BOOL", [1], contents: Wire.bytes(1, [1]))
        let cases: [([UInt8], String)] = [
            (Infer.request([good], raw: [[1], [1]]), "not as many raw contents as tensors: expected 1, found 2"),
            (
                Infer.request([good, Infer.tensor("y", "BOOL", [1])], raw: [[1]]),
                "not as many raw contents as tensors: expected 2, found 1"
            ),
            (Infer.request([typed], raw: [[1]]), "more than one source of data, for tensor 'x'"),
            (Infer.request([good, good], raw: [[1], [1]]), "two tensors have the name 'x'"),
            (Infer.request([Infer.tensor("", "BOOL", [1])], raw: [[1]]), "a tensor has no name"),
            (Infer.request([Wire.text(1, "x")], raw: [[1]]), "the datatype is missing, in tensor 'x'"),
            (Infer.request([[0xFF]]), "ends within a field"),
            (Infer.request([], more: Wire.bytes(6, [])), "a requested output has no name"),
            (
                Infer.request([], more: Wire.bytes(6, Wire.text(1, "o")) + Wire.bytes(6, Wire.text(1, "o"))),
                "an output is requested twice 'o'"
            ),
            (Infer.request([], more: Wire.bytes(4, Wire.bytes(2, Wire.number(1, 1)))), "a parameter has no name"),
            (
                Infer.request([], more: Wire.entry(4, "p", Wire.number(5, 1 << 63))),
                "a uint64 parameter is beyond the range of int64 'p'"
            ),
            (Wire.text(2, "1"), "the request names no model"),
            (Wire.bytes(1, [0xFF]), "a text of the protobuf message is no UTF-8, in field 'model_name', at byte 0"),
            (Wire.number(1, 1), "another wire type than it must have 'model_name'"),
        ]
        for (message, reason) in cases {
            let text = refusal(message)
            #expect(text.contains(reason), "\(text)")
        }
        let many = (0..<1025).map { Infer.tensor("t\($0)", "BOOL", [0]) }
        #expect(refusal(Infer.request(many)).contains("more entries in one list than are allowed: expected 1024"))
    }

    /// A message that ends before its end is refused, unless what is left is a message by itself.
    @Test func messagesAreRefusedWhereverTheyAreCut() throws {
        let parts = [
            Wire.text(1, "m"), Wire.entry(4, "p", Wire.text(3, "v")), Wire.bytes(5, Infer.tensor("x", "INT16", [2])),
            Wire.bytes(6, Wire.text(1, "out")), Wire.bytes(7, [1, 0, 2, 0]),
        ]
        let whole = parts.flatMap { $0 }
        #expect(try DecodedCall(whole).tensors == ["x:INT16:2:01000200"])
        var ends: Set<Int> = [0]
        for part in parts {
            ends.insert((ends.max() ?? 0) + part.count)
        }
        for size in 0..<whole.count {
            let text = refusal(Array(whole[..<size]))
            if ends.contains(size) {
                // Without its bytes a tensor is too small; what ends before the tensors is a request without any.
                let isComplete = size >= parts[0].count && size <= parts[0].count + parts[1].count
                #expect(isComplete == (text == "accepted"), "\(size): \(text)")
            } else {
                #expect(text.contains("ends within a field"), "\(size): \(text)")
            }
        }
    }

    @Test func parametersKeepTheirKinds() throws {
        let values =
            Wire.entry(4, "b", Wire.number(1, 1)) + Wire.entry(4, "i", Wire.number(2, UInt64(bitPattern: -5)))
            + Wire.entry(4, "s", Wire.text(3, "t"))
            + Wire.entry(4, "d", Wire.tag(4, 1) + [0, 0, 0, 0, 0, 0, 0xF8, 0x3F])
            + Wire.entry(4, "u", Wire.number(5, 9)) + Wire.entry(4, "none", []) + Wire.entry(4, "b", Wire.number(1, 0))
        let output = Wire.bytes(6, Wire.text(1, "o") + Wire.entry(2, "classification", Wire.number(2, 3)))
        let decoded = try DecodedCall(Infer.request([], more: values + output))
        let payload = decoded.request.payload
        let read = (0..<Int(payload.parameter_count)).map { payload.parameters[$0] }
        #expect(read.map(\.name.text) == ["b", "i", "s", "d", "u"])
        #expect(read.map(\.integer) == [0, -5, 0, 0, 9])
        #expect(read[2].text.text == "t" && read[3].number == 1.5)
        #expect(payload.output_count == 1 && payload.outputs[0].name.text == "o")
        #expect(payload.outputs[0].parameters[0].integer == 3)
    }

    @Test func tensorsInSharedMemory() throws {
        func region(_ offset: [UInt8], _ size: [UInt8]) -> [UInt8] {
            Wire.entry(4, "shared_memory_region", Wire.text(3, "r")) + offset + size
        }
        let offset = Wire.entry(4, "shared_memory_offset", Wire.number(2, 64))
        let size = Wire.entry(4, "shared_memory_byte_size", Wire.number(2, 8))
        let shared = Infer.tensor("x", "FP32", [2], more: region(offset, size))
        let plain = Infer.tensor("y", "BOOL", [1])
        let decoded = try DecodedCall(Infer.request([shared, plain], raw: [[1]]))
        let tensors = try #require(decoded.request.payload.tensors)
        #expect(tensors[0].region.text == "r" && tensors[0].region_offset == 64 && tensors[0].region_size == 8)
        #expect(tensors[0].parameter_count == 0 && tensors[0].data.isEmpty)
        #expect(tensors[1].data.array == [1])
        #expect(refusal(Infer.request([shared], raw: [[0]])).contains("more than one source of data, for tensor 'x'"))
        let typed = Infer.tensor("x", "BOOL", [8], contents: Wire.bytes(1, [1]), more: region(offset, size))
        #expect(refusal(Infer.request([typed])).contains("more than one source of data, for tensor 'x'"))
        #expect(
            refusal(Infer.request([Infer.tensor("x", "FP32", [3], more: region(offset, size))]))
                .contains("in tensor 'x': expected 12, found 8"))
        #expect(
            refusal(Infer.request([Infer.tensor("x", "FP32", [2], more: region([], []))]))
                .contains("shared_memory_byte_size is missing"))
        let wrong = Wire.entry(4, "shared_memory_offset", Wire.text(3, "64"))
        #expect(
            refusal(Infer.request([Infer.tensor("x", "FP32", [2], more: region(wrong, size))]))
                .contains("a parameter is of the wrong type 'shared_memory_offset'"))
    }

    /// Triton's responses have an empty raw entry for an output in shared memory, and its client counts on it.
    @Test func outputsInSharedMemoryHaveAnEmptyEntry() throws {
        let region =
            Wire.entry(4, "shared_memory_region", Wire.text(3, "r"))
            + Wire.entry(4, "shared_memory_offset", Wire.number(2, 0))
            + Wire.entry(4, "shared_memory_byte_size", Wire.number(2, 1))
        let outputs = [Infer.tensor("x", "BOOL", [1], more: region), Infer.tensor("y", "BOOL", [1])]
        let test = TestArena()
        let call = OpenInferenceProtocol(isBinary: false)
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.message = test.call(Infer.path, [])
        for raw in [[[], [1]], [[1]]] as [[[UInt8]]] {
            var response = sluice_response()
            let received = test.call(Infer.path, Infer.response(outputs, raw: raw)).pointee
            #expect(try call.decodeResponse(received, to: request, into: &response, arena: test.arena) == nil)
            #expect(response.payload.tensors[0].region.text == "r" && response.payload.tensors[1].data.array == [1])
            var message = sluice_message()
            try call.encode(response, to: request, into: &message, arena: test.arena)
            #expect(message.joinedBody == Infer.response(outputs, raw: [[], [1]]))
        }
    }
}
