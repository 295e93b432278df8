/// The bytes of a file, read with a check of every offset, so that no file can make a reader trap.
struct ELFBytes {
    let bytes: UnsafeRawBufferPointer

    var count: UInt64 { UInt64(bytes.count) }

    /// Whether `size` bytes at `offset` lie within the file.
    func holds(_ size: UInt64, at offset: UInt64) -> Bool { offset <= count && size <= count - offset }

    func read<Value: FixedWidthInteger>(_ type: Value.Type, at offset: UInt64) -> Value? {
        guard holds(UInt64(MemoryLayout<Value>.size), at: offset) else { return nil }
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: Int(offset), as: Value.self))
    }

    /// As `read`, for an offset that was computed: `base + index * stride`, nil when that leaves 64 bits or the file.
    func read<Value: FixedWidthInteger>(
        _ type: Value.Type, base: UInt64, index: UInt64, stride: UInt64
    ) -> Value? {
        let (distance, tooFar) = index.multipliedReportingOverflow(by: stride)
        let (offset, beyond) = base.addingReportingOverflow(distance)
        return tooFar || beyond ? nil : read(type, at: offset)
    }

    /// The text that ends with a NUL at or before `limit` bytes from `offset`; nil when there is no such NUL.
    func text(at offset: UInt64, limit: UInt64) -> String? {
        guard offset <= count else { return nil }
        let end = offset + min(limit, count - offset)
        let slice = bytes[Int(offset)..<Int(end)]
        guard let terminator = slice.firstIndex(of: 0) else { return nil }
        return String(decoding: slice[..<terminator], as: UTF8.self)
    }

    /// Whether the text at `offset`, its NUL included, is `expected`.
    func text(at offset: UInt64, limit: UInt64, is expected: StaticString) -> Bool {
        let size = UInt64(expected.utf8CodeUnitCount)
        guard size < limit, holds(size + 1, at: offset) else { return false }
        for index in 0..<Int(size) where bytes[Int(offset) + index] != expected.utf8Start[index] { return false }
        return bytes[Int(offset) + Int(size)] == 0
    }
}
