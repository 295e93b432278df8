import PromptPrefix
import SluicePlugin

/// The hashes of prompts, computed once an exchange and kept in its arena for further picks: of a retry, or of a
/// request that waits for a connection.
final class PromptHashes {
    private struct Entry: BitwiseCopyable {
        var token: UInt64 = 0
        var start: UnsafeMutablePointer<UInt64>?
        var count = 0
    }

    /// Exchanges that are remembered at one time. One that falls out is hashed again.
    private static let entriesAtMost = 256

    private let options: Options
    private let entries: UnsafeMutablePointer<Entry>

    init(_ options: Options) {
        self.options = options
        entries = .allocate(capacity: Self.entriesAtMost)
        entries.initialize(repeating: Entry(), count: Self.entriesAtMost)
    }

    deinit { entries.deallocate() }

    /// Empty when there is no prompt to be read, or it has no whole block.
    func hashes(of request: Request, _ exchange: Exchange) -> UnsafeBufferPointer<UInt64> {
        // A body that streams by is not there, whatever the token: nothing of it is remembered.
        guard request.payload.kind != .none, request.payload.kind != .stream else {
            return UnsafeBufferPointer(start: nil, count: 0)
        }
        let token = exchange.suspension.token
        let entry = entries + Int(token % UInt64(Self.entriesAtMost))
        // No two exchanges ever have one token, so what is found lives as long as this exchange.
        if entry.pointee.token == token, token != 0 {
            return UnsafeBufferPointer(start: entry.pointee.start, count: entry.pointee.count)
        }
        var made = Entry(token: token)
        if let text = prompt(of: request), text.count >= options.blockBytes {
            let room = min(text.count / options.blockBytes, options.maxBlocks)
            // Without memory the prompt counts as unread: that is no reason to fail the request.
            if let view = try? exchange.allocate(UInt64.self, count: room) {
                view.withUnsafeMutableBytes { memory in
                    let hashes = memory.bindMemory(to: UInt64.self)
                    made.start = hashes.baseAddress
                    made.count = PrefixHash.write(text, block: options.blockBytes, to: hashes)
                }
            }
        }
        entry.pointee = made
        return UnsafeBufferPointer(start: made.start, count: made.count)
    }

    private func prompt(of request: Request) -> Bytes? {
        let limit = options.blockBytes * options.maxBlocks
        switch request.payload.kind {
        case .none, .stream: return nil
        case .raw:
            let raw = request.payload.raw
            guard let first = raw.first(where: { $0 > 0x20 }), first == 0x7B else { return raw.prefix(limit) }
            return PromptText.find(in: raw, names: options.fields, limit: limit)
        case .tensors:
            for tensor in request.payload.tensors where tensor.dataType == .bytes {
                guard options.tensor.isEmpty || options.tensor == tensor.name else { continue }
                return Self.firstText(tensor.data)?.prefix(limit)
            }
            return nil
        }
    }

    /// The first element of a tensor of texts: four bytes of length, then as many bytes.
    private static func firstText(_ data: Bytes) -> Bytes? {
        guard data.count >= 4 else { return nil }
        let size = (0..<4).reduce(0) { $0 | Int(data[$1]) << ($1 * 8) }
        return size <= data.count - 4 ? data[4..<(4 + size)] : nil
    }
}
