import SluiceDigest
import SluiceHashing
import SluicePlugin
import Testing

@Suite struct DigestTests {
    private struct NoDigest: Error {}

    /// In one piece, and in two, over a state that was in use before.
    private func digest(_ bytes: [UInt8]) throws -> Digest256 {
        guard var hash = SHA256Stream() else { throw NoDigest() }
        let whole = bytes.withUnsafeBytes { hash.digest(of: Bytes($0)) }
        var isWell = hash.begin()
        for part in [bytes.prefix(bytes.count / 3), bytes.dropFirst(bytes.count / 3)] {
            isWell = part.withUnsafeBytes { hash.add(Bytes($0)) } && isWell
        }
        guard isWell, let halves = hash.finish(), let whole else { throw NoDigest() }
        #expect(whole == halves)
        return whole
    }

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
    func theExamplesOfTheStandard(text: String, times: Int, hexadecimal: String) throws {
        let bytes = Array(String(repeating: text, count: times).utf8)
        #expect(try digest(bytes) == Digest256(hexadecimal: hexadecimal.utf8))
    }

    /// Of all lengths around the ends of blocks; the digests of these digests by coreutils' sha256sum:
    /// for n in $(seq 0 130); do head -c $n /dev/zero | sha256sum | cut -c 1-64; done | sha256sum
    @Test func everyLengthIsPaddedRight() throws {
        var all: [UInt8] = []
        for count in 0...130 {
            let digest = try digest([UInt8](repeating: 0, count: count))
            for word in [digest.first, digest.second, digest.third, digest.fourth] {
                all += Array(hexadecimal(word.bigEndian).utf8)
            }
            all.append(0x0A)
        }
        let expected = "cae7459b654a4c6f77d3a89ef92aa36963cc64b35ca6e1206027ce1f25a6fe82"
        #expect(try digest(all) == Digest256(hexadecimal: expected.utf8))
    }

    @Test(arguments: ["", "ba", "zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"])
    func whatIsNoDigestIsRefused(text: String) {
        #expect(Digest256(hexadecimal: text.utf8) == nil)
        #expect(Digest256(hexadecimal: String(repeating: "a", count: 65).utf8) == nil)
    }
}
