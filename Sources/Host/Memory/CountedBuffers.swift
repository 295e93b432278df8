import CLinux
import Glibc
import SluiceABI
import Synchronization

/// Counted buffers, which may cross workers and threads: the public view, then the count, then the bytes, in one block.
enum CountedBuffers {
    /// All of them together may hold so much: four of the largest gathered bodies.
    private static let bytesAtMost = 1 << 30
    private static let headerSize = SharedBlocks.headSize
    private static let countOffset = 16
    private static let inUse = Atomic<Int>(0)
    private static let refused = Atomic<Int>(0)

    /// What they hold at present. [any]
    static var bytesInUse: Int { inUse.load(ordering: .relaxed) }
    /// How often `make` gave none. [any]
    static var refusals: Int { refused.load(ordering: .relaxed) }

    /// What a buffer takes, beside its header: the bound is on memory, not on what was asked for.
    private static func blockSize(_ capacity: Int) -> Int {
        SharedBlocks.capacity(of: headerSize + capacity) - headerSize
    }

    /// One reference, the caller's; nil when the bound is reached. [any]
    static func make(_ capacity: Int) -> UnsafeMutablePointer<sluice_buffer>? {
        guard capacity >= 0, capacity <= bytesAtMost else {
            refused.wrappingAdd(1, ordering: .relaxed)
            return nil
        }
        let size = blockSize(capacity)
        guard inUse.wrappingAdd(size, ordering: .relaxed).newValue <= bytesAtMost else {
            inUse.wrappingSubtract(size, ordering: .relaxed)
            refused.wrappingAdd(1, ordering: .relaxed)
            return nil
        }
        let block = SharedBlocks.take(headerSize + capacity)
        let buffer = block.bindMemory(to: sluice_buffer.self, capacity: 1)
        buffer.initialize(
            to: sluice_buffer(
                data: (block + headerSize).bindMemory(to: UInt8.self, capacity: capacity), capacity: capacity))
        (block + countOffset).bindMemory(to: Atomic<Int>.self, capacity: 1).initialize(to: Atomic(1))
        return buffer
    }

    static func retain(_ buffer: UnsafeMutablePointer<sluice_buffer>) {
        count(buffer).pointee.wrappingAdd(1, ordering: .relaxed)
    }

    static func release(_ buffer: UnsafeMutablePointer<sluice_buffer>) {
        guard count(buffer).pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
        inUse.wrappingSubtract(blockSize(buffer.pointee.capacity), ordering: .relaxed)
        SharedBlocks.give(UnsafeMutableRawPointer(buffer), headerSize + buffer.pointee.capacity)
    }

    private static func count(_ buffer: UnsafeMutablePointer<sluice_buffer>) -> UnsafeMutablePointer<Atomic<Int>> {
        (UnsafeMutableRawPointer(buffer) + countOffset).assumingMemoryBound(to: Atomic<Int>.self)
    }
}
