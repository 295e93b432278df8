import SluiceABI

/// An exchange of the fake host: an arena, the received request, the edits that plugins made.
final class FakeExchange {
    struct Edit: Equatable {
        var side: UInt32
        var name: String
        /// Nil: removed.
        var value: String?
        /// Beside what is there.
        var adds = false
    }

    var token: UInt64 = 7
    var isResumed = false
    private(set) var edits: [Edit] = []
    /// Whether an answer streams that may be gathered, and whether a filter asked for that.
    var mayGather = false
    var gathers = false
    /// Whether the filter was shown the request.
    var isAsked = true
    private var blocks: [UnsafeMutableRawPointer] = []
    private var buffers: [FakeBuffer] = []
    private(set) var allocated = 0
    /// Texts of the request; they live as long as the exchange.
    let texts: CTexts
    let peerBytes: sluice_bytes
    /// The received message.
    let message: UnsafeMutablePointer<sluice_message>
    /// The request as the host hands it to `decode`: the message and the defaults.
    let request: UnsafeMutablePointer<sluice_request>

    init(
        _ method: String = "GET", _ target: String = "/", fields: [(String, String)] = [], body: [UInt8]? = nil,
        peer: String = "127.0.0.1:5012"
    ) {
        let texts = CTexts()
        self.texts = texts
        peerBytes = texts.bytes(peer)
        let question = target.firstIndex(of: "?")
        var received = sluice_message()
        received.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        received.method = texts.bytes(method)
        received.target = texts.bytes(target)
        received.path = texts.bytes(String(target[..<(question ?? target.endIndex)]))
        received.query = texts.bytes(question.map { String(target[target.index(after: $0)...]) } ?? "")
        received.authority = texts.bytes(fields.first { $0.0.lowercased() == "host" }?.1 ?? "gateway.test")
        received.fields = texts.array(fields.map { sluice_field(name: texts.bytes($0.0), value: texts.bytes($0.1)) })
        received.field_count = UInt32(fields.count)
        if let body {
            received.body_state = UInt32(SLUICE_BODY_WHOLE)
            received.body_size = UInt64(body.count)
            received.body = texts.array([texts.bytes(body)])
            received.body_count = 1
        }
        message = texts.mutable([received])
        var decoded = sluice_request()
        decoded.message = UnsafePointer(message)
        decoded.model_id = UInt32.max
        decoded.priority = 5
        decoded.attempt = 1
        decoded.deadline_ns = UInt64.max
        request = texts.mutable([decoded])
    }

    deinit {
        for block in blocks { block.deallocate() }
        for buffer in buffers { buffer.release() }
    }

    var handle: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

    static func of(_ handle: OpaquePointer?) -> FakeExchange {
        Unmanaged<FakeExchange>.fromOpaque(UnsafeRawPointer(handle.unsafelyUnwrapped)).takeUnretainedValue()
    }

    func gatherAnswer() -> sluice_status {
        guard mayGather else { return SLUICE_FAILED_PRECONDITION }
        gathers = true
        return SLUICE_OK
    }

    func allocate(_ size: Int, bound: Int) -> UnsafeMutableRawPointer? {
        guard size <= bound - allocated else { return nil }
        allocated += size
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(size, 1), alignment: 16)
        // The arena is not zeroed: a plugin that counts on zeros must be seen to fail.
        _ = block.initializeMemory(as: UInt8.self, repeating: 0xA5, count: max(size, 1))
        blocks.append(block)
        return block
    }

    func adopt(_ buffer: FakeBuffer) { buffers.append(buffer) }

    func header(_ name: String) -> sluice_bytes? {
        let fields = UnsafeBufferPointer(start: message.pointee.fields, count: Int(message.pointee.field_count))
        return fields.first { text($0.name).lowercased() == name.lowercased() }?.value
    }

    func setSession(_ session: sluice_bytes) -> sluice_status {
        request.pointee.session = texts.bytes(text(session))
        return SLUICE_OK
    }

    func setField(_ side: UInt32, _ name: String, _ value: sluice_bytes, adds: Bool = false) -> sluice_status {
        guard edits.count < 32 else { return SLUICE_RESOURCE_EXHAUSTED }
        let ofConnection = ["connection", "transfer-encoding", "content-length", "keep-alive", "upgrade", "te"]
        guard !ofConnection.contains(name.lowercased()) else { return SLUICE_INVALID_ARGUMENT }
        edits.append(Edit(side: side, name: name, value: value.data == nil ? nil : text(value), adds: adds))
        return SLUICE_OK
    }
}

/// A counted buffer.
final class FakeBuffer {
    private let memory: UnsafeMutableRawPointer
    private let raw: UnsafeMutablePointer<sluice_buffer>
    private nonisolated(unsafe) static var all: [UnsafeMutablePointer<sluice_buffer>: FakeBuffer] = [:]
    private var references = 1

    private init(_ capacity: Int) {
        memory = UnsafeMutableRawPointer.allocate(byteCount: max(capacity, 1), alignment: 16)
        raw = UnsafeMutablePointer<sluice_buffer>.allocate(capacity: 1)
        raw.initialize(
            to: sluice_buffer(data: memory.bindMemory(to: UInt8.self, capacity: capacity), capacity: capacity))
    }

    static func make(_ capacity: Int) -> UnsafeMutablePointer<sluice_buffer> {
        let buffer = FakeBuffer(capacity)
        all[buffer.raw] = buffer
        return buffer.raw
    }

    static func of(_ raw: UnsafeMutablePointer<sluice_buffer>?) -> FakeBuffer {
        all[raw.unsafelyUnwrapped].unsafelyUnwrapped
    }

    static var count: Int { all.count }

    func retain() { references += 1 }

    func release() {
        references -= 1
        guard references == 0 else { return }
        FakeBuffer.all[raw] = nil
        memory.deallocate()
        raw.deallocate()
    }
}

/// The models of the fake host.
final class FakeModels {
    struct Model {
        var name: String
        var versions: [String]
        /// By version; 1 where there is none.
        var weights: [UInt32] = []
        var labels: [(String, Int)] = []
    }

    let names: [String]
    let array: UnsafePointer<sluice_model>?
    private let texts = CTexts()

    init(_ models: [Model]) {
        names = models.map(\.name)
        let texts = texts
        var pool: UInt32 = 0
        func nextPool() -> UInt32 {
            defer { pool += 1 }
            return pool
        }
        array = texts.array(
            models.map { model in
                sluice_model(
                    name: texts.bytes(model.name),
                    versions: texts.array(
                        model.versions.enumerated().map {
                            sluice_version(
                                name: texts.bytes($0.element), pool: nextPool(),
                                weight: $0.offset < model.weights.count ? model.weights[$0.offset] : 1,
                                upstream_model: texts.bytes(model.name), upstream_version: texts.bytes($0.element))
                        }),
                    version_count: UInt32(model.versions.count), label_count: UInt32(model.labels.count),
                    labels: texts.array(
                        model.labels.map {
                            sluice_label(name: texts.bytes($0.0), version: UInt32($0.1), reserved: 0)
                        }))
            })
    }
}
