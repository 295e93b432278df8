import CNGHTTP2

/// What the sessions of a worker are made with. Where they have their memory: libnghttp2 takes some twenty blocks for
/// each stream.
///
/// Lives as long as its worker, and its worker's sessions.
struct HTTP2Memory {
    private let blocks: UnsafeMutablePointer<SmallBlocks>
    /// What a session is made with, which copies it.
    let table: UnsafeMutablePointer<nghttp2_mem>
    private let sessionOptions = HTTP2Callbacks.makeOptions()

    /// - Parameter spareBytes: of blocks that stay here when streams end.
    init(spareBytes: Int) {
        blocks = .allocate(capacity: 1)
        blocks.initialize(to: SmallBlocks(keptAtMost: spareBytes))
        table = .allocate(capacity: 1)
        table.initialize(
            to: nghttp2_mem(
                mem_user_data: UnsafeMutableRawPointer(blocks),
                malloc: { size, blocks in HTTP2Memory.from(blocks).pointee.take(size) },
                free: { memory, blocks in HTTP2Memory.from(blocks).pointee.give(memory) },
                calloc: { count, size, blocks in HTTP2Memory.from(blocks).pointee.takeCleared(count, of: size) },
                realloc: { memory, size, blocks in HTTP2Memory.from(blocks).pointee.resize(memory, to: size) }))
    }

    /// What a session is made with, which copies it; the worker's alone, until it asks the next time.
    ///
    /// - Parameter headerBytes: the most that a head may have, as configured now: a session keeps to it for life.
    func options(headerBytes: Int) -> OpaquePointer {
        nghttp2_option_set_max_continuations(
            sessionOptions, HTTP2Callbacks.continuationsAtMost(headerBytes: headerBytes))
        return sessionOptions
    }

    @inline(__always)
    private static func from(_ blocks: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<SmallBlocks> {
        blocks.unsafelyUnwrapped.assumingMemoryBound(to: SmallBlocks.self)
    }
}
