import Synchronization

/// Memory that may be given back on another thread than it was taken on, as an arena's and a worker's buffers may not.
/// Blocks that were given back wait for the next of their size, so that what needs them for each request asks the
/// system for none.
enum SharedBlocks {
    /// What users of round sizes may have before their bytes, in a cache line of its own.
    static let headSize = 64

    /// Blocks that wait. Each slot is taken and filled by one atomic operation on its own, so that no thread can see
    /// another's half-done work. As many as a batch of each size needs at once: 32 KiB, 512 KiB, 2 MiB and 8 MiB.
    private static let classes = [
        (size: 512, slots: 64), (size: 4_096, slots: 128), (size: 65_536, slots: 32), (size: 1_048_576, slots: 8),
    ]
    /// Made once, never freed; what lies in them is atomic.
    nonisolated(unsafe) private static let shelves: [UnsafeMutablePointer<Atomic<UInt>>] = classes.map { each in
        let slots = UnsafeMutablePointer<Atomic<UInt>>.allocate(capacity: each.slots)
        for index in 0..<each.slots { (slots + index).initialize(to: Atomic(0)) }
        return slots
    }

    /// The class of a size; nil for what is too large to be kept.
    private static func shelf(_ size: Int) -> Int? {
        for index in 0..<classes.count where size <= classes[index].size + headSize { return index }
        return nil
    }

    /// What a block of `size` bytes takes. [any]
    static func capacity(of size: Int) -> Int { shelf(size).map { classes[$0].size + headSize } ?? size }

    /// At least `size` bytes, aligned to a cache line. [any]
    static func take(_ size: Int) -> UnsafeMutableRawPointer {
        guard let shelf = shelf(size) else { return .allocate(byteCount: size, alignment: headSize) }
        let slots = shelves[shelf]
        for index in 0..<classes[shelf].slots where slots[index].load(ordering: .relaxed) != 0 {
            let kept = slots[index].exchange(0, ordering: .acquiring)
            if let block = UnsafeMutableRawPointer(bitPattern: kept) { return block }
        }
        return .allocate(byteCount: classes[shelf].size + headSize, alignment: headSize)
    }

    /// `size`: as it was taken. [any]
    static func give(_ block: UnsafeMutableRawPointer, _ size: Int) {
        if let shelf = shelf(size) {
            let slots = shelves[shelf]
            for index in 0..<classes[shelf].slots where slots[index].load(ordering: .relaxed) == 0 {
                let stored = slots[index].compareExchange(
                    expected: 0, desired: UInt(bitPattern: block), ordering: .releasing)
                if stored.exchanged { return }
            }
        }
        block.deallocate()
    }
}
