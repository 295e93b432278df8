import Testing

/// The body of a call that is not as it should be, and the status it has to get.
struct MalformedCall {
    let name: String
    let path: String
    let body: [UInt8]
    let status: Int
    var fields: [(String, String)] = []
}

/// Protobuf as the cases need it: some fields, in any order, also wrong ones.
enum Wire {
    static func varint(_ value: UInt64) -> [UInt8] {
        value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + varint(value >> 7)
    }

    static func number(_ field: UInt64, _ value: Int64) -> [UInt8] {
        varint(field << 3) + varint(UInt64(bitPattern: value))
    }

    static func bytes(_ field: UInt64, _ content: [UInt8]) -> [UInt8] {
        varint(field << 3 | 2) + varint(UInt64(content.count)) + content
    }

    static func text(_ field: UInt64, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }

    static func message(_ content: [UInt8], flag: UInt8 = 0, claiming size: UInt32? = nil) -> [UInt8] {
        [flag] + HTTP2Frame.word(size ?? UInt32(content.count)) + content
    }
}

extension MalformedCall {
    static let inferPath = "/inference.GRPCInferenceService/ModelInfer"
    static let predictPath = "/tensorflow.serving.PredictionService/Predict"
    static let servicePath = "/sluice.v1.ModelService/Predict"

    /// ModelInferRequest with one tensor.
    static func infer(_ shape: [Int64], _ raw: [UInt8], datatype: String = "FP32") -> [UInt8] {
        let tensor =
            Wire.text(1, "input") + Wire.text(2, datatype) + shape.flatMap { Wire.number(3, $0) }
        return Wire.text(1, "iris") + Wire.bytes(5, tensor) + Wire.bytes(7, raw)
    }

    /// PredictRequest with one tensor of DT_FLOAT.
    static func predict(_ shape: [Int64], _ content: [UInt8]) -> [UInt8] {
        let dimensions = shape.flatMap { Wire.bytes(2, Wire.number(1, $0)) }
        let tensor = Wire.number(1, 1) + Wire.bytes(2, dimensions) + Wire.bytes(4, content)
        return Wire.bytes(1, Wire.text(1, "iris")) + Wire.bytes(2, Wire.text(1, "input") + Wire.bytes(2, tensor))
    }

    /// UnifiedRequest with one tensor of DATA_TYPE_FP32.
    static func unified(_ shape: [Int64], _ data: [UInt8]) -> [UInt8] {
        let tensor =
            Wire.text(1, "input") + Wire.number(2, 11) + shape.flatMap { Wire.number(3, $0) } + Wire.bytes(4, data)
        return Wire.text(1, "iris") + Wire.bytes(5, tensor)
    }

    static let row = [UInt8](repeating: 0, count: 16)

    /// What is wrong with the frame of a message, whatever is in it.
    static let framing: [MalformedCall] = {
        let good = infer([1, 4], row)
        return [
            .init(name: "no message", path: inferPath, body: [], status: 13),
            .init(name: "half a prefix", path: inferPath, body: [0, 0, 0], status: 13),
            .init(
                name: "a prefix that says more than comes", path: inferPath,
                body: Wire.message(good, claiming: UInt32(good.count + 9)), status: 13),
            .init(
                name: "a prefix that says less than comes", path: inferPath,
                body: Wire.message(good, claiming: UInt32(good.count - 1)), status: 3),
            .init(name: "two messages", path: inferPath, body: Wire.message(good) + Wire.message(good), status: 13),
            .init(name: "a flag that nobody knows", path: inferPath, body: Wire.message(good, flag: 2), status: 13),
            .init(
                name: "a prefix of 4 GiB", path: inferPath, body: Wire.message(good, claiming: .max), status: 8),
            .init(
                name: "a message beyond the limit", path: inferPath,
                body: Wire.message(infer([1, 16_384], [UInt8](repeating: 0, count: 65_536))), status: 8),
            .init(
                name: "compressed by nobody knows what", path: inferPath, body: Wire.message(good, flag: 1),
                status: 12, fields: [("grpc-encoding", "snappy")]),
            .init(
                name: "compressed without saying how", path: inferPath, body: Wire.message(good, flag: 1), status: 13),
        ]
    }()

