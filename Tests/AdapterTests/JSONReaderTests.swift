import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

@Suite struct JSONReaderTests {
    private func skips(_ text: String) -> String? { skips(Array(text.utf8)) }

    private func skips(_ text: [UInt8]) -> String? {
        let test = TestArena()
        return failure { () throws(CodecFailure) in
            var reader = JSONReader(test.bytes(text), arena: test.arena)
            try reader.skip()
            try reader.finish()
        }
    }

    @Test(arguments: [
        "null", "true", " false ", "\"\"", "[]", "{}", "[ ]", "{ }", "[1,2]", "{\"a\":[{}],\"b\":{\"c\":[[],[1]]}}",
        "\t\r\n[1 , 2 ]\n", "\"\\u00e9\\ud83d\\ude00\"", "[\"a\\\"b\\\\\",\"\\/\\b\\f\\n\\r\\t\"]", "{\"a\":1,\"a\":2}",
    ])
    func whatIsJSONIsReadPast(_ text: String) {
        #expect(skips(text) == nil)
    }

    @Test(arguments: [
        "", " ", "nul", "truefalse", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{a:1}", "{1:2}", "{\"a\":1 \"b\":2}", "[1}", "{\"a\":1]", "\"", "\"a", "\"\\", "\"\\\"", "'a'",
        "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"a\nb\"",
        "\"a\u{0}b\"", "[1]x", "// a\n1", "[1]/**/", "\u{FEFF}1", "[\"12345678\u{1}\"]", "nan", "-", "[-]",
    ])
    func whatIsNoJSONIsRefused(_ text: String) {
        #expect(skips(text) != nil)
    }

    @Test func invalidUTF8IsRefused() {
        let sequences: [[UInt8]] = [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xC3, 0x28], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80],
            [0xE2, 0x82], [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF],
            [0xE2, 0x28, 0xA1], [0xF0, 0x90, 0x28, 0x80],
        ]
        for sequence in sequences {
            for padding in [0, 1, 7, 8, 9] {
                let text = [UInt8(ascii: "\"")] + [UInt8](repeating: 0x61, count: padding) + sequence
                #expect(skips(text + [UInt8(ascii: "\"")]) != nil, "\(sequence)")
            }
        }
        #expect(skips("\"é€😀\u{10FFFF}\u{FFFF}\"") == nil)
    }

    @Test func nestingIsBounded() {
        let depth = JSONReader.maximumDepth
        #expect(skips(String(repeating: "[", count: depth) + String(repeating: "]", count: depth)) == nil)
        let deeper = String(repeating: "[", count: depth + 1) + String(repeating: "]", count: depth + 1)
        #expect(skips(deeper)?.contains("nested too deep") == true)
        let mixed = String(repeating: "{\"a\":[", count: 32) + String(repeating: "]}", count: 32)
        #expect(skips(mixed) == nil)
        #expect(skips("{\"b\":" + mixed + "}") != nil)
    }

    @Test func stringsAreViewsUnlessTheyHaveEscapes() throws {
        let test = TestArena()
        let text = test.bytes("[\"plain\",\"a\\u00e9\\ud83d\\ude00\\n\\u0000z\"]")
        var reader = JSONReader(text, arena: test.arena)
        try reader.beginArray()
        var isFirst = true
        #expect(try reader.nextElement(&isFirst))
        let plain = try reader.string()
        #expect(plain.data == text.data.map { $0 + 2 })
        #expect(plain.text == "plain")
        #expect(try reader.nextElement(&isFirst))
        #expect(try reader.string().text == "aé😀\n\u{0}z")
        #expect(try !reader.nextElement(&isFirst))
        try reader.finish()
    }

    @Test func whatIsWrittenIsReadBack() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<300 {
            let scalars = (0..<Int.random(in: 0...5000, using: &random)).map { _ in
                Unicode.Scalar(UInt32.random(in: 0...0x2FF, using: &random)) ?? "x"
            }
            let original = String(String.UnicodeScalarView(scalars))
            let test = TestArena()
            var writer = JSONWriter(arena: test.arena)
            try writer.string(test.bytes(original))
            var reader = JSONReader(try writer.finishContiguous(), arena: test.arena)
            #expect(try reader.string().array == Array(original.utf8))
            try reader.finish()
        }
    }

    @Test func everyPrefixOfATextIsRefused() {
        let text = Array("{\"inputs\":[{\"a\":\"\\u00e9€\",\"b\":[1.5e3,-2,true,null]}]}".utf8)
        for size in 0..<text.count {
            #expect(skips(Array(text[..<size])) != nil)
        }
        #expect(skips(text) == nil)
    }

    @Test func memoryIsBounded() {
        let test = TestArena(limit: 64)
        let text = test.bytes("\"" + String(repeating: "\\n", count: 1000) + "\"")
        #expect(
            failure { () throws(CodecFailure) in
                var reader = JSONReader(text, arena: test.arena)
                _ = try reader.string()
            }?.contains("memory") == true)
    }
}
