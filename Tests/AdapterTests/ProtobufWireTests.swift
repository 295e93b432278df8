import SluiceABI
import SluiceJSON
import SluiceProtobuf
import Testing

/// The fields of a message as the reader finds them, or why it stops.
private func fields(_ message: [UInt8]) -> (found: [String], failure: String?) {
    let test = TestArena()
    var found: [String] = []
    var reader = ProtobufReader(test.bytes(message))
    let reason = failure { () throws(CodecFailure) in
        while let field = try reader.next() {
            let value = field.wireType == .bytes ? field.content.array.hexadecimal : "\(field.bits)"
            found.append("\(field.number):\(value)@\(field.start)-\(field.end)")
        }
    }
    return (found, reason)
}

/// What a writer wrote.
private func written(_ write: (inout ProtobufWriter) throws(CodecFailure) -> Void) throws -> [UInt8] {
    let test = TestArena()
    var writer = ProtobufWriter(arena: test.arena)
    try write(&writer)
    let size = writer.size
    var message = sluice_message()
    try writer.finish(into: &message)
    let body = message.joinedBody
    #expect(body.count == size && message.body_size == UInt64(size))
    #expect(message.body_state == UInt32(SLUICE_BODY_WHOLE))
    return body
}

@Suite struct ProtobufWireTests {
    /// The examples of protobuf.dev, Encoding: 150 as field 1, "testing" as field 2, 6 packed numbers.
    @Test func theSpecificationsExamples() throws {
        #expect(fields([0x08, 0x96, 0x01]).found == ["1:150@0-3"])
        #expect(fields([0x12, 0x07] + Array("testing".utf8)).found == ["2:74657374696e67@0-9"])
        #expect(fields([0x1A, 0x03, 0x08, 0x96, 0x01]).found == ["3:089601@0-5"])
        let number = try written { (out: inout ProtobufWriter) throws(CodecFailure) in try out.varint(1, 150) }
        #expect(number == [0x08, 0x96, 0x01])
        let test = TestArena()
        let packed = Wire.bytes(6, [0x03, 0x8E, 0x02, 0x9E, 0xA7, 0x05])
        var reader = ProtobufReader(test.bytes(packed))
        var values = try #require(try reader.next()).values(.varint, "f")
        var numbers: [UInt64] = []
        while let number = try values.next() {
            numbers.append(number)
        }
        #expect(numbers == [3, 270, 86942])
        #expect(
            try written { (out: inout ProtobufWriter) throws(CodecFailure) in
                let values = test.array([Int64(3), 270, 86942])
                try out.packed(6, UnsafeBufferPointer(start: values, count: 3))
            } == packed)
    }

    @Test(arguments: [0, 1, 127, 128, 16383, 16384, 1 << 32, 1 << 63, UInt64.max])
    func numbersComeBackInAsManyBytesAsTheyNeed(_ value: UInt64) throws {
        let message = try written { (out: inout ProtobufWriter) throws(CodecFailure) in try out.varint(1, value) }
        #expect(message == Wire.number(1, value))
        #expect(message.count == 1 + Varint.size(value))
        #expect(fields(message).found == ["1:\(value)@0-\(message.count)"])
    }

    @Test func everyWireTypeIsSkippedWhole() {
        let message =
            Wire.number(1, 300) + Wire.tag(2, 1) + [1, 0, 0, 0, 0, 0, 0, 0x80] + Wire.text(3, "ab") + Wire.tag(4, 5)
            + [0xFF, 0, 0, 0x80] + Wire.bytes(536_870_911, [])
        #expect(
            fields(message).found == [
                "1:300@0-3", "2:9223372036854775809@3-12", "3:6162@12-16", "4:2147483903@16-21", "536870911:@21-27",
            ])
        // More bytes than needed are taken: encoders reserve room for lengths that way.
        #expect(fields([0x08, 0x81, 0x80, 0x00]).found == ["1:1@0-4"])
        #expect(fields([0x88, 0x80, 0x00, 0x07]).found == ["1:7@0-4"])
    }

    @Test(
        arguments: [
            ([0x00, 0x01], "no valid number, at byte 0"),  // field number 0
            (Wire.number(1, 1) + Wire.tag(536_870_912, 0) + [1], "no valid number, at byte 2"),
            ([0x88, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01], "no valid number, at byte 0"),  // a tag of 6 bytes
            ([0x0B, 0x0C], "a group or of an unknown wire type, at byte 0"),
            ([0x0E], "a group or of an unknown wire type, at byte 0"),
            ([0x0F], "a group or of an unknown wire type, at byte 0"),
            ([0x08], "ends within a field, at byte 1"),
            ([0x08, 0x80], "ends within a field, at byte 1"),
            ([0x80], "ends within a field, at byte 0"),
            ([0x08] + [UInt8](repeating: 0xFF, count: 10), "more than 64 bits, at byte 1"),
            ([0x08] + [UInt8](repeating: 0xFF, count: 9) + [0x02], "more than 64 bits, at byte 1"),
            ([0x09, 1, 2, 3, 4, 5, 6, 7], "ends within a field, at byte 1"),
            ([0x0D, 1, 2, 3], "ends within a field, at byte 1"),
            ([0x0A], "ends within a field, at byte 1"),
            ([0x0A, 0x02, 0x61], "ends within a field, at byte 2"),
            ([0x0A] + Wire.varint(.max), "ends within a field, at byte 11"),
            ([0x0A] + Wire.varint(1 << 63), "ends within a field, at byte 11"),
        ] as [([UInt8], String)])
    func whatIsNoMessageIsRefused(_ message: [UInt8], _ reason: String) {
        let (_, failure) = fields(message)
        #expect(failure?.hasSuffix(reason) == true, "\(failure ?? "accepted")")
    }

    @Test func knownFieldsHaveTheirWireType() throws {
        let test = TestArena()
        var reader = ProtobufReader(test.bytes(Wire.number(1, 5)))
        let number = try #require(try reader.next())
        for read in [
            failure { () throws(CodecFailure) in _ = try number.bytes("f") },
            failure { () throws(CodecFailure) in _ = try number.string("f") },
            failure { () throws(CodecFailure) in _ = try number.message("f") },
            failure { () throws(CodecFailure) in _ = try number.double("f") },
            failure { () throws(CodecFailure) in _ = try number.values(.fixed32, "f") },
        ] {
            #expect(read == "a field of the protobuf message has another wire type than it must have 'f', at byte 0")
        }
        reader = ProtobufReader(test.bytes(Wire.bytes(1, [0xC3, 0x28])))
        let text = try #require(try reader.next())
        #expect(failure { () throws(CodecFailure) in _ = try text.string("f") }?.contains("no UTF-8") == true)
        #expect(failure { () throws(CodecFailure) in _ = try text.uint64("f") }?.contains("wire type") == true)
    }

    @Test func packedNumbersEndWithTheField() throws {
        let test = TestArena()
        for (type, content) in [(WireType.varint, [1, 0x80]), (.fixed32, [1, 2, 3, 4, 5]), (.fixed64, [1, 2, 3])]
            as [(WireType, [UInt8])]
        {
            var reader = ProtobufReader(test.bytes(Wire.bytes(1, content)))
            var values = try #require(try reader.next()).values(type, "f")
            let reason = failure { () throws(CodecFailure) in while try values.next() != nil {} }
            #expect(reason?.contains("packed numbers") == true)
        }
    }

    /// Nested messages have the length that they turn out to have, whatever is in them; large views are not copied.
    @Test func nestedMessagesAreMeasured() throws {
        let test = TestArena()
        let large = test.bytes([UInt8](repeating: 7, count: 70_000))
        var writer = ProtobufWriter(arena: test.arena)
        try writer.message(1) { (one: inout ProtobufWriter) throws(CodecFailure) in
            try one.message(2) { (two: inout ProtobufWriter) throws(CodecFailure) in
                try two.message(3) { (_: inout ProtobufWriter) throws(CodecFailure) in }
                try two.bytes(4, large)
                try two.double(5, 1.5)
            }
            try one.text(6, sluice_bytes())
            try one.integer(7, 0)
            try one.bytes(8, sluice_bytes())
        }
        var message = sluice_message()
        try writer.finish(into: &message)
        let inner =
            Wire.bytes(3, []) + Wire.bytes(4, large.array) + Wire.tag(5, 1) + [0, 0, 0, 0, 0, 0, 0xF8, 0x3F]
        #expect(message.joinedBody == Wire.bytes(1, Wire.bytes(2, inner) + Wire.bytes(8, [])))
        #expect((0..<Int(message.body_count)).contains { message.body[$0].data == large.data })
    }

    /// An empty message is a body of no bytes, not a call without a message.
    @Test func anEmptyMessageIsABody() throws {
        #expect(try written { (_: inout ProtobufWriter) throws(CodecFailure) in }.isEmpty)
    }

    @Test func splicingKeepsAllOtherFields() throws {
        let test = TestArena()
        let kept = [Wire.number(9, 1), Wire.text(5, "five"), Wire.tag(7, 5) + [1, 2, 3, 4]]
        let message = Wire.text(1, "a") + kept[0] + Wire.text(2, "b") + Wire.text(1, "c") + kept[1] + kept[2]
        let spliced = try written { (out: inout ProtobufWriter) throws(CodecFailure) in
            try ProtobufSplice.append(test.bytes(message), without: 1, 2, to: &out)
        }
        #expect(spliced == kept[0] + kept[1] + kept[2])
        let cut = failure { () throws(CodecFailure) in
            var out = ProtobufWriter(arena: test.arena)
            try ProtobufSplice.append(test.bytes(message.dropLast()), without: 1, to: &out)
        }
        #expect(cut?.contains("ends within a field") == true)
    }
}

extension TestArena {
    func bytes(_ content: ArraySlice<UInt8>) -> sluice_bytes { bytes(Array(content)) }
}
