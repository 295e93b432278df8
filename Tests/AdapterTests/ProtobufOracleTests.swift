import ModelServiceCodec
import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import SluiceProtobuf
import TFServingCodec
import Testing

/// Each protocol of tensors over gRPC: how its messages become unified ones, and back.
private enum TensorProtocol: String, CaseIterable {
    case v2
    case tf
    case sluice

    var path: String {
        switch self {
        case .v2: "/inference.GRPCInferenceService/ModelInfer"
        case .tf: "/tensorflow.serving.PredictionService/Predict"
        case .sluice: "/sluice.v1.ModelService/Predict"
        }
    }

    func decodeBody(_ request: inout sluice_request, _ test: TestArena) throws(CodecFailure) {
        switch self {
        case .v2: try OpenInferenceProtocol(isBinary: false).decodeBody(&request, arena: test.arena)
        case .tf: try TFServingProtocol().decodeBody(&request, arena: test.arena)
        case .sluice: try ModelServiceProtocol().decodeBody(&request, arena: test.arena)
        }
    }

    func decodeResponse(
        _ message: sluice_message, _ request: sluice_request, _ response: inout sluice_response, _ test: TestArena
    ) throws(CodecFailure) {
        switch self {
        case .v2:
            let refusal = try OpenInferenceProtocol(isBinary: false).decodeResponse(
                message, to: request, into: &response, arena: test.arena)
            #expect(refusal == nil)
        case .tf: _ = try TFServingProtocol().decodeResponse(message, to: request, into: &response, arena: test.arena)
        case .sluice:
            _ = try ModelServiceProtocol().decodeResponse(message, to: request, into: &response, arena: test.arena)
        }
    }

    func encode(
        _ response: sluice_response, _ request: sluice_request, _ message: inout sluice_message, _ test: TestArena
    ) throws(CodecFailure) {
        switch self {
        case .v2:
            try OpenInferenceProtocol(isBinary: false).encode(
                response, to: request, into: &message, arena: test.arena)
        case .tf: try TFServingProtocol().encode(response, to: request, into: &message, arena: test.arena)
        case .sluice: try ModelServiceProtocol().encode(response, to: request, into: &message, arena: test.arena)
        }
    }

    func encodeRequest(
        _ request: sluice_request, _ target: sluice_target, _ message: inout sluice_message, _ test: TestArena
    ) throws(CodecFailure) -> Int32 {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        return switch self {
        case .v2:
            try OpenInferenceProtocol(isBinary: false).encodeRequest(
                request, for: target, into: &message, arena: test.arena)
        case .tf: try TFServingProtocol().encodeRequest(request, for: target, into: &message, arena: test.arena)
        case .sluice:
            try ModelServiceProtocol().encodeRequest(request, for: target, into: &message, arena: test.arena)
        }
    }

    func request(_ body: [UInt8], _ test: TestArena) -> sluice_request {
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.message = test.call(path, body)
        return request
    }
}

@Suite(.enabled(if: Oracle.isInstalled, "Python with grpcio-tools in .venv-test"))
struct ProtobufOracleTests {
    /// What Google's library writes, in every form that a protocol has, for each datatype at its bounds, and for shapes
    /// with many, one, no and an empty dimension, is read as it was meant. Sent on in each of the protocols, as a
    /// request and as a response, the library reads the same tensor.
    @Test func everyDatatypeGoesThroughEveryProtocol() throws {
        let vectors = try Oracle.vectors()
        #expect(vectors.count == 14 * 5 * 10 - 2 * 5 * 2)
        var sent: [(kind: String, message: [UInt8])] = []
        var expected: [String] = []
        for vector in vectors {
            let test = TestArena()
            let parts = vector.kind.split(separator: "-")
            let from = try #require(TensorProtocol(rawValue: String(parts[0])))
            var request = from.request(vector.message, test)
            var response = sluice_response()
            if parts[1] == "request" {
                try from.decodeBody(&request, test)
                #expect(request.model.text == "m" && request.version.text == "1")
                response.payload = request.payload
                response.operation = request.operation
            } else {
                let message = test.call(from.path, vector.message).pointee
                try from.decodeResponse(message, request, &response, test)
                request.payload = response.payload
                #expect(response.model.text == "m" && response.version.text == "1")
            }
            try #require(request.payload.tensor_count == 1)
            #expect(request.payload.tensors[0].description == vector.tensor, "\(vector.kind)")
            for to in TensorProtocol.allCases {
                var target = sluice_target()
                target.model = test.bytes("n")
                target.version = test.bytes("2")
                var message = sluice_message()
                #expect(try to.encodeRequest(request, target, &message, test) == SLUICE_OK)
                #expect(message.path.text == to.path && message.target.text == to.path)
                #expect(message.body_size == UInt64(message.joinedBody.count))
                sent.append(("\(to)-request", message.joinedBody))
                expected.append(said(to, vector, "n 2", request))
                response.model = test.bytes("k")
                response.version = test.bytes("3")
                message = sluice_message()
                try to.encode(response, to.request([], test), &message, test)
                #expect(message.transport == UInt32(SLUICE_TRANSPORT_GRPC))
                sent.append(("\(to)-response", message.joinedBody))
                expected.append(said(to, vector, "k 3", sluice_request(), response))
            }
        }
        let read = try Oracle.read(sent)
        try #require(read.count == expected.count)
        for index in read.indices where read[index] != expected[index] {
            Issue.record("\(sent[index].kind): \(read[index]), not \(expected[index])")
        }
    }

