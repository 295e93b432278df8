import SluiceHashing
import Testing

@testable import Host

@Suite struct BodyDigestTests {
    private func digest(_ pieces: [ArraySlice<UInt8>]) -> BodyDigest {
        var digest = BodyDigest()
        for piece in pieces {
            piece.withUnsafeBufferPointer { bytes in
                if let base = bytes.baseAddress { digest.update(base, bytes.count) }
            }
        }
        return digest
    }

    @Test func theSameHoweverItIsCut() {
        var random = SplitMix64(seed: 7)
        for size in [0, 1, 7, 8, 9, 63, 64, 65, 1_000] {
            let body = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
            let whole = digest([body[...]])
            #expect(whole.count == UInt64(size))
            #expect(whole.value != 0)
            for _ in 0..<50 {
                var pieces: [ArraySlice<UInt8>] = []
                var start = 0
                while start < size {
                    let end = min(size, start + Int.random(in: 0...17, using: &random))
                    pieces.append(body[start..<end])
                    start = end
                }
                #expect(digest(pieces).value == whole.value, "\(size) bytes")
            }
        }
    }

    @Test func anotherBodyHasAnother() {
        let body = [UInt8](repeating: 1, count: 100)
        let whole = digest([body[...]]).value
        for index in body.indices {
            var other = body
            other[index] = 2
            #expect(digest([other[...]]).value != whole)
        }
        // Zeros at the end are bytes, too.
        #expect(digest([[0]]).value != digest([[0, 0]]).value)
        #expect(digest([[]]).value != digest([[0]]).value)
    }
}
