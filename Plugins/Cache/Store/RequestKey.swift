import SluiceABI
import SluicePlugin

/// What of a request makes its answer: two requests with the same key get the same answer.
public struct RequestKey {
    /// How the body is compared.
    public enum Match: Sendable {
        /// Byte for byte: also what the gateway does not know in it counts.
        case message
        /// By what the gateway understands of it: the request's id does not count, nor does its form.
        case unified
    }

    public let match: Match
    public let sharesTenants: Bool
    /// Fields whose values count.
    public let vary: [KeptText]

    public init(match: Match, sharesTenants: Bool, vary: [KeptText]) {
        self.match = match
        self.sharesTenants = sharesTenants
        self.vary = vary
    }

    /// Writes the key of `request` into the exchange's arena. Nil when it would be larger than `limit`, or the
    /// exchange's memory is used up.
    /// - Parameters:
    ///   - model: that answers, with `version`.
    public func write(
        _ request: Request, model: Bytes, version: Bytes, limit: Int, in exchange: Exchange
    ) -> Bytes? {
        var counter = BlockWriter()
        write(request, model, version, to: &counter)
        guard counter.size <= limit, let view = try? exchange.allocate(bytes: counter.size) else { return nil }
        return view.withUnsafeMutableBytes { memory in
            guard let start = memory.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
            var writer = BlockWriter(start, capacity: memory.count)
            write(request, model, version, to: &writer)
            return Bytes(UnsafeRawBufferPointer(memory))
        }
    }

    private func write(_ request: Request, _ model: Bytes, _ version: Bytes, to writer: inout BlockWriter) {
        let raw = request.pointer.pointee
        let message = request.message
        writer.bytes(model.raw)
        writer.bytes(version.raw)
        writer.number(UInt64(raw.operation))
        writer.bytes(sharesTenants ? sluice_bytes() : raw.tenant)
        if match == .message {
            writer.number(UInt64(message.pointer.pointee.transport))
            writer.bytes(message.method.raw)
            writer.bytes(message.target.raw)
            // Endpoints get it as it came, and may serve several.
            writer.bytes(message.authority.raw)
            field("content-type", message, to: &writer)
            field("content-encoding", message, to: &writer)
            // Says where the binary part of a body of the Open Inference Protocol begins.
            field("inference-header-content-length", message, to: &writer)
        } else {
            writer.bytes(raw.rest)
            if raw.payload.kind == UInt32(SLUICE_PAYLOAD_RAW) || raw.operation == UInt32(SLUICE_OPERATION_OTHER) {
                // What nobody has understood is the endpoint's to tell by the rest of the message.
                writer.bytes(message.method.raw)
                writer.bytes(message.path.raw)
                writer.bytes(message.authority.raw)
            }
        }
        for name in vary { name.withBytes { values($0, message, to: &writer) } }
        let body = match == .message ? message.body : Bytes()
        writer.bytes(body.raw)
        payload(raw.payload, body: body, to: &writer)
    }

    private func field(_ name: StaticString, _ message: Message, to writer: inout BlockWriter) {
        values(Bytes(name), message, to: &writer)
    }

    /// All values of a field, in their order.
    private func values(_ name: Bytes, _ message: Message, to writer: inout BlockWriter) {
        var count = 0
        for field in message.fields where field.name.equalsIgnoringCase(name) { count += 1 }
        writer.number(count)
        guard count > 0 else { return }
        for field in message.fields where field.name.equalsIgnoringCase(name) { writer.bytes(field.value.raw) }
    }

    // MARK: Payload

    private func payload(_ payload: sluice_payload, body: Bytes, to writer: inout BlockWriter) {
        writer.number(UInt64(payload.kind))
        writer.number(UInt64(payload.flags))
        writer.bytes(payload.content_type)
        content(payload.raw, body: body, to: &writer)
        writer.number(UInt64(payload.tensor_count))
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            writer.head(of: tensor)
            content(tensor.data, body: body, to: &writer)
            writer.parameters(tensor.parameters, tensor.parameter_count)
        }
        writer.number(UInt64(payload.output_count))
        for index in 0..<Int(payload.output_count) {
            guard let output = payload.outputs?[index] else { break }
            writer.bytes(output.name)
            writer.number(UInt64(output.flags))
            writer.parameters(output.parameters, output.parameter_count)
        }
        writer.parameters(payload.parameters, payload.parameter_count)
    }

    /// Bytes that lie in a body which is part of the key are told by their place in it.
    private func content(_ bytes: sluice_bytes, body: Bytes, to writer: inout BlockWriter) {
        if let start = bytes.data, let base = body.raw.data, start >= base, bytes.size <= body.count,
            start - base <= body.count - bytes.size
        {
            writer.number(1)
            writer.number(start - base)
            writer.number(bytes.size)
        } else {
            writer.number(0)
            writer.bytes(bytes)
        }
    }
}
