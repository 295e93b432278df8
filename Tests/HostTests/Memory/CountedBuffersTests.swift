import Glibc
import SluiceABI
import Synchronization
import TestThreads
import Testing

@testable import Host

/// How many threads are done.
private final class Finished: Sendable {
    let count = Atomic<Int>(0)
}

/// One after the other: they share the bound of the process.
@Suite(.serialized) struct CountedBuffersTests {
    private static let bound = 1 << 30

    @Test func aBufferHasItsCapacityAlignedToACacheLine() throws {
        for capacity in [0, 1, 63, 64, 100_000] {
            let buffer = try #require(CountedBuffers.make(capacity))
            #expect(buffer.pointee.capacity == capacity)
            #expect(UInt(bitPattern: buffer.pointee.data) % 64 == 0)
            buffer.pointee.data.update(repeating: 0xFF, count: capacity)
            // Writing all of it does not touch its count.
            CountedBuffers.retain(buffer)
            CountedBuffers.release(buffer)
            #expect(buffer.pointee.capacity == capacity)
            CountedBuffers.release(buffer)
        }
    }

    @Test func capacitiesBeyondTheBoundAreRefused() {
        #expect(CountedBuffers.make(-1) == nil)
        #expect(CountedBuffers.make(.min) == nil)
        #expect(CountedBuffers.make(.max) == nil)
        #expect(CountedBuffers.make(Self.bound + 1) == nil)
    }

    @Test func whatIsHeldAndWhatWasRefusedIsCounted() throws {
        let held = CountedBuffers.bytesInUse
        let refusals = CountedBuffers.refusals
        let buffer = try #require(CountedBuffers.make(5_000))
        #expect(CountedBuffers.bytesInUse == held + 65_536)
        #expect(CountedBuffers.make(Self.bound) == nil)
        #expect(CountedBuffers.make(-1) == nil)
        #expect(CountedBuffers.refusals == refusals + 2)
        CountedBuffers.release(buffer)
        #expect(CountedBuffers.bytesInUse == held)
    }

    @Test func theBoundCountsWhatIsHeldUntilTheLastReleaseAndNoLonger() throws {
        let half = try #require(CountedBuffers.make(Self.bound / 2))
        let other = try #require(CountedBuffers.make(Self.bound / 2))
        #expect(CountedBuffers.make(1) == nil)
        CountedBuffers.retain(half)
        CountedBuffers.release(half)
        #expect(CountedBuffers.make(1) == nil, "it is still held once")
        CountedBuffers.release(half)
        let small = try #require(CountedBuffers.make(1))
        #expect(CountedBuffers.make(Self.bound / 2) == nil, "what was refused did not count")
        CountedBuffers.release(small)
        CountedBuffers.release(other)
        let whole = try #require(CountedBuffers.make(Self.bound))
        CountedBuffers.release(whole)
    }

    @Test(.timeLimit(.minutes(1)))
    func threadsThatShareABufferFreeItOnce() throws {
        let buffer = try #require(CountedBuffers.make(Self.bound))
        let address = UInt(bitPattern: buffer)
        let finished = Finished()
        for _ in 0..<4 { CountedBuffers.retain(buffer) }
        for _ in 0..<4 {
            onThread {
                guard let shared = UnsafeMutablePointer<sluice_buffer>(bitPattern: address) else { return }
                for _ in 0..<20_000 {
                    CountedBuffers.retain(shared)
                    CountedBuffers.release(shared)
                }
                CountedBuffers.release(shared)
                finished.count.wrappingAdd(1, ordering: .acquiringAndReleasing)
            }
        }
        while finished.count.load(ordering: .acquiring) < 4 { sched_yield() }
        #expect(CountedBuffers.make(1) == nil, "the first reference still holds all of the bound")
        CountedBuffers.release(buffer)
        let next = try #require(CountedBuffers.make(Self.bound))
        CountedBuffers.release(next)
    }
}
