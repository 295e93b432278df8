import LengthPrefixedCodec
import SluiceABI
import SluiceJSON
import Testing

/// As the messages by hand have it.
private let sentID: UInt64 = 0x0102_0304_0506_0708
private var codec: LengthPrefixedProtocol { LengthPrefixedProtocol(sentID: sentID) }

/// Messages by hand.
private enum Frame {
    static func number(_ value: UInt64, _ size: Int) -> [UInt8] {
        (0..<size).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }

    static func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count), 2) + Array(text.utf8) }

    static func tensor(
        _ name: String, _ datatype: UInt8, _ shape: [UInt64], _ data: [UInt8], size: UInt64? = nil
    ) -> [UInt8] {
        text(name) + [datatype, UInt8(shape.count)] + shape.flatMap { number($0, 8) }
            + number(size ?? UInt64(data.count), 8) + data
    }

    static func message(
        _ kind: UInt8, _ rest: [UInt8] = [], id: UInt64 = 7, model: String = "m", version: String = "",
        protocolVersion: UInt8 = 1, status: UInt64 = 0
    ) -> [UInt8] {
        let content =
            Array("SLTP".utf8) + [protocolVersion, kind] + number(status, 2) + number(id, 8) + text(model)
            + text(version) + rest
        return number(UInt64(content.count), 4) + content
    }

    static func infer(_ tensors: [[UInt8]], outputs: [String] = [], id: UInt64 = 7, model: String = "m") -> [UInt8] {
        message(
            1,
            number(UInt64(outputs.count), 2) + outputs.flatMap(text) + number(UInt64(tensors.count), 2)
                + tensors.flatMap { $0 }, id: id, model: model)
    }

    static func answer(_ tensors: [[UInt8]], id: UInt64 = 7) -> [UInt8] {
        message(0x81, number(UInt64(tensors.count), 2) + tensors.flatMap { $0 }, id: id)
    }
}

extension TestArena {
    /// A received message of raw TCP.
    fileprivate func raw(_ body: [UInt8]) -> UnsafePointer<sluice_message> {
        var message = message(body)
        message.transport = UInt32(SLUICE_TRANSPORT_TCP)
        return array([message])
    }
}

private func decoded(_ bytes: [UInt8], in test: TestArena) throws(CodecFailure) -> sluice_request {
    var request = sluice_request()
    request.message = test.raw(bytes)
    request.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
    try codec.decodeHead(&request, arena: test.arena)
    try codec.decodeBody(&request, arena: test.arena)
    return request
}

private func refusal(_ bytes: [UInt8]) -> String {
    let test = TestArena()
    return withExtendedLifetime(test) {
        failure { () throws(CodecFailure) in _ = try decoded(bytes, in: test) } ?? "accepted"
    }
}

private func sent(
    _ request: sluice_request, same: Bool = false, renamed: Bool = false, over transport: Int32 = SLUICE_TRANSPORT_TCP,
    in test: TestArena
) throws(CodecFailure) -> (verdict: Int32, message: sluice_message) {
    try test.send(request, codec, over: transport, same: same, renamed: renamed, version: "9")
}

private func answer(
    _ bytes: [UInt8], to request: sluice_request, in test: TestArena
) throws(CodecFailure) -> (response: sluice_response, refusal: BackendRefusal?) {
    var response = sluice_response()
    let refusal = try codec.decodeResponse(test.raw(bytes).pointee, to: request, into: &response, arena: test.arena)
    return (response, refusal)
}

@Suite struct LengthPrefixedTests {
    @Test func aMessageTellsItsSizeInItsFirstEightBytes() throws {
        let test = TestArena()
        let message = Frame.infer([])
        for count in 0..<8 {
            #expect(try MessageHeader.frame(test.bytes(Array(message[..<count]))) == nil)
        }
        for count in 8...message.count {
            #expect(try MessageHeader.frame(test.bytes(Array(message[..<count]))) == message.count)
        }
        #expect(try MessageHeader.frame(test.bytes(message + [1, 2, 3])) == message.count)
        let largest = Array(repeating: UInt8(0xFF), count: 4) + Array("SLTP".utf8)
        #expect(try MessageHeader.frame(test.bytes(largest)) == 0x1_0000_0003)
    }

