import CNGHTTP2
import Glibc
import SluiceABI

/// What libnghttp2 calls while it reads and writes frames; each hands over to the worker. `user` is the
/// `HTTP2Connection`.
enum HTTP2Callbacks {
    typealias Connection = UnsafeMutablePointer<HTTP2Connection>

    /// nghttp2_frame_type and flags as the frame header has them.
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let resetStream: UInt8 = 3
    static let goAway: UInt8 = 7
    static let continuation: UInt8 = 9
    static let endStream: UInt8 = 1

    /// Made once, shared by all sessions, never freed.
    nonisolated(unsafe) static let table: OpaquePointer = {
        var made: OpaquePointer?
        precondition(nghttp2_session_callbacks_new(&made) == 0, "no memory for callbacks")
        let table = made.unsafelyUnwrapped
        nghttp2_session_callbacks_set_on_begin_frame_callback(table) { _, header, user in
            guard let header, let connection = from(user) else { return 0 }
            // Nothing else may stand within a header block (RFC 9113 §6.10): the one before is over, however it ended.
            if header.pointee.type != continuation { connection.pointee.headSince = 0 }
            guard header.pointee.type == headers else { return 0 }
            with(connection) { $0.headersFrameBegins(connection, header.pointee.stream_id) }
            return 0
        }
        nghttp2_session_callbacks_set_on_begin_headers_callback(table) { _, frame, user in
            guard let frame, let connection = from(user) else { return 0 }
            return with(connection) { $0.headersBegin(connection, frame) }
        }
        nghttp2_session_callbacks_set_on_header_callback(table) { _, frame, name, nameSize, value, valueSize, _, user in
            guard let frame, let connection = from(user) else { return 0 }
            let (name, value) = (sluice_bytes(data: name, size: nameSize), sluice_bytes(data: value, size: valueSize))
            with(connection) { $0.header(connection, frame, name, value) }
            return 0
        }
        // Without this one a field that must not be is dropped, and the request goes on without it.
        nghttp2_session_callbacks_set_on_invalid_header_callback(table) { _, _, _, _, _, _, _, user in
            guard let connection = from(user) else { return 0 }
            // The stream is reset, and nobody tells of the block's end.
            connection.pointee.headSince = 0
            with(connection) { $0.metrics.parseFailed(.client, .field) }
            return CInt(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(table) { _, frame, user in
            guard let frame, let connection = from(user) else { return 0 }
            return with(connection) { $0.frameReceived(connection, frame) }
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table) { _, frame, fault, user in
            guard let frame, let connection = from(user) else { return 0 }
            if frame.pointee.hd.type == headers { connection.pointee.headSince = 0 }
            with(connection) { worker in
                worker.metrics.parseFailed(.client, .other)
                // A stream beyond the bound, of a client that does not acknowledge our SETTINGS. No bound of streams
                // keeps such refusals from gathering, so each counts before it is sent.
                if fault == NGHTTP2_ERR_REFUSED_STREAM.rawValue {
                    _ = worker.spend(connection, HTTP2FrameBudget.resetCost)
                }
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table) { session, _, id, bytes, count, user in
            guard let connection = from(user), let bytes else { return 0 }
            let stream = nghttp2_session_get_stream_user_data(session, id)
            with(connection) { $0.dataReceived(connection, stream, id, bytes, count) }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(table) { session, id, _, user in
            guard let connection = from(user),
                let stream = nghttp2_session_get_stream_user_data(session, id)
            else { return 0 }
            with(connection) { $0.streamClosed(stream.assumingMemoryBound(to: HTTP2Stream.self)) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(table) { session, frame, user in
            guard let frame, let connection = from(user) else { return 0 }
            let header = frame.pointee.hd
            if header.type == resetStream {
                connection.pointee.resets.note(header.stream_id)
                let code = frame.pointee.rst_stream.error_code
                // Whatever has made it: libnghttp2 tells of some faults of a stream by nothing else.
                if HTTP2FrameBudget.blamesClient(code) {
                    with(connection) { _ = $0.spend(connection, HTTP2FrameBudget.resetCost) }
                }
            }
            guard header.type == data || header.type == headers,
                let stream = nghttp2_session_get_stream_user_data(session, header.stream_id)
            else { return 0 }
            let place = stream.assumingMemoryBound(to: HTTP2Stream.self)
            if header.type == data {
                connection.pointee.frames.earn(sent: header.length, isCutShort: place.pointee.output.count > 0)
                if header.length > 0 { with(connection) { $0.dataSent(place) } }
            }
            guard header.flags & endStream != 0 else { return 0 }
            place.pointee.responseSent = true
            if !place.pointee.requestEnded {
                // RFC 9113 §8.1: the answer is complete, the rest of the request is not wanted.
                nghttp2_submit_rst_stream(session, 0, header.stream_id, NGHTTP2_NO_ERROR.rawValue)
            }
            return 0
        }
        // What cannot be sent is dropped, and the client would wait for it.
        nghttp2_session_callbacks_set_on_frame_not_send_callback(table) { session, frame, _, _ in
            guard let header = frame?.pointee.hd, header.type == headers,
                nghttp2_session_get_stream_user_data(session, header.stream_id) != nil
            else { return 0 }
            nghttp2_submit_rst_stream(session, 0, header.stream_id, NGHTTP2_INTERNAL_ERROR.rawValue)
            return 0
        }
        return table
    }()

    /// Bytes of a header block that may be sent, as libnghttp2 estimates them, which by itself sends 64 KiB: the most
    /// that `limits.header_bytes` lets a head have, and as much for what filters add and for the estimate.
    private static let blockAtMost = 2 << 20

    /// Options for the sessions of one worker, which never frees them.
    static func makeOptions() -> OpaquePointer {
        var made: OpaquePointer?
        precondition(nghttp2_option_new(&made) == 0, "no memory for options")
        let options = made.unsafelyUnwrapped
        // A window opens when whoever the bytes are for has taken them, and not before.
        nghttp2_option_set_no_auto_window_update(options, 1)
        // Priorities of RFC 7540 are deprecated (RFC 9113 §5.3.2): closed streams need not be kept for their tree.
        nghttp2_option_set_no_closed_streams(options, 1)
        // The peer makes us answer PING and SETTINGS: no more than so many answers wait for it to read them.
        nghttp2_option_set_max_outbound_ack(options, 100)
        nghttp2_option_set_max_settings(options, 32)
        // Of RST_STREAM the frame budget bears what a client pays for by what it takes; 33 a second of libnghttp2's own
        // would end the connection of a gateway whose clients cancel their calls, and with INTERNAL_ERROR.
        nghttp2_option_set_stream_reset_rate_limit(options, .max, .max)
        nghttp2_option_set_max_send_header_block_length(options, blockAtMost)
        return options
    }

    /// How many CONTINUATION frames one header block may take; one more ends the connection.
    ///
    /// libnghttp2 by itself bears 8, which no size of a head follows from: 8 frames of 16 KiB do not hold what
    /// `limits.header_bytes` may allow, and a peer may cut a small head into many. One for every 128 bytes of the limit
    /// is 128 times what frames of 16 KiB take, and bounds a block that does not end (RFC 9113 §10.5.1) before its
    /// time has passed: beyond the limit its fields are dropped, so that it costs no memory. Not below what libnghttp2
    /// bears.
    ///
    /// - Parameter headerBytes: the most that a head may have.
    static func continuationsAtMost(headerBytes: Int) -> Int { max(8, headerBytes / 128) }

    /// Takes bytes of a response's body out of the stream's buffer.
    static let read: nghttp2_data_source_read_callback = { session, id, destination, room, flags, source, _ in
        guard let source, let place = source.pointee.ptr, let destination, let flags else { return 0 }
        let stream = place.assumingMemoryBound(to: HTTP2Stream.self)
        let count = min(room, stream.pointee.output.count)
        if count > 0 {
            destination.update(from: stream.pointee.output.head, count: count)
            stream.pointee.output.start &+= count
        }
        if stream.pointee.output.count == 0 {
            if stream.pointee.responseEnded {
                flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                if stream.pointee.trailers.count > 0 {
                    flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                    let list = with(stream.pointee.connection) { $0.fieldList }
                    guard HTTP2Trailers.submit(session, id, stream.pointee.trailers, in: list) else {
                        return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
                    }
                }
            } else {
                with(stream.pointee.connection) { $0.noteDrained(stream) }
                if count == 0 {
                    stream.pointee.isDeferred = true
                    return Int(NGHTTP2_ERR_DEFERRED.rawValue)
                }
            }
        }
        return count
    }

    private static func from(_ user: UnsafeMutableRawPointer?) -> Connection? {
        user?.assumingMemoryBound(to: HTTP2Connection.self)
    }

    /// Without a reference of its own: the worker outlives its connections.
    @inline(__always)
    private static func with<Result>(_ connection: Connection, _ body: (Worker) -> Result) -> Result {
        connection.pointee.worker._withUnsafeGuaranteedRef(body)
    }
}

/// Trailer fields on their way to a peer that speaks HTTP/2.
enum HTTP2Trailers {
    /// `lines`: `name: value` with CRLF, as the chunk decoder has checked them. Names are folded to lower case in
    /// place (RFC 9113 §8.2). False when they cannot go out, all of them: the stream is to be reset, since a peer must
    /// not take some of them for all. Whoever received them has bounded their number (`limits.header_count`, or
    /// `ChunkedDecoder.trailerFields`), and there is room for more than that.
    static func submit(
        _ session: OpaquePointer?, _ id: Int32, _ lines: Buffer, in list: HTTP2FieldList
    ) -> Bool {
        var count = 0
        var cursor = lines.head
        let end = lines.tail
        while cursor < end {
            let lineEnd = memchr(cursor, 0x0A, end - cursor)?.assumingMemoryBound(to: UInt8.self) ?? end
            defer { cursor = min(lineEnd + 1, end) }
            guard let colon = memchr(cursor, 0x3A, lineEnd - cursor)?.assumingMemoryBound(to: UInt8.self) else {
                continue
            }
            guard count < HTTP2FieldList.capacity else { return false }
            for place in 0..<(colon - cursor) where cursor[place] &- 0x41 < 26 { cursor[place] |= 0x20 }
            var value = colon + 1
            var valueEnd = lineEnd
            while value < valueEnd, value[0] == 0x20 || value[0] == 0x09 { value += 1 }
            while valueEnd > value, valueEnd[-1] <= 0x20 { valueEnd -= 1 }
            (list.start + count).initialize(
                to: nghttp2_nv(
                    name: cursor, value: value, namelen: colon - cursor, valuelen: valueEnd - value, flags: 0))
            count += 1
        }
        return nghttp2_submit_trailer(session, id, list.start, count) == 0
    }
}
