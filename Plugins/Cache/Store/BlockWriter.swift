import SluiceABI

/// Writes numbers and byte strings one after the other into memory whose size an earlier pass of the same writer,
/// without memory, has told. A byte string stands behind its length, so that no two contents have the same bytes.
struct BlockWriter {
    private let memory: UnsafeMutablePointer<UInt8>?
    private let capacity: Int
    private(set) var size = 0

    /// Only counts.
    init() {
        memory = nil
        capacity = 0
    }

    /// Writes to `capacity` bytes at `memory`.
    init(_ memory: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.memory = memory
        self.capacity = capacity
    }

    mutating func number(_ value: UInt64) {
        if let memory {
            precondition(size + 8 <= capacity, "the block is larger than it was counted")
            UnsafeMutableRawPointer(memory + size).storeBytes(of: value, as: UInt64.self)
        }
        size += 8
    }

    mutating func number(_ value: Int) { number(UInt64(bitPattern: Int64(value))) }

    /// `alignment`: of the bytes' place in the block, a power of two.
    mutating func bytes(_ bytes: sluice_bytes, alignment: Int = 8) {
        number(bytes.data == nil ? 0 : bytes.size)
        pad(to: alignment)
        if let source = bytes.data, bytes.size > 0 {
            if let memory {
                precondition(size + bytes.size <= capacity, "the block is larger than it was counted")
                (memory + size).update(from: source, count: bytes.size)
            }
            size += bytes.size
        }
        pad(to: 8)
    }

    mutating func pad(to alignment: Int) {
        let padded = (size + alignment - 1) & ~(alignment - 1)
        if let memory {
            precondition(padded <= capacity, "the block is larger than it was counted")
            (memory + size).update(repeating: 0, count: padded - size)
        }
        size = padded
    }
}

extension BlockWriter {
    /// What a tensor is, without its data and parameters.
    mutating func head(of tensor: sluice_tensor) {
        bytes(tensor.name)
        number(UInt64(tensor.datatype))
        number(UInt64(tensor.rank))
        for dimension in 0..<Int(tensor.rank) { number(Int(tensor.shape?[dimension] ?? 0)) }
    }

    mutating func parameters(_ list: UnsafePointer<sluice_parameter>?, _ count: UInt32) {
        number(UInt64(list == nil ? 0 : count))
        guard let list else { return }
        for index in 0..<Int(count) {
            bytes(list[index].name)
            number(UInt64(list[index].kind))
            number(Int(list[index].integer))
            number(list[index].number.bitPattern)
            bytes(list[index].text)
        }
    }
}

/// Reads what a `BlockWriter` wrote, in the same order. The views lie in the block.
struct BlockReader {
    private let memory: UnsafePointer<UInt8>
    private var place = 0

    init(_ memory: UnsafePointer<UInt8>) { self.memory = memory }

    mutating func number() -> UInt64 {
        defer { place += 8 }
        return UnsafeRawPointer(memory + place).load(as: UInt64.self)
    }

    mutating func count() -> Int { Int(truncatingIfNeeded: number()) }

    mutating func bytes(alignment: Int = 8) -> sluice_bytes {
        let size = count()
        pad(to: alignment)
        defer {
            place += size
            pad(to: 8)
        }
        // Empty is not the same as none to some who read it.
        return sluice_bytes(data: memory + place, size: size)
    }

    mutating func pad(to alignment: Int) { place = (place + alignment - 1) & ~(alignment - 1) }
}
