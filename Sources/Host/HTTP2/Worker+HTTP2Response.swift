import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Responses of HTTP/2: heads as field lists, bodies through the stream's buffer as its window opens.
extension Worker {
    /// A list of fields for libnghttp2, in the exchange's arena. Names are folded to lower case (RFC 9113 §8.2); fields
    /// that belong to one connection of HTTP/1.1 are left out (§8.2.2).
    struct HTTP2Fields {
        fileprivate let list: UnsafeMutablePointer<nghttp2_nv>
        fileprivate var count = 0
        fileprivate let capacity: Int
        /// A field does not fit, or may not be sent.
        fileprivate var fault = false
    }

    private func fields(_ exchange: ExchangePointer, _ status: UInt16, _ capacity: Int) -> HTTP2Fields? {
        guard let list = allocate(exchange, nghttp2_nv.self, capacity + 4),
            let digits = allocate(exchange, UInt8.self, 3)
        else { return nil }
        digits[0] = UInt8(ascii: "0") &+ UInt8(status / 100)
        digits[1] = UInt8(ascii: "0") &+ UInt8(status / 10 % 10)
        digits[2] = UInt8(ascii: "0") &+ UInt8(status % 10)
        let name: StaticString = ":status"
        list.initialize(
            to: nghttp2_nv(
                name: UnsafeMutablePointer(mutating: name.utf8Start), value: digits, namelen: 7, valuelen: 3, flags: 0))
        return HTTP2Fields(list: list, count: 1, capacity: capacity + 4)
    }

    /// `checked`: the field was parsed; else it is a plugin's, and judged here.
    private func add(
        _ exchange: ExchangePointer, _ field: sluice_field, checked: Bool, to fields: inout HTTP2Fields
    ) {
        guard checked || HeadWriter.mayBeSet(name: field.name, value: field.value) else {
            // What only the gateway may write is left out, as in HTTP/1.1; what is malformed is a fault.
            if !HeadWriter.isOwnField(field.name) { fields.fault = true }
            return
        }
        guard fields.count < fields.capacity, let name = allocate(exchange, UInt8.self, field.name.size),
            let source = field.name.data
        else {
            fields.fault = true
            return
        }
        for index in 0..<field.name.size {
            let byte = source[index]
            name[index] = byte &- 0x41 < 26 ? byte | 0x20 : byte
        }
        append(sluice_bytes(name, field.name.size), field.value, to: &fields)
    }

    private func append(_ name: sluice_bytes, _ value: sluice_bytes, to fields: inout HTTP2Fields) {
        guard fields.count < fields.capacity else {
            fields.fault = true
            return
        }
        (fields.list + fields.count).initialize(
            to: nghttp2_nv(
                name: UnsafeMutablePointer(mutating: name.data), value: UnsafeMutablePointer(mutating: value.data),
                namelen: name.size, valuelen: value.data == nil ? 0 : value.size, flags: 0))
        fields.count &+= 1
    }

    private func addLength(_ exchange: ExchangePointer, _ length: UInt64, to fields: inout HTTP2Fields) {
        guard let memory = allocate(exchange, UInt8.self, 24) else {
            fields.fault = true
            return
        }
        var writer = ByteWriter(memory, capacity: 24)
        writer.write(decimal: length)
        append(sluice_bytes("content-length"), writer.bytes, to: &fields)
    }

    private func addEdits(_ exchange: ExchangePointer, to fields: inout HTTP2Fields) {
        guard let list = exchange.pointee.edits else { return }
        for index in 0..<list.pointee.count where isInForce(list, index, SLUICE_SIDE_RESPONSE) {
            let edit = list.pointee.edits[index]
            add(exchange, sluice_field(name: edit.name, value: edit.value), checked: false, to: &fields)
        }
    }

    // MARK: Heads