    /// What the oracle says of a message: model, version and id or signature, parameters, the tensor and its own.
    private func said(
        _ to: TensorProtocol, _ vector: (kind: String, tensor: String, message: [UInt8]), _ names: String,
        _ request: sluice_request, _ response: sluice_response? = nil
    ) -> String {
        let isTensorFlow = vector.kind.hasPrefix("tf")
        let id = response?.id.text ?? request.id.text
        if to == .tf {
            // The signature of a request follows its parameter; of an answer the request, which has none here.
            return "\(names) \(response == nil && isTensorFlow ? "s" : "") \(vector.tensor)"
        }
        let kinds = to == .v2 ? ("double_param", "bool_param", "string_param") : ("number", "boolean", "text")
        let before = isTensorFlow ? "signature_name=\(kinds.2)" : "p=\(kinds.0)"
        return "\(names) \(id) \(before) \(vector.tensor)" + (isTensorFlow ? "" : " q=\(kinds.1)")
    }

    @Test func metadataIsReadByTheLibrary() throws {
        let test = TestArena()
        var spec = sluice_tensor_spec()
        spec.name = test.bytes("x")
        spec.datatype = Datatype.fp32.rawValue
        spec.rank = 3
        spec.shape = test.array([-1, 0, 4])
        var metadata = sluice_metadata()
        metadata.name = test.bytes("m")
        metadata.platform = test.bytes("p")
        metadata.versions = test.array([test.bytes("1"), test.bytes("2")])
        metadata.version_count = 2
        metadata.inputs = test.array([spec])
        metadata.input_count = 1
        spec.datatype = Datatype.bytes.rawValue
        spec.name = test.bytes("y")
        metadata.outputs = test.array([spec])
        metadata.output_count = 1
        var response = sluice_response()
        response.metadata = test.array([metadata])
        response.version = test.bytes("1")
        response.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        var sent: [(kind: String, message: [UInt8])] = []
        for (to, kind) in [(TensorProtocol.v2, "v2-metadata"), (.tf, "tf-metadata")] {
            var request = to.request([], test)
            request.model = test.bytes("m")
            request.operation = response.operation
            var message = sluice_message()
            try to.encode(response, request, &message, test)
            sent.append((kind, message.joinedBody))
            // And back.
            var answer = sluice_response()
            try to.decodeResponse(test.call(to.path, message.joinedBody).pointee, request, &answer, test)
            let read = try #require(answer.metadata).pointee
            #expect(read.name.text == "m")
            #expect(read.version_count == (to == .v2 ? 2 : 1))
            #expect(read.inputs[0].name.text == "x")
            #expect(Array(UnsafeBufferPointer(start: read.inputs[0].shape, count: 3)) == [-1, 0, 4])
            #expect(read.outputs[0].datatype == Datatype.bytes.rawValue)
        }
        response.operation = UInt32(SLUICE_OPERATION_SERVER_METADATA)
        var message = sluice_message()
        try TensorProtocol.v2.encode(response, TensorProtocol.v2.request([], test), &message, test)
        sent.append(("v2-server", message.joinedBody))
        #expect(
            try Oracle.read(sent) == [
                "m 1 2 p x:FP32:-1,0,4 y:BYTES:-1,0,4", "m 1 x:DT_FLOAT:-1,0,4 y:DT_STRING:-1,0,4", "m  1 2",
            ])
    }
}
