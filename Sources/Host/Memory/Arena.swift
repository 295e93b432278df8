/// The memory of one exchange: allocation moves a pointer, and all of it is given back at once.
///
/// Chunks come from the worker's buffer pool and are chained by a header at their begin. A worker's own.
struct Arena {
    private var chunk: UnsafeMutablePointer<ChunkHeader>?
    private var next = 0
    private var limit = 0
    /// Bytes of all chunks.
    private(set) var size = 0

    private struct ChunkHeader {
        var previous: UnsafeMutablePointer<ChunkHeader>?
        var capacity: Int
    }

    private static let headerSize = (MemoryLayout<ChunkHeader>.size + 15) & ~15

    /// `size` bytes, 16-byte aligned, not zeroed; nil when they would exceed `bound` or memory is out.
    ///
    /// The bound is asked when a chunk is added, and counts whole chunks: an arena ends at most one chunk beyond it.
    @inline(__always)
    mutating func allocate(_ size: Int, from pool: inout BufferPool, bound: Int) -> UnsafeMutableRawPointer? {
        let aligned = (size &+ 15) & ~15
        if size >= 0, aligned >= size, limit &- next >= aligned, let chunk {
            let address = UnsafeMutableRawPointer(chunk) + next
            next &+= aligned
            return address
        }
        return allocateChunk(size, from: &pool, bound: bound)
    }

    @inline(never)
    private mutating func allocateChunk(
        _ size: Int, from pool: inout BufferPool, bound: Int
    ) -> UnsafeMutableRawPointer? {
        guard size >= 0, size <= Int.max - 64, size <= bound, self.size <= bound - size else { return nil }
        let aligned = (size + 15) & ~15
        // Chunks double with the arena, so that many small pieces of a large answer make few chunks.
        let wanted = max(aligned + Self.headerSize, min(self.size, BufferPool.large))
        let buffer = pool.take(wanted)
        guard let base = buffer.base else { return nil }
        let header = UnsafeMutableRawPointer(base).bindMemory(to: ChunkHeader.self, capacity: 1)
        header.initialize(to: ChunkHeader(previous: chunk, capacity: buffer.capacity))
        self.size += buffer.capacity
        chunk = header
        next = Self.headerSize + aligned
        limit = buffer.capacity
        return UnsafeMutableRawPointer(header) + Self.headerSize
    }

    /// A copy of `count` bytes; nil as for `allocate`.
    mutating func copy(
        _ bytes: UnsafeRawPointer?, _ count: Int, from pool: inout BufferPool, bound: Int
    ) -> UnsafeMutablePointer<UInt8>? {
        guard let memory = allocate(count, from: &pool, bound: bound) else { return nil }
        if let bytes, count > 0 { memory.copyMemory(from: bytes, byteCount: count) }
        return memory.assumingMemoryBound(to: UInt8.self)
    }

    mutating func release(to pool: inout BufferPool) {
        while let current = chunk {
            let capacity = current.pointee.capacity
            chunk = current.pointee.previous
            pool.give(
                Buffer(
                    base: UnsafeMutableRawPointer(current).assumingMemoryBound(to: UInt8.self), capacity: capacity))
        }
        next = 0
        limit = 0
        size = 0
    }
}
