import SluiceABI

/// The memory of one exchange, which ends with it. A plain value over the host's `sluice.memory/1`: copying it costs
/// nothing. [worker]
public struct ExchangeArena: BitwiseCopyable {
    private let memory: UnsafePointer<sluice_memory>
    private let context: UnsafeMutableRawPointer?
    private let exchange: OpaquePointer?

    public init(memory: UnsafePointer<sluice_memory>, context: UnsafeMutableRawPointer?, exchange: OpaquePointer?) {
        self.memory = memory
        self.context = context
        self.exchange = exchange
    }

    /// `size` bytes, aligned to 16, not zeroed; fails when the exchange's bound is reached.
    public func allocate(_ size: Int) throws(CodecFailure) -> UnsafeMutableRawPointer {
        guard size >= 0, let bytes = memory.pointee.arena_alloc(context, exchange, max(size, 1)) else {
            throw CodecFailure.outOfMemory
        }
        return bytes
    }

    /// Room for `count` values, not initialised. The type must need no more alignment than 16.
    public func allocate<Value: BitwiseCopyable>(
        _ type: Value.Type, count: Int
    ) throws(CodecFailure) -> UnsafeMutablePointer<Value> {
        let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Value>.stride)
        guard !overflow else { throw CodecFailure.outOfMemory }
        return try allocate(size).bindMemory(to: type, capacity: max(count, 1))
    }

    /// A copy of `bytes` that lives as long as the exchange.
    public func copy(_ bytes: sluice_bytes) throws(CodecFailure) -> sluice_bytes {
        guard let source = bytes.data, bytes.size > 0 else { return sluice_bytes() }
        let target = try allocate(UInt8.self, count: bytes.size)
        target.update(from: source, count: bytes.size)
        return sluice_bytes(data: target, size: bytes.size)
    }
}

/// A list that grows in an arena: the old storage stays behind, at most as much again as the list has.
public struct ArenaList<Element: BitwiseCopyable> {
    private let arena: ExchangeArena
    private let limit: Int
    private var storage: UnsafeMutablePointer<Element>?
    private var capacity = 0
    public private(set) var count = 0

    /// - Parameter limit: the most elements that it may hold; one more fails as a message that is too large.
    public init(arena: ExchangeArena, limit: Int) {
        self.arena = arena
        self.limit = limit
    }

    /// The elements as the ABI's structs have a list: where they lie, until the exchange ends, and how many there are,
    /// which must be fewer than 2^32.
    public var view: (start: UnsafePointer<Element>?, count: UInt32) {
        (storage.map { UnsafePointer($0) }, UInt32(count))
    }

    public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            return storage.unsafelyUnwrapped[index]
        }
        nonmutating set {
            precondition(index >= 0 && index < count)
            storage.unsafelyUnwrapped[index] = newValue
        }
    }

    public mutating func append(_ element: Element) throws(CodecFailure) {
        guard count < limit else {
            throw CodecFailure("the message has more entries in one list than are allowed", expected: Int64(limit))
        }
        if count == capacity {
            let larger = max(4, capacity * 2)
            let moved = try arena.allocate(Element.self, count: larger)
            if let storage {
                moved.update(from: storage, count: count)
            }
            storage = moved
            capacity = larger
        }
        storage.unsafelyUnwrapped[count] = element
        count += 1
    }
}
