import SluiceABI
import SluicePlugin
import Testing

@Suite struct SDKValueTests {
    @Test func bytesCompareByContent() {
        #expect(Bytes("abc") == "abc")
        #expect(Bytes("abc") != "abd")
        #expect(Bytes("abc") != "ab")
        #expect(Bytes() == "")
        #expect(Bytes("Content-Type").equalsIgnoringCase("content-tYPE"))
        // Only letters have a case: "@" and "`", "[" and "{" differ by the same bit.
        #expect(!Bytes("@[").equalsIgnoringCase("`{"))
        #expect(Bytes("abc").hasPrefix("ab"))
        #expect(!Bytes("a").hasPrefix("ab"))
        #expect(Bytes("model:predict").hasSuffix(":predict"))
        #expect(!Bytes("predict").hasSuffix(":predict"))
    }

    @Test func partsOfBytesStayWithinThem() {
        let bytes = Bytes("0123456789")
        #expect(bytes.prefix(3) == "012")
        #expect(bytes.prefix(99) == "0123456789")
        #expect(bytes.prefix(-1) == "")
        #expect(bytes.dropFirst(8) == "89")
        #expect(bytes.dropFirst(99) == "")
        #expect(bytes.dropLast(8) == "01")
        #expect(bytes.dropLast(99) == "")
        #expect(bytes.at(10) == nil)
        #expect(bytes.at(-1) == nil)
        #expect(bytes.at(9) == 0x39)
        #expect(bytes.firstIndex(of: 0x35, from: 6) == nil)
        #expect(bytes.firstIndex(of: 0x35) == 5)
        #expect(Bytes(" \t a b\t ").trimmed == "a b")
        #expect(Bytes(" \t").trimmed == "")
    }

    @Test(
        arguments: [
            ("0", 0), ("-1", -1), ("9223372036854775807", Int64.max), ("-9223372036854775808", Int64.min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("", nil), ("-", nil), ("1a", nil),
            ("+1", nil),
            ("10000000000000000000", nil), ("00000000000000000001", nil),
        ] as [(String, Int64?)])
    func integersAreReadExactly(text: String, value: Int64?) {
        #expect(KeptText(text).withBytes { $0.integer } == value)
    }

    @Test func aShapeWhoseProductOverflowsHasNoCount() {
        let texts = CTexts()
        func count(_ dimensions: [Int64]) -> Int? {
            Shape(texts.array(dimensions), rank: UInt32(dimensions.count)).elementCount
        }
        #expect(count([]) == 1)
        #expect(count([2, 3, 0]) == 0)
        #expect(count([2, 3, 4]) == 24)
        #expect(count([2, -1]) == nil)
        #expect(count([1 << 40, 1 << 40]) == nil)
    }
}
