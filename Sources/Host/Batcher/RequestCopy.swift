import CLinux
import SluiceABI

/// What a batcher sees of a request whose exchange lives on another worker, in one block of memory: all but its
/// payload, which travels beside it.
struct RequestCopy {
    let request: UnsafeMutablePointer<sluice_request>
    /// Of its memory, at whose beginning the request is.
    private let size: Int

    func deallocate() { SharedBlocks.give(UnsafeMutableRawPointer(request), size) }

    init(_ source: sluice_request) {
        var message = source.message?.pointee ?? sluice_message()
        let count = Int(message.field_count)
        var size = MemoryLayout<sluice_request>.stride + MemoryLayout<sluice_message>.stride
        size += count * MemoryLayout<sluice_field>.stride
        size += source.model.size + source.version.size + source.id.size
        size += source.tenant.size + source.session.size + source.rest.size
        size += message.method.size + message.target.size + message.path.size
        size += message.query.size + message.authority.size
        for index in 0..<count { size += message.fields[index].name.size + message.fields[index].value.size }

        let memory = SharedBlocks.take(size)
        self.size = size
        request = memory.bindMemory(to: sluice_request.self, capacity: 1)
        let head = (memory + MemoryLayout<sluice_request>.stride).bindMemory(to: sluice_message.self, capacity: 1)
        let fields = UnsafeMutableRawPointer(head + 1).bindMemory(to: sluice_field.self, capacity: count)
        var next = UnsafeMutableRawPointer(fields + count).assumingMemoryBound(to: UInt8.self)
        func copy(_ bytes: sluice_bytes) -> sluice_bytes {
            guard let data = bytes.data, bytes.size > 0 else { return .empty }
            next.update(from: data, count: bytes.size)
            defer { next += bytes.size }
            return sluice_bytes(next, bytes.size)
        }
        for index in 0..<count {
            let field = message.fields[index]
            (fields + index).initialize(to: sluice_field(name: copy(field.name), value: copy(field.value)))
        }
        message.method = copy(message.method)
        message.target = copy(message.target)
        message.path = copy(message.path)
        message.query = copy(message.query)
        message.authority = copy(message.authority)
        message.fields = UnsafePointer(fields)
        head.initialize(to: message.headAlone)
        var value = source
        value.model = copy(source.model)
        value.version = copy(source.version)
        value.id = copy(source.id)
        value.tenant = copy(source.tenant)
        value.session = copy(source.session)
        value.rest = copy(source.rest)
        value.message = UnsafePointer(head)
        value.adapter_data = nil
        value.payload = sluice_payload()
        request.initialize(to: value)
    }
}

extension sluice_message {
    /// Without the body, which stays where it was received.
    var headAlone: sluice_message {
        var message = self
        message.body_state = UInt32(SLUICE_BODY_NONE)
        message.body_size = 0
        message.body = nil
        message.body_count = 0
        return message
    }
}
