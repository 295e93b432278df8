import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

/// Numbers are read and written exactly as the standard library, an implementation of its own, does.
@Suite struct JSONNumberTests {
    private func read(_ text: String) throws -> JSONNumber {
        let test = TestArena()
        var reader = JSONReader(test.bytes(text), arena: test.arena)
        let number = try reader.number()
        try reader.finish()
        // The number keeps a view of its text.
        return withExtendedLifetime(test) { number }
    }

    private func double(_ text: String) throws -> Double? {
        let test = TestArena()
        var reader = JSONReader(test.bytes(text), arena: test.arena)
        let value = try reader.number().asDouble
        try reader.finish()
        return value
    }

    private func written(_ body: (inout JSONWriter) throws(CodecFailure) -> Void) throws -> String {
        let test = TestArena()
        var writer = JSONWriter(arena: test.arena)
        try body(&writer)
        return try writer.finishContiguous().text
    }

    @Test func decimalsInAnArrayAreReadToTheNearestWhateverTheirLength() throws {
        var random = SplitMix64(seed: 11)
        for length in 0...20 {
            for whole in ["0", "7", "-0", "-3", "12"] {
                let digits = (0..<length).map { _ in String(random.next() % 10) }.joined()
                let text = length == 0 ? whole : "\(whole).\(digits)"
                let test = TestArena()
                // What follows is longer than the words that are looked at, and has digits too.
                let list = "[\(text),\(text) ,\(text)e2,\(text)]" + String(repeating: " ", count: 32)
                var reader = JSONReader(test.bytes(list), arena: test.arena)
                let shape: [Int64] = [4]
                let bytes = try shape.withUnsafeBufferPointer { shape in
                    try TensorReader(
                        datatype: .fp64, shape: shape, count: 4, name: sluice_bytes(), arena: test.arena
                    ).read(&reader, .flatOrNested)
                }
                let values = UnsafeRawPointer(try #require(bytes.data)).assumingMemoryBound(to: Double.self)
                for (index, written) in [text, text, text + "e2", text].enumerated() {
                    let expected = try #require(Double(written))
                    #expect(values[index].bitPattern == expected.bitPattern, "\(written)")
                }
                withExtendedLifetime(test) {}
            }
        }
    }

    @Test func doublesOfAllKindsAreReadToTheNearest() throws {
        let texts = [
            "0", "-0", "0.0", "-0.0e7", "1", "-1", "0.1", "1e22", "1e23", "9007199254740993", "9007199254740991.5",
            "123456789012345678901234567890", "0.10000000149011612", "3.4028234663852886e38", "5e-324", "4.9e-324",
            "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "2.2250738585072014e-308",
            "1.7976931348623157e308", "1.7976931348623158e308", "0.000000000000000000000000000000000000001e39",
            "1e-400", "100000000000000016777215", "100000000000000016777216", "7.2057594037927933e16",
            "9007199254740993.00000000000000000000000000000000000000000000000000000000000000000000000001",
            "9007199254740993." + String(repeating: "0", count: 900) + "1", "1" + String(repeating: "0", count: 300),
            "0." + String(repeating: "0", count: 320) + "5", "1e0000000000000000000001", "8.10109172351e-10",
            String(repeating: "9", count: 800), "1" + String(repeating: "0", count: 400) + "e-400",
        ]
        for text in texts {
            let expected = try #require(Double(text))
            let value = try double(text)
            if expected.isFinite {
                #expect(value?.bitPattern == expected.bitPattern, "\(text)")
            } else {
                #expect(value == nil, "\(text)")
            }
        }
        for text in ["1e309", "-1e309", "1.7976931348623159e308", "1e99999999999999999999"] {
            #expect(try double(text) == nil, "\(text)")
        }
    }

    @Test func randomDoublesSurviveWritingAndReading() throws {
        var random = SplitMix64(seed: 11)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            let text = try written { writer throws(CodecFailure) in try writer.number(value) }
            #expect(try double(text)?.bitPattern == value.bitPattern)
            // As short as the standard library's, which is the shortest, but for the writing of exponents.
            #expect(digits(text) == digits(value.description), "\(text) \(value)")
            // 17 digits are what clients send that do not shorten.
            let long = String(value.significandBitPattern) + "e" + String(Int(random.next() % 640) - 330)
            let expected = try #require(Double(long))
            #expect(try double(long)?.bitPattern == (expected.isFinite ? expected.bitPattern : nil), "\(long)")
        }
    }

