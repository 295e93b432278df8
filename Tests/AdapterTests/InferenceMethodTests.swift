import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import SluiceProtobuf
import Testing

private var codec: OpenInferenceProtocol { OpenInferenceProtocol(isBinary: false) }

/// Stage HEAD of a call, its first message at hand or (nil) not.
private func head(
    _ method: InferenceMethod, _ body: [UInt8]?, in test: TestArena, codec: OpenInferenceProtocol = codec
) throws(CodecFailure) -> (verdict: Int32, request: sluice_request) {
    var request = sluice_request()
    request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
    request.message = test.call("\(method.path)", body)
    let verdict = try codec.decodeCall(method.rawValue, &request, arena: test.arena)
    return (verdict, request)
}

/// `encode_request` toward an endpoint of `transport`.
private func send(
    _ request: sluice_request, over transport: Int32, same: Bool, renamed: Bool = false, in test: TestArena,
    codec: OpenInferenceProtocol = codec
) throws(CodecFailure) -> (verdict: Int32, message: sluice_message) {
    try test.send(request, codec, over: transport, same: same, renamed: renamed)
}

private let named: [InferenceMethod] = [
    .modelReady, .modelMetadata, .modelInfer, .modelStreamInfer, .modelConfig, .modelStatistics,
]
private let repository: [InferenceMethod] = [.repositoryModelLoad, .repositoryModelUnload, .traceSetting]

@Suite struct InferenceMethodTests {
    @Test func serverCallsNeedNoMessage() throws {
        let test = TestArena()
        for (method, operation) in [
            (InferenceMethod.serverLive, SLUICE_OPERATION_SERVER_LIVE), (.serverReady, SLUICE_OPERATION_SERVER_READY),
            (.serverMetadata, SLUICE_OPERATION_SERVER_METADATA),
        ] {
            let (verdict, request) = try head(method, nil, in: test)
            #expect(verdict == SLUICE_OK && request.operation == UInt32(operation) && request.model.isEmpty)
        }
    }

