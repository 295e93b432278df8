import SluiceHashing
import Testing

@Suite struct KeyedHashTests {
    private static let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)

    private func hash(_ pieces: [[UInt8]]) -> UInt64 {
        var hash = KeyedHash(key: Self.key)
        for piece in pieces { piece.withUnsafeBytes { hash.feed($0) } }
        return hash.finish()
    }

    /// The example of appendix A of the paper, the bytes 0 to 14; and the first two of the reference implementation's
    /// vectors (vectors.h of veorq/SipHash), of nothing and of the byte 0.
    @Test(
        arguments: [
            (Array(0..<15), 0xA129_CA61_49BE_45E5), ([], 0x726F_DB47_DD0E_0E31), ([0], 0x74F8_39C5_93DC_67FD),
        ] as [([UInt8], UInt64)])
    func theExamplesOfTheReference(bytes: [UInt8], value: UInt64) {
        #expect(hash([bytes]) == value)
    }

    @Test func piecesAreCutAnywhere() {
        let whole: [UInt8] = (0..<41).map { UInt8($0 * 5) }
        let expected = hash([whole])
        for first in 0...whole.count {
            for second in first...whole.count {
                let pieces = [Array(whole[..<first]), Array(whole[first..<second]), Array(whole[second...])]
                #expect(hash(pieces) == expected)
            }
        }
    }

    @Test func aWordIsItsEightBytes() {
        for before in 0..<9 {
            var words = KeyedHash(key: Self.key)
            let bytes = [UInt8](repeating: 7, count: before)
            bytes.withUnsafeBytes { words.feed($0) }
            words.feed(0x0807_0605_0403_0201 as UInt64)
            #expect(words.finish() == hash([bytes, Array(1...8)]))
        }
    }
}
