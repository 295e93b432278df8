import Testing

@testable import SluiceHashing

@Suite struct MD5Tests {
    /// RFC 1321, appendix A.5: of no byte, of less than a block, of as many as leave no room for the length, and of two
    /// blocks.
    @Test func answersOfTheStandard() {
        let answers = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "d174ab98d277d9f5a5611c2c9f419d9f"
            ),
            (String(repeating: "1234567890", count: 8), "57edf4a22be3c955ac49da2e2107b67a"),
        ]
        // One array for all, as a ring does.
        var text: [UInt8] = []
        for (asked, answer) in answers {
            text.removeAll(keepingCapacity: true)
            text += asked.utf8
            let words = MD5.digest(padding: &text)
            let digest = [words.0, words.1, words.2, words.3].map { word in
                hexadecimal(UInt64(word.byteSwapped)).suffix(8)
            }
            #expect(digest.joined() == answer, "\(asked)")
        }
    }
}