    @Test func theModelIsAskedForAndThenPeekedAt() throws {
        let test = TestArena()
        for method in named + repository {
            #expect(try head(method, nil, in: test).verdict == SLUICE_NEED_BODY)
        }
        for method in named {
            let (verdict, request) = try head(method, Wire.text(1, "m") + Wire.text(2, "3"), in: test)
            #expect(verdict == SLUICE_OK && request.model.text == "m" && request.version.text == "3")
        }
        for method in repository {
            let (verdict, request) = try head(method, Wire.text(1, "repository") + Wire.text(2, "m"), in: test)
            #expect(verdict == SLUICE_OK && request.model.text == "m" && request.version.isEmpty)
        }
        #expect(
            failure { () throws(CodecFailure) in _ = try head(.modelReady, [], in: test) }
                == "the request names no model")
        #expect(
            failure { () throws(CodecFailure) in _ = try head(.modelReady, [0x0A, 0x05, 0x61], in: test) }
                == "the protobuf message ends within a field, at byte 2")
    }

    /// Nothing inside of a tensor is looked at and nothing is allocated: bytes that are no message don't matter.
    @Test func peekingDecodesNoTensor() throws {
        let test = TestArena(limit: 0)
        let broken = Wire.bytes(5, [0xFF, 0xFF]) + Wire.bytes(7, [UInt8](repeating: 0xFF, count: 100))
        let (verdict, request) = try head(.modelInfer, broken + Wire.text(1, "late"), in: test)
        #expect(verdict == SLUICE_OK && request.model.text == "late")
        #expect(request.operation == UInt32(SLUICE_OPERATION_INFER))
        #expect(request.payload.kind == UInt32(SLUICE_PAYLOAD_STREAM))
        // The last one of a name counts, as in any protobuf library.
        #expect(
            try head(.modelInfer, Wire.text(1, "a") + Wire.text(1, "b"), in: test).request.model.text == "b")
    }

    @Test func callsWithoutAModelAreForTheServerModel() throws {
        let test = TestArena()
        #expect(try head(.other, nil, in: test).verdict == SLUICE_DECLINE)
        let withModel = OpenInferenceProtocol(isBinary: false, serverModel: "main")
        let (verdict, request) = try head(.other, nil, in: test, codec: withModel)
        #expect(verdict == SLUICE_OK && request.model.text == "main")
        #expect(request.operation == UInt32(SLUICE_OPERATION_OTHER))
        let statistics = try head(.modelStatistics, [], in: test, codec: withModel).request
        #expect(statistics.model.text == "main")
        // Named nothing, it stays as it is whatever the backend calls the model.
        let passed = try send(
            request, over: SLUICE_TRANSPORT_GRPC, same: true, renamed: true, in: test, codec: withModel)
        #expect(passed.verdict == SLUICE_PASS)
    }

    @Test func callsPassWhereNothingChanges() throws {
        let test = TestArena()
        for method in named + repository {
            let request = try head(method, Wire.text(1, "m") + Wire.text(2, "m"), in: test).request
            let (verdict, message) = try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, in: test)
            #expect(verdict == SLUICE_PASS && message.target.isEmpty && message.body_count == 0)
        }
    }

    @Test func anotherNameIsSplicedIn() throws {
        let test = TestArena()
        let tensor = Wire.bytes(5, Infer.tensor("x", "UINT8", [4096]))
        let raw = Wire.bytes(7, [UInt8](repeating: 0xAA, count: 4096))
        let body = Wire.text(1, "m") + Wire.text(3, "id") + tensor + raw + Wire.text(2, "3") + Wire.number(99, 1)
        let request = try head(.modelInfer, body, in: test).request
        let (verdict, message) = try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, renamed: true, in: test)
        // Method, path and fields are the client's.
        #expect(verdict == SLUICE_PASS && message.target.isEmpty && message.method.isEmpty)
        #expect(
            message.joinedBody == Wire.text(1, "other") + Wire.text(2, "7") + Wire.text(3, "id") + tensor + raw
                + Wire.number(99, 1))
        // The tensor's bytes are the client's own.
        let received = try #require(request.message).pointee.wholeBody
        let start = try #require(received.data)
        #expect(
            (0..<Int(message.body_count)).contains { index in
                guard let piece = message.body[index].data else { return false }
                return piece >= start && piece < start + received.size && message.body[index].size > 4096
            })
        for method in repository {
            let call = try head(method, Wire.text(1, "r") + Wire.text(2, "m") + Wire.text(3, "z"), in: test).request
            let sent = try send(call, over: SLUICE_TRANSPORT_GRPC, same: true, renamed: true, in: test).message
            #expect(sent.joinedBody == Wire.text(2, "other") + Wire.text(1, "r") + Wire.text(3, "z"))
            #expect(sent.target.isEmpty)
        }
        let stream = try head(.modelStreamInfer, Wire.text(1, "m"), in: test).request
        let refused = failure { () throws(CodecFailure) in
            _ = try send(stream, over: SLUICE_TRANSPORT_GRPC, same: true, renamed: true, in: test)
        }
        #expect(refused?.contains("each message of a stream names the model") == true)
        // A host that has not kept the message is asked for it.
        var lost = request
        lost.message = test.call(Infer.path, nil)
        #expect(
            try send(lost, over: SLUICE_TRANSPORT_GRPC, same: true, renamed: true, in: test).verdict == SLUICE_NEED_BODY
        )
    }

    /// From HTTP to gRPC and back: the same protocol, but not the same message.
    @Test func theEndpointsTransportDecidesTheForm() throws {
        let test = TestArena()
        // gRPC client, HTTP backend.
        let body = Infer.request([Infer.tensor("x", "UINT8", [2])], raw: [[1, 2]])
        var call = try head(.modelInfer, body, in: test).request
        #expect(try send(call, over: SLUICE_TRANSPORT_HTTP, same: true, in: test).verdict == SLUICE_NEED_BODY)
        try codec.decodeBody(&call, arena: test.arena)
        var (verdict, message) = try send(call, over: SLUICE_TRANSPORT_HTTP, same: true, renamed: true, in: test)
        #expect(verdict == SLUICE_OK && message.transport == UInt32(SLUICE_TRANSPORT_HTTP))
        #expect(message.target.text == "/v2/models/other/versions/7/infer" && message.method.text == "POST")
        #expect(
            message.bodyText
                == #"{"id":"id","inputs":[{"name":"x","datatype":"UINT8","shape":[2],"data":[1,2]}]}"#)
        let ready = try head(.modelReady, Wire.text(1, "m"), in: test).request
        message = try send(ready, over: SLUICE_TRANSPORT_HTTP, same: true, in: test).message
        #expect(message.method.text == "GET" && message.target.text == "/v2/models/other/versions/7/ready")
        let config = try head(.modelConfig, Wire.text(1, "m"), in: test).request
        let refused = failure { () throws(CodecFailure) in
            _ = try send(config, over: SLUICE_TRANSPORT_HTTP, same: true, in: test)
        }
        #expect(refused == "the operation is only passed on to a backend of the client's own protocol and transport")

        // HTTP client, gRPC backend.
        let json = #"{"id":"id","inputs":[{"name":"x","datatype":"UINT8","shape":[2],"data":[1,2]}]}"#
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.message = test.array([test.message(json)])
        request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        #expect(try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, in: test).verdict == SLUICE_NEED_BODY)
        try codec.decodeBody(&request, arena: test.arena)
        (verdict, message) = try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, in: test)
        #expect(verdict == SLUICE_OK && message.transport == UInt32(SLUICE_TRANSPORT_GRPC))
        #expect(message.target.text == Infer.path && message.authority.text == "backend:1")
        #expect(
            message.joinedBody == Wire.text(1, "other") + Wire.text(2, "7") + Wire.text(3, "id")
                + Wire.bytes(5, Infer.tensor("x", "UINT8", [2])) + Wire.bytes(7, [1, 2]))
        request.operation = UInt32(SLUICE_OPERATION_MODEL_METADATA)
        message = try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, in: test).message
        #expect(message.target.text == "\(InferenceMethod.modelMetadata.path)")
        #expect(message.joinedBody == Wire.text(1, "other") + Wire.text(2, "7"))
        request.operation = UInt32(SLUICE_OPERATION_MODEL_READY)
        message = try send(request, over: SLUICE_TRANSPORT_GRPC, same: true, in: test).message
        #expect(message.target.text == "\(InferenceMethod.modelReady.path)")
        for transport in [SLUICE_TRANSPORT_TCP, 9] {
            let refused = failure { () throws(CodecFailure) in
                _ = try send(request, over: transport, same: true, in: test)
            }
            #expect(refused?.contains("needs HTTP") == true && refused?.contains("'backend:1'") == true)
        }
    }

    /// A client that sent typed contents gets typed ones, as far as the datatypes have them.
    @Test func answersHaveTheFormOfTheRequest() throws {
        let test = TestArena()
        let raw = [[1, 2]] as [[UInt8]]
        let typed = Infer.tensor("x", "UINT8", [2], contents: Wire.bytes(4, [1, 2]))
        let bare = Infer.tensor("x", "UINT8", [2])
        for (body, isTyped) in [(Infer.request([typed]), true), (Infer.request([bare], raw: raw), false)] {
            var request = try head(.modelInfer, body, in: test).request
            try codec.decodeBody(&request, arena: test.arena)
            var response = sluice_response()
            response.operation = request.operation
            response.version = test.bytes("3")
            response.payload = test.payload([test.tensor("x", .uint8, [2], [1, 2])])
            var message = sluice_message()
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            #expect(message.transport == UInt32(SLUICE_TRANSPORT_GRPC))
            #expect(message.joinedBody == (isTyped ? Infer.response([typed]) : Infer.response([bare], raw: raw)))
            // One tensor that has no typed form makes all raw: a message is of one kind.
            response.payload = test.payload([
                test.tensor("x", .uint8, [2], [1, 2]), test.tensor("h", .fp16, [1], [0, 0x3C]),
            ])
            message = sluice_message()
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            #expect(
                message.joinedBody
                    == Infer.response([bare, Infer.tensor("h", "FP16", [1])], raw: raw + [[0, 0x3C]]))
        }
    }

    @Test func onlyRequestedOutputsAreAnswered() throws {
        let test = TestArena()
        var request = try head(
            .modelInfer, Infer.request([], more: Wire.bytes(6, Wire.text(1, "y"))), in: test
        ).request
        try codec.decodeBody(&request, arena: test.arena)
        var response = sluice_response()
        response.operation = request.operation
        response.model = test.bytes("m")
        response.version = test.bytes("3")
        response.payload = test.payload([
            test.tensor("x", .bool, [1], [1]), test.tensor("y", .bool, [1], [0]), test.tensor("z", .bool, [1], [1]),
        ])
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(message.joinedBody == Infer.response([Infer.tensor("y", "BOOL", [1])], raw: [[0]]))
        // Who made a tensor that is wrong in itself is at fault, not who is sent it.
        response.payload = test.payload([test.tensor("y", .fp32, [2], [1])])
        do throws(CodecFailure) {
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            Issue.record("accepted")
        } catch {
            #expect(error.status == SLUICE_INTERNAL)
        }
    }

    @Test func statesAndMetadataAreAnswered() throws {
        let test = TestArena()
        func answer(_ method: InferenceMethod, _ response: sluice_response) throws -> [UInt8] {
            let request = try head(method, method == .serverLive ? nil : Wire.text(1, "m"), in: test).request
            var response = response
            response.operation = request.operation
            var message = sluice_message()
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            #expect(message.body_state == UInt32(SLUICE_BODY_WHOLE))
            return message.joinedBody
        }
        var response = sluice_response()
        for method in [InferenceMethod.serverLive, .serverReady, .modelReady] {
            response.ready = 1
            #expect(try answer(method, response) == Wire.number(1, 1))
            response.ready = 0
            // proto3 leaves a false out: the message is empty, but there.
            #expect(try answer(method, response).isEmpty)
        }
        var metadata = sluice_metadata()
        metadata.name = test.bytes("sluice")
        metadata.version = test.bytes("0.1")
        metadata.versions = test.array([test.bytes("e")])
        metadata.version_count = 1
        response.metadata = test.array([metadata])
        #expect(
            try answer(.serverMetadata, response) == Wire.text(1, "sluice") + Wire.text(2, "0.1") + Wire.text(3, "e"))
    }

    @Test func backendsAnswersAreRead() throws {
        let test = TestArena()
        func read(_ operation: Int32, _ body: [UInt8]) throws(CodecFailure) -> sluice_response {
            var request = sluice_request()
            request.operation = UInt32(operation)
            var response = sluice_response()
            let message = test.call("", body).pointee
            _ = try codec.decodeResponse(message, to: request, into: &response, arena: test.arena)
            return response
        }
        #expect(try read(SLUICE_OPERATION_MODEL_READY, Wire.number(1, 1)).ready == 1)
        #expect(try read(SLUICE_OPERATION_MODEL_READY, []).ready == 0)
        let spec = Wire.text(1, "x") + Wire.text(2, "FP32") + Wire.bytes(3, Wire.varint(.max) + [4])
        let described = try read(
            SLUICE_OPERATION_MODEL_METADATA,
            Wire.text(1, "m") + Wire.text(2, "1") + Wire.text(2, "2") + Wire.text(3, "p") + Wire.bytes(4, spec))
        let metadata = try #require(described.metadata).pointee
        #expect(metadata.name.text == "m" && metadata.version_count == 2 && metadata.versions[1].text == "2")
        #expect(metadata.platform.text == "p" && metadata.input_count == 1 && metadata.output_count == 0)
        #expect(metadata.inputs[0].rank == 2 && metadata.inputs[0].shape[0] == -1 && metadata.inputs[0].shape[1] == 4)
        // A client gets it under the name that it knows, also where its backend has another one.
        var renamed = described
        renamed.model = test.bytes("ours")
        var request = sluice_request()
        request.message = test.call("", [])
        var written = sluice_message()
        try codec.encode(renamed, to: request, into: &written, arena: test.arena)
        #expect(written.joinedBody.starts(with: Wire.text(1, "ours") + Wire.text(2, "1")))
        let answer = try read(
            SLUICE_OPERATION_INFER, Infer.response([Infer.tensor("y", "INT16", [1])], raw: [[5, 0]]))
        #expect(answer.model.text == "m" && answer.version.text == "3" && answer.id.text == "id")
        #expect(answer.payload.tensors[0].description == "y:INT16:1:0500")
        let typed = Infer.tensor("y", "INT16", [1], contents: Wire.bytes(2, [5]))
        #expect(
            try read(SLUICE_OPERATION_INFER, Infer.response([typed])).payload.tensors[0].description
                == "y:INT16:1:0500")
        for (operation, body) in [
            (SLUICE_OPERATION_INFER, [0xFF]), (SLUICE_OPERATION_MODEL_METADATA, Wire.bytes(4, Wire.text(1, "x"))),
            (SLUICE_OPERATION_INFER, Infer.response([Infer.tensor("y", "INT16", [1])], raw: [[5]])),
        ] as [(Int32, [UInt8])] {
            let text = failure { () throws(CodecFailure) in _ = try read(operation, body) }
            #expect(text?.hasPrefix("the backend's answer cannot be read: ") == true)
        }
    }
}
