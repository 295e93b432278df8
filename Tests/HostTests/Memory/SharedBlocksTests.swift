import Glibc
import Synchronization
import TestThreads
import Testing

@testable import Host

@Suite struct SharedBlocksTests {
    private static let sizes = [1, 512, 513, 4_096, 4_160, 4_161, 65_600, 1_048_640, 1_048_641]

    @Test func aBlockIsAsLargeAsSaidAndBeginsACacheLine() {
        for size in Self.sizes {
            let block = SharedBlocks.take(size)
            #expect(UInt(bitPattern: block) % 64 == 0)
            #expect(SharedBlocks.capacity(of: size) >= size)
            memset(block, 0xFF, size)
            SharedBlocks.give(block, size)
        }
    }

    /// Those that are out at the same time are different ones, however many.
    @Test func blocksThatAreOutDoNotOverlap() {
        for size in [400, 4_000] {
            let blocks = (0..<300).map { number in
                let block = SharedBlocks.take(size)
                memset(block, Int32(number % 251), size)
                return block
            }
            for (number, block) in blocks.enumerated() {
                let bytes = UnsafeRawBufferPointer(start: block, count: size)
                #expect(bytes.allSatisfy { $0 == UInt8(number % 251) })
                SharedBlocks.give(block, size)
            }
        }
    }

    /// Threads that take and give at once never have the same block.
    @Test(.timeLimit(.minutes(1))) func threadsHaveBlocksOfTheirOwn() throws {
        final class Outcome: Sendable {
            let done = Atomic<Int>(0)
            let clashes = Atomic<Int>(0)
        }
        let outcome = Outcome()
        for thread in 1...4 {
            onThread {
                for turn in 0..<5_000 {
                    let mark = UInt64(thread) << 32 | UInt64(turn)
                    let blocks = (0..<3).map { _ in SharedBlocks.take(200) }
                    for block in blocks { block.storeBytes(of: mark, as: UInt64.self) }
                    for block in blocks {
                        if block.load(as: UInt64.self) != mark { outcome.clashes.wrappingAdd(1, ordering: .relaxed) }
                        SharedBlocks.give(block, 200)
                    }
                }
                outcome.done.wrappingAdd(1, ordering: .acquiringAndReleasing)
            }
        }
        while outcome.done.load(ordering: .acquiring) < 4 { sched_yield() }
        #expect(outcome.clashes.load(ordering: .relaxed) == 0)
    }
}
