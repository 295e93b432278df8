import Glibc
import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

/// Runs of numbers in an array are read by a loop of their own. It gives what one element after the other gives, bit by
/// bit, the failures too, and never looks behind the text's end.
@Suite struct NumberRunTests {
    private static let datatypes: [Datatype] = [
        .bool, .uint8, .uint16, .uint32, .uint64, .int8, .int16, .int32, .int64, .fp16, .bf16, .fp32, .fp64,
    ]

    private struct Outcome: Equatable {
        var elements: [UInt8] = []
        var failure: String?
    }

    /// The array at once, as a tensor of rank 1.
    private func whole(_ text: sluice_bytes, _ datatype: Datatype, count: Int, _ test: TestArena) -> Outcome {
        var outcome = Outcome()
        outcome.failure = failure { () throws(CodecFailure) in
            var reader = JSONReader(text, arena: test.arena)
            let shape = UnsafeBufferPointer(start: test.array([Int64(count)]), count: 1)
            outcome.elements = try TensorReader(
                datatype: datatype, shape: shape, count: count, name: sluice_bytes(), arena: test.arena
            ).read(&reader, .flatOrNested).array
            try reader.finish()
        }
        return outcome
    }

    /// Each element as a tensor of rank 0, which no loop reads.
    private func single(_ text: sluice_bytes, _ datatype: Datatype, _ test: TestArena) -> Outcome {
        var outcome = Outcome()
        let element = TensorReader(
            datatype: datatype, shape: UnsafeBufferPointer(start: nil, count: 0), count: 1, name: sluice_bytes(),
            arena: test.arena)
        outcome.failure = failure { () throws(CodecFailure) in
            var reader = JSONReader(text, arena: test.arena)
            try reader.beginArray()
            var isFirst = true
            while try reader.nextElement(&isFirst) {
                outcome.elements += try element.read(&reader, .nested).array
            }
            try reader.finish()
        }
        if outcome.failure != nil {
            outcome.elements = []
        }
        if datatype != .bool {
            // Of rank 0, it is looked first whether the element is an array.
            let prefix = "the JSON text has an unexpected character"
            outcome.failure = outcome.failure?.replacing(prefix, with: "expected a number")
        }
        return outcome
    }

    /// Every one of these in an array whose end is between 0 and 27 bytes from the end of readable memory.
    @Test func everyFormIsReadAsByItselfAtEveryDistanceFromTheEnd() throws {
        let texts = [
            "0", "-0", "7", "-7", "0.0", "-0.0", "1.5", "-1.5", "12.34", "255", "256", "-128", "-129", "65535", "65536",
            "1234567", "12345678", "123456789", "-1234567", "-12345678", "0.123456", "0.1234567", "0.12345678",
            "-0.123456", "-0.1234567", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967296",
            "123456.789", "1234567.8", "12345678.9", "-1234567.8", "99999999999999.9", "999999999999999",
            "9999999999999999", "9007199254740993", "90071992547409.93", "0.12345678901234567", "-0.8444218515250481",
            "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
            "18446744073709551615", "18446744073709551616", "0.10000000149011612", "16777217", "16777217.0000000001",
            "1.0000000596046448", "0.000000000000000000001", "123456789012345678901234567890", "65504", "65519.9",
            "65520", "1e3", "1E-3", "5e-324", "1e-46", "1e39", "-3.4028235677973366e38", "3.4028235677973365e38",
            "1e999",
            "1.e3", "1.", "-", "-.5", ".5", "+1", "01", "-01", "00", "00.5", "1.2.3", "1..2", "--1", "-1-", "1-2",
            "1/2",
            "1:2", "0x10", "1.5.", "12345678.", "1234567.", ".12345678", "-.1234567", "123456789.", "0.1234567.", "1 2",
            "1.-2", "1/23456789", "12345678901234567.", "1234567890123456.7.8", "0.123456789012345678901", "0/1", "-/1",
            "", " ", "null", "true", "\"1\"", "[1]", "1\u{0}", "1\u{e9}", "\u{e9}", "1a", "12345678a", "1}", "1e",
            "1e+",
            "1 ", " 1", "  -2.5  ", "\n3\t", "1,",
        ]
        let guarded = GuardedMemory()
        for text in texts {
            for datatype in Self.datatypes {
                for padding in 0..<28 {
                    let test = TestArena()
                    let list = guarded.place("[\(text),\(text), \(text)]" + String(repeating: " ", count: padding))
                    let outcome = whole(list, datatype, count: 3, test)
                    let expected = single(list, datatype, test)
                    #expect(outcome == expected, "\(text) as \(datatype), \(padding) before the end")
                }
            }
        }
    }

