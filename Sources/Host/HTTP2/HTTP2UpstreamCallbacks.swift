import CNGHTTP2
import Glibc
import SluiceABI

/// What libnghttp2 calls for sessions with endpoints; each hands over to the worker. `user` is the `HTTP2Upstream`.
enum HTTP2UpstreamCallbacks {
    typealias Connection = UnsafeMutablePointer<HTTP2Upstream>

    /// Made once, shared by all sessions, never freed.
    nonisolated(unsafe) static let table: OpaquePointer = {
        var made: OpaquePointer?
        precondition(nghttp2_session_callbacks_new(&made) == 0, "no memory for callbacks")
        let table = made.unsafelyUnwrapped
        nghttp2_session_callbacks_set_on_begin_headers_callback(table) { session, frame, user in
            guard let frame, let connection = from(user), let call = call(session, frame.pointee.hd.stream_id) else {
                return 0
            }
            call.pointee.listSize = 0
            call.pointee.fieldCount = 0
            connection.pointee.heading = call
            if let exchange = call.pointee.upstream.exchange { with(connection) { $0.prefetch(exchange) } }
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(table) {
            _, frame, name, nameSize, value, valueSize, _, user in
            guard let frame, let connection = from(user), let call = connection.pointee.heading,
                call.pointee.id == frame.pointee.hd.stream_id
            else { return 0 }
            let (name, value) = (sluice_bytes(data: name, size: nameSize), sluice_bytes(data: value, size: valueSize))
            let fits = with(connection) { $0.responseField(call, name, value) }
            return fits ? 0 : CInt(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        // Without this one a field that must not be is dropped, and the response goes on without it.
        nghttp2_session_callbacks_set_on_invalid_header_callback(table) { session, frame, _, _, _, _, _, user in
            guard let frame, let connection = from(user) else { return 0 }
            call(session, frame.pointee.hd.stream_id)?.pointee.note(.malformed)
            with(connection) { $0.metrics.parseFailed(.upstream, .field) }
            return CInt(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(table) { session, frame, user in
            guard let frame, let connection = from(user) else { return 0 }
            with(connection) { $0.frameReceived(connection, frame, call(session, frame.pointee.hd.stream_id)) }
            return 0
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table) { session, frame, _, user in
            guard let frame, let connection = from(user) else { return 0 }
            call(session, frame.pointee.hd.stream_id)?.pointee.note(.malformed)
            with(connection) { $0.metrics.parseFailed(.upstream, .other) }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table) { session, _, id, bytes, count, user in
            guard let connection = from(user), let bytes else { return 0 }
            with(connection) { $0.dataReceived(connection, call(session, id), id, bytes, count) }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(table) { session, id, code, user in
            guard let connection = from(user), let call = call(session, id) else { return 0 }
            with(connection) { $0.callClosed(call, code) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(table) { session, frame, user in
            guard let frame, let connection = from(user) else { return 0 }
            let header = frame.pointee.hd
            if header.type == HTTP2Callbacks.goAway {
                // Also with a flood, which is no fault of a frame.
                switch frame.pointee.goaway.error_code {
                case NGHTTP2_NO_ERROR.rawValue, NGHTTP2_ENHANCE_YOUR_CALM.rawValue: break
                default: connection.pointee.isMalformed = true
                }
            }
            guard header.type == HTTP2Callbacks.data || header.type == HTTP2Callbacks.headers,
                let call = call(session, header.stream_id)
            else { return 0 }
            if header.type == HTTP2Callbacks.data {
                connection.pointee.frames.earn(sent: header.length, isCutShort: call.pointee.output.count > 0)
                if header.length > 0 { with(connection) { $0.dataSent(call) } }
            } else {
                with(connection) { $0.headSent(call) }
            }
            if header.flags & HTTP2Callbacks.endStream != 0 { call.pointee.requestSent = true }
            return 0
        }
        return table
    }()

    /// Takes bytes of a request's body out of the call's buffer.
    static let read: nghttp2_data_source_read_callback = { session, id, destination, room, flags, source, _ in
        guard let source, let place = source.pointee.ptr, let destination, let flags else { return 0 }
        let call = place.assumingMemoryBound(to: HTTP2Call.self)
        let count = min(room, call.pointee.output.count)
        if count > 0 {
            destination.update(from: call.pointee.output.head, count: count)
            call.pointee.output.start &+= count
        }
        if call.pointee.output.count == 0 {
            if call.pointee.requestEnded {
                flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                if call.pointee.requestTrailers.count > 0 {
                    flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                    let list = with(call.pointee.connection) { $0.fieldList }
                    guard HTTP2Trailers.submit(session, id, call.pointee.requestTrailers, in: list) else {
                        return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
                    }
                }
            } else {
                with(call.pointee.connection) { $0.noteDrained(call) }
                if count == 0 {
                    call.pointee.isDeferred = true
                    return Int(NGHTTP2_ERR_DEFERRED.rawValue)
                }
            }
        }
        return count
    }

    private static func from(_ user: UnsafeMutableRawPointer?) -> Connection? {
        user?.assumingMemoryBound(to: HTTP2Upstream.self)
    }

    private static func call(_ session: OpaquePointer?, _ id: Int32) -> UnsafeMutablePointer<HTTP2Call>? {
        guard id > 0 else { return nil }
        return nghttp2_session_get_stream_user_data(session, id)?.assumingMemoryBound(to: HTTP2Call.self)
    }

    /// Without a reference of its own: the worker outlives its connections.
    @inline(__always)
    private static func with<Result>(_ connection: Connection, _ body: (Worker) -> Result) -> Result {
        connection.pointee.worker._withUnsafeGuaranteedRef(body)
    }
}
