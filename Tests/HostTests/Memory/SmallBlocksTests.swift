import Glibc
import Testing

@testable import Host

/// A reference to what cannot be copied, for the macros of the tests.
private final class Blocks {
    private var blocks: SmallBlocks
    init(keptAtMost: Int = 1 << 20) { blocks = SmallBlocks(keptAtMost: keptAtMost) }
    var kept: Int { blocks.kept }
    func take(_ size: Int) -> UnsafeMutableRawPointer? { blocks.take(size) }
    func takeCleared(_ count: Int, of size: Int) -> UnsafeMutableRawPointer? { blocks.takeCleared(count, of: size) }
    func give(_ memory: UnsafeMutableRawPointer?) { blocks.give(memory) }
    func resize(_ memory: UnsafeMutableRawPointer?, to size: Int) -> UnsafeMutableRawPointer? {
        blocks.resize(memory, to: size)
    }
}

@Suite struct SmallBlocksTests {
    private func fill(_ memory: UnsafeMutableRawPointer, _ size: Int, _ byte: Int32) { memset(memory, byte, size) }

    private func holds(_ memory: UnsafeMutableRawPointer, _ size: Int, _ byte: UInt8) -> Bool {
        (0..<size).allSatisfy { memory.load(fromByteOffset: $0, as: UInt8.self) == byte }
    }

    @Test func blocksOfAllSizesAreAlignedAndApart() throws {
        let blocks = Blocks()
        var taken: [(memory: UnsafeMutableRawPointer, size: Int)] = []
        for size in [0, 1, 15, 16, 17, 47, 48, 49, 1_007, 1_008, 1_009, 4_096, 100_000] {
            let memory = try #require(blocks.take(size))
            #expect(UInt(bitPattern: memory) % 16 == 0)
            fill(memory, size, Int32(taken.count + 1))
            taken.append((memory, size))
        }
        for (index, each) in taken.enumerated() { #expect(holds(each.memory, each.size, UInt8(index + 1))) }
        for each in taken { blocks.give(each.memory) }
        blocks.give(nil)
    }

    @Test func whatIsGivenBackIsTakenAgain() throws {
        let blocks = Blocks()
        let (first, second) = (try #require(blocks.take(40)), try #require(blocks.take(48)))
        blocks.give(first)
        blocks.give(second)
        #expect(blocks.kept == 128)
        // Of the same kind, whichever size of it is asked for; the last one first.
        #expect(blocks.take(33) == second)
        #expect(blocks.take(48) == first)
        #expect(blocks.kept == 0)
        // One of another kind is not.
        blocks.give(first)
        let other = try #require(blocks.take(100))
        #expect(other != first && blocks.kept == 64)
        blocks.give(second)
        blocks.give(other)
    }

    @Test func onlySoMuchIsKept() throws {
        let blocks = Blocks(keptAtMost: 100)
        let taken = try (0..<3).map { _ in try #require(blocks.take(16)) }
        let large = try #require(blocks.take(5_000))
        blocks.give(large)
        #expect(blocks.kept == 0)
        for memory in taken { blocks.give(memory) }
        #expect(blocks.kept == 96)
        let larger = try #require(blocks.take(40))
        blocks.give(larger)
        #expect(blocks.kept == 96)
    }

    @Test func clearedBlocksAreClear() throws {
        let blocks = Blocks()
        let used = try #require(blocks.take(200))
        fill(used, 200, 7)
        blocks.give(used)
        let clear = try #require(blocks.takeCleared(20, of: 10))
        #expect(clear == used && holds(clear, 200, 0))
        #expect(blocks.takeCleared(.max, of: 2) == nil)
        #expect(blocks.take(.max) == nil)
        blocks.give(clear)
    }

    @Test(arguments: [(10, 16), (10, 200), (900, 3_000), (3_000, 9_000), (9_000, 100)])
    func resizedBlocksKeepWhatTheyHeld(before: Int, after: Int) throws {
        let blocks = Blocks()
        let memory = try #require(blocks.take(before))
        fill(memory, before, 9)
        let resized = try #require(blocks.resize(memory, to: after))
        #expect(holds(resized, min(before, after), 9))
        fill(resized, after, 3)
        #expect(blocks.resize(resized, to: .max) == nil)
        #expect(holds(resized, after, 3))
        blocks.give(resized)
        let fresh = try #require(blocks.resize(nil, to: 10))
        blocks.give(fresh)
    }
}
