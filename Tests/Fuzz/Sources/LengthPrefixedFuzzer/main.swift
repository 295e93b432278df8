// Bytes of a connection that speaks the length-prefixed protocol: what `frame` says of some bytes it says of more, and
// what is accepted as a message can be sent on and answered, and read again to the same tensors.
import FuzzArena
import FuzzDriver
import LengthPrefixedCodec
import SluiceABI
import SluiceJSON

let sentID: UInt64 = 0x0102_0304_0506_0708

enum Framed: Equatable {
    case size(Int)
    case needMore
    case refused
}

func frame(_ bytes: sluice_bytes) -> Framed {
    var framed = Framed.refused
    _ = succeeds { () throws(CodecFailure) in
        framed = try MessageHeader.frame(bytes).map { .size($0) } ?? .needMore
    }
    return framed
}

/// The same bytes may come in any pieces.
func expectSteady(_ bytes: sluice_bytes, _ whole: Framed) {
    guard let data = bytes.data else { return }
    for count in cuts(of: bytes.size, by: data) {
        let part = frame(sluice_bytes(data: data, size: count))
        expect(part == whole || part == .needMore, "what some bytes tell, more do not change")
        expect(count < 8 || part == whole, "eight bytes tell all")
    }
}

func withMessage<Result>(_ bytes: sluice_bytes, _ body: (UnsafePointer<sluice_message>) -> Result) -> Result {
    withUnsafePointer(to: bytes) { piece in
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_TCP)
        message.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.body_size = UInt64(bytes.size)
        message.body = piece
        message.body_count = 1
        return withUnsafePointer(to: message) { body($0) }
    }
}

/// Reads a request and hands it on; false when it is refused.
func read(
    _ bytes: sluice_bytes, _ codec: LengthPrefixedProtocol, _ arena: ExchangeArena, then: (sluice_request) -> Void
) -> Bool {
    withMessage(bytes) { message in
        var request = sluice_request()
        request.message = message
        let isRead = succeeds { () throws(CodecFailure) in
            try codec.decodeHead(&request, arena: arena)
            try codec.decodeBody(&request, arena: arena)
        }
        if isRead { then(request) }
        return isRead
    }
}

/// The id of a message that is long enough to have one.
func messageID(_ bytes: sluice_bytes) -> UInt64 {
    guard bytes.size >= 20 else { return 0 }
    return bytes.slice(12, 8).buffer.reduce(0) { $0 << 8 | UInt64($1) }
}

/// Reads an answer to a request that had the same id; nil when it is refused.
func answer(_ operation: Int32, _ bytes: sluice_bytes, _ arena: ExchangeArena) -> sluice_response? {
    let codec = LengthPrefixedProtocol(sentID: messageID(bytes))
    return withMessage(bytes) { readAnswer(operation, $0, codec, arena) }
}

func send(_ request: sluice_request, _ codec: LengthPrefixedProtocol, same: Bool) {
    var target = sluice_target()
    target.model = .literal("other")
    target.version = .literal("9")
    target.same_protocol = same ? 1 : 0
    target.renamed = 1
    let next = BoundedArena()
    var sent = sluice_message()
    sent.transport = UInt32(SLUICE_TRANSPORT_TCP)
    let isSent = succeeds { () throws(CodecFailure) in
        _ = try codec.encodeRequest(request, for: target, into: &sent, arena: next.arena)
    }
    expect(isSent || request.operation == UInt32(SLUICE_OPERATION_SERVER_READY), "what was read can be sent on")
    guard isSent else { return }
    withBody(of: sent) { bytes in
        expect(frame(bytes) == .size(bytes.size), "what was sent is one message")
        expect(messageID(bytes) == sentID, "the id is the gateway's own")
        let isRead = read(bytes, codec, next.arena) { again in
            expect(again.model.equals("other") && again.version.equals("9"), "the model has its other name")
            expect(again.payload.output_count == request.payload.output_count, "all outputs are kept")
            expectSame(request.payload, again.payload)
        }
        expect(isRead, "what was sent can be read")
    }
}

func respond(to request: sluice_request, _ codec: LengthPrefixedProtocol) {
    let next = BoundedArena()
    answerWithItsTensors(request, codec, next.arena) { bytes in
        expect(frame(bytes) == .size(bytes.size), "an answer is one message")
        guard request.operation == UInt32(SLUICE_OPERATION_INFER) else { return }
        guard let again = answer(SLUICE_OPERATION_INFER, bytes, next.arena) else {
            return expect(false, "what was answered can be read")
        }
        expectSame(request.payload, again.payload)
    }
}

fuzz { data, count in
    let bytes = sluice_bytes(data: data, size: count)
    let codec = LengthPrefixedProtocol(sentID: sentID)
    let framed = frame(bytes)
    expectSteady(bytes, framed)
    guard case .size(let size) = framed else { return 0 }
    expect(size >= 20, "a message has a header")
    // A message that is not all there goes no further in the host; the codec has to stand it.
    let message = size <= count ? sluice_bytes(data: data, size: size) : bytes
    let other = BoundedArena()
    _ = answer(SLUICE_OPERATION_MODEL_READY, message, other.arena)
    if let response = answer(SLUICE_OPERATION_INFER, message, other.arena) { expectSized(response.payload) }
    let memory = BoundedArena()
    let isRead = read(message, codec, memory.arena) { request in
        expectSized(request.payload)
        expect(memory.used <= 64 * count + 4096, "memory is bounded by the message")
        send(request, codec, same: false)
        send(request, codec, same: true)
        respond(to: request, codec)
    }
    expect(!isRead || size <= count, "half a message is none")
    return 0
}