    /// What is wrong with a message, in three protocols.
    static let content: [MalformedCall] = {
        let shapes: [(String, [Int64], Int)] = [
            ("too few bytes", [1, 4], 12), ("too many bytes", [1, 4], 20), ("a product of 2⁶⁴", [1 << 32, 1 << 32], 0),
            ("a product of 2⁶⁴ + 4", [(1 << 62) + 1, 4], 16), ("bytes of 2⁶⁴", [1 << 62], 0),
            ("a product that is 0 at last", [1 << 40, 1 << 40, 0], 16), ("a size below zero", [-1, 4], 16),
            ("two sizes below zero", [-1, -4], 16), ("the least of all sizes", [.min, 2], 0),
            ("17 dimensions", [Int64](repeating: 1, count: 17), 4),
        ]
        var all: [MalformedCall] = []
        for (name, shape, count) in shapes {
            let raw = [UInt8](repeating: 0, count: count)
            all += [
                .init(name: "V2: \(name)", path: inferPath, body: Wire.message(infer(shape, raw)), status: 3),
                .init(name: "TF: \(name)", path: predictPath, body: Wire.message(predict(shape, raw)), status: 3),
                .init(name: "ours: \(name)", path: servicePath, body: Wire.message(unified(shape, raw)), status: 3),
            ]
        }
        for (protocolName, path, good) in [
            ("V2", inferPath, infer([1, 4], row)), ("TF", predictPath, predict([1, 4], row)),
            ("ours", servicePath, unified([1, 4], row)),
        ] {
            let broken: [(String, [UInt8])] = [
                ("cut in the middle", Array(good.prefix(good.count - 3))), ("a varint without end", good + [0xFF]),
                ("field 0", good + [0x00, 0x00]), ("a group", good + [0x7B, 0x7C]),
                ("a length beyond all", good + [0x2A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
                ("noise", (0..<200).map { UInt8(($0 * 151 + 17) & 255) }),
            ]
            all += broken.map {
                .init(name: "\(protocolName): \($0.0)", path: path, body: Wire.message($0.1), status: 3)
            }
        }
        all.append(
            .init(
                name: "V2: an unknown datatype", path: inferPath,
                body: Wire.message(infer([1, 4], row, datatype: "FP31")), status: 3))
        return all
    }()
}

extension EndToEnd {
    /// Calls that cannot be served are refused with the status that says why, and nothing else is harmed.
    @Suite struct MalformedCalls {
        @Test func frames() throws { try check(MalformedCall.framing) }
        @Test func messages() throws { try check(MalformedCall.content) }

        private func check(_ cases: [MalformedCall]) throws {
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.gateway = ["  limits: { body_bytes: 65536 }"]
            configuration.adapters = ["open-inference", "tf-serving", "model-service"]
            configuration.plugins = [
                "  - { name: tf-serving, library: libTFServing.so }",
                "  - { name: model-service, library: libModelService.so }",
            ]
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let gateway = try Gateway(configuration)
            // One connection for all: a call that is refused leaves it as it was.
            let client = try gateway.http2()
            var stream: UInt32 = 1
            func call(_ path: String, _ body: [UInt8], _ fields: [(String, String)] = []) throws -> HTTP2Answer {
                defer { stream += 2 }
                client.request(
                    stream, "POST", path,
                    fields: [("content-type", "application/grpc"), ("te", "trailers")] + fields, ends: false)
                for start in stride(from: 0, to: body.count, by: 16_384) {
                    client.send(HTTP2Frame(.data, stream: stream, Array(body[start..<min(start + 16_384, body.count)])))
                }
                client.send(HTTP2Frame(.data, flags: 1, stream: stream))
                return try client.answer(stream)
            }
            for entry in cases {
                let answer = try call(entry.path, entry.body, entry.fields)
                #expect(
                    answer.grpcStatus == "\(entry.status)",
                    "\(entry.name): \(answer.grpcStatus ?? "none"), \(answer.grpcMessage ?? "\(answer)")")
                #expect(answer.grpcMessage?.isEmpty == false, "\(entry.name)")
            }
            let good = try call(MalformedCall.inferPath, Wire.message(MalformedCall.infer([1, 4], MalformedCall.row)))
            #expect(good.grpcStatus == "0", "\(good)")
        }

        /// The same for the forms that come over HTTP.
        @Test func shapesThatDisagreeOverHTTP() throws {
            var configuration = GatewayConfiguration()
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let gateway = try Gateway(configuration)
            let shapes = [
                "[4294967296,4294967296]", "[4611686018427387905,4]", "[-1,4]", "[2,4]", "[1099511627776,0,9]",
            ]
            for shape in shapes {
                let json =
                    "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":\(shape),\"data\":[1,2,3,4]}]}"
                #expect(try gateway.post("/v2/models/iris/infer", json).status == 400, "\(shape)")
                let head =
                    "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":\(shape),"
                    + "\"parameters\":{\"binary_data_size\":16}}]}"
                let binary = try gateway.post(
                    "/v2/models/iris/infer", head + String(repeating: "\0", count: 16),
                    fields: ["Inference-Header-Content-Length: \(head.utf8.count)"])
                #expect(binary.status == 400, "\(shape) binary")
            }
        }
    }
}