    /// The head of the endpoint's response, which is in `responseScratch`.
    func forwardHead(
        _ exchange: ExchangePointer, to stream: UnsafeMutablePointer<HTTP2Stream>
    ) -> ExchangeMachine.Action {
        let head = responseScratch
        let section = head.pointee.fields
        let shown = shownResponse(exchange)
        let own = shown.map { Int($0.pointee.field_count) } ?? 0
        guard var fields = fields(exchange, head.pointee.status, section.count + own + FieldEdits.room) else {
            return .cut
        }
        let mask = maskEdited(exchange, section, section.hopByHop, SLUICE_SIDE_RESPONSE)
        for index in 0..<section.count where !mask.contains(index) {
            add(exchange, section[index], checked: section.parsed(section[index]), to: &fields)
        }
        addEdits(exchange, to: &fields)
        if let shown {
            for index in 0..<own { add(exchange, shown.pointee.fields[index], checked: false, to: &fields) }
        }
        if lacksDate(exchange, isReceived: section.date >= 0) {
            append(sluice_bytes("date"), date.text(at: now), to: &fields)
        }
        switch (head.pointee.body, head.pointee.declared) {
        case (.length(let size), _): addLength(exchange, size, to: &fields)
        // An answer to HEAD, or a 304, says how long the content would be.
        case (.none, .length(let size)): addLength(exchange, size, to: &fields)
        default: break
        }
        exchange.pointee.toClient.sinkIsChunked = false
        exchange.pointee.toClient.keepsTrailers = true
        if !exchange.pointee.toClient.isDirect { exchange.pointee.toClient.showsChunks = wantsChunks(exchange) }
        if fields.fault { return refuseMalformed(exchange) }
        guard submit(stream, fields, hasBody: !exchange.pointee.toClient.sourceEnded) else { return .cut }
        beginPassedAnswer(exchange)
        return pumpFirst(exchange)
    }

    /// A message made in the gateway. Nil when a plugin's field is malformed.
    func send(
        _ exchange: ExchangePointer, _ out: sluice_message, _ status: UInt16, _ size: UInt64, hasBody: Bool,
        retryAfter: sluice_bytes, to stream: UnsafeMutablePointer<HTTP2Stream>
    ) -> ExchangeMachine.Action? {
        guard status >= 200, status <= 599,
            var fields = fields(exchange, status, Int(out.field_count) + FieldEdits.room + 4)
        else { return nil }
        for index in 0..<Int(out.field_count)
        where !isEdited(exchange, out.fields[index].name, SLUICE_SIDE_RESPONSE) {
            add(exchange, out.fields[index], checked: false, to: &fields)
        }
        addEdits(exchange, to: &fields)
        if !retryAfter.isEmpty { append(sluice_bytes("retry-after"), retryAfter, to: &fields) }
        if lacksDate(exchange, out) { append(sluice_bytes("date"), date.text(at: now), to: &fields) }
        if hasBody, !exchange.pointee.isGRPC { addLength(exchange, size, to: &fields) }
        guard !fields.fault else { return nil }
        let sendsBody = hasBody && size > 0 && !exchange.pointee.methodIsHead
        _ = exchange.pointee.machine.handle(.answering)
        guard submit(stream, fields, hasBody: sendsBody) else { return .cut }
        exchange.pointee.progressAt = nowMs
        beginAnswer(exchange, status)
        exchange.pointee.toClient.source = .none
        exchange.pointee.toClient.sourceEnded = true
        if sendsBody {
            exchange.pointee.toClient.pieces = out.body
            exchange.pointee.toClient.pieceCount = Int(out.body_count)
        }
        return pumpFirst(exchange)
    }

    /// An interim response (RFC 9110 §15.2) of an endpoint; `responseScratch` has it. What cannot be sent is left out.
    func forwardInterim(_ exchange: ExchangePointer, to stream: UnsafeMutablePointer<HTTP2Stream>) {
        let section = responseScratch.pointee.fields
        guard !stream.pointee.isClosed,
            var fields = fields(exchange, responseScratch.pointee.status, section.count)
        else { return }
        for index in 0..<section.count where !section.hopByHop.contains(index) {
            add(exchange, section[index], checked: true, to: &fields)
        }
        submitInterim(stream, fields)
    }

    func sendContinue(_ exchange: ExchangePointer, to stream: UnsafeMutablePointer<HTTP2Stream>) {
        guard !stream.pointee.isClosed, let fields = fields(exchange, 100, 0) else { return }
        submitInterim(stream, fields)
    }

    private func submitInterim(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ fields: HTTP2Fields) {
        guard !fields.fault else { return }
        nghttp2_submit_headers(
            stream.pointee.connection.pointee.session, 0, stream.pointee.id, nil, fields.list, fields.count, nil)
        markDirty(stream.pointee.connection)
    }

