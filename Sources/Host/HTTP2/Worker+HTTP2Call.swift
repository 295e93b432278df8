import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// One request to an endpoint that speaks HTTP/2. Its exchange reads and writes it as a connection of HTTP/1.1: what is
/// written to it becomes frames here, and what it is read from is made of frames.
extension Worker {
    // MARK: The request

    /// Makes a request of the head in `staged`, which is of HTTP/1.1. False when the connection takes no more.
    func submit(_ exchange: ExchangePointer, on call: UnsafeMutablePointer<HTTP2Call>) -> Bool {
        let connection = call.pointee.connection
        let flow = exchange.pointee.toEndpoint
        let hasTrailers = flow.trailers.count > 0 && carriesTrailers(exchange)
        let hasBody = !flow.sourceEnded && exchange.pointee.passes || flow.hasPieces || hasTrailers
        guard !connection.pointee.isLeaving else { return false }
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(call)),
            read_callback: HTTP2UpstreamCallbacks.read)
        // Servers of gRPC refuse a call without `te: trailers`: also one that was made here, for a client that speaks
        // something else or for a check.
        let isMadeCall =
            !exchange.pointee.passes
            && exchange.pointee.outgoing?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        let wantsTrailers = isMadeCall || exchange.pointee.isGRPC || exchange.pointee.acceptsTrailers
        let id = HTTP2RequestText.withFields(
            of: flow.staged, isSecured: connection.pointee.socket.pointee.tls != nil, wantsTrailers: wantsTrailers,
            in: fieldList
        ) { fields, count in
            withUnsafePointer(to: &provider) {
                nghttp2_submit_request(
                    connection.pointee.session, nil, fields, count, hasBody ? $0 : nil,
                    UnsafeMutableRawPointer(call))
            }
        }
        guard id > 0 else {
            connection.pointee.isLeaving = true
            return false
        }
        call.pointee.id = id
        call.pointee.begin = connection.pointee.taken &+ UInt64(connection.pointee.output.count)
        call.pointee.head = flow.staged
        call.pointee.heardBefore = connection.pointee.timesHeard
        call.pointee.requestEnded = !hasBody
        exchange.pointee.toEndpoint.staged = .none
        markDirty(connection)
        return true
    }

    /// What `sendCollected` is for a socket: copies as much as there is room for behind what waits for the window.
    func offer(_ call: UnsafeMutablePointer<HTTP2Call>, _ count: Int) -> (bytes: Int, wanted: Int) {
        guard !call.pointee.isClosed else { return (-1, 0) }
        var wanted = 0
        for index in 0..<count { wanted &+= pieces[index].iov_len }
        let output = call.pointee.output
        // What is kept fills its buffer first. Only an endpoint that has taken all of that, with its window opened
        // once more, is beyond refusing the request.
        let keeps = !call.pointee.hasForgotten && (output.end < BufferPool.medium || output.count > 0)
        let room = BufferPool.medium &- (keeps ? output.end : output.count)
        let taken = min(wanted, room)
        guard taken > 0 else { return (0, wanted) }
        if output.end + taken > BufferPool.medium { call.pointee.hasForgotten = true }
        guard reserveKeeping(taken, in: call) else { return (-1, wanted) }
        var left = taken
        var index = 0
        while left > 0 {
            let size = min(left, pieces[index].iov_len)
            if size > 0 { call.pointee.output.append(pieces[index].iov_base.unsafelyUnwrapped, size) }
            left &-= size
            index &+= 1
        }
        resume(call)
        return (taken, wanted)
    }

    /// Room for `size` more bytes; what was sent stays in front as long as `hasForgotten` is not said.
    private func reserveKeeping(_ size: Int, in call: UnsafeMutablePointer<HTTP2Call>) -> Bool {
        if call.pointee.hasForgotten { return reserve(size, in: &call.pointee.output) }
        let old = call.pointee.output
        if old.space >= size { return true }
        var larger = buffers.take(old.end + size)
        guard !larger.isAbsent else { return false }
        if let base = old.base, old.end > 0 { larger.append(base, old.end) }
        larger.start = old.start
        buffers.give(old)
        call.pointee.output = larger
        return true
    }

    /// The request's last byte was offered.
    func endRequest(_ call: UnsafeMutablePointer<HTTP2Call>) {
        guard !call.pointee.requestEnded else { return }
        call.pointee.requestEnded = true
        if !call.pointee.isClosed { resume(call) }
    }

    private func resume(_ call: UnsafeMutablePointer<HTTP2Call>) {
        let connection = call.pointee.connection
        if call.pointee.isDeferred {
            call.pointee.isDeferred = false
            nghttp2_session_resume_data(connection.pointee.session, call.pointee.id)
        }
        markDirty(connection)
    }

    /// libnghttp2 has taken all that the call had, and its exchange may have more.
    func noteDrained(_ call: UnsafeMutablePointer<HTTP2Call>) {
        guard !call.pointee.upstream.writable, !call.pointee.isListedDrained else { return }
        let connection = call.pointee.connection
        call.pointee.isListedDrained = true
        call.pointee.nextDrained = connection.pointee.firstDrained
        connection.pointee.firstDrained = call
    }

    /// Between two turns of libnghttp2: exchanges go on whose calls have room again.
    func serveDrained(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        while let call = connection.pointee.firstDrained {
            connection.pointee.firstDrained = call.pointee.nextDrained
            call.pointee.isListedDrained = false
            call.pointee.upstream.writable = true
            if let exchange = call.pointee.upstream.exchange {
                face(exchange, call.asUpstream)
                perform(exchange, pumpRequest(exchange))
            }
        }
    }

    // MARK: The response, from within libnghttp2

    /// False when the field cannot be: the stream is then reset.
    func responseField(
        _ call: UnsafeMutablePointer<HTTP2Call>, _ name: sluice_bytes, _ value: sluice_bytes
    ) -> Bool {
        let limits = (call.pointee.upstream.exchange?.pointee.generation ?? generation).pointee.limits
        let isPseudo = name.data?.pointee == UInt8(ascii: ":")
        call.pointee.listSize &+= name.size &+ value.size &+ 32
        if !isPseudo { call.pointee.fieldCount &+= 1 }
        // The parser counts a head's fields as well; nobody else counts those of a trailer section.
        guard call.pointee.listSize <= limits.headerBytes, call.pointee.fieldCount <= limits.headerCount else {
            metrics.parseFailed(.upstream, .fieldTooLarge)
            call.pointee.note(call.pointee.listSize > limits.headerBytes ? .tooLarge : .tooManyFields)
            return false
        }
        guard HTTP2Head.isOneLine(name), HTTP2Head.isOneLine(value), !(isPseudo && call.pointee.hasHead) else {
            call.pointee.note(.malformed)
            return false
        }
        if call.pointee.hasHead {
            // As in trailers of HTTP/1.1: some recipients merge them into the header (RFC 9110 §6.5.1).
            guard !ChunkedDecoder.isForbiddenTrailer(name) else {
                metrics.parseFailed(.upstream, .field)
                call.pointee.note(.malformed)
                return false
            }
            return appendLine(&call.pointee.trailers, name, value) != nil
        }
        let size: Int?
        if isPseudo {
            // `:status`, the only pseudo-header field of a response, and its first field (RFC 9113 §8.3.2).
            call.pointee.isInterim = value.data?.pointee == UInt8(ascii: "1")
            size = append(&call.pointee.pending, sluice_bytes("HTTP/1.1 "), value, sluice_bytes(" \r\n"))
        } else {
            size = appendLine(&call.pointee.pending, name, value)
        }
        guard let size else { return false }
        call.pointee.headBytes &+= size
        return true
    }

    private func appendLine(_ buffer: inout Buffer, _ name: sluice_bytes, _ value: sluice_bytes) -> Int? {
        let size = name.size &+ value.size &+ 4
        guard reserve(size, in: &buffer) else { return nil }
        buffer.appendLine(name, value)
        return size
    }

    /// The bytes appended, or nil without memory.
    private func append(_ buffer: inout Buffer, _ one: sluice_bytes, _ two: sluice_bytes, _ three: sluice_bytes) -> Int?
    {
        let size = one.size + two.size + three.size
        guard reserve(size, in: &buffer) else { return nil }
        if one.size > 0, let data = one.data { buffer.append(data, one.size) }
        if two.size > 0, let data = two.data { buffer.append(data, two.size) }
        if three.size > 0, let data = three.data { buffer.append(data, three.size) }
        return size
    }

    func frameReceived(
        _ connection: UnsafeMutablePointer<HTTP2Upstream>, _ frame: UnsafePointer<nghttp2_frame>,
        _ call: UnsafeMutablePointer<HTTP2Call>?
    ) {
        let header = frame.pointee.hd
        switch header.type {
        case HTTP2Callbacks.headers:
            guard let call else { return }
            if header.flags & HTTP2Callbacks.endStream != 0 { call.pointee.responseEnded = true }
            if !call.pointee.hasHead {
                guard let size = append(&call.pointee.pending, sluice_bytes("\r\n"), .empty, .empty) else {
                    return reset(call, NGHTTP2_INTERNAL_ERROR)
                }
                call.pointee.headBytes &+= size
                call.pointee.hasHead = !call.pointee.isInterim
            }
            call.pointee.upstream.readable = true
            advance(call)
        case HTTP2Callbacks.data:
            if header.flags & HTTP2Callbacks.endStream == 0, header.length <= frame.pointee.data.padlen {
                spend(connection)
            }
            guard let call else { return }
            if header.flags & HTTP2Callbacks.endStream != 0 { call.pointee.responseEnded = true }
            connection.pointee.partial = nil
            call.pointee.upstream.readable = true
            if header.length > 0 { messageCame(call) }
            advance(call)
        case HTTP2Callbacks.resetStream:
            call?.pointee.note(.reset(code: frame.pointee.rst_stream.error_code))
            spend(connection)
        case HTTP2Callbacks.goAway: goAwayReceived(connection, frame.pointee.goaway)
        case UInt8(NGHTTP2_SETTINGS.rawValue):
            noteSettings(connection)
            spend(connection)
        default:
            spend(connection)
        }
    }

    /// An endpoint that sends frames without content and without end costs more than it is worth.
    private func spend(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        guard !connection.pointee.frames.take(nowMs: nowMs) else { return }
        connection.pointee.isLeaving = true
        nghttp2_session_terminate_session(connection.pointee.session, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
    }

    func dataReceived(
        _ connection: UnsafeMutablePointer<HTTP2Upstream>, _ call: UnsafeMutablePointer<HTTP2Call>?, _ id: Int32,
        _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) {
        guard let call, call.pointee.upstream.exchange != nil else {
            // Nobody wants it any more.
            nghttp2_session_consume(connection.pointee.session, id, count)
            if let call { reset(call, NGHTTP2_CANCEL) }
            return
        }
        guard reserve(count, in: &call.pointee.pending) else {
            metrics.rejected(.memory)
            return reset(call, NGHTTP2_INTERNAL_ERROR)
        }
        call.pointee.pending.append(bytes, count)
        call.pointee.upstream.readable = true
        connection.pointee.partial = call
    }

    /// What came of the response goes on to the exchange.
    func advance(_ call: UnsafeMutablePointer<HTTP2Call>) {
        call.pointee.upstream.readable = true
        guard let exchange = call.pointee.upstream.exchange else { return }
        face(exchange, call.asUpstream)
        switch exchange.pointee.machine.phase {
        case .awaitingResponse: perform(exchange, readResponseHead(exchange))
        case .gatheringResponse: perform(exchange, gatherResponse(exchange))
        case .responding: perform(exchange, pumpResponseOnce(exchange))
        case .connecting: perform(exchange, connectFailed(exchange))
        default: break
        }
    }

    /// What `receive` is for a socket. The endpoint's window opens by as much.
    func receive(from call: UnsafeMutablePointer<HTTP2Call>) -> Received {
        let count = min(call.pointee.pending.count, call.pointee.upstream.input.space)
        guard count > 0 else {
            if call.pointee.responseEnded { return .endOfStream }
            call.pointee.upstream.readable = false
            return call.pointee.isClosed ? .broken : .drained
        }
        if call.pointee.upstream.input.end == 0, count == call.pointee.pending.count {
            // Nothing is there that they would come behind: the buffers change places, and no byte is moved.
            swap(&call.pointee.upstream.input, &call.pointee.pending)
        } else {
            call.pointee.upstream.input.append(call.pointee.pending.head, count)
            call.pointee.pending.start &+= count
        }
        let ofHeads = min(count, call.pointee.headBytes)
        call.pointee.headBytes &-= ofHeads
        if call.pointee.pending.count == 0 {
            buffers.give(call.pointee.pending)
            call.pointee.pending = .none
            call.pointee.upstream.readable = call.pointee.responseEnded || call.pointee.isClosed
        }
        if !call.pointee.isClosed, count > ofHeads {
            let connection = call.pointee.connection
            nghttp2_session_consume(connection.pointee.session, call.pointee.id, count - ofHeads)
            markDirty(connection)
        }
        return .bytes(count)
    }

    // MARK: The end of a call

    /// libnghttp2 has forgotten the stream: both sides have ended it, or one has reset it.
    func callClosed(_ call: UnsafeMutablePointer<HTTP2Call>, _ code: UInt32) {
        let connection = call.pointee.connection
        call.pointee.noteClosed()
        switch code {
        case NGHTTP2_REFUSED_STREAM.rawValue: call.pointee.isRefused = true
        // The second is what this side says when it has no memory, or when it has noted before what is wrong.
        case NGHTTP2_NO_ERROR.rawValue, NGHTTP2_INTERNAL_ERROR.rawValue: break
        // Unless it is the endpoint's own reset: libnghttp2 has refused what came.
        default: call.pointee.note(.malformed)
        }
        // What was reset is not whole, even if its last byte has come.
        if code != NGHTTP2_NO_ERROR.rawValue { call.pointee.responseEnded = false }
        let unread = call.pointee.pending.count - call.pointee.headBytes
        if unread > 0 { nghttp2_session_consume_connection(connection.pointee.session, unread) }
        unlink(call)
        guard call.pointee.upstream.exchange != nil else { return free(call) }
        // Also when nothing is wrong by its code: an answer that is not whole by now never will be.
        advance(call)
    }

    /// The exchange has all of the response.
    func release(_ call: UnsafeMutablePointer<HTTP2Call>) {
        call.pointee.upstream.exchange = nil
        // The rest of a request that was answered early is not wanted; an end that is still to come is waited for.
        if call.pointee.isClosed || call.pointee.requestEnded && call.pointee.output.count == 0 {
            letGo(call)
        } else {
            close(call)
        }
    }

    /// The exchange needs the call no more, in whatever state that is.
    func close(_ call: UnsafeMutablePointer<HTTP2Call>) {
        call.pointee.upstream.exchange = nil
        if !call.pointee.isClosed, call.pointee.id > 0 { reset(call, NGHTTP2_CANCEL) }
        letGo(call)
    }

    private func letGo(_ call: UnsafeMutablePointer<HTTP2Call>) {
        timers.stop(call.asUpstream.timer)
        if call.pointee.isClosed { return free(call) }
        if call.pointee.id == 0 {
            unlink(call)
            return free(call)
        }
        let unread = call.pointee.pending.count - call.pointee.headBytes
        if unread > 0 {
            nghttp2_session_consume(call.pointee.connection.pointee.session, call.pointee.id, unread)
            markDirty(call.pointee.connection)
        }
        buffers.give(call.pointee.pending)
        call.pointee.pending = .none
        call.pointee.headBytes = 0
    }

    private func reset(_ call: UnsafeMutablePointer<HTTP2Call>, _ code: nghttp2_error_code) {
        let connection = call.pointee.connection
        guard !call.pointee.isClosed else { return }
        nghttp2_submit_rst_stream(connection.pointee.session, 0, call.pointee.id, code.rawValue)
        markDirty(connection)
    }

    func unlink(_ call: UnsafeMutablePointer<HTTP2Call>) {
        let connection = call.pointee.connection
        let (next, previous) = (call.pointee.next, call.pointee.previous)
        if let next { next.pointee.previous = previous }
        if let previous { previous.pointee.next = next } else { connection.pointee.firstCall = next }
        call.pointee.next = nil
        call.pointee.previous = nil
        connection.pointee.callCount &-= 1
        if connection.pointee.partial == call { connection.pointee.partial = nil }
        if connection.pointee.heading == call { connection.pointee.heading = nil }
        streamsMayBegin(connection)
        if connection.pointee.callCount == 0 { noteIdle(connection) }
        guard call.pointee.isListedDrained else { return }
        call.pointee.isListedDrained = false
        if connection.pointee.firstDrained == call {
            connection.pointee.firstDrained = call.pointee.nextDrained
            return
        }
        var link = connection.pointee.firstDrained
        while let each = link, each.pointee.nextDrained != call { link = each.pointee.nextDrained }
        link?.pointee.nextDrained = call.pointee.nextDrained
    }

    /// Neither an exchange nor libnghttp2 holds it any more.
    func free(_ call: UnsafeMutablePointer<HTTP2Call>) {
        timers.stop(call.asUpstream.timer)
        buffers.give(call.pointee.upstream.input)
        buffers.give(call.pointee.head)
        buffers.give(call.pointee.pending)
        buffers.give(call.pointee.output)
        buffers.give(call.pointee.trailers)
        buffers.give(call.pointee.requestTrailers)
        calls.give(call)
    }
}
