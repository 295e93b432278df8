import CLinux
import Glibc
import SluiceABI
import Synchronization

/// Counted buffers, which may cross workers and threads: the public view, then the count, then the bytes, in one block.
enum CountedBuffers {
    /// All of them together may hold so much: four of the largest gathered bodies.
    private static let bytesAtMost = 1 << 30
    private static let headerSize = 64
    private static let countOffset = 16
    private static let inUse = Atomic<Int>(0)

    /// One reference, the caller's; nil when the bound is reached. [any]
    static func make(_ capacity: Int) -> UnsafeMutablePointer<sluice_buffer>? {
        guard capacity >= 0, capacity <= bytesAtMost else { return nil }
        guard inUse.wrappingAdd(capacity, ordering: .relaxed).newValue <= bytesAtMost else {
            inUse.wrappingSubtract(capacity, ordering: .relaxed)
            return nil
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: headerSize + capacity, alignment: 64)
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
        inUse.wrappingSubtract(buffer.pointee.capacity, ordering: .relaxed)
        UnsafeMutableRawPointer(buffer).deallocate()
    }

    private static func count(_ buffer: UnsafeMutablePointer<sluice_buffer>) -> UnsafeMutablePointer<Atomic<Int>> {
        (UnsafeMutableRawPointer(buffer) + countOffset).assumingMemoryBound(to: Atomic<Int>.self)
    }
}