    private func submit(
        _ stream: UnsafeMutablePointer<HTTP2Stream>, _ fields: HTTP2Fields, hasBody: Bool
    ) -> Bool {
        guard !fields.fault, !stream.pointee.isClosed else { return false }
        stream.pointee.hasBody = hasBody
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(stream)), read_callback: HTTP2Callbacks.read)
        let session = stream.pointee.connection.pointee.session
        let outcome = withUnsafePointer(to: &provider) {
            nghttp2_submit_response(
                session, stream.pointee.id, fields.list, fields.count, hasBody ? $0 : nil)
        }
        markDirty(stream.pointee.connection)
        return outcome == 0
    }

    /// An error without an exchange: no adapter has seen the request.
    func answer(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ status: UInt16, _ message: StaticString) {
        answer(stream, status, sluice_bytes(message))
    }

    /// Called while the head of its request is the connection's latest.
    func answer(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ status: UInt16, _ message: sluice_bytes) {
        stream.pointee.output = buffers.take(BufferPool.small)
        let digits: [UInt8] = Array(String(status).utf8)
        let connection = stream.pointee.connection
        // An answer to HEAD has no content (RFC 9110 §9.3.2): clients take DATA for an error of the protocol.
        let hasBody = !connection.pointee.head.isHead
        guard let base = stream.pointee.output.base else {
            nghttp2_submit_rst_stream(
                connection.pointee.session, 0, stream.pointee.id, NGHTTP2_INTERNAL_ERROR.rawValue)
            return
        }
        var body = ByteWriter(base, capacity: BufferPool.small)
        body.writeErrorObject(message)
        stream.pointee.output.end = body.count
        stream.pointee.responseEnded = true
        digits.withUnsafeBufferPointer { digits in
            withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: 3) { list in
                var fields = HTTP2Fields(list: list.baseAddress.unsafelyUnwrapped, capacity: 3)
                append(sluice_bytes(":status"), sluice_bytes(data: digits.baseAddress, size: 3), to: &fields)
                append(sluice_bytes("content-type"), sluice_bytes(Self.json), to: &fields)
                append(sluice_bytes("date"), date.text(at: now), to: &fields)
                _ = submit(stream, fields, hasBody: hasBody)
            }
        }
    }

    // MARK: Bodies

    /// What `sendCollected` is for a socket: copies as much as there is room for behind what waits for the window.
    func offer(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ count: Int) -> (bytes: Int, wanted: Int) {
        guard !stream.pointee.isClosed else { return (-1, 0) }
        var wanted = 0
        for index in 0..<count { wanted &+= pieces[index].iov_len }
        let bound = BufferPool.medium
        let room = bound &- stream.pointee.output.count
        let taken = min(wanted, room)
        guard taken > 0 else { return (0, wanted) }
        guard reserve(taken, in: &stream.pointee.output) else { return (-1, wanted) }
        var left = taken
        var index = 0
        while left > 0 {
            let size = min(left, pieces[index].iov_len)
            if size > 0 { stream.pointee.output.append(pieces[index].iov_base.unsafelyUnwrapped, size) }
            left &-= size
            index &+= 1
        }
        resume(stream)
        return (taken, wanted)
    }

    private func resume(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let connection = stream.pointee.connection
        if stream.pointee.isDeferred {
            stream.pointee.isDeferred = false
            nghttp2_session_resume_data(connection.pointee.session, stream.pointee.id)
        }
        markDirty(connection)
    }

    /// libnghttp2 has taken all that the stream had, and its exchange may have more.
    func noteDrained(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        guard !stream.pointee.client.writable, !stream.pointee.isListedDrained else { return }
        let connection = stream.pointee.connection
        stream.pointee.isListedDrained = true
        stream.pointee.nextDrained = connection.pointee.firstDrained
        connection.pointee.firstDrained = stream
    }

    /// Between two turns of libnghttp2: exchanges go on whose streams have room again.
    func serveDrained(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        while let stream = connection.pointee.firstDrained {
            connection.pointee.firstDrained = stream.pointee.nextDrained
            stream.pointee.isListedDrained = false
            stream.pointee.client.writable = true
            if let exchange = stream.pointee.client.exchange { pumpResponse(exchange) }
        }
    }

    // MARK: The end

    /// The exchange has said all it has to say.
    func release(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        stream.pointee.client.exchange = nil
        stream.pointee.responseEnded = true
        stream.pointee.client.deadline = nowMs
        discardUnread(stream)
        if stream.pointee.isClosed {
            free(stream)
        } else {
            resume(stream)
        }
    }

    /// The exchange broke off: the client must not take a part for the whole (RFC 9113 §8.1).
    func reset(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        stream.pointee.client.exchange = nil
        discardUnread(stream)
        if stream.pointee.isClosed {
            free(stream)
            return
        }
        let connection = stream.pointee.connection
        nghttp2_submit_rst_stream(
            connection.pointee.session, 0, stream.pointee.id, NGHTTP2_INTERNAL_ERROR.rawValue)
        markDirty(connection)
    }

    /// Bytes of the request that nobody will take leave the window of the connection.
    private func discardUnread(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let count = stream.pointee.pending.count
        if count > 0, !stream.pointee.isClosed {
            nghttp2_session_consume(stream.pointee.connection.pointee.session, stream.pointee.id, count)
        }
        buffers.give(stream.pointee.pending)
        stream.pointee.pending = .none
        buffers.give(stream.pointee.client.input)
        stream.pointee.client.input = .none
    }
}
