import CLinux

/// What a slab keeps beside each element.
struct SlabSlot {
    let index: UInt32
    /// Rises when the element is taken and when it is given back, so that a token of a former life is known as stale.
    /// Odd while in use.
    var generation: UInt32 = 0

    var isInUse: Bool { generation & 1 == 1 }

    /// The bits of a generation that tokens of epoll have room for.
    static let generationMask: UInt32 = 0x0FFF_FFFF
}

protocol SlabElement {
    var slot: SlabSlot { get set }
    init(slot: SlabSlot)
}

/// Elements of one kind at fixed addresses, taken and given back in constant time; a worker's own.
///
/// Memory grows by blocks and stays: its bound is the number of connections and exchanges that limits allow.
struct Slab<Element: SlabElement>: ~Copyable {
    private var blocks: [UnsafeMutablePointer<Element>] = []
    private var free: [UInt32] = []
    private(set) var inUse = 0
    private let bound: Int
    /// What an element is when it is taken: copied, since setting a hundred fields one by one costs more.
    private let pristine: UnsafeMutablePointer<Element>

    private static var blockSize: Int { 64 }

    init(bound: Int) {
        self.bound = bound
        pristine = .allocate(capacity: 1)
        pristine.initialize(to: Element(slot: SlabSlot(index: 0)))
    }

    deinit {
        pristine.deinitialize(count: 1)
        pristine.deallocate()
        for block in blocks {
            block.deinitialize(count: Self.blockSize)
            block.deallocate()
        }
    }

    /// A fresh element, or nil when the bound is reached.
    mutating func take() -> UnsafeMutablePointer<Element>? {
        if free.isEmpty {
            guard blocks.count * Self.blockSize < bound else { return nil }
            let block = UnsafeMutablePointer<Element>.allocate(capacity: Self.blockSize)
            let first = UInt32(blocks.count * Self.blockSize)
            free.reserveCapacity((blocks.count + 1) * Self.blockSize)
            for offset in (0..<Self.blockSize).reversed() {
                (block + offset).initialize(to: Element(slot: SlabSlot(index: first + UInt32(offset))))
                // What the last block has beyond the bound is never handed out.
                if Int(first) + offset < bound { free.append(first + UInt32(offset)) }
            }
            blocks.append(block)
        }
        let index = free.removeLast()
        let element = pointer(index)
        var slot = element.pointee.slot
        slot.generation = (slot.generation &+ 1) & SlabSlot.generationMask
        element.update(from: pristine, count: 1)
        element.pointee.slot = slot
        inUse += 1
        return element
    }

    /// Asks for the memory of what `take` hands out next, so that it is near by then.
    @inline(__always)
    func prefetchNext() {
        guard let index = free.last else { return }
        prefetch(pointer(index))
    }

    @inline(__always)
    func prefetch(_ element: UnsafeMutablePointer<Element>) {
        var offset = 0
        while offset < MemoryLayout<Element>.stride {
            clinux_prefetch(UnsafeRawPointer(element) + offset)
            offset &+= 64
        }
    }

    /// The same for the element of a token, if there is one.
    @inline(__always)
    func prefetch(index: UInt32) {
        guard Int(index) < blocks.count * Self.blockSize else { return }
        prefetch(pointer(index))
    }

    mutating func give(_ element: UnsafeMutablePointer<Element>) {
        precondition(element.pointee.slot.generation & 1 == 1, "an element is given back once")
        element.pointee.slot.generation = (element.pointee.slot.generation &+ 1) & SlabSlot.generationMask
        free.append(element.pointee.slot.index)
        inUse -= 1
    }

    /// The element of a token, or nil when it was given back since.
    func find(index: UInt32, generation: UInt32) -> UnsafeMutablePointer<Element>? {
        guard Int(index) < blocks.count * Self.blockSize else { return nil }
        let element = pointer(index)
        return element.pointee.slot.generation == generation && generation & 1 == 1 ? element : nil
    }

    /// All elements in use, for rare walks over all of them; a copy, so that elements may be given back meanwhile.
    var elements: [UnsafeMutablePointer<Element>] {
        blocks.flatMap { block in
            (0..<Self.blockSize).map { block + $0 }.filter { $0.pointee.slot.generation & 1 == 1 }
        }
    }

    /// Whether one in use is such a one; without the array of `elements`.
    func contains(where isSuch: (UnsafeMutablePointer<Element>) -> Bool) -> Bool {
        guard inUse > 0 else { return false }
        for block in blocks {
            for offset in 0..<Self.blockSize where block[offset].slot.isInUse && isSuch(block + offset) { return true }
        }
        return false
    }

    @inline(__always)
    private func pointer(_ index: UInt32) -> UnsafeMutablePointer<Element> {
        blocks[Int(index) / Self.blockSize] + Int(index) % Self.blockSize
    }
}
