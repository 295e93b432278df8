import SluiceABI
import Testing

@testable import Host

@Suite struct NameTableTests {
    /// The table of `names` and a way to ask it; the names live as long as `body` runs.
    private func withTable(_ names: [String], _ body: ((String) -> UInt32) -> Void) {
        let texts = names.map { name in
            let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: name.utf8.count)
            _ = bytes.initialize(from: name.utf8)
            return bytes
        }
        defer { for text in texts { text.deallocate() } }
        let table = NameTable(texts.map { sluice_bytes(data: UnsafePointer($0.baseAddress), size: $0.count) })
        defer { table.deallocate() }
        body { name in
            // Another copy than the table's.
            Array(name.utf8).withUnsafeBufferPointer {
                table.find(sluice_bytes(data: $0.baseAddress, size: $0.count))
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 8, 9, 64, 100, 5_000])
    func everyNameIsFoundAndNoOther(count: Int) {
        let names = (0..<count).map { "model-\($0)" }
        withTable(names) { find in
            for (index, name) in names.enumerated() { #expect(find(name) == UInt32(index), "\(name)") }
            for other in ["", "model-", "model-\(count)", "Model-0", "model-0 ", "odel-0"] + names.map({ $0 + "x" }) {
                #expect(find(other) == SLUICE_NONE, "\(other)")
            }
        }
    }

    @Test func anEmptyTableFindsNothing() {
        withTable([]) { find in
            #expect(find("") == SLUICE_NONE)
            #expect(find("a") == SLUICE_NONE)
        }
    }

    @Test func ofTwoThatAreTheSameTheFirstIsFound() {
        withTable(["a", "b", "a"]) { find in
            #expect(find("a") == 0)
            #expect(find("b") == 1)
        }
    }

    @Test func anEmptyNameIsOneWithOrWithoutMemory() {
        let table = NameTable([sluice_bytes("x"), .empty])
        defer { table.deallocate() }
        #expect(table.find(sluice_bytes("")) == 1)
        #expect(table.find(.empty) == 1)
    }

    @Test func namesMayHoldAnyByte() {
        withTable(["\u{0}", "\u{0}\u{0}", "ä/ö", "a b"]) { find in
            #expect(find("\u{0}") == 0)
            #expect(find("\u{0}\u{0}") == 1)
            #expect(find("ä/ö") == 2)
            #expect(find("a b") == 3)
            #expect(find("\u{0}\u{0}\u{0}") == SLUICE_NONE)
        }
    }
}