    @Test func randomFloatsAreWrittenAsShortAsCanBe() throws {
        var random = SplitMix64(seed: 12)
        for _ in 0..<20_000 {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            guard value.isFinite else { continue }
            let text = try written { writer throws(CodecFailure) in try writer.number(value) }
            #expect(Float(text)?.bitPattern == value.bitPattern)
            #expect(digits(text) == digits(value.description), "\(text) \(value)")
            #expect(Float(try #require(try double(text))) == value)
        }
        for power in -149...127 {
            let value = Float(sign: .plus, exponent: power, significand: 1)
            let text = try written { writer throws(CodecFailure) in try writer.number(value) }
            #expect(digits(text) == digits(value.description))
        }
    }

    /// The digits of a decimal, without the zeros around them.
    private func digits(_ text: String) -> String {
        let mantissa = text.prefix { $0 != "e" }.filter { $0.isNumber }
        let trimmed = mantissa.drop { $0 == "0" }
        return String(String(trimmed.reversed()).drop { $0 == "0" }.reversed())
    }

    @Test func numbersAreWrittenAsReadersLikeThem() throws {
        let cases: [(Double, String)] = [
            (0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-1.5, "-1.5"), (0.001, "0.001"), (0.00001, "1e-5"),
            (123456, "123456.0"), (1e15, "1000000000000000.0"), (1e16, "1e16"), (1.25e-7, "1.25e-7"),
            (0.1, "0.1"), (1e300, "1e300"), (.leastNonzeroMagnitude, "5e-324"), (.nan, "null"), (.infinity, "null"),
        ]
        for (value, text) in cases {
            #expect(try written { writer throws(CodecFailure) in try writer.number(value) } == text)
        }
        #expect(try written { writer throws(CodecFailure) in try writer.number(Float(0.1)) } == "0.1")
        #expect(try written { writer throws(CodecFailure) in try writer.integer(Int64.min) } == "-9223372036854775808")
        #expect(try written { writer throws(CodecFailure) in try writer.integer(UInt64.max) } == "18446744073709551615")
    }

    @Test func integersAreExactOrNone() throws {
        let cases: [(String, Int64?, UInt64?)] = [
            ("0", 0, 0), ("-0", 0, 0), ("9223372036854775807", .max, UInt64(Int64.max)),
            ("9223372036854775808", nil, 9_223_372_036_854_775_808), ("-9223372036854775808", .min, nil),
            ("-9223372036854775809", nil, nil), ("18446744073709551615", nil, .max), ("18446744073709551616", nil, nil),
            ("99999999999999999999", nil, nil), ("100000000000000000000", nil, nil), ("1.0", nil, nil),
            ("1e2", nil, nil),
            ("-1", -1, nil), ("12345678", 12_345_678, 12_345_678),
            ("1234567890123456789", 1_234_567_890_123_456_789, 1_234_567_890_123_456_789),
        ]
        for (text, signed, unsigned) in cases {
            let test = TestArena()
            var reader = JSONReader(test.bytes(text), arena: test.arena)
            let number = try reader.number()
            #expect(number.asInt64 == signed, "\(text)")
            #expect(number.asUInt64 == unsigned, "\(text)")
        }
    }

    @Test(arguments: [
        "", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "0x1", "NaN", "Infinity", "1 2", "1.e3", "--1",
    ])
    func whatIsNoNumberIsRefused(_ text: String) {
        #expect(
            failure { () throws(CodecFailure) in
                let test = TestArena()
                var reader = JSONReader(test.bytes(text), arena: test.arena)
                _ = try reader.number()
                try reader.finish()
            } != nil)
    }
}
