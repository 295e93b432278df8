import SluiceHashing
import Testing

@testable import Host

/// Frames of a client, cut wherever a read may cut them.
@Suite struct HTTP2FrameWalkTests {
    private static let preface = [UInt8](repeating: 0, count: 24)

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ size: Int = 0) -> [UInt8] {
        // Reserved bit set: it means nothing. What lies in a frame looks like a frame.
        [0, UInt8(size >> 8), UInt8(size & 255), type, flags, 0x80, 0, 0, stream]
            + (0..<size).map { [0, 0, 0, 0, 1, 0, 0, 0, 1][$0 % 9] }
    }

    /// Feeds `bytes` in pieces of `size`; the suspects, and how many bytes lay before each.
    private static func walk(_ bytes: [UInt8], by size: Int) -> [(Int, Int32)] {
        var walk = HTTP2FrameWalk()
        var found: [(Int, Int32)] = []
        var place = 0
        while place < bytes.count {
            let end = min(bytes.count, (place / size + 1) * size)
            let (count, suspect) = bytes[place..<end].withUnsafeBufferPointer {
                walk.advance($0.baseAddress!, $0.count)
            }
            place += count
            if suspect != 0 { found.append((place, suspect)) }
        }
        return found
    }

    @Test(arguments: [1, 2, 3, 7, 9, 10, 24, 33, 1_000]) func findsWhatComesAfterTheEnd(_ size: Int) {
        let beginning =
            Self.preface + Self.frame(4, 0, 0, 12) + Self.frame(1, 4, 1, 40) + Self.frame(0, 0, 1, 100)
            + Self.frame(0, 1, 1, 20) + Self.frame(8, 0, 1, 4) + Self.frame(2, 0, 1, 5) + Self.frame(1, 4, 3, 9)
            + Self.frame(3, 0, 3, 4) + Self.frame(9, 4, 3, 9)
        #expect(Self.walk(beginning, by: size).isEmpty)
        for (late, stream) in [(Self.frame(0, 0, 1, 7), Int32(1)), (Self.frame(1, 5, 3, 0), 3)] {
            let found = Self.walk(beginning + late + Self.frame(6, 0, 0, 8), by: size)
            #expect(found.count == 1 && found[0].1 == stream)
            // Where a header is cut, its first bytes have gone on already.
            #expect((beginning.count..<beginning.count + 9).contains(found.first?.0 ?? 0))
            if size == 1_000 { #expect(found[0].0 == beginning.count) }
        }
    }

    @Test func remembersTheLastFew() {
        let many = (0..<9).flatMap { Self.frame(1, 5, UInt8(2 * $0 + 1), 3) }
        #expect(Self.walk(Self.preface + many + Self.frame(0, 0, 17, 1), by: 50).count == 1)
        #expect(Self.walk(Self.preface + many + Self.frame(0, 0, 1, 1), by: 50).isEmpty)
    }

    /// Bytes of any kind: however they are cut, the same frames are suspects, and every byte is passed once.
    @Test func cutsChangeNothing() {
        var random = SplitMix64(seed: 9113)
        for _ in 0..<300 {
            var bytes = Self.preface
            for _ in 0..<40 {
                let type = UInt8.random(in: 0...9, using: &random)
                let stream = UInt8.random(in: 0...7, using: &random)
                bytes += Self.frame(
                    type, UInt8.random(in: 0...5, using: &random), stream, Int.random(in: 0...30, using: &random))
            }
            bytes += (0..<50).map { _ in UInt8.random(in: 0...255, using: &random) }
            let whole = Self.walk(bytes, by: bytes.count).map(\.1)
            #expect(Self.walk(bytes, by: 1).map(\.1) == whole)
            #expect(Self.walk(bytes, by: Int.random(in: 2...40, using: &random)).map(\.1) == whole)
        }
    }
}
