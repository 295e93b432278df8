import Foundation
import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// Protobuf by hand (protobuf.dev, Encoding): what a test wants to be on the wire, right or wrong.
enum Wire {
    static func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var left = value
        while left >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        return bytes + [UInt8(left)]
    }

    static func tag(_ number: UInt64, _ type: UInt64) -> [UInt8] { varint(number << 3 | type) }

    static func number(_ number: UInt64, _ value: UInt64) -> [UInt8] { tag(number, 0) + varint(value) }

    static func bytes(_ number: UInt64, _ content: [UInt8]) -> [UInt8] {
        tag(number, 2) + varint(UInt64(content.count)) + content
    }

    static func text(_ number: UInt64, _ content: String) -> [UInt8] { bytes(number, Array(content.utf8)) }

    /// An entry of a map.
    static func entry(_ number: UInt64, _ key: String, _ value: [UInt8]) -> [UInt8] {
        bytes(number, text(1, key) + bytes(2, value))
    }
}

extension TestArena {
    /// A received gRPC message.
    func call(_ path: String, _ body: [UInt8]?) -> UnsafePointer<sluice_message> {
        var message = message(body ?? [])
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.method = bytes("POST")
        message.path = bytes(path)
        message.target = message.path
        if body == nil {
            message.body_state = UInt32(SLUICE_BODY_STREAMING)
            message.body_count = 0
        }
        return array([message])
    }

    /// Stage HEAD of a call, its first message at hand or (nil) not.
    func head<Codec: GRPCCodec>(
        _ codec: Codec, _ method: Codec.Method, _ body: [UInt8]?
    ) throws(CodecFailure) -> (verdict: Int32, request: sluice_request) {
        var request = sluice_request()
        request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        request.message = call("\(method.path)", body)
        var match = sluice_match()
        match.route = UInt32(method.rawValue)
        let verdict = try codec.decodeHead(match, &request, arena: arena)
        return (verdict, request)
    }

    func tensor(_ name: String, _ datatype: Datatype, _ shape: [Int64], _ data: [UInt8]) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = bytes(name)
        tensor.datatype = datatype.rawValue
        tensor.rank = UInt32(shape.count)
        tensor.shape = array(shape)
        tensor.data = bytes(data)
        return tensor
    }

    func payload(_ tensors: [sluice_tensor]) -> sluice_payload {
        var payload = sluice_payload()
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        payload.tensors = array(tensors)
        payload.tensor_count = UInt32(tensors.count)
        return payload
    }

    func parameter(_ name: String, _ text: String) -> sluice_parameter {
        var parameter = sluice_parameter()
        parameter.name = bytes(name)
        parameter.kind = UInt32(SLUICE_PARAMETER_STRING)
        parameter.text = bytes(text)
        return parameter
    }
}

extension [UInt8] {
    var hexadecimal: String { map { String(format: "%02x", $0) }.joined() }

    init(hexadecimal: some StringProtocol) {
        let digits = Array(hexadecimal.utf8).map { UInt8(Character(UnicodeScalar($0)).hexDigitValue ?? 0) }
        self = stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

/// Google's protobuf library, in Python: Oracle/oracle.py.
enum Oracle {
    private static var root: URL { URL(fileURLWithPath: #filePath).appending(path: "../../..").standardized }

    private static var python: URL { root.appending(path: ".venv-test/bin/python") }

    /// Whether the tests' Python is there, and has what the oracle needs.
    static let isInstalled: Bool = {
        let process = Process()
        process.executableURL = python
        process.arguments = ["-c", "import grpc, grpc_tools, google.protobuf"]
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    private static func run(_ script: String, _ arguments: [String]) throws -> [String] {
        let process = Process()
        process.executableURL = python
        process.arguments = [root.appending(path: "Tests/AdapterTests/Oracle/\(script)").path] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw OracleError.failed(process.terminationStatus) }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    enum OracleError: Error {
        case failed(Int32)
    }

    /// A message of each kind for each datatype and shape, as the library makes it.
    static func vectors() throws -> [(kind: String, tensor: String, message: [UInt8])] {
        try run("oracle.py", ["vectors"]).map { line in
            let parts = line.split(separator: " ")
            return (
                String(parts[0]), "x:" + parts[1...3].joined(separator: ":"), [UInt8](hexadecimal: parts[4])
            )
        }
    }

    /// What the library reads in messages.
    static func read(_ messages: [(kind: String, message: [UInt8])]) throws -> [String] {
        try ask("oracle.py", ["read"], messages)
    }

    /// What the example model server of Plugins/ModelService answers to calls, in their order: `OK` and the answer in
    /// hexadecimal, or a code and its words.
    static func askExample(_ calls: [(method: String, message: [UInt8])]) throws -> [String] {
        try ask("example.py", [], calls)
    }

    private static func ask(
        _ script: String, _ arguments: [String], _ messages: [(String, [UInt8])]
    ) throws -> [String] {
        let file = FileManager.default.temporaryDirectory.appending(path: "oracle-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try messages.map { "\($0) \($1.hexadecimal)\n" }.joined()
            .write(to: file, atomically: true, encoding: .utf8)
        return try run(script, arguments + [file.path])
    }
}

extension sluice_tensor {
    /// As the oracle writes tensors: NAME:DATATYPE:SHAPE:DATA.
    var description: String {
        let shape = shapeBuffer.map { "\($0)" }.joined(separator: ",")
        let name = Datatype(rawValue: datatype).map { "\($0.name)" } ?? "?"
        let data = data.array.hexadecimal
        return "\(self.name.text):\(name):\(shape.isEmpty ? "-" : shape):\(data.isEmpty ? "-" : data)"
    }
}
