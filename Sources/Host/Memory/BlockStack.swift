/// Addresses of free blocks, the latest on top. They stand beside each other here and not in the blocks: a block that
/// has waited is far from the processor by now, and to take it must not mean to wait for it.
///
/// Grows as needed. Whoever keeps it bounds it, frees the blocks, and gives the stack's own memory back. One thread's
/// own.
struct BlockStack {
    private var blocks: UnsafeMutablePointer<UnsafeMutableRawPointer>?
    private(set) var count = 0
    /// For how many addresses `blocks` has room.
    private var room = 0

    @inline(__always)
    mutating func push(_ block: UnsafeMutableRawPointer) {
        if count == room { grow() }
        blocks.unsafelyUnwrapped[count] = block
        count &+= 1
    }

    /// Nil when there is none.
    @inline(__always)
    mutating func pop() -> UnsafeMutableRawPointer? {
        guard count > 0 else { return nil }
        count &-= 1
        return blocks.unsafelyUnwrapped[count]
    }

    /// What `pop` returns after `others` blocks; nil when there are not so many.
    @inline(__always)
    func peek(after others: Int = 0) -> UnsafeMutableRawPointer? {
        others < count ? blocks.unsafelyUnwrapped[count &- 1 &- others] : nil
    }

    mutating func deallocate() { blocks?.deallocate() }

    @inline(never)
    private mutating func grow() {
        room = max(room * 2, 64)
        let larger = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: room)
        if let blocks {
            larger.moveInitialize(from: blocks, count: count)
            blocks.deallocate()
        }
        blocks = larger
    }
}
