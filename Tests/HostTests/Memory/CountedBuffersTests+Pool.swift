import SluiceABI
import SluiceHashing
import Testing

@testable import Host

/// Blocks that are kept for the next buffer of their size.
extension CountedBuffersTests {
    @Test func aBufferThatIsGivenBackServesTheNextOfItsSize() throws {
        // More than the shelf holds, so that whatever others left there is used up.
        let held = (0..<64).compactMap { _ in CountedBuffers.make(1_000_000) }
        let first = try #require(CountedBuffers.make(900_000))
        CountedBuffers.release(first)
        let second = try #require(CountedBuffers.make(1_000_000))
        #expect(second == first)
        #expect(second.pointee.capacity == 1_000_000)
        CountedBuffers.retain(second)
        CountedBuffers.release(second)
        let third = try #require(CountedBuffers.make(1_000_000))
        #expect(third != second, "a reference is left")
        for buffer in held + [second, third] { CountedBuffers.release(buffer) }
        #expect(CountedBuffers.make(-1) == nil)
        #expect(CountedBuffers.make(1 << 31) == nil)
    }

    /// A megabyte is taken for each byte above 64 KiB, and the bound counts it.
    @Test func theBoundCountsWhatABufferTakes() {
        let held = (0..<1_024).compactMap { _ in CountedBuffers.make(65_537) }
        #expect(held.count == 1_024)
        #expect(CountedBuffers.make(1) == nil)
        for buffer in held { CountedBuffers.release(buffer) }
    }

    @Test func threadsNeverShareABuffer() async {
        let mistakes = await withTaskGroup(of: Int.self) { group in
            for thread in 0..<8 { group.addTask { Self.churn(UInt8(thread)) } }
            return await group.reduce(0, +)
        }
        #expect(mistakes == 0)
    }

    /// Makes and gives back buffers with a mark in each; how often a mark was another's.
    private static func churn(_ mark: UInt8) -> Int {
        var generator = SplitMix64(seed: UInt64(mark) + 1)
        var mine: [UnsafeMutablePointer<sluice_buffer>] = []
        var mistakes = 0
        for _ in 0..<20_000 {
            if mine.count < 16, Bool.random(using: &generator) {
                let capacity = [1, 5_000, 70_000].randomElement(using: &generator) ?? 1
                guard let buffer = CountedBuffers.make(capacity) else { continue }
                buffer.pointee.data[0] = mark
                mine.append(buffer)
            } else if let buffer = mine.popLast() {
                if buffer.pointee.data[0] != mark { mistakes += 1 }
                CountedBuffers.release(buffer)
            }
        }
        for buffer in mine { CountedBuffers.release(buffer) }
        return mistakes
    }
}
