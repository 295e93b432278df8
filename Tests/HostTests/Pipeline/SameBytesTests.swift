import SluiceABI
import Testing

@testable import Host

@Suite struct SameBytesTests {
    /// Every size that has a way of its own, and a difference at each place of it.
    @Test func aDifferenceIsSeenWhereverItIs() {
        for size in 0...40 {
            // What lies around the text differs, and must not count.
            let one = [0] + (0..<size).map { UInt8($0 + 1) } + [0]
            var other = one
            (other[0], other[size + 1]) = (9, 9)
            #expect(same(one, other, size))
            for place in 1..<(size + 1) {
                other[place] ^= 0x80
                #expect(!same(one, other, size), "\(size) bytes, which differ at \(place - 1)")
                other[place] ^= 0x80
            }
        }
    }

    private func same(_ one: [UInt8], _ other: [UInt8], _ size: Int) -> Bool {
        one.withUnsafeBufferPointer { one in
            other.withUnsafeBufferPointer { other in
                sameBytes(one.baseAddress.unsafelyUnwrapped + 1, other.baseAddress.unsafelyUnwrapped + 1, size)
            }
        }
    }
}
