import Configuration
import SluiceHashing
import Testing

@testable import Host

/// A pool that macros can look at: a noncopyable value they cannot.
final class PoolUnderTest {
    var pool: BufferPool

    init(spareBytes: Int = Settings.Server().spareBufferBytes) { pool = BufferPool(spareBytes: spareBytes) }

    var bytesInUse: Int { pool.bytesInUse }
    var inUse: (small: Int, medium: Int, large: Int, mapped: Int) { pool.inUse }
    var buffersInUse: Int { inUse.small + inUse.medium + inUse.large + inUse.mapped }
    var bytesKept: Int { pool.bytesKept }
    func take(_ size: Int) -> Buffer { pool.take(size) }
    func give(_ buffer: Buffer) { pool.give(buffer) }
}

@Suite struct BufferPoolTests {
    @Test func aBufferIsOfTheSmallestClassThatHoldsIt() {
        let pool = PoolUnderTest()
        let classes: [(size: Int, capacity: Int)] = [
            (0, 4_096), (1, 4_096), (4_096, 4_096), (4_097, 65_536), (65_536, 65_536), (65_537, 1_048_576),
            (1_048_576, 1_048_576), (1_048_577, 1_052_672), (3_000_000, 3_002_368),
        ]
        for (size, capacity) in classes {
            let buffer = pool.take(size)
            #expect(buffer.capacity == capacity, "\(size)")
            #expect(buffer.count == 0 && buffer.space == capacity, "\(size)")
            #expect(pool.bytesInUse == capacity && pool.buffersInUse == 1, "\(size)")
            // All of it can be written.
            buffer.base?.update(repeating: 0xAB, count: buffer.capacity)
            pool.give(buffer)
            #expect(pool.bytesInUse == 0 && pool.buffersInUse == 0, "\(size)")
        }
    }

    @Test func whatTheSystemCannotGiveIsAbsentAndNotCounted() {
        let pool = PoolUnderTest()
        for size in [Int.max, Int.max - 4_095, Int.max / 2] {
            #expect(pool.take(size).isAbsent, "\(size)")
        }
        #expect(pool.bytesInUse == 0 && pool.buffersInUse == 0)
    }

    @Test func eachClassIsCountedForItself() {
        let pool = PoolUnderTest()
        let taken = [1, 2, 5_000, 70_000, 70_001, 70_002, 2_000_000].map { pool.take($0) }
        #expect(pool.inUse == (2, 1, 3, 1))
        for buffer in taken { pool.give(buffer) }
        #expect(pool.inUse == (0, 0, 0, 0))
    }

    @Test func theLastLargeBlocksAreTakenAgainByThoseOfTheirSize() {
        let pool = PoolUnderTest()
        let first = pool.take(3_000_000)
        pool.give(first)
        #expect(pool.bytesKept == first.capacity)
        let unlike = [2_000_000, 4_000_000].map { pool.take($0) }
        #expect(!unlike.map(\.base).contains(first.base), "one is too large for it, the other too small")
        let alike = pool.take(2_900_000)
        #expect(alike.base == first.base && alike.capacity == first.capacity)
        for buffer in unlike + [alike] { pool.give(buffer) }
        // What is more than a few, or very large, goes back to the system.
        let many = (0..<9).map { pool.take(2_000_000 + $0 * 600_000) }
        let giant = pool.take(9 << 20)
        for buffer in many + [giant] { pool.give(buffer) }
        #expect(pool.bytesKept <= 4 * 8 << 20)
        #expect(pool.bytesKept >= many.suffix(4).reduce(0) { $0 + $1.capacity })
        #expect(pool.inUse == (0, 0, 0, 0) && pool.bytesInUse == 0)
    }

    @Test func givingAnAbsentBufferChangesNothing() {
        let pool = PoolUnderTest()
        pool.give(.none)
        #expect(pool.bytesInUse == 0 && pool.buffersInUse == 0)
    }

