import CLinux

/// The memory of one exchange: allocation moves a pointer, and all of it is given back at once.
///
/// Chunks come from the worker's buffer pool. Each but the first begins with a header that names the one before it:
/// most exchanges need one chunk, and give it back without a look into it. A worker's own.
struct Arena {
    private var chunk: UnsafeMutableRawPointer?
    private var next = 0
    /// Bytes of `chunk`.
    private var limit = 0
    /// Bytes of all chunks.
    private(set) var size = 0
    /// Something was asked for that there was no memory for.
    private(set) var wasRefused = false

    private struct ChunkHeader {
        var previous: UnsafeMutableRawPointer
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
            let address = chunk + next
            next &+= aligned
            return address
        }
        return allocateChunk(size, from: &pool, bound: bound)
    }

    @inline(never)
    private mutating func allocateChunk(
        _ size: Int, from pool: inout BufferPool, bound: Int
    ) -> UnsafeMutableRawPointer? {
        guard size >= 0, size <= Int.max - 64, size <= bound, self.size <= bound - size else {
            wasRefused = true
            return nil
        }
        let aligned = (size + 15) & ~15
        // Chunks double with the arena, so that many small pieces of a large answer make few chunks.
        let wanted = max(aligned + Self.headerSize, min(self.size, BufferPool.large))
        let buffer = pool.take(wanted)
        guard let base = buffer.base else {
            wasRefused = true
            return nil
        }
        let added = UnsafeMutableRawPointer(base)
        var start = 0
        if let chunk {
            added.storeBytes(of: ChunkHeader(previous: chunk, capacity: limit), as: ChunkHeader.self)
            start = Self.headerSize
        }
        self.size += buffer.capacity
        chunk = added
        next = start + aligned
        limit = buffer.capacity
        return added + start
    }

    /// Asks for the begin of the present chunk, where the request is described.
    @inline(__always)
    func prefetch() {
        guard let chunk else { return }
        var offset = 0
        while offset < min(next, 512) {
            clinux_prefetch(chunk + offset)
            offset &+= 64
        }
    }

    /// A copy of `count` bytes; nil as for `allocate`.
    mutating func copy(
        _ bytes: UnsafeRawPointer?, _ count: Int, from pool: inout BufferPool, bound: Int
    ) -> UnsafeMutablePointer<UInt8>? {
        guard let memory = allocate(count, from: &pool, bound: bound) else { return nil }
        if let bytes, count > 0 { memory.copyMemory(from: bytes, byteCount: count) }
        return memory.assumingMemoryBound(to: UInt8.self)
    }

    // Inlined: it is called once a request, from one place.
    @inline(__always)
    mutating func release(to pool: inout BufferPool) {
        wasRefused = false
        guard var current = chunk else { return }
        while size > limit {
            let before = current.load(as: ChunkHeader.self)
            pool.give(Buffer(base: current.assumingMemoryBound(to: UInt8.self), capacity: limit))
            size &-= limit
            current = before.previous
            limit = before.capacity
        }
        pool.give(Buffer(base: current.assumingMemoryBound(to: UInt8.self), capacity: limit))
        chunk = nil
        next = 0
        limit = 0
        size = 0
    }
}
