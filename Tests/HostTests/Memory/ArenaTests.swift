import SluiceHashing
import Testing

@testable import Host

@Suite struct ArenaTests {
    private let memory = PoolUnderTest()

    private func allocate(_ arena: inout Arena, _ size: Int, bound: Int = 1 << 30) -> UnsafeMutableRawPointer? {
        arena.allocate(size, from: &memory.pool, bound: bound)
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func piecesAreAlignedAndApart(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var arena = Arena()
        var pieces: [(start: UnsafeMutableRawPointer, size: Int, mark: UInt8)] = []
        for index in 0..<400 {
            let most = [1, 16, 40, 5_000, 200_000].randomElement(using: &random) ?? 1
            let size = Int.random(in: 0...most, using: &random)
            let start = try #require(allocate(&arena, size))
            #expect(Int(bitPattern: start) % 16 == 0)
            let mark = UInt8(truncatingIfNeeded: index)
            start.initializeMemory(as: UInt8.self, repeating: mark, count: size)
            pieces.append((start, size, mark))
        }
        for piece in pieces {
            let bytes = UnsafeRawBufferPointer(start: piece.start, count: piece.size)
            #expect(bytes.allSatisfy { $0 == piece.mark })
        }
        #expect(arena.size == memory.bytesInUse)
        #expect(arena.size >= pieces.reduce(0) { $0 + $1.size })
        arena.release(to: &memory.pool)
        #expect(memory.bytesInUse == 0 && memory.buffersInUse == 0)
        #expect(arena.size == 0)
        // It serves again after that.
        #expect(allocate(&arena, 100) != nil)
        arena.release(to: &memory.pool)
        #expect(memory.buffersInUse == 0)
    }

    @Test func manySmallPiecesMakeFewChunks() throws {
        var arena = Arena()
        for _ in 0..<100_000 { _ = try #require(allocate(&arena, 32)) }
        // 3.2 MB: one small, one medium, and large ones.
        #expect(memory.buffersInUse <= 8)
        arena.release(to: &memory.pool)
    }

    @Test(arguments: [4_096 - 16, 4_096, 65_536, 1_048_576, 5_000_000])
    func aLargePieceHasAChunkThatHoldsIt(size: Int) throws {
        var arena = Arena()
        _ = try #require(allocate(&arena, 8))
        let piece = try #require(allocate(&arena, size))
        piece.initializeMemory(as: UInt8.self, repeating: 1, count: size)
        let next = try #require(allocate(&arena, 8))
        next.initializeMemory(as: UInt8.self, repeating: 2, count: 8)
        #expect(piece.load(fromByteOffset: size - 1, as: UInt8.self) == 1)
        arena.release(to: &memory.pool)
        #expect(memory.bytesInUse == 0)
    }

    @Test(arguments: [1, 100, 5_000, 300_000] as [Int])
    func theBoundIsNotPassedByMoreThanAChunk(size: Int) {
        for bound in [0, 4_096, 10_000, 100_000, 2_000_000] {
            var arena = Arena()
            var granted = 0
            while allocate(&arena, size, bound: bound) != nil, granted < 64 << 20 { granted += size }
            #expect(arena.size < bound + BufferPool.large + size + 4_096, "\(size) of \(bound)")
            #expect(granted < bound + BufferPool.large + size + 4_096, "\(size) of \(bound)")
            if size > bound { #expect(arena.size == 0, "\(size) of \(bound)") }
            // Whoever stays below the bound is not refused because of what chunks waste.
            if size <= bound { #expect(granted >= size, "\(size) of \(bound)") }
            arena.release(to: &memory.pool)
        }
        #expect(memory.bytesInUse == 0)
    }

    @Test func sizesThatNoMemoryHasAreRefused() {
        var arena = Arena()
        for size in [-1, Int.min, Int.max, Int.max - 8, Int.max / 2] {
            #expect(allocate(&arena, size, bound: .max) == nil, "\(size)")
            #expect(allocate(&arena, size, bound: 1 << 20) == nil, "\(size)")
        }
        #expect(allocate(&arena, 1, bound: -1) == nil)
        _ = allocate(&arena, 1)
        for size in [-1, Int.min, Int.max, Int.max - 8] {
            #expect(allocate(&arena, size, bound: .max) == nil, "\(size) in a chunk")
        }
        arena.release(to: &memory.pool)
        #expect(memory.bytesInUse == 0)
    }

    @Test func aCopyHoldsTheSameBytesElsewhere() throws {
        var arena = Arena()
        let text: [UInt8] = Array("sluice".utf8)
        let copy = try #require(arena.copy(text, text.count, from: &memory.pool, bound: 1 << 20))
        #expect(Array(UnsafeBufferPointer(start: copy, count: text.count)) == text)
        #expect(arena.copy(nil, 0, from: &memory.pool, bound: 1 << 20) != nil)
        #expect(arena.copy(text, text.count, from: &memory.pool, bound: 1) != nil, "the chunk is there already")
        arena.release(to: &memory.pool)
    }
}
