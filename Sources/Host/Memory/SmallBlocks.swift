import CLinux
import Glibc

/// Memory for a library that takes and gives back many small blocks for each request: those of up to a kilobyte stay on
/// lists by their size, where taking one is a load and a store. One thread's own.
///
/// Before each block lie 16 bytes that say what it is, so that it can be given back by its address alone. Taking a
/// block that was kept reads and writes nothing of it: it may have left the near caches.
struct SmallBlocks: ~Copyable {
    private static var step: Int { 32 }
    private static var kinds: Int { 32 }
    /// As much as the allocator of C aligns to.
    private static var headBytes: Int { 16 }

    /// Free blocks of each kind, at the kind's number; 0 is that of larger blocks, which are never kept. How many there
    /// are is bounded by `keptAtMost`.
    private let free: UnsafeMutablePointer<BlockStack>
    /// Bytes that nobody uses.
    private(set) var kept = 0
    private let keptAtMost: Int

    /// - Parameter keptAtMost: bytes of blocks that stay here when they are given back.
    init(keptAtMost: Int) {
        self.keptAtMost = keptAtMost
        free = .allocate(capacity: Self.kinds + 1)
        free.initialize(repeating: BlockStack(), count: Self.kinds + 1)
    }

    deinit {
        for kind in 1...Self.kinds {
            while let block = free[kind].pop() { Glibc.free(block) }
            free[kind].deallocate()
        }
        free.deallocate()
    }

    /// Nil when the system has no memory left.
    mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size >= 0, size <= Int.max - Self.headBytes - Self.step else { return nil }
        let kind = (size &+ Self.headBytes &+ Self.step &- 1) / Self.step
        guard kind <= Self.kinds else { return Self.begin(malloc(size &+ Self.headBytes), kind: 0) }
        guard let block = free[kind].pop() else { return Self.begin(malloc(kind &* Self.step), kind: kind) }
        kept &-= kind &* Self.step
        // The next one of its kind is often taken soon.
        if let next = free[kind].peek() { clinux_prefetch(next) }
        return block + Self.headBytes
    }

    /// All zero.
    mutating func takeCleared(_ count: Int, of size: Int) -> UnsafeMutableRawPointer? {
        let (whole, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow, let memory = take(whole) else { return nil }
        memset(memory, 0, whole)
        return memory
    }

    mutating func give(_ memory: UnsafeMutableRawPointer?) {
        guard let memory else { return }
        let block = memory - Self.headBytes
        let kind = block.load(as: Int.self)
        guard kind > 0, kept &+ kind &* Self.step <= keptAtMost else { return Glibc.free(block) }
        free[kind].push(block)
        kept &+= kind &* Self.step
    }

    /// As `realloc` of C: what was there stays, as far as it fits; nil, and the block as it was, without memory.
    mutating func resize(_ memory: UnsafeMutableRawPointer?, to size: Int) -> UnsafeMutableRawPointer? {
        guard let memory else { return take(size) }
        let block = memory - Self.headBytes
        let kind = block.load(as: Int.self)
        guard kind > 0 else {
            guard size >= 0, size <= Int.max - Self.headBytes else { return nil }
            return Self.begin(realloc(block, size &+ Self.headBytes), kind: 0)
        }
        let capacity = kind &* Self.step &- Self.headBytes
        if size <= capacity { return memory }
        guard let larger = take(size) else { return nil }
        larger.copyMemory(from: memory, byteCount: capacity)
        give(memory)
        return larger
    }

    @inline(__always)
    private static func begin(_ block: UnsafeMutableRawPointer?, kind: Int) -> UnsafeMutableRawPointer? {
        guard let block else { return nil }
        block.storeBytes(of: kind, as: Int.self)
        return block + headBytes
    }
}
