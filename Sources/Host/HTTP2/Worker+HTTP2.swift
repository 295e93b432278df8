import CLinux
import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Connections that speak HTTP/2: from the preface to GOAWAY.
extension Worker {
    /// RFC 9113 §3.4.
    static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    /// Of a stream: what RFC 9113 §6.9.2 begins with, and what a buffer of `BufferPool.medium` holds.
    static let streamWindow: UInt32 = 65_535
    /// Of a connection: however many of its streams nobody drains, they are not to hold up another. Twice as large as
    /// those of all streams, since libnghttp2 opens a window again only when half of it was consumed. What is held is
    /// bounded by the streams' windows.
    static func connectionWindow(streams: Int) -> Int32 { Int32(clamping: 2 * streams * Int(streamWindow)) }
    /// Frames that are written at once: one send for the answers of a turn of the loop.
    private static let outputAtOnce = BufferPool.medium

    /// Whether the connection's first bytes are the preface. Nil when there are too few to tell.
    func beginsHTTP2(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool? {
        let size = Self.preface.utf8CodeUnitCount
        let count = min(client.pointee.input.count, size)
        guard memcmp(client.pointee.input.head, Self.preface.utf8Start, count) == 0 else { return false }
        return count == size ? true : nil
    }

    /// The connection has sent the preface: from here on its bytes are frames.
    func adoptHTTP2(_ client: UnsafeMutablePointer<ClientConnection>) {
        let limits = generation.pointee.limits
        let connection = UnsafeMutablePointer<HTTP2Connection>.allocate(capacity: 1)
        var session: OpaquePointer?
        guard
            nghttp2_session_server_new3(
                &session, HTTP2Callbacks.table, UnsafeMutableRawPointer(connection),
                http2Memory.options(headerBytes: limits.headerBytes), http2Memory.table) == 0, let session
        else {
            connection.deallocate()
            close(client)
            return
        }
        connection.initialize(
            to: HTTP2Connection(
                session: session, client: client, worker: Unmanaged.passUnretained(self),
                head: HTTP2Head(limit: limits.headerBytes)))
        client.pointee.http2 = connection
        connection.pointee.progressAt = nowMs
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: UInt32(limits.http2Streams)
            ),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: Self.streamWindow),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(limits.headerBytes)),
        ]
        nghttp2_submit_settings(session, 0, &settings, settings.count)
        nghttp2_session_set_local_window_size(session, 0, 0, Self.connectionWindow(streams: limits.http2Streams))
        client.pointee.deadline = nowMs &+ limits.idleTimeoutMs
        timers.start(client.timer, at: client.pointee.deadline)
        markDirty(connection)
        readHTTP2(connection)
    }

    /// Feeds what has arrived to the session.
    func readHTTP2(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        let client = connection.pointee.client
        // A client that does not read the answers to its frames is not read from either.
        while !connection.pointee.isCondemned, !connection.pointee.isBroken,
            connection.pointee.output.count < Self.outputAtOnce
        {
            if client.pointee.input.count == 0 {
                guard client.pointee.readable else { break }
                if client.pointee.input.isAbsent { client.pointee.input = buffers.take(BufferPool.medium) }
                guard !client.pointee.input.isAbsent else {
                    connection.pointee.isCondemned = true
                    break
                }
                client.pointee.input.start = 0
                client.pointee.input.end = 0
                switch receive(client) {
                case .bytes: break
                case .drained: continue
                case .endOfStream, .broken:
                    connection.pointee.isCondemned = true
                    continue
                }
            }
            let (count, suspect) = connection.pointee.walk.advance(
                client.pointee.input.head, client.pointee.input.count)
            let taken = nghttp2_session_mem_recv(connection.pointee.session, client.pointee.input.head, count)
            client.pointee.input.start &+= count
            if taken < 0 {
                fail(connection, Int32(clamping: taken))
            } else if suspect != 0, nghttp2_session_find_stream(connection.pointee.session, suspect) == nil {
                // RFC 9113 §5.1, "closed". Of a stream that is half closed libnghttp2 says so itself.
                end(connection, NGHTTP2_STREAM_CLOSED.rawValue)
            }
            // Nobody reads on.
            if connection.pointee.isBroken { client.pointee.input.start = client.pointee.input.end }
            markDirty(connection)
        }
        if client.pointee.input.count == 0 {
            buffers.give(client.pointee.input)
            client.pointee.input = .none
        }
        if connection.pointee.isCondemned { return close(client) }
        watch(connection)
    }

    /// The session is over: GOAWAY says why (RFC 9113 §5.4.1), and the connection ends behind it.
    private func fail(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ error: Int32) {
        let calm = [NGHTTP2_ERR_FLOODED.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue]
        end(
            connection,
            calm.contains(error) ? NGHTTP2_ENHANCE_YOUR_CALM.rawValue : NGHTTP2_PROTOCOL_ERROR.rawValue)
    }

    private func end(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ code: UInt32) {
        metrics.parseFailed(.client, .other)
        connection.pointee.isBroken = true
        connection.pointee.isLeaving = true
        nghttp2_session_terminate_session(connection.pointee.session, code)
    }

    /// While a head or a stream is under way the connection is looked at every so often.
    private func watch(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        guard connection.pointee.headSince != 0 || connection.pointee.streamCount > 0 else { return }
        let limits = generation.pointee.limits
        let tick = min(Self.http2TickMs, limits.headerTimeoutMs, limits.bodyTimeoutMs)
        // Once it runs it is left alone until it fires: a client that sends often must not put it off.
        guard !connection.pointee.isWatched else { return }
        connection.pointee.isWatched = true
        timers.start(connection.pointee.client.timer, at: nowMs &+ tick)
    }

    // MARK: Output

    /// The connection's frames go out at the end of this turn of the loop, together.
    func markDirty(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        guard !connection.pointee.isDirty else { return }
        connection.pointee.isDirty = true
        connection.pointee.nextDirty = firstDirty
        firstDirty = connection
    }

    func flushDirty() {
        while let connection = firstDirty {
            firstDirty = connection.pointee.nextDirty
            connection.pointee.isDirty = false
            flush(connection)
        }
    }

    /// Writes frames until there are none, or the socket is full.
    private func flush(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        let client = connection.pointee.client
        while true {
            let isWhole = fill(&connection.pointee.output, from: connection.pointee.session)
            guard isWhole else {
                close(client)
                return
            }
            serveDrained(connection)
            if connection.pointee.output.count == 0 { break }
            guard client.pointee.writable else { return }
            let wanted = connection.pointee.output.count
            let sent = send(client, connection.pointee.output.head, wanted)
            guard sent >= 0 else {
                close(client)
                return
            }
            connection.pointee.output.start &+= sent
            connection.pointee.progressAt = nowMs
            metrics.bytes(.client, received: 0, sent: UInt64(sent))
            if sent < wanted {
                client.pointee.writable = false
                client.pointee.drain.noteFull(client.pointee.descriptor)
                return
            }
        }
        buffers.give(connection.pointee.output)
        connection.pointee.output = .none
        let session = connection.pointee.session
        if nghttp2_session_want_read(session) == 0,
            nghttp2_session_want_write(session) == 0
                || connection.pointee.isLeaving && connection.pointee.streamCount == 0 || connection.pointee.isBroken
        {
            // Not a plain close: bytes that were not read would reset the connection under the last frames.
            client.pointee.http2 = nil
            disposeHTTP2(connection)
            beginLingering(client)
            return
        }
        if draining { leave(connection) }
        // Reading had stopped while the client did not read.
        if client.pointee.readable || client.pointee.input.count > 0 { readHTTP2(connection) }
    }

    /// Moves frames from a session to `output`. False when the session is broken.
    func fill(_ output: inout Buffer, from session: OpaquePointer) -> Bool {
        while output.count < Self.outputAtOnce / 2 {
            var frame: UnsafePointer<UInt8>?
            let size = nghttp2_session_mem_send(session, &frame)
            guard size > 0, let frame else { return size == 0 }
            guard reserve(size, in: &output) else { return false }
            output.append(frame, size)
        }
        return true
    }

    /// Room for `size` more bytes behind those of a buffer.
    func reserve(_ size: Int, in buffer: inout Buffer) -> Bool {
        if buffer.space >= size { return true }
        if let base = buffer.base, buffer.start > 0, buffer.capacity - buffer.count >= size {
            memmove(base, buffer.head, buffer.count)
            buffer.end = buffer.count
            buffer.start = 0
            return true
        }
        var larger = buffers.take(max(buffer.count + size, min(buffer.capacity * 2, BufferPool.medium)))
        guard !larger.isAbsent else { return false }
        if buffer.count > 0 { larger.append(buffer.head, buffer.count) }
        buffers.give(buffer)
        buffer = larger
        return true
    }

    // MARK: The end

    /// Tells the client that no stream begins any more; those that run end as they would.
    func leave(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ code: UInt32 = NGHTTP2_NO_ERROR.rawValue) {
        guard !connection.pointee.isLeaving else { return }
        connection.pointee.isLeaving = true
        nghttp2_submit_goaway(
            connection.pointee.session, 0, nghttp2_session_get_last_proc_stream_id(connection.pointee.session), code,
            nil, 0)
        markDirty(connection)
    }

    /// What a connection that speaks HTTP/2 holds beside its socket. Its exchanges end as if their clients had left.
    func disposeHTTP2(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        while let stream = connection.pointee.firstStream {
            stream.pointee.isClosed = true
            unlink(stream)
            if let exchange = stream.pointee.client.exchange {
                perform(exchange, exchange.pointee.machine.handle(.clientGone))
            } else {
                free(stream)
            }
        }
        if connection.pointee.isDirty {
            connection.pointee.isDirty = false
            var link = firstDirty
            if link == connection {
                firstDirty = connection.pointee.nextDirty
            } else {
                while let each = link, each.pointee.nextDirty != connection { link = each.pointee.nextDirty }
                link?.pointee.nextDirty = connection.pointee.nextDirty
            }
        }
        connection.pointee.head.release(&buffers)
        buffers.give(connection.pointee.output)
        nghttp2_session_del(connection.pointee.session)
        connection.deinitialize(count: 1)
        connection.deallocate()
    }

    func http2TimerExpired(_ connection: UnsafeMutablePointer<HTTP2Connection>) {
        let client = connection.pointee.client
        let limits = generation.pointee.limits
        if connection.pointee.headSince != 0 {
            let limit = connection.pointee.headSince &+ limits.headerTimeoutMs
            if nowMs >= limit {
                metrics.timedOut(.header)
                close(client)
                return
            }
        }
        // A client that does not read, be it the socket or a stream's window.
        let waits = connection.pointee.output.count > 0
        connection.pointee.progressAt = max(connection.pointee.progressAt, look(connection))
        if waits, nowMs >= connection.pointee.progressAt &+ limits.bodyTimeoutMs {
            metrics.timedOut(.body)
            close(client)
            return
        }
        resetStalled(connection, limits.bodyTimeoutMs)
        if connection.pointee.streamCount == 0, !waits, nowMs >= client.pointee.deadline {
            metrics.timedOut(.idle)
            if connection.pointee.isLeaving { return close(client) }
            leave(connection)
        }
        connection.pointee.isWatched = false
        timers.start(client.timer, at: max(client.pointee.deadline, nowMs &+ Self.http2TickMs))
        watch(connection)
    }

    /// How often a busy connection is looked at, in milliseconds: timeouts are late by as much at most.
    private static let http2TickMs: UInt64 = 1_000

    /// Streams whose exchange has ended and whose client opens no window for the rest of the answer.
    private func resetStalled(_ connection: UnsafeMutablePointer<HTTP2Connection>, _ timeoutMs: UInt64) {
        var link = connection.pointee.firstStream
        while let stream = link {
            link = stream.pointee.next
            guard stream.pointee.client.exchange == nil, stream.pointee.output.count > 0,
                nowMs >= max(stream.pointee.client.deadline, movedAt(stream)) &+ timeoutMs
            else { continue }
            metrics.timedOut(.body)
            nghttp2_submit_rst_stream(connection.pointee.session, 0, stream.pointee.id, NGHTTP2_CANCEL.rawValue)
            markDirty(connection)
        }
    }
}
