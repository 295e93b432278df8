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
    private static let refused = Atomic<Int>(0)

    /// What they hold at present. [any]
    static var bytesInUse: Int { inUse.load(ordering: .relaxed) }
    /// How often `make` gave none. [any]
    static var refusals: Int { refused.load(ordering: .relaxed) }

    /// Blocks that were given back wait here for the next of their size. Each slot is taken and filled by one atomic
    /// operation on its own, so that no thread can see another's half-done work. As many as a batch of each size needs
    /// at once: 256 KiB, 2 MiB and 8 MiB.
    private static let classes = [(size: 4_096, slots: 64), (size: 65_536, slots: 32), (size: 1_048_576, slots: 8)]
    /// Made once, never freed; what lies in them is atomic.
    nonisolated(unsafe) private static let shelves: [UnsafeMutablePointer<Atomic<UInt>>] = classes.map { each in
        let slots = UnsafeMutablePointer<Atomic<UInt>>.allocate(capacity: each.slots)
        for index in 0..<each.slots { (slots + index).initialize(to: Atomic(0)) }
        return slots
    }

    /// The class of a capacity; nil for what is too large to be kept.
    private static func shelf(_ capacity: Int) -> Int? { classes.firstIndex { capacity <= $0.size } }

    /// What a buffer takes, beside its header: the bound is on memory, not on what was asked for.
    private static func blockSize(_ capacity: Int) -> Int { shelf(capacity).map { classes[$0].size } ?? capacity }

    private static func takeBlock(_ capacity: Int) -> UnsafeMutableRawPointer {
        guard let shelf = shelf(capacity) else { return .allocate(byteCount: headerSize + capacity, alignment: 64) }
        let slots = shelves[shelf]
        for index in 0..<classes[shelf].slots where slots[index].load(ordering: .relaxed) != 0 {
            let kept = slots[index].exchange(0, ordering: .acquiring)
            if let block = UnsafeMutableRawPointer(bitPattern: kept) { return block }
        }
        return .allocate(byteCount: headerSize + classes[shelf].size, alignment: 64)
    }

    private static func giveBlock(_ block: UnsafeMutableRawPointer, _ capacity: Int) {
        if let shelf = shelf(capacity) {
            let slots = shelves[shelf]
            for index in 0..<classes[shelf].slots where slots[index].load(ordering: .relaxed) == 0 {
                let stored = slots[index].compareExchange(
                    expected: 0, desired: UInt(bitPattern: block), ordering: .releasing)
                if stored.exchanged { return }
            }
        }
        block.deallocate()
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
        let block = takeBlock(capacity)
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
        giveBlock(UnsafeMutableRawPointer(buffer), buffer.pointee.capacity)
    }

    private static func count(_ buffer: UnsafeMutablePointer<sluice_buffer>) -> UnsafeMutablePointer<Atomic<Int>> {
        (UnsafeMutableRawPointer(buffer) + countOffset).assumingMemoryBound(to: Atomic<Int>.self)
    }
}
