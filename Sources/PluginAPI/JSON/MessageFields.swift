import SluiceABI

/// Fills in messages that an adapter makes.
public enum MessageFields {
    /// `content-type: application/json`, in static storage.
    nonisolated(unsafe) private static let json: UnsafePointer<sluice_field> = {
        let field = UnsafeMutablePointer<sluice_field>.allocate(capacity: 1)
        field.initialize(
            to: sluice_field(name: .literal("content-type"), value: .literal("application/json")))
        return UnsafePointer(field)
    }()

    /// Touches what is made at the first use, so that no request pays for it.
    public static func prepare() {
        _ = json
    }

    /// Gives the message the one field that JSON answers have.
    public static func setJSON(on message: inout sluice_message) {
        message.fields = json
        message.field_count = 1
    }

    /// Gives the message these fields; names and values are not copied.
    public static func set<let count: Int>(
        _ fields: InlineArray<count, sluice_field>, on message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        let list = try arena.allocate(sluice_field.self, count: count)
        for index in fields.indices {
            list[index] = fields[index]
        }
        message.fields = UnsafePointer(list)
        message.field_count = UInt32(count)
    }

    /// Adds fields behind those that the message has.
    public static func append(
        _ fields: UnsafePointer<sluice_field>?, _ count: UInt32, to message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        guard let fields, count > 0 else { return }
        let old = Int(message.field_count)
        let list = try arena.allocate(sluice_field.self, count: old + Int(count))
        if let present = message.fields {
            list.update(from: present, count: old)
        }
        (list + old).update(from: fields, count: Int(count))
        message.fields = UnsafePointer(list)
        message.field_count += count
    }

    /// Gives the message the body that was written.
    public static func setBody(_ writer: inout JSONWriter, on message: inout sluice_message) throws(CodecFailure) {
        message.body_size = UInt64(writer.size)
        let (pieces, count) = try writer.finish()
        message.body = pieces
        message.body_count = count
        message.body_state = UInt32(count == 0 ? SLUICE_BODY_NONE : SLUICE_BODY_WHOLE)
    }

    /// Gives the message a body that is there already; it is not copied.
    public static func setBody(
        _ bytes: sluice_bytes, on message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        message.body_size = UInt64(bytes.buffer.count)
        message.body_state = UInt32(bytes.isEmpty ? SLUICE_BODY_NONE : SLUICE_BODY_WHOLE)
        guard !bytes.isEmpty else { return }
        let piece = try arena.allocate(sluice_bytes.self, count: 1)
        piece.pointee = bytes
        message.body = UnsafePointer(piece)
        message.body_count = 1
    }
}

extension sluice_message {
    /// Fails when the endpoint that this message goes to does not speak the adapter's transport. A host that says none
    /// means HTTP.
    public func requireTransport(_ transport: Int32, _ target: sluice_target) throws(CodecFailure) {
        let spoken = self.transport == 0 ? SLUICE_TRANSPORT_HTTP : Int32(bitPattern: self.transport)
        guard spoken != transport else { return }
        throw CodecFailure(
            transport == SLUICE_TRANSPORT_GRPC
                ? "the protocol needs gRPC, which is for endpoints of grpc:// or grpcs:// only, unlike"
                : "the protocol needs HTTP, which is for endpoints of http:// or https:// only, unlike",
            status: SLUICE_UNIMPLEMENTED, subject: target.authority)
    }

    /// Fails when the body is compressed still: one that is passed on may be, one that is to be read may not. Of a
    /// request's body the host has undone what it knows. Of one that is empty its reader tells.
    public func requirePlainBody() throws(CodecFailure) {
        guard !wholeBody.isEmpty, let encoding = field("content-encoding"), !encoding.isEmpty,
            !encoding.equalsIgnoringCase(.literal("identity"))
        else { return }
        throw CodecFailure(
            "the body has to be read, and of codings gzip or deflate is undone here, once; content-encoding is",
            status: SLUICE_UNIMPLEMENTED, httpStatus: 415, subject: encoding)
    }
}
