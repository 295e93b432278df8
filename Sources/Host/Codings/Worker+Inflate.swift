import HTTP1
import SluiceABI

/// Bodies and messages that somebody has to read, and that their client has compressed. What goes on unread goes on as
/// it came: nothing here touches that.
extension Worker {
    struct CodingRefusal: Error {
        var status: sluice_status
        var httpStatus: UInt32
        var message: StaticString
    }

    /// What `bytes` inflate to, in memory that the exchange gives back.
    private func inflate(
        _ exchange: ExchangePointer, _ bytes: sluice_bytes, _ coding: ContentCoding
    ) throws(CodingRefusal) -> sluice_bytes {
        let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
        let buffer: Buffer
        do throws(Inflater.Fault) {
            buffer = try inflater.inflate(bytes, coding, limit: limits.inflated(bytes.size), &buffers)
        } catch {
            throw refusal(exchange, error)
        }
        guard exchange.pointee.ownedBuffers.adopt(buffer) else {
            buffers.give(buffer)
            throw refusal(exchange, .noMemory)
        }
        // A large one held the worker for a while, and what is timed from here on does not count that.
        readClock()
        return sluice_bytes(buffer.head.asImmutable, buffer.count)
    }

    private func refusal(_ exchange: ExchangePointer, _ fault: Inflater.Fault) -> CodingRefusal {
        let isCall = exchange.pointee.isGRPC
        switch fault {
        case .malformed:
            return CodingRefusal(
                status: isCall ? SLUICE_INTERNAL : SLUICE_INVALID_ARGUMENT, httpStatus: 400,
                message: isCall
                    ? "the message is not compressed as grpc-encoding says"
                    : "the body is not compressed as content-encoding says")
        case .tooLarge:
            metrics.rejected(.bodyTooLarge)
            return CodingRefusal(
                status: SLUICE_RESOURCE_EXHAUSTED, httpStatus: 413,
                message: isCall
                    ? "the compressed message comes out larger than allowed"
                    : "the compressed body comes out larger than allowed")
        case .noMemory:
            return CodingRefusal(status: SLUICE_RESOURCE_EXHAUSTED, httpStatus: 503, message: "out of memory")
        }
    }

    // MARK: Bodies of HTTP

    /// What plugins see of a gathered body: itself, or what it inflates to, in a message without `Content-Encoding`. A
    /// coding that is unknown here stays, for the plugin that reads the body to refuse.
    func undoCoding(_ exchange: ExchangePointer, _ body: sluice_bytes) throws(CodingRefusal) -> sluice_bytes {
        guard body.size > 0, let head = exchange.pointee.head, let index = codingField(head.pointee.fields) else {
            return body
        }
        guard let coding = ContentCoding(content: head.pointee.fields[index].value),
            codingField(head.pointee.fields, from: index + 1) == nil
        else {
            exchange.pointee.isUnreadable = true
            return body
        }
        let content = try inflate(exchange, body, coding)
        guard hideCoding(exchange) else { throw refusal(exchange, .noMemory) }
        exchange.pointee.framed = body
        return content
    }

    /// The adapter is to refuse what it cannot read.
    func announceCodings(_ exchange: ExchangePointer) {
        // RFC 9110 §12.5.3: what an answer says so is what requests may use.
        _ = edit(
            exchange, UInt32(SLUICE_SIDE_RESPONSE), sluice_bytes("Accept-Encoding"), sluice_bytes(ContentCoding.names))
    }

    /// Somebody has to read what a router only wanted to. Nil when the adapter could.
    @inline(never)
    func decodeAfterAll(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        exchange.pointee.isUndecoded = false
        guard let adapter = exchange.pointee.adapter else { return nil }
        exchange.pointee.request.unsafelyUnwrapped.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        announceCodings(exchange)
        return decodePayload(exchange, adapter)
    }

    /// Where the first field is, from `start` on, that says how the body is coded, if one says so.
    func codingField(_ fields: FieldSection, from start: Int = 0) -> Int? {
        let name = sluice_bytes("content-encoding")
        for index in start..<fields.count
        where fields[index].name.size == name.size && fields[index].name.equalsIgnoringCase(name)
            && !fields[index].value.equalsIgnoringCase(sluice_bytes("identity"))
        {
            return index
        }
        return nil
    }

    /// Plugins see the message as if it had come plain. The client's head, which goes on to an endpoint that gets the
    /// body as it came, keeps its fields.
    private func hideCoding(_ exchange: ExchangePointer) -> Bool {
        let message = exchange.pointee.message.unsafelyUnwrapped
        let count = Int(message.pointee.field_count)
        guard let fields = allocate(exchange, sluice_field.self, count) else { return false }
        var kept = 0
        for index in 0..<count
        where !message.pointee.fields[index].name.equalsIgnoringCase(sluice_bytes("content-encoding")) {
            (fields + kept).initialize(to: message.pointee.fields[index])
            kept += 1
        }
        message.pointee.fields = UnsafePointer(fields)
        message.pointee.field_count = UInt32(kept)
        return true
    }

    // MARK: Messages of gRPC

    /// What a message that is marked as compressed inflates to. A call's first one may be asked for twice: for its
    /// head, and as the whole body.
    func undoCoding(_ exchange: ExchangePointer, ofMessage bytes: sluice_bytes) throws(CodingRefusal) -> sluice_bytes {
        if exchange.pointee.inflated.data != nil { return exchange.pointee.inflated }
        guard let head = exchange.pointee.head, let name = messageCoding(head.pointee.fields) else {
            throw CodingRefusal(
                status: SLUICE_INTERNAL, httpStatus: 400,
                message: "a message is marked as compressed, and the call has no grpc-encoding")
        }
        guard let coding = ContentCoding(message: name) else {
            // Who does not know a compression says which ones it does (grpc/doc/compression.md).
            _ = edit(
                exchange, UInt32(SLUICE_SIDE_RESPONSE), sluice_bytes("grpc-accept-encoding"),
                sluice_bytes(ContentCoding.namesOfMessages))
            throw CodingRefusal(
                status: SLUICE_UNIMPLEMENTED, httpStatus: 501,
                message: "the message is compressed in a way that is unknown here, and has to be read")
        }
        exchange.pointee.inflated = try inflate(exchange, bytes, coding)
        return exchange.pointee.inflated
    }

    private func messageCoding(_ fields: FieldSection) -> sluice_bytes? {
        let name = sluice_bytes("grpc-encoding")
        for index in 0..<fields.count
        where fields[index].name.size == name.size && fields[index].name.equalsIgnoringCase(name) {
            return fields[index].value == sluice_bytes("identity") ? nil : fields[index].value
        }
        return nil
    }
}

extension RequestLimits {
    /// What `size` compressed bytes may come out as.
    func inflated(_ size: Int) -> Int {
        let (product, overflow) = size.multipliedReportingOverflow(by: inflationRatio)
        return min(bodyBytes, max(inflatedBytes, overflow ? .max : product))
    }
}
