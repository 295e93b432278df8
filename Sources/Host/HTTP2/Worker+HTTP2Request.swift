import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Requests of HTTP/2: what libnghttp2 tells of while it reads frames. Called from within it: nothing here writes
/// frames or frees a session.
extension Worker {
    // MARK: Heads

    /// libnghttp2 passes over HEADERS of a stream that it does not know but that is lower than others. An honest client
    /// sends such a frame only for a stream that was reset from here (RFC 9113 §5.1.1).
    func headersFrameBegins(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ id: Int32) {
        if id > connection.pointee.highestStream {
            connection.pointee.highestStream = id
            return
        }
        let session = connection.pointee.session
        guard id > 0, id & 1 == 1, nghttp2_session_find_stream(session, id) == nil,
            !connection.pointee.resets.contains(id)
        else { return }
        metrics.parseFailed(.client, .other)
        nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR.rawValue)
        connection.pointee.isLeaving = true
    }

    /// A header block begins. Non-zero refuses the stream.
    func headersBegin(
        _ connection: UnsafeMutablePointer<HTTP2Connection>, _ frame: UnsafePointer<nghttp2_frame>
    ) -> CInt {
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return 0 }
        connection.pointee.head.release(&buffers)
        connection.pointee.head = HTTP2Head(limit: generation.pointee.limits.headerBytes)
        let id = frame.pointee.hd.stream_id
        guard !connection.pointee.isLeaving, let stream = streams.take() else {
            metrics.rejected(.memory)
            nghttp2_submit_rst_stream(connection.pointee.session, 0, id, NGHTTP2_REFUSED_STREAM.rawValue)
            return 0
        }
        prefetchNextExchange()
        streams.prefetchNext()
        calls.prefetchNext()
        // Of a block whose stream is refused nobody tells the end.
        connection.pointee.headSince = nowMs
        stream.pointee.id = id
        stream.pointee.connection = connection
        let client = connection.pointee.client
        stream.pointee.client.peer = client.pointee.peer
        stream.pointee.client.peerLength = client.pointee.peerLength
        stream.pointee.client.listener = client.pointee.listener
        link(stream)
        nghttp2_session_set_stream_user_data(connection.pointee.session, id, UnsafeMutableRawPointer(stream))
        return 0
    }

    func header(
        _ connection: UnsafeMutablePointer<HTTP2Connection>, _ frame: UnsafePointer<nghttp2_frame>,
        _ name: sluice_bytes, _ value: sluice_bytes
    ) {
        if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
            connection.pointee.head.add(name, value, &buffers)
        } else if let stream = stream(connection, frame.pointee.hd.stream_id) {
            trailer(stream, name, value)
        }
    }

    /// A frame is whole. Non-zero ends the session.
    func frameReceived(
        _ connection: UnsafeMutablePointer<HTTP2Connection>, _ frame: UnsafePointer<nghttp2_frame>
    ) -> CInt {
        let header = frame.pointee.hd
        let ends = header.flags & HTTP2Callbacks.endStream != 0
        switch header.type {
        case HTTP2Callbacks.headers:
            connection.pointee.headSince = 0
            guard let stream = stream(connection, header.stream_id) else { return 0 }
            if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                stream.pointee.requestEnded = ends
                begin(stream, connection)
            } else if ends, !stream.pointee.requestTrailers.isRefused {
                requestEnds(stream)
            }
        case HTTP2Callbacks.data:
            // The one that ends a request is as good as the request's HEADERS.
            if !ends, header.length <= frame.pointee.data.padlen, !spend(connection) { return 0 }
            if ends, let stream = stream(connection, header.stream_id) { requestEnds(stream) }
        default:
            _ = spend(connection, header.type == HTTP2Callbacks.resetStream ? HTTP2FrameBudget.resetCost : 1)
        }
        return 0
    }

    /// False when the client has sent more frames than any honest one does.
    func spend(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ cost: Int = 1) -> Bool {
        if connection.pointee.frames.take(cost, nowMs: nowMs) { return true }
        if !connection.pointee.isLeaving { metrics.rejected(.flood) }
        nghttp2_session_terminate_session(connection.pointee.session, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        connection.pointee.isLeaving = true
        return false
    }

    private func stream(
        _ connection: UnsafeMutablePointer<HTTP2Connection>, _ id: Int32
    ) -> UnsafeMutablePointer<HTTP2Stream>? {
        nghttp2_session_get_stream_user_data(connection.pointee.session, id)?
            .assumingMemoryBound(to: HTTP2Stream.self)
    }

    /// The head is whole: an exchange begins, as for a head of HTTP/1.1.
    private func begin(
        _ stream: UnsafeMutablePointer<HTTP2Stream>, _ connection: UnsafeMutablePointer<HTTP2Connection>
    ) {
        guard let text = connection.pointee.head.finish(&buffers) else {
            let fault = connection.pointee.head.fault
            connection.pointee.head.release(&buffers)
            metrics.parseFailed(.client, fault == .tooLarge ? .fieldTooLarge : .field)
            switch fault {
            case .tooLarge: answer(stream, 431, "the request's head is larger than allowed")
            case .noMemory: answer(stream, 503, "the request needs more memory than it may use")
            default: answer(stream, 400, "the request's head is malformed")
            }
            return
        }
        var progress = HeadProgress()
        let outcome = parser.parseRequest(
            text.head, count: text.count, fields: fieldScratch, into: &requestScratch.pointee, progress: &progress)
        guard outcome == .complete, requestScratch.pointee.headSize == text.count else {
            buffers.give(text)
            if case .failed(let fault) = outcome {
                metrics.parseFailed(.client, ParseErrorKind(fault))
                answer(stream, fault.status, sluice_bytes(fault.message.utf8Start, fault.message.utf8CodeUnitCount))
            } else {
                metrics.parseFailed(.client, .other)
                answer(stream, 400, "the request's head is malformed")
            }
            return
        }
        if !stream.pointee.requestEnded { requestScratch.pointee.framesBodyByStream() }
        guard let exchange = exchanges.take() else {
            buffers.give(text)
            metrics.rejected(.memory)
            answer(stream, 503, "the gateway has too many requests in flight")
            return
        }
        // An exchange that begins has room for its head.
        _ = exchange.pointee.ownedBuffers.adopt(text)
        stream.pointee.client.exchange = exchange
        exchange.pointee.client = stream.asClient
        begin(exchange, requestScratch)
    }

    // MARK: Bodies

    func dataReceived(
        _ connection: UnsafeMutablePointer<HTTP2Connection>, _ user: UnsafeMutableRawPointer?, _ id: Int32,
        _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) {
        guard let stream = user?.assumingMemoryBound(to: HTTP2Stream.self),
            let exchange = stream.pointee.client.exchange
        else {
            // An answer has ended what this belongs to.
            nghttp2_session_consume(connection.pointee.session, id, count)
            return
        }
        guard reserve(count, in: &stream.pointee.pending) else {
            metrics.rejected(.memory)
            nghttp2_submit_rst_stream(connection.pointee.session, 0, id, NGHTTP2_INTERNAL_ERROR.rawValue)
            return
        }
        stream.pointee.pending.append(bytes, count)
        stream.pointee.client.readable = true
        takeBody(exchange)
    }

    private func requestEnds(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        stream.pointee.requestEnded = true
        stream.pointee.client.readable = true
        if let exchange = stream.pointee.client.exchange { takeBody(exchange) }
    }

    /// What `receive` is for a socket: moves bytes of the body to the free end of the stream's input, and opens the
    /// client's window by as much.
    func receive(from stream: UnsafeMutablePointer<HTTP2Stream>) -> Received {
        let count = min(stream.pointee.pending.count, stream.pointee.client.input.space)
        guard count > 0 else {
            stream.pointee.client.readable = false
            if stream.pointee.requestEnded { return .endOfStream }
            return stream.pointee.isClosed ? .broken : .drained
        }
        stream.pointee.client.input.append(stream.pointee.pending.head, count)
        stream.pointee.pending.start &+= count
        if stream.pointee.pending.count == 0 {
            buffers.give(stream.pointee.pending)
            stream.pointee.pending = .none
            stream.pointee.client.readable = stream.pointee.requestEnded
        }
        if !stream.pointee.isClosed {
            let connection = stream.pointee.connection
            nghttp2_session_consume(connection.pointee.session, stream.pointee.id, count)
            markDirty(connection)
        }
        return .bytes(count)
    }

    // MARK: The end of a stream

    /// libnghttp2 has forgotten the stream: both sides have ended it, or one has reset it.
    func streamClosed(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let connection = stream.pointee.connection
        stream.pointee.isClosed = true
        unlink(stream)
        let unread = stream.pointee.pending.count
        if unread > 0 { nghttp2_session_consume_connection(connection.pointee.session, unread) }
        if connection.pointee.streamCount == 0 {
            connection.pointee.client.pointee.deadline = nowMs &+ generation.pointee.limits.idleTimeoutMs
        }
        if let exchange = stream.pointee.client.exchange {
            perform(exchange, exchange.pointee.machine.handle(.clientGone))
        } else {
            free(stream)
        }
    }

    private func link(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let connection = stream.pointee.connection
        stream.pointee.next = connection.pointee.firstStream
        connection.pointee.firstStream?.pointee.previous = stream
        connection.pointee.firstStream = stream
        connection.pointee.streamCount &+= 1
    }

    func unlink(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let connection = stream.pointee.connection
        let (next, previous) = (stream.pointee.next, stream.pointee.previous)
        if let next { next.pointee.previous = previous }
        if let previous { previous.pointee.next = next } else { connection.pointee.firstStream = next }
        stream.pointee.next = nil
        stream.pointee.previous = nil
        connection.pointee.streamCount &-= 1
        guard stream.pointee.isListedDrained else { return }
        stream.pointee.isListedDrained = false
        if connection.pointee.firstDrained == stream {
            connection.pointee.firstDrained = stream.pointee.nextDrained
            return
        }
        var link = connection.pointee.firstDrained
        while let each = link, each.pointee.nextDrained != stream { link = each.pointee.nextDrained }
        link?.pointee.nextDrained = stream.pointee.nextDrained
    }

    /// Neither an exchange nor libnghttp2 holds it any more.
    func free(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        buffers.give(stream.pointee.client.input)
        buffers.give(stream.pointee.pending)
        buffers.give(stream.pointee.output)
        buffers.give(stream.pointee.trailers)
        stream.pointee.requestTrailers.release(&buffers)
        streams.give(stream)
    }
}
