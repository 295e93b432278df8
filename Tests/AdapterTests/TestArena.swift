import SluiceABI
import SluiceJSON

/// An arena for codecs under test: the C service over plain memory, with a bound, freed at the end.
final class TestArena {
    private var blocks: [UnsafeMutableRawPointer] = []
    private let table: UnsafeMutablePointer<sluice_memory>
    private var left: Int

    /// - Parameter limit: bytes that may be taken in all.
    init(limit: Int = 1 << 28) {
        left = limit
        table = UnsafeMutablePointer<sluice_memory>.allocate(capacity: 1)
        table.initialize(to: sluice_memory())
        table.pointee.struct_size = UInt32(MemoryLayout<sluice_memory>.size)
        table.pointee.arena_alloc = { context, _, size in
            guard let context else { return nil }
            return Unmanaged<TestArena>.fromOpaque(context).takeUnretainedValue().take(size)
        }
    }

    deinit {
        for block in blocks {
            block.deallocate()
        }
        table.deallocate()
    }

    private func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= left else { return nil }
        left -= size
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        // What was not written must not look like anything.
        block.initializeMemory(as: UInt8.self, repeating: 0xA5, count: size)
        blocks.append(block)
        return block
    }

    var arena: ExchangeArena {
        ExchangeArena(memory: table, context: Unmanaged.passUnretained(self).toOpaque(), exchange: nil)
    }

    /// The bytes of a text, in memory that ends exactly with them.
    func bytes(_ text: String) -> sluice_bytes { bytes(Array(text.utf8)) }

    func bytes(_ content: [UInt8]) -> sluice_bytes {
        guard !content.isEmpty else { return sluice_bytes() }
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: content.count)
        block.update(from: content, count: content.count)
        blocks.append(UnsafeMutableRawPointer(block))
        return sluice_bytes(data: block, size: content.count)
    }

    func array<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element> {
        let block = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        block.update(from: elements, count: elements.count)
        blocks.append(UnsafeMutableRawPointer(block))
        return UnsafePointer(block)
    }

    func field(_ name: String, _ value: String) -> sluice_field {
        sluice_field(name: bytes(name), value: bytes(value))
    }

    /// A received message with its body whole.
    func message(_ body: [UInt8], fields: [(String, String)] = [], status: UInt32 = 0) -> sluice_message {
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = status
        message.fields = array(fields.map { field($0.0, $0.1) })
        message.field_count = UInt32(fields.count)
        message.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.body_size = UInt64(body.count)
        message.body = array([bytes(body)])
        message.body_count = 1
        return message
    }

    /// `encode_request` toward an endpoint of `transport`, which knows the model as `other` where it is `renamed`.
    func send(
        _ request: sluice_request, _ codec: some MessageCodec, over transport: Int32, same: Bool, renamed: Bool,
        version: String = "7"
    ) throws(CodecFailure) -> (verdict: Int32, message: sluice_message) {
        var target = sluice_target()
        target.model = bytes("other")
        target.version = bytes(version)
        target.authority = bytes("backend:1")
        target.same_protocol = same ? 1 : 0
        target.renamed = renamed ? 1 : 0
        var message = sluice_message()
        message.transport = UInt32(transport)
        let verdict = try codec.encodeRequest(request, for: target, into: &message, arena: arena)
        return (verdict, message)
    }

    func message(_ body: String, fields: [(String, String)] = [], status: UInt32 = 0) -> sluice_message {
        message(Array(body.utf8), fields: fields, status: status)
    }
}

extension sluice_bytes {
    var text: String { String(decoding: buffer, as: UTF8.self) }
    var array: [UInt8] { Array(buffer) }
}

extension sluice_message {
    /// The body of a message that was made.
    var joinedBody: [UInt8] {
        (0..<Int(body_count)).flatMap { body[$0].array }
    }

    var bodyText: String { String(decoding: joinedBody, as: UTF8.self) }
}

extension CodecFailure {
    var text: String {
        var buffer = [UInt8](repeating: 0, count: Self.maximumTextSize)
        let size = buffer.withUnsafeMutableBufferPointer { write(to: $0) }
        return String(decoding: buffer[..<size], as: UTF8.self)
    }
}

/// What a body that throws says; nil when it does not throw.
func failure(_ body: () throws(CodecFailure) -> Void) -> String? {
    do throws(CodecFailure) {
        try body()
        return nil
    } catch {
        return error.text
    }
}
