import ApiKeyFormat
import Testing

@Suite struct KeyFileTests {
    private func read(_ text: String, atMost count: Int = 100) throws(KeyFile.Problem) -> [KeyFile.Entry] {
        try KeyFile(Array(text.utf8), entriesAtMost: count).entries
    }

    @Test func linesAreKeysAndTenants() throws {
        let entries = try read("a one\n#b two\n\n \t c\t \ttwo words \r\nd three")
        #expect(entries.map(\.tenant) == ["one", "two words", "three"])
        #expect(entries.map(\.line) == [1, 4, 5])
        #expect(try entries.map(\.key) == ["a", "c", "d"].map { try GivenKey($0.utf8) })
        #expect(try read("").isEmpty)
        #expect(try read("# nothing\n").isEmpty)
    }

    /// The mark of UTF-8 that some editors write is no part of the first key.
    @Test func aMarkBeforeTheFirstLineIsPassedOver() throws {
        for text in ["a one\n", "# a\na one\n"] {
            let entries = try read("\u{FEFF}" + text)
            #expect(try entries.map(\.key) == [GivenKey("a".utf8)] && entries.map(\.tenant) == ["one"])
        }
    }

    @Test func aDigestIsOneInAnyCase() throws {
        let digits = String(repeating: "0a", count: 32)
        let key = try GivenKey("sha256:\(digits)".utf8)
        guard case .digest = key else {
            Issue.record("a digest is taken for a plain key")
            return
        }
        for text in ["SHA256:\(digits)", "Sha256:\(digits.uppercased())"] {
            #expect(try GivenKey(text.utf8) == key, "\(text)")
        }
        #expect(throws: GivenKey.Problem.noDigest) { try GivenKey("SHA256:00".utf8) }
    }

    @Test(arguments: [
        ("a one\nb", 2, "expected a key, a blank and the name of its tenant"),
        ("\nsha256:00 one", 2, "behind 'sha256:' come the 64 hexadecimal digits of the key's SHA-256"),
        ("a o\u{7}ne", 1, "a tenant's name is text in UTF-8 without control characters"),
        ("a one\nb two\nc three", 3, "more than 2 keys"),
        (String(repeating: "a", count: 4_097) + " one", 1, "a key has at most 4096 bytes"),
    ])
    func whatIsWrongIsSaidWithoutTheKey(text: String, line: Int, problem: String) {
        #expect(throws: KeyFile.Problem(line: line, text: problem)) { try read(text, atMost: 2) }
    }

    @Test func bytesThatAreNoTextAreNoTenant() {
        #expect(throws: KeyFile.Problem.self) { try KeyFile([0x61, 0x20, 0xFF], entriesAtMost: 1) }
    }
}
