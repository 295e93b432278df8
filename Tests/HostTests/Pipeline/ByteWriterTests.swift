import SluiceABI
import Testing

@testable import Host

@Suite struct ByteWriterTests {
    /// What `body` writes into `capacity` bytes, and whether something was cut. The bytes behind must stay.
    private func written(_ capacity: Int, _ body: (inout ByteWriter) -> Void) -> (bytes: [UInt8], isCut: Bool) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity + 16)
        defer { memory.deallocate() }
        memory.initialize(repeating: 0xEE, count: capacity + 16)
        var writer = ByteWriter(memory, capacity: capacity)
        body(&writer)
        for offset in capacity..<capacity + 16 { #expect(memory[offset] == 0xEE, "wrote beyond \(capacity)") }
        #expect(writer.count <= capacity)
        return (Array(UnsafeBufferPointer(start: writer.bytes.data, count: writer.bytes.size)), writer.isCut)
    }

    private func text(_ capacity: Int, _ body: (inout ByteWriter) -> Void) -> String {
        String(decoding: written(capacity, body).bytes, as: UTF8.self)
    }

    private func withView<Result>(_ text: [UInt8], _ body: (sluice_bytes) -> Result) -> Result {
        text.withUnsafeBufferPointer { body(sluice_bytes(data: $0.baseAddress, size: $0.count)) }
    }

    @Test func whatDoesNotFitIsCutAndNoted() {
        for capacity in 0...12 {
            let (bytes, isCut) = written(capacity) {
                $0.write("abc")
                $0.write(UInt8(ascii: "-"))
                $0.write("defgh")
            }
            #expect(bytes == Array("abc-defgh".utf8.prefix(capacity)), "\(capacity)")
            #expect(isCut == (capacity < 9), "\(capacity)")
        }
    }

    @Test func aCutWriterTakesNoMoreButEmptyTexts() {
        let (bytes, isCut) = written(2) {
            $0.write("ab")
            $0.write(sluice_bytes.empty)
            $0.write("")
        }
        #expect(bytes == Array("ab".utf8) && !isCut)
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 12_345, 999_999, 1_000_000, .max - 1, .max] as [UInt64])
    func numbersAreWrittenAsDecimals(number: UInt64) {
        #expect(text(32) { $0.write(decimal: number) } == String(number))
        #expect(text(1) { $0.write(decimal: number) } == String(String(number).prefix(1)))
    }

    @Test func everyByteOfAJSONStringIsEscapedAsItMustBe() {
        for byte in 0...UInt8.max {
            let (bytes, _) = withView([byte]) { view in written(16) { $0.write(json: view) } }
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): #expect(bytes == [UInt8(ascii: "\\"), byte])
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                #expect(bytes == Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8))
            default: #expect(bytes == [byte])
            }
        }
    }

    @Test func anErrorObjectHoldsItsMessage() {
        let object = withView(Array("say \"no\"\n\u{1F6B0}".utf8)) { view in
            written(6 * view.size + 32) { $0.writeErrorObject(view) }
        }
        #expect(String(decoding: object.bytes, as: UTF8.self) == "{\"error\":\"say \\\"no\\\"\\u000a\u{1F6B0}\"}\n")
        #expect(!object.isCut)
        #expect(text(32) { $0.writeErrorObject(.empty) } == "{\"error\":\"\"}\n")
    }

    /// In whatever room there is for its frame of 13 bytes: the object is whole, its text cut between two characters.
    @Test(arguments: [
        "plain text that goes on", "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}", "äöüßéèç", "\u{1F6B0}\u{1F30A}\u{26F2}",
    ])
    func anErrorObjectThatIsCutIsStillWhole(message: String) {
        for capacity in 13...180 {
            let (bytes, isCut) = withView(Array(message.utf8)) { view in written(capacity) { $0.writeErrorObject(view) }
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                Issue.record("\(capacity): a character was cut in two")
                continue
            }
            #expect(text.hasPrefix("{\"error\":\"") && text.hasSuffix("\"}\n"), "\(capacity): \(text)")
            let inside = text.dropFirst(10).dropLast(3)
            let escaped = message.unicodeScalars.map { $0.value < 0x20 ? "\\u000\($0.value)" : String($0) }
            let isWhole = inside == escaped.joined()
            #expect(escaped.joined().hasPrefix(inside), "\(capacity): \(text)")
            #expect(isCut != isWhole, "\(capacity): \(text)")
        }
    }
}