    @Test(arguments: [4_096, 65_536, 1_048_576])
    func aBufferThatWasGivenBackIsTakenAgain(size: Int) {
        let pool = PoolUnderTest()
        let first = pool.take(size)
        pool.give(first)
        let second = pool.take(size)
        #expect(second.base == first.base)
        #expect(second.start == 0 && second.end == 0)
        pool.give(second)
    }

    /// More than stay on the free list, in both directions, so that the ones beyond its bound are unmapped.
    @Test(arguments: [(4_096, 2_500), (65_536, 300), (1_048_576, 20)])
    func aBurstBeyondTheFreeListIsServedAndGivenBack(size: Int, count: Int) {
        let pool = PoolUnderTest()
        for _ in 0..<2 {
            var taken: [Buffer] = []
            for index in 0..<count {
                let buffer = pool.take(size)
                buffer.base?.pointee = UInt8(truncatingIfNeeded: index)
                taken.append(buffer)
            }
            #expect(Set(taken.map(\.base)).count == count)
            #expect(pool.bytesInUse == count * size && pool.buffersInUse == count)
            for (index, buffer) in taken.enumerated() {
                #expect(buffer.base?.pointee == UInt8(truncatingIfNeeded: index))
                pool.give(buffer)
            }
            #expect(pool.bytesInUse == 0 && pool.buffersInUse == 0)
            #expect(pool.bytesKept <= 8 << 20, "a burst must not pin memory")
        }
    }

    /// A fifth of the bytes in small buffers, two fifths each in the others.
    @Test(arguments: [
        (0, 4_096, 0), (0, 65_536, 0), (0, 1_048_576, 0), (20_480, 4_096, 1), (20_480, 65_536, 0),
        (5 << 20, 4_096, 256), (5 << 20, 65_536, 32), (5 << 20, 1_048_576, 2), (20 << 20, 65_536, 128),
    ])
    func asMuchStaysAsIsSpared(spare: Int, size: Int, stay: Int) {
        let pool = PoolUnderTest(spareBytes: spare)
        // As many as stay and more: small ones come sixteen at a time, all of which are taken and given back.
        let taken = (0..<(stay + 16) / 16 * 16).map { _ in pool.take(size) }
        for buffer in taken { pool.give(buffer) }
        #expect(pool.bytesKept == stay * size)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func randomStepsKeepBuffersApartAndTheAccountsRight(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let pool = PoolUnderTest()
        var used: [(buffer: Buffer, mark: UInt8)] = []
        for _ in 0..<3_000 {
            if used.count < 60, Bool.random(using: &random) {
                let most = [100, 5_000, 70_000, 1_100_000].randomElement(using: &random) ?? 1
                let size = Int.random(in: 1...most, using: &random)
                let buffer = pool.take(size)
                let mark = UInt8.random(in: 0...255, using: &random)
                try #require(buffer.capacity >= size)
                buffer.base?.pointee = mark
                buffer.base?[buffer.capacity - 1] = mark
                used.append((buffer, mark))
            } else if !used.isEmpty {
                let (buffer, mark) = used.remove(at: Int.random(in: 0..<used.count, using: &random))
                #expect(buffer.base?.pointee == mark && buffer.base?[buffer.capacity - 1] == mark)
                pool.give(buffer)
            }
            #expect(pool.bytesInUse == used.reduce(0) { $0 + $1.buffer.capacity })
            #expect(pool.buffersInUse == used.count)
        }
        for (buffer, _) in used { pool.give(buffer) }
        #expect(pool.bytesInUse == 0)
    }

    @Test func appendFillsABufferBehindWhatItHolds() {
        let pool = PoolUnderTest()
        var buffer = pool.take(10)
        buffer.append([1, 2, 3] as [UInt8], 3)
        buffer.append([4, 5] as [UInt8], 2)
        buffer.start += 1
        #expect(Array(UnsafeBufferPointer(start: buffer.head, count: buffer.count)) == [2, 3, 4, 5])
        #expect(buffer.space == buffer.capacity - 5)
        pool.give(buffer)
    }
}
