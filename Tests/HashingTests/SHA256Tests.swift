import SluiceHashing
import Testing

@Suite struct SHA256Tests {
    private func digest(_ bytes: [UInt8]) -> SHA256 { bytes.withUnsafeBytes { SHA256(of: $0) } }

    /// The examples of NIST for FIPS 180-4, of one block and of two; a million "a" is one of the older FIPS 180-2.
    @Test(
        arguments: [
            ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ])
    func theExamplesOfTheStandard(text: String, times: Int, hexadecimal: String) {
        let bytes = Array(String(repeating: text, count: times).utf8)
        #expect(digest(bytes) == SHA256(hexadecimal: hexadecimal.utf8))
    }

    /// Of all lengths around the ends of blocks; the digests of these digests by coreutils' sha256sum:
    /// for n in $(seq 0 130); do head -c $n /dev/zero | sha256sum | cut -c 1-64; done | sha256sum
    @Test func everyLengthIsPaddedRight() {
        var all: [UInt8] = []
        for count in 0...130 {
            let words = digest([UInt8](repeating: 0, count: count)).words
            for word in [words.0, words.1, words.2, words.3] { all += Array(hexadecimal(word).utf8) }
            all.append(0x0A)
        }
        let expected = "cae7459b654a4c6f77d3a89ef92aa36963cc64b35ca6e1206027ce1f25a6fe82"
        #expect(digest(all) == SHA256(hexadecimal: expected.utf8))
    }

    @Test(arguments: ["", "ba", "zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"])
    func whatIsNoDigestIsRefused(text: String) {
        #expect(SHA256(hexadecimal: text.utf8) == nil)
        #expect(SHA256(hexadecimal: String(repeating: "a", count: 65).utf8) == nil)
    }
}