    @Test func strangersAreToldAtTheirFifthByte() {
        let test = TestArena()
        for bytes in [
            Array("GET /".utf8), [0, 0, 0, 9] + Array("SLTQ".utf8), [0, 0, 0, 9] + Array("SX".utf8),
            [0, 0, 0, 15] + Array("SLTP".utf8), [0, 0, 0, 0] + Array("SLTP".utf8),
        ] {
            let text = failure { () throws(CodecFailure) in _ = try MessageHeader.frame(test.bytes(bytes)) }
            #expect(text != nil, "\(bytes)")
        }
    }

    @Test(arguments: Datatype.allCases.filter { $0 != .bytes }) func aTensorCrossesExactly(datatype: Datatype) throws {
        for shape in [[], [0], [3], [2, 0, 4], [2, 3], Array(repeating: UInt64(1), count: 16)] {
            let test = TestArena()
            let count = Int(shape.reduce(1, *))
            let mask = datatype == .bool ? 1 : 0xFF
            let data = (0..<(count * datatype.elementSize)).map { UInt8($0 * 37 & mask) }
            let tensor = Frame.tensor("x", UInt8(datatype.rawValue), shape, data)
            let request = try decoded(Frame.infer([tensor], outputs: ["y"], id: .max), in: test)
            #expect(request.model.text == "m" && request.id.text == "18446744073709551615")
            #expect(request.operation == UInt32(SLUICE_OPERATION_INFER))
            let read = try #require(request.payload.tensors?[0])
            #expect(read.name.text == "x" && read.datatype == datatype.rawValue && read.data.array == data)
            #expect(read.shapeBuffer.map { UInt64($0) } == shape)
            #expect(request.payload.outputs?[0].name.text == "y" && request.payload.output_count == 1)
            let made = try sent(request, in: test)
            #expect(made.verdict == SLUICE_OK)
            var expected = Frame.message(
                1, Frame.number(1, 2) + Frame.text("y") + Frame.number(1, 2) + tensor, id: sentID, model: "other",
                version: "9")
            #expect(made.message.joinedBody == expected)
            // The same tensor as an answer; the client asked for `y`, which is not there.
            var response = sluice_response()
            response.operation = request.operation
            response.payload = request.payload
            var message = sluice_message()
            #expect(
                failure { () throws(CodecFailure) in
                    try codec.encode(response, to: request, into: &message, arena: test.arena)
                } == "the model has no output of that name 'y'")
            var asked = request
            asked.payload.output_count = 0
            message = sluice_message()
            try codec.encode(response, to: asked, into: &message, arena: test.arena)
            expected = Frame.answer([tensor], id: .max)
            #expect(message.joinedBody == expected)
            let back = try answer(Frame.answer([tensor], id: sentID), to: request, in: test)
            #expect(back.refusal == nil && back.response.payload.tensors?[0].data.array == data)
        }
    }

    @Test func whatIsWrongWithAMessage() {
        let good = Frame.tensor("x", 11, [1], [0, 0, 0, 0])
        let rest = Frame.number(0, 2) + Frame.number(1, 2)
        let cases: [([UInt8], String)] = [
            (Array(Frame.infer([good]).dropLast()), "not as long as it says"),
            (Frame.infer([good]) + [0], "not as long as it says"),
            (Frame.message(1, rest + good + [0]), "bytes follow"),
            (Frame.message(1, rest + good.dropLast()), "the data is cut off, in tensor 'x'"),
            (Frame.message(1, [0]), "ends within a value"),
            (Frame.message(1, rest + Frame.number(9, 2) + [0x78]), "name of a tensor is cut off"),
            (Frame.message(1, rest + [0, 1, 0xFF]), "no UTF-8"),
            (Frame.message(1, rest, protocolVersion: 2), "another version of the protocol: expected 1, found 2"),
            (Frame.message(3, rest), "the message is of an unknown kind: found 3"),
            (Frame.message(0x81, rest), "a request is expected"),
            (Frame.message(1, Frame.number(0, 4), status: 3), "a request has a status"),
            (Frame.message(1, Frame.number(0, 4), model: ""), "names no model"),
            (Frame.message(2, [0]), "bytes follow"),
            (Frame.infer([good, good]), "two tensors have the name 'x'"),
            (Frame.infer([], outputs: ["y", "y"]), "requested twice 'y'"),
            (Frame.infer([], outputs: [""]), "output has no name"),
            (Frame.infer([Frame.tensor("", 11, [], [0, 0, 0, 0])]), "a tensor has no name"),
            (Frame.infer([Frame.tensor("x", 0, [], [])]), "datatype"),
            (Frame.infer([Frame.tensor("x", 13, [], [0, 0, 0, 0])]), "datatype that the protocol does not have 'x'"),
            (Frame.infer([Frame.tensor("x", 15, [], [])]), "datatype"),
            (Frame.infer([Frame.tensor("x", 2, Array(repeating: 1, count: 17), [0])]), "too many dimensions"),
            (Frame.infer([Frame.tensor("x", 2, [1 << 63], [])]), "more elements than can be"),
            (Frame.infer([Frame.tensor("x", 2, [1 << 32, 1 << 32], [])]), "more elements than can be"),
            // An overflow that a dimension of 0 would hide.
            (Frame.infer([Frame.tensor("x", 2, [1 << 40, 0, 1 << 40], [])]), "more elements than can be"),
            (Frame.infer([Frame.tensor("x", 11, [2], [0, 0, 0, 0])]), "expected 8, found 4"),
            (Frame.infer([Frame.tensor("x", 1, [1], [2])]), "neither 0 nor 1"),
            (Frame.infer([Frame.tensor("x", 2, [1], [0], size: .max)]), "cut off"),
        ]
        for (bytes, expected) in cases {
            #expect(refusal(bytes).contains(expected), "\(refusal(bytes)) is not: \(expected)")
        }
        let many = refusal(Frame.infer((0..<1025).map { Frame.tensor("\($0)", 2, [0], []) }))
        #expect(many.contains("allowed: expected 1024") && !many.contains("found"), "\(many)")
        #expect(refusal(Frame.infer((0..<1024).map { Frame.tensor("\($0)", 2, [0], []) })) == "accepted")
    }

    @Test func theSameProtocolGoesOnUnreadUnderAnotherID() throws {
        let test = TestArena()
        // Nobody looks at tensors: these are none.
        let bytes = Frame.message(1, [1, 2, 3], id: 99, version: "1")
        var request = sluice_request()
        request.message = test.raw(bytes)
        try codec.decodeHead(&request, arena: test.arena)
        let same = try sent(request, same: true, in: test)
        #expect(same.verdict == SLUICE_OK)
        #expect(same.message.joinedBody == Frame.message(1, [1, 2, 3], id: sentID, version: "1"))
        let renamed = try sent(request, same: true, renamed: true, in: test)
        #expect(renamed.verdict == SLUICE_OK)
        #expect(renamed.message.joinedBody == Frame.message(1, [1, 2, 3], id: sentID, model: "other", version: "9"))
    }

    @Test func errorsHaveACodeAndAText() throws {
        let test = TestArena()
        let request = try decoded(Frame.infer([]), in: test)
        var error = sluice_error()
        error.status = SLUICE_NOT_FOUND
        error.message = test.bytes("nobody")
        var message = sluice_message()
        try codec.encodeError(error, to: request, into: &message, arena: test.arena)
        let expected = Frame.message(0xFF, Frame.text("nobody"), model: "", status: 5)
        #expect(message.joinedBody == expected)
        let received = Frame.message(0xFF, Frame.text("nobody"), id: sentID, model: "", status: 5)
        let back = try answer(received, to: request, in: test)
        #expect(back.response.http_status == 200)
        #expect(back.refusal?.status == SLUICE_NOT_FOUND && back.refusal?.text.text == "nobody")
        // Of a message that is none there is no id; a text is cut between characters.
        var nobody = sluice_request()
        nobody.message = test.raw([])
        error.message = test.bytes(String(repeating: "é", count: 600))
        message = sluice_message()
        try codec.encodeError(error, to: nobody, into: &message, arena: test.arena)
        #expect(
            message.joinedBody
                == Frame.message(0xFF, Frame.text(String(repeating: "é", count: 512)), id: 0, model: "", status: 5))
    }

    @Test func answersThatAreNone() throws {
        let test = TestArena()
        let request = try decoded(Frame.infer([]), in: test)
        let cases: [([UInt8], String)] = [
            // The client's own is another request's toward the endpoint.
            (Frame.answer([], id: 7), "another id"),
            (Frame.answer([], id: 0), "another id"),
            (Frame.message(0xFF, Frame.text("late"), id: 0, status: 1), "another id"),
            (Frame.message(0x82, [1], id: sentID), "another kind"),
            (Frame.message(0x81, Frame.number(0, 2), id: sentID, status: 1), "status"),
            (Frame.message(0xFF, [0, 9, 65], id: sentID, status: 1), "cut off"),
            (Frame.answer([Frame.tensor("x", 11, [2], [0])], id: sentID), "expected 8, found 1"),
            (Frame.infer([], id: sentID), "another kind"),
        ]
        for (bytes, expected) in cases {
            let text = failure { () throws(CodecFailure) in _ = try answer(bytes, to: request, in: test) }
            #expect(text?.contains(expected) == true, "\(text ?? "accepted") is not: \(expected)")
            #expect(text?.hasPrefix("the backend's answer cannot be read: ") == true)
        }
        let unknown = try answer(Frame.message(0xFF, Frame.text(""), id: sentID, status: 99), to: request, in: test)
        #expect(unknown.refusal?.status == SLUICE_UNKNOWN)
        #expect(unknown.refusal?.text.text == "the backend refused the request")
    }

    @Test func readyOfAModelAndOfTheServer() throws {
        let test = TestArena()
        var request = try decoded(Frame.message(2), in: test)
        #expect(request.operation == UInt32(SLUICE_OPERATION_MODEL_READY))
        let asked = Frame.message(2, id: sentID, model: "other", version: "9")
        #expect(try sent(request, in: test).message.joinedBody == asked)
        for ready in 0...1 {
            let told = try answer(Frame.message(0x82, [UInt8(ready)], id: sentID), to: request, in: test).response.ready
            #expect(told == UInt32(ready))
        }
        let text = failure { () throws(CodecFailure) in
            _ = try answer(Frame.message(0x82, [2], id: sentID), to: request, in: test)
        }
        #expect(text?.contains("neither 0 nor 1") == true)
        request = try decoded(Frame.message(2, model: ""), in: test)
        #expect(request.operation == UInt32(SLUICE_OPERATION_SERVER_READY))
        var response = sluice_response()
        response.operation = request.operation
        response.ready = 1
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(message.joinedBody == Frame.message(0x82, [1], model: ""))
    }

    @Test func whatTheProtocolCannotSay() throws {
        let test = TestArena()
        func refused(_ change: (inout sluice_request) -> Void, over transport: Int32 = SLUICE_TRANSPORT_TCP) -> String {
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            change(&request)
            return failure { () throws(CodecFailure) in _ = try sent(request, over: transport, in: test) } ?? "sent"
        }
        let text = refused { $0.payload = test.payload([test.tensor("x", .bytes, [1], [0, 0, 0, 0])]) }
        #expect(text.contains("BYTES tensor has no form in the length-prefixed protocol 'x'"))
        #expect(refused { $0.payload.kind = UInt32(SLUICE_PAYLOAD_RAW) }.contains("no tensors"))
        #expect(refused { $0.operation = UInt32(SLUICE_OPERATION_CHAT) }.contains("operation has no form"))
        let shared = refused { request in
            var tensor = test.tensor("x", .fp32, [1], [])
            tensor.region = test.bytes("region")
            request.payload = test.payload([tensor])
        }
        #expect(shared.contains("shared memory"))
        #expect(refused({ _ in }, over: SLUICE_TRANSPORT_HTTP).contains("tcp:// only, unlike 'backend:1'"))
        let long = String(repeating: "n", count: 65_536)
        #expect(refused { $0.payload = test.payload([test.tensor(long, .fp32, [0], [])]) }.contains("longer than"))
        // What id a client has given stays behind.
        for id in ["12", "abc", "18446744073709551616", ""] {
            var request = sluice_request()
            request.operation = UInt32(SLUICE_OPERATION_INFER)
            request.payload = test.payload([])
            request.id = test.bytes(id)
            let made = try sent(request, in: test).message.joinedBody
            #expect(Array(made[12..<20]) == Frame.number(sentID, 8))
        }
        var waiting = sluice_request()
        waiting.operation = UInt32(SLUICE_OPERATION_INFER)
        waiting.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        #expect(try sent(waiting, in: test).verdict == SLUICE_NEED_BODY)
    }
}
