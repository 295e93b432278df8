import SluiceABI

/// Writes bytes one after the other into an exchange's arena: a JSON body, an error message. When the exchange's bound
/// on memory is reached it goes on without effect, and `finish` throws.
@frozen
public struct ByteWriter {
    @usableFromInline let exchange: Exchange
    @usableFromInline var start: UnsafeMutablePointer<UInt8>?
    @usableFromInline var capacity: Int
    @usableFromInline var used: Int
    @usableFromInline var stopped: Bool

    /// Bytes written so far.
    @inlinable public var count: Int { used }
    /// Whether the exchange's bound on memory stopped the writer.
    @inlinable public var overflowed: Bool { stopped }

    @inlinable
    init(_ exchange: Exchange, capacity: Int) {
        self.exchange = exchange
        self.capacity = 0
        used = 0
        stopped = false
        start = nil
        _ = reserve(Swift.max(capacity, 16))
    }

    /// Makes room for `more` bytes; false when the exchange has none left.
    @inlinable @inline(__always)
    mutating func reserve(_ more: Int) -> Bool {
        if more <= capacity &- count { return true }
        return grow(more)
    }

    @usableFromInline @inline(never)
    mutating func grow(_ more: Int) -> Bool {
        let (needed, overflow) = count.addingReportingOverflow(more)
        guard !overflowed, !overflow, needed < Int.max / 2 else {
            stopped = true
            return false
        }
        let room = Swift.max(needed, capacity &* 2)
        do throws(PluginError) {
            let grown = try exchange.allocate(bytes: room)
            if let start { grown.start.update(from: start, count: count) }
            start = grown.start
            capacity = room
            return true
        } catch {
            stopped = true
            return false
        }
    }

    @inlinable @inline(__always)
    public mutating func append(_ byte: UInt8) {
        guard reserve(1) else { return }
        start.unsafelyUnwrapped[count] = byte
        used &+= 1
    }

    @inlinable
    public mutating func append(_ bytes: Bytes) {
        guard let source = bytes.raw.data, reserve(bytes.count) else { return }
        (start.unsafelyUnwrapped + count).update(from: source, count: bytes.count)
        used &+= bytes.count
    }

    @inlinable @inline(__always)
    public mutating func append(_ literal: StaticString) { append(Bytes(literal)) }

    /// Lets `body` write up to `size` bytes at the end; it returns how many it wrote.
    @inlinable
    public mutating func append(upTo size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        guard reserve(size) else { return }
        let written = body(UnsafeMutableRawBufferPointer(start: start.unsafelyUnwrapped + count, count: size))
        precondition(written >= 0 && written <= size, "more written than there was room for")
        used &+= written
    }

    /// In decimal.
    public mutating func append(decimal value: Int64) {
        if value < 0 { append(0x2D) }
        append(decimal: value.magnitude)
    }

    /// In decimal.
    public mutating func append(decimal value: UInt64) {
        var places = 1
        var bound: UInt64 = 10
        // 20 digits are all that 64 bits have; the bound does not fit for the last.
        while places < 20, value >= bound {
            places &+= 1
            bound = places < 20 ? bound &* 10 : UInt64.max
        }
        append(upTo: places) { memory in
            var rest = value
            var index = places
            while index > 0 {
                index &-= 1
                memory[index] = UInt8(truncatingIfNeeded: 0x30 &+ rest % 10)
                rest /= 10
            }
            return places
        }
    }

    /// What was written so far; ends at the next append.
    @inlinable public var written: Bytes { Bytes(UnsafeRawBufferPointer(start: start, count: count)) }

    /// What was written; lives until the exchange ends.
    @inlinable
    public func finish() throws(PluginError) -> Bytes {
        if overflowed { throw PluginError(.resourceExhausted, "the exchange's bound on memory is reached") }
        return written
    }
}
