import SluiceABI
import SluiceJSON

/// An arena whose blocks are apart, so that AddressSanitizer sees a write beyond one, and whose size is bounded.
public final class BoundedArena {
    private var blocks: [UnsafeMutableRawPointer] = []
    private let table = UnsafeMutablePointer<sluice_memory>.allocate(capacity: 1)
    /// Bytes asked for so far: no message may make the gateway take much more memory than it has itself.
    public private(set) var used = 0

    public init() {
        table.initialize(to: sluice_memory())
        table.pointee.arena_alloc = { context, _, size in
            guard let context else { return nil }
            return Unmanaged<BoundedArena>.fromOpaque(context).takeUnretainedValue().take(size)
        }
    }

    deinit {
        for block in blocks { block.deallocate() }
        table.deallocate()
    }

    private func take(_ size: Int) -> UnsafeMutableRawPointer? {
        used += size
        guard used < 1 << 24 else { return nil }
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(size, 1), alignment: 16)
        blocks.append(block)
        return block
    }

    public var arena: ExchangeArena {
        ExchangeArena(memory: table, context: Unmanaged.passUnretained(self).toOpaque(), exchange: nil)
    }
}
