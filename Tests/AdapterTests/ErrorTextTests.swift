import OpenAICodec
import OpenInferenceCodec
import PassthroughCodec
import SluiceABI
import SluiceJSON
import Testing

/// An error says what it can also where its text is no UTF-8: plugins may put names into it as they came.
@Suite struct ErrorTextTests {
    @Test(arguments: [
        ("model \"a\" is not known", "model \"a\" is not known"), ("", ""), ("é€😀", "é€😀"),
    ])
    func whatIsTextStaysAsItIs(text: String, expected: String) throws {
        let test = TestArena(limit: 0)
        let bytes = test.bytes(text)
        #expect(try UTF8Sequence.repaired(bytes, arena: test.arena).text == expected)
    }

    @Test(
        arguments: [
            ([0x61, 0xC3], "a\u{FFFD}"), ([0xFF], "\u{FFFD}"), ([0xE2, 0x82, 0x61], "\u{FFFD}\u{FFFD}a"),
            ([0xC3, 0xA9, 0x80, 0xC3, 0xA9], "é\u{FFFD}é"), ([0xC0, 0x80], "\u{FFFD}\u{FFFD}"),
            ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
            ([0x61] + [0xF0, 0x9F, 0x98], "a\u{FFFD}\u{FFFD}\u{FFFD}"),
        ] as [([UInt8], String)])
    func whatIsNoneIsReplaced(bytes: [UInt8], expected: String) throws {
        let test = TestArena()
        let repaired = try UTF8Sequence.repaired(test.bytes(bytes), arena: test.arena)
        #expect(repaired.text == expected)
        #expect(UTF8Sequence.isValid(repaired))
    }

    @Test func aSentenceIsNotDroppedForOneByte() throws {
        let said = "model 'a\u{FFFD}' is not known"
        var error = sluice_error()
        error.http_status = 404
        for isProblem in [true, false] {
            let test = TestArena()
            error.message = test.bytes(Array("model 'a".utf8) + [0xC3] + Array("' is not known".utf8))
            var message = sluice_message()
            if isProblem {
                try ProblemText.write(error, to: sluice_request(), into: &message, arena: test.arena)
                #expect(message.bodyText.contains("\"detail\":\"\(said)\""))
            } else {
                try OpenInferenceProtocol(isBinary: false).encodeError(
                    error, to: sluice_request(), into: &message, arena: test.arena)
                #expect(message.bodyText == "{\"error\":\"\(said)\"}")
                message = sluice_message()
                try OpenAIProtocol(OpenAIOptions()).encodeError(
                    error, to: sluice_request(), into: &message, arena: test.arena)
                #expect(message.bodyText.contains("\"message\":\"\(said)\""))
            }
        }
    }
}