    @Test func everyPrefixOfAnArrayIsRefused() throws {
        let guarded = GuardedMemory()
        let list = "[-0.12, 12345678.5,0.12345678901234567,\n 3,100,1e5, 0.25,-17,8.125,4]"
        #expect(whole(guarded.place(list), .fp32, count: 10, TestArena()).failure == nil)
        for size in 1..<list.utf8.count {
            let test = TestArena()
            let prefix = guarded.place(String(list.prefix(size)))
            let outcome = whole(prefix, .fp32, count: 10, test)
            let expected = single(prefix, .fp32, test)
            #expect(outcome.failure != nil)
            // Before the elements are read, a text too short for them is refused.
            if size > 20 {
                #expect(outcome == expected, "\(size)")
            }
        }
    }

    @Test func anArrayOfAnotherLengthThanItsShapeIsRefused() throws {
        let text = "[" + (0..<40).map { "\($0).5" }.joined(separator: ",") + "]"
        let test = TestArena()
        #expect(whole(test.bytes(text), .fp32, count: 40, test).failure == nil)
        #expect(whole(test.bytes(text), .fp32, count: 39, test).failure?.contains("expected 39, found 40") == true)
        #expect(whole(test.bytes(text), .fp32, count: 41, test).failure?.contains("expected 41, found 40") == true)
        #expect(whole(test.bytes("[]   " + text), .fp32, count: 0, test).failure?.contains("after its end") == true)
    }

    @Test(arguments: [UInt64(21), 22, 23])
    func randomNumbersAreReadToTheNearest(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let separators = [",", ",", ",", ", ", " ,", ",\n    "]
        for _ in 0..<200 {
            let texts = (0..<100).map { _ in Self.decimal(&random) }
            var list = "["
            for (index, text) in texts.enumerated() {
                list += (index == 0 ? "" : separators[Int(random.next() % 6)]) + text
            }
            list += "]" + String(repeating: " ", count: Int(random.next() % 30))
            let test = TestArena()
            let bytes = test.bytes(list)
            var expected: [UInt8] = []
            var expectedSingle: [UInt8] = []
            for text in texts {
                // The C library's, an implementation of its own.
                let value = strtod(text, nil)
                withUnsafeBytes(of: value) { expected += $0 }
                withUnsafeBytes(of: Float(value)) { expectedSingle += $0 }
            }
            #expect(whole(bytes, .fp64, count: texts.count, test).elements == expected, "\(list)")
            #expect(whole(bytes, .fp32, count: texts.count, test).elements == expectedSingle, "\(list)")
        }
    }

    /// A number within the range of binary32, of all lengths, in some cases with an exponent.
    private static func decimal(_ random: inout SplitMix64) -> String {
        func digits(_ count: UInt64) -> String { (0..<count).map { _ in String(random.next() % 10) }.joined() }
        var text = random.next() % 2 == 0 ? "-" : ""
        let whole = random.next() % 4 == 0 ? random.next() % 20 : random.next() % 3
        text += whole == 0 ? "0" : String(1 + random.next() % 9) + digits(whole - 1)
        if random.next() % 8 != 0 {
            text += "." + digits(1 + (random.next() % 4 == 0 ? random.next() % 20 : random.next() % 9))
        }
        if random.next() % 32 == 0 {
            text += "e" + String(Int(random.next() % 60) - 45)
        }
        return text
    }

    @Test(arguments: [UInt64(31), 32])
    func randomIntegersAreExact(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let test = TestArena()
        for _ in 0..<100 {
            let values = (0..<100).map { _ in Int64(bitPattern: random.next()) >> Int64(random.next() % 64) }
            let list = test.bytes("[" + values.map { String($0) }.joined(separator: ",") + "]")
            #expect(whole(list, .int64, count: 100, test).elements == values.flatMap { Self.bytes($0) })
            let small = test.bytes("[" + values.map { String(UInt8($0 & 255)) }.joined(separator: ", ") + "]")
            #expect(whole(small, .uint8, count: 100, test).elements == values.map { UInt8($0 & 255) })
            let large = values.map { UInt64(bitPattern: $0) }
            let unsigned = test.bytes("[" + large.map { String($0) }.joined(separator: ",") + "]")
            #expect(whole(unsigned, .uint64, count: 100, test).elements == large.flatMap { Self.bytes($0) })
        }
    }

    private static func bytes<Value>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
}

/// Texts whose end is the end of what may be read: the page after it is closed.
private final class GuardedMemory {
    private static let page = Int(getpagesize())
    private let start: UnsafeMutableRawPointer

    init() {
        let memory = mmap(nil, 2 * Self.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED, mprotect(memory + Self.page, Self.page, PROT_NONE) == 0 else {
            preconditionFailure("no memory for the test")
        }
        start = memory
    }

    deinit {
        munmap(start, 2 * Self.page)
    }

    /// Valid until the next call.
    func place(_ text: String) -> sluice_bytes {
        let content = Array(text.utf8)
        precondition(content.count <= Self.page)
        let target = start + (Self.page - content.count)
        UnsafeMutableRawBufferPointer(start: target, count: content.count).copyBytes(from: content)
        return sluice_bytes(data: target.assumingMemoryBound(to: UInt8.self), size: content.count)
    }
}
