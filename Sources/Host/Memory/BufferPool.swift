import CLinux
import Glibc
import Synchronization

/// A block of bytes of one worker, with the received or staged part between `start` and `end`.
///
/// A plain value: whoever holds it last gives it back to the pool that made it. An empty buffer has no memory.
struct Buffer {
    var base: UnsafeMutablePointer<UInt8>?
    var capacity = 0
    var start = 0
    var end = 0

    static var none: Buffer { Buffer(base: nil) }

    var isAbsent: Bool { base == nil }
    var count: Int { end - start }
    var space: Int { capacity - end }

    /// The first byte that was not taken yet. Only where the buffer has memory.
    var head: UnsafeMutablePointer<UInt8> { base.unsafelyUnwrapped + start }
    var tail: UnsafeMutablePointer<UInt8> { base.unsafelyUnwrapped + end }

    mutating func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        precondition(count <= space)
        (base.unsafelyUnwrapped + end).update(from: bytes.assumingMemoryBound(to: UInt8.self), count: count)
        end += count
    }
}

/// The worker's buffers in three sizes, kept on free lists; larger ones are `MappedBlocks`.
///
/// One thread's own: no lock. What is free stays in the pool up to a bound, so that a burst does not pin memory.
struct BufferPool: ~Copyable {
    /// A head of a request and its small body fit into the first, a streaming body runs through the second; the third
    /// is for gathered bodies and the largest header blocks.
    static let small = 4_096
    static let medium = 65_536
    static let large = 1_048_576

    private var free: (FreeList, FreeList, FreeList)
    private var mapped = MappedBlocks()
    /// How many are in use of `small`, `medium` and `large`, and of those mapped for what is larger: four cells that
    /// other threads may read, as those of metrics are.
    private let counts: UnsafeMutablePointer<Atomic<UInt64>>
    private let ownsCounts: Bool
    var inUse: (small: Int, medium: Int, large: Int, mapped: Int) { (count(0), count(1), count(2), count(3)) }
    /// Bytes handed out at present, mapped ones included.
    var bytesInUse: Int {
        count(0) * Self.small + count(1) * Self.medium + count(2) * Self.large + mapped.bytesInUse
    }
    /// Bytes that nobody uses: what a burst leaves behind.
    var bytesKept: Int {
        free.0.bytes + free.1.bytes + free.2.bytes + mapped.bytesKept
    }

    private struct FreeList {
        var blocks = BlockStack()
        let size: Int
        /// How many stay.
        let bound: Int

        var bytes: Int { blocks.count * size }
    }

    /// - Parameters:
    ///   - counts: four cells for `inUse`, which outlive the pool; its own unless said.
    ///   - spareBytes: of free buffers that stay, a fifth for small ones, two fifths each for the others.
    init(counts given: UnsafeMutablePointer<Atomic<UInt64>>? = nil, spareBytes: Int) {
        ownsCounts = given == nil
        counts = given ?? .allocate(capacity: 4)
        if ownsCounts {
            for index in 0..<4 { (counts + index).initialize(to: Atomic(0)) }
        }
        let fifth = max(spareBytes, 0) / 5
        free = (
            FreeList(size: Self.small, bound: fifth / Self.small),
            FreeList(size: Self.medium, bound: 2 * (fifth / Self.medium)),
            FreeList(size: Self.large, bound: 2 * (fifth / Self.large))
        )
    }

    deinit {
        for var list in [free.0, free.1, free.2] {
            while let block = list.blocks.pop() { munmap(block, list.size) }
            list.blocks.deallocate()
        }
        if ownsCounts { counts.deallocate() }
    }

    private func count(_ index: Int) -> Int { Int(truncatingIfNeeded: counts[index].load(ordering: .relaxed)) }

    /// One thread writes, so that no lock prefix is needed.
    @inline(__always)
    private func change(_ index: Int, by step: Int) {
        let count = counts[index].load(ordering: .relaxed)
        counts[index].store(count &+ UInt64(bitPattern: Int64(step)), ordering: .relaxed)
    }

    /// A buffer of at least `size` bytes, or none when the system has no memory left.
    mutating func take(_ size: Int) -> Buffer {
        let block: UnsafeMutableRawPointer?
        let capacity: Int
        let index: Int
        if size <= Self.small {
            (capacity, index) = (Self.small, 0)
            block = Self.pop(&free.0)
        } else if size <= Self.medium {
            (capacity, index) = (Self.medium, 1)
            block = Self.pop(&free.1)
        } else if size <= Self.large {
            (capacity, index) = (Self.large, 2)
            block = Self.pop(&free.2)
        } else {
            guard let taken = mapped.take(size) else { return .none }
            (block, capacity) = (taken.base, taken.capacity)
            index = 3
        }
        guard let block else { return .none }
        change(index, by: 1)
        return Buffer(base: block.assumingMemoryBound(to: UInt8.self), capacity: capacity)
    }

    /// Whoever ends gives all that it may hold, and most of that was never taken: no call for what is absent.
    @inline(__always)
    mutating func give(_ buffer: Buffer) {
        if let base = buffer.base { give(UnsafeMutableRawPointer(base), capacity: buffer.capacity) }
    }

    @inline(never)
    private mutating func give(_ block: UnsafeMutableRawPointer, capacity: Int) {
        let index: Int
        switch capacity {
        case Self.small:
            index = 0
            Self.push(&free.0, block)
        case Self.medium:
            index = 1
            Self.push(&free.1, block)
        case Self.large:
            index = 2
            Self.push(&free.2, block)
        default:
            index = 3
            mapped.give(block, capacity)
        }
        change(index, by: -1)
    }

    /// Asks for the begins of the two small blocks that `take` hands out next: of an arena and of a head.
    @inline(__always)
    func prefetchNext() {
        guard let first = free.0.blocks.peek(), let second = free.0.blocks.peek(after: 1) else { return }
        for line in 0..<8 { clinux_prefetch(first + line &* 64) }
        for line in 0..<4 { clinux_prefetch(second + line &* 64) }
    }

    @inline(__always)
    private static func pop(_ list: inout FreeList) -> UnsafeMutableRawPointer? {
        list.blocks.pop() ?? map(&list)
    }

    @inline(never)
    private static func map(_ list: inout FreeList) -> UnsafeMutableRawPointer? {
        guard list.size == small else { return MappedBlocks.map(list.size) }
        // Small ones are mapped sixteen at a time: one system call for 64 KiB.
        let group = 16
        guard let region = MappedBlocks.map(small * group) else { return nil }
        for index in 1..<group { push(&list, region + index * small) }
        return region
    }

    @inline(__always)
    private static func push(_ list: inout FreeList, _ block: UnsafeMutableRawPointer) {
        if list.blocks.count >= list.bound {
            unmap(block, list.size)
        } else {
            list.blocks.push(block)
        }
    }

    @inline(never)
    private static func unmap(_ block: UnsafeMutableRawPointer, _ size: Int) { munmap(block, size) }
}
