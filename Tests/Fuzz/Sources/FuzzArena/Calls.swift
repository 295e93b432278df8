import FuzzDriver
import SluiceABI
import SluiceJSON

/// Runs `body` with a gRPC message of the method at `path`, as it is received.
public func withCall<Result>(
    _ path: StaticString, _ bytes: sluice_bytes, _ body: (UnsafePointer<sluice_message>) -> Result
) -> Result {
    withUnsafePointer(to: bytes) { piece in
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.path = .literal(path)
        message.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.body_size = UInt64(bytes.size)
        message.body = piece
        message.body_count = 1
        return withUnsafePointer(to: message) { body($0) }
    }
}

/// Runs `body` with what a message that was made has as its body, in memory that ends with it.
public func withBody<Result>(of message: sluice_message, _ body: (sluice_bytes) -> Result) -> Result {
    var joined: [UInt8] = []
    for index in 0..<Int(message.body_count) { joined += Array(message.body[index].buffer) }
    let exact = UnsafeMutablePointer<UInt8>.allocate(capacity: joined.count)
    defer { exact.deallocate() }
    exact.update(from: joined, count: joined.count)
    return body(sluice_bytes(data: exact, size: joined.count))
}

/// Whether `attempt` succeeds; the failure of one that does not has a code and can be told.
public func succeeds(_ attempt: () throws(CodecFailure) -> Void) -> Bool {
    do throws(CodecFailure) {
        try attempt()
        return true
    } catch {
        expect(error.status < 0, "a failure has a code")
        let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: CodecFailure.maximumTextSize)
        let size = error.write(to: text)
        expect(UTF8Sequence.isValid(sluice_bytes(data: text.baseAddress, size: size)), "a failure's text is UTF-8")
        text.deallocate()
        return false
    }
}

/// Reads the request of an inference that `message` is, and hands it on; false when it is refused.
public func readInference(
    _ message: UnsafePointer<sluice_message>, _ codec: some MessageCodec, _ arena: ExchangeArena,
    then: (sluice_request) -> Void
) -> Bool {
    var request = sluice_request()
    request.message = message
    request.operation = UInt32(SLUICE_OPERATION_INFER)
    let isRead = succeeds { () throws(CodecFailure) in try codec.decodeBody(&request, arena: arena) }
    if isRead { then(request) }
    return isRead
}

/// Reads a backend's answer to a request of that operation; nil when it is refused.
public func readAnswer(
    _ operation: Int32, _ message: UnsafePointer<sluice_message>, _ codec: some MessageCodec, _ arena: ExchangeArena
) -> sluice_response? {
    var request = sluice_request()
    request.message = message
    request.operation = UInt32(operation)
    var response = sluice_response()
    return succeeds { () throws(CodecFailure) in
        _ = try codec.decodeResponse(message.pointee, to: request, into: &response, arena: arena)
    } ? response : nil
}

/// Answers a request with its own tensors, all of them whatever it asks for; `body` gets the answer's body.
public func answerWithItsTensors(
    _ request: sluice_request, _ codec: some MessageCodec, _ arena: ExchangeArena, _ body: (sluice_bytes) -> Void
) {
    var response = sluice_response()
    response.operation = request.operation
    response.payload = request.payload
    var asked = request
    asked.payload.output_count = 0
    var made = sluice_message()
    let isMade = succeeds { () throws(CodecFailure) in
        try codec.encode(response, to: asked, into: &made, arena: arena)
    }
    expect(isMade, "what was read can be answered")
    withBody(of: made, body)
}

/// What must hold of tensors that were read, and of the same ones after they were written and read again.
public func expectSame(_ one: sluice_payload, _ other: sluice_payload) {
    expect(one.tensor_count == other.tensor_count, "all tensors are kept")
    for index in 0..<Int(one.tensor_count) {
        guard let first = one.tensors?[index], let second = other.tensors?[index] else { continue }
        expect(first.name.equals(second.name) && first.datatype == second.datatype, "tensors keep name and datatype")
        expect(first.shapeBuffer.elementsEqual(second.shapeBuffer), "tensors keep their shape")
        expect(first.data.buffer.elementsEqual(second.data.buffer), "tensors keep their data")
        expect(first.region.equals(second.region) && first.region_size == second.region_size, "regions are kept")
    }
}

/// The bytes of all tensors are as many as their shapes say.
public func expectSized(_ payload: sluice_payload) {
    for index in 0..<Int(payload.tensor_count) {
        guard let tensor = payload.tensors?[index], tensor.region.isEmpty else { continue }
        guard let datatype = Datatype(rawValue: tensor.datatype),
            let count = try? TensorShape.elementCount(tensor.shapeBuffer, of: tensor.name)
        else {
            expect(false, "a tensor has a datatype and a shape")
            continue
        }
        let isSized =
            datatype == .bytes
            ? BytesElements.count(tensor.data) == count : tensor.data.buffer.count == count * datatype.elementSize
        expect(isSized, "a tensor is as large as its shape")
    }
}
