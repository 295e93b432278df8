import SluiceABI

/// An arena apart from any exchange, with a bound, for who reads a text on a thread of its own. All that it gave out
/// ends with it. One thread at a time.
public final class PrivateArena {
    private var blocks: [UnsafeMutableRawPointer] = []
    private let table = UnsafeMutablePointer<sluice_memory>.allocate(capacity: 1)
    private var left: Int

    /// - Parameter limit: bytes that may be taken in all.
    public init(limit: Int) {
        left = limit
        table.initialize(to: sluice_memory())
        table.pointee.struct_size = UInt32(MemoryLayout<sluice_memory>.size)
        table.pointee.arena_alloc = { context, _, size in
            context.flatMap { Unmanaged<PrivateArena>.fromOpaque($0).takeUnretainedValue().take(size) }
        }
    }

    deinit {
        for block in blocks { block.deallocate() }
        table.deallocate()
    }

    private func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= left else { return nil }
        left -= size
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        blocks.append(block)
        return block
    }

    /// The reader of a text, both valid inside `body` only.
    public func read<Result>(
        _ text: [UInt8], _ body: (inout JSONReader) throws(CodecFailure) -> Result
    ) throws(CodecFailure) -> Result {
        // A closure cannot throw a typed error through the pointer's scope.
        let outcome = text.withUnsafeBufferPointer { buffer -> Swift.Result<Result, CodecFailure> in
            var reader = JSONReader(
                sluice_bytes(data: buffer.baseAddress, size: buffer.count),
                arena: ExchangeArena(
                    memory: table, context: Unmanaged.passUnretained(self).toOpaque(), exchange: nil))
            do throws(CodecFailure) {
                let result = try body(&reader)
                try reader.finish()
                return .success(result)
            } catch { return .failure(error) }
        }
        return try withExtendedLifetime(self) { () throws(CodecFailure) in try outcome.get() }
    }
}
