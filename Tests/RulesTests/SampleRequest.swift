import Rules
import SluiceABI

/// A request for rules to look at, in C memory that lives as long as this object.
final class SampleRequest {
    struct Tensor {
        var name: String
        var datatype: Int32
        var shape: [Int64]
        var data: [UInt8] = []
    }

    let request: UnsafeMutablePointer<sluice_request>
    let message: UnsafeMutablePointer<sluice_message>
    private var blocks: [UnsafeMutableRawPointer] = []
    /// Bytes that rules may still take for texts that they make.
    var room = 1 << 20
    private(set) var taken: [Int] = []

    init(
        _ method: String = "POST", _ path: String = "/v2/models/m/infer", query: String = "",
        headers: [(String, String)] = [], body: String? = nil, tenant: String = "", model: String = "",
        version: String = "", priority: UInt32 = 5
    ) {
        message = .allocate(capacity: 1)
        message.initialize(to: sluice_message())
        request = .allocate(capacity: 1)
        request.initialize(to: sluice_request())
        request.pointee.message = UnsafePointer(message)
        request.pointee.tenant = bytes(tenant)
        request.pointee.model = bytes(model)
        request.pointee.version = bytes(version)
        request.pointee.priority = priority
        message.pointee.method = bytes(method)
        message.pointee.path = bytes(path)
        message.pointee.query = bytes(query)
        message.pointee.fields = place(headers.map { sluice_field(name: bytes($0.0), value: bytes($0.1)) })
        message.pointee.field_count = UInt32(headers.count)
        if let body { setBody(Array(body.utf8)) }
    }

    deinit {
        for block in blocks { block.deallocate() }
        message.deallocate()
        request.deallocate()
    }

    func setBody(_ body: [UInt8]) {
        message.pointee.body_state = UInt32(SLUICE_BODY_WHOLE)
        message.pointee.body_size = UInt64(body.count)
        message.pointee.body = place([bytes(body)])
        message.pointee.body_count = 1
    }

    /// The body is there, but nobody has read it.
    func stream(size: UInt64 = .max) {
        message.pointee.body_state = UInt32(SLUICE_BODY_STREAMING)
        message.pointee.body_size = size
        message.pointee.body_count = 0
        request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
    }

    func setTensors(_ tensors: [Tensor]) {
        request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.pointee.payload.tensor_count = UInt32(tensors.count)
        request.pointee.payload.tensors = place(
            tensors.map { tensor in
                var value = sluice_tensor()
                value.name = bytes(tensor.name)
                value.datatype = UInt32(tensor.datatype)
                value.rank = UInt32(tensor.shape.count)
                value.shape = place(tensor.shape)
                value.data = bytes(tensor.data)
                return value
            })
    }

    func bytes(_ text: String) -> sluice_bytes { bytes(Array(text.utf8)) }

    /// Of their exact size, so that a sanitizer sees any read beyond.
    func bytes(_ content: [UInt8]) -> sluice_bytes {
        content.isEmpty ? sluice_bytes() : sluice_bytes(data: place(content), size: content.count)
    }

    func place<Element>(_ elements: [Element]) -> UnsafePointer<Element>? {
        guard !elements.isEmpty else { return nil }
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        for (index, element) in elements.enumerated() { (memory + index).initialize(to: element) }
        blocks.append(UnsafeMutableRawPointer(memory))
        return UnsafePointer(memory)
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= room else { return nil }
        room -= size
        taken.append(size)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        blocks.append(memory)
        return memory
    }

    var view: RequestView {
        RequestView(
            request, context: Unmanaged.passUnretained(self).toOpaque(), exchange: nil,
            allocate: { context, _, size in
                guard let context else { return nil }
                return Unmanaged<SampleRequest>.fromOpaque(context).takeUnretainedValue().allocate(size)
            })
    }

    func outcome(_ rule: Rule) -> RuleOutcome { withExtendedLifetime(self) { rule.evaluate(view) } }

    /// Compiles and evaluates.
    func outcome(_ text: String, _ functions: [NativeFunction] = []) throws -> RuleOutcome {
        outcome(try Rule(text, functions: functions))
    }
}
