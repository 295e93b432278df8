import Glibc

/// Blocks larger than the pool's largest class, each mapped for itself. The last few stay mapped: a tensor of a
/// megabyte comes with others of its size, and the system would clear each of its pages anew, which costs more than
/// moving the bytes.
///
/// One thread's own.
struct MappedBlocks: ~Copyable {
    /// Four, of at most 8 MiB: a request's body, its tensors, the answer's body and tensors of a model whose inputs are
    /// images or embeddings. At most 32 MiB stay with a worker after a burst, and only what was written of them.
    private static let keptAtMost = 4
    private static let keptSize = 8 << 20

    private struct Block {
        var base: UnsafeMutableRawPointer
        var capacity: Int
    }

    private var kept: InlineArray<4, Block?> = .init(repeating: nil)
    private var next = 0
    /// Of all blocks that were taken and not given back.
    private(set) var bytesInUse = 0

    /// Bytes that stay mapped though nobody uses them.
    var bytesKept: Int {
        var sum = 0
        for index in 0..<Self.keptAtMost { sum += kept[index]?.capacity ?? 0 }
        return sum
    }

    deinit {
        for index in 0..<Self.keptAtMost {
            if let block = kept[index] { munmap(block.base, block.capacity) }
        }
    }

    /// At least `size` bytes, at most a quarter more; nil when the system has no memory left.
    mutating func take(_ size: Int) -> (base: UnsafeMutableRawPointer, capacity: Int)? {
        guard size <= Int.max - 4_095 else { return nil }
        let capacity = (size + 4_095) & ~4_095
        for index in 0..<Self.keptAtMost {
            guard let block = kept[index], block.capacity >= capacity, block.capacity - capacity <= capacity / 4 else {
                continue
            }
            kept[index] = nil
            bytesInUse += block.capacity
            return (block.base, block.capacity)
        }
        guard let base = Self.map(capacity) else { return nil }
        bytesInUse += capacity
        return (base, capacity)
    }

    mutating func give(_ base: UnsafeMutableRawPointer, _ capacity: Int) {
        bytesInUse -= capacity
        guard capacity <= Self.keptSize else {
            munmap(base, capacity)
            return
        }
        var place = next
        for index in 0..<Self.keptAtMost where kept[index] == nil { place = index }
        // The one that has waited longest for somebody of its size makes room.
        if let old = kept[place] {
            munmap(old.base, old.capacity)
            next = (next + 1) % Self.keptAtMost
        }
        kept[place] = Block(base: base, capacity: capacity)
    }

    /// Zeroed pages of the system's.
    static func map(_ size: Int) -> UnsafeMutableRawPointer? {
        let region = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return region == MAP_FAILED ? nil : region
    }
}
