import CLinux
import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Connections to endpoints that speak HTTP/2: opened by the first request that finds no room on another, shared by
/// those that follow.
extension Worker {
    /// How long a connection stays open without a call, in milliseconds; as for HTTP/1.1.
    private static let http2IdleMs: UInt64 = 50_000
    /// Frames that are written at once.
    private static let upstreamOutputAtOnce = BufferPool.medium

    // MARK: Events

    func http2UpstreamReady(_ connection: UnsafeMutablePointer<HTTP2Upstream>, broken: Bool) {
        let socket = connection.pointee.socket
        if socket.pointee.connecting {
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket.pointee.descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            guard code == 0, !broken else { return http2ConnectFailed(connection) }
            guard socket.pointee.writable else { return }
            switch shakeHands(socket) {
            case .done: break
            case .pending: return
            case .failed: return http2ConnectFailed(connection)
            }
            socket.pointee.connecting = false
            connection.pointee.liveness.hear(nowMs: nowMs)
            timers.stop(socket.timer)
            markDirty(connection)
            watch(connection)
            while let call = firstConnecting(connection) {
                call.pointee.upstream.connecting = false
                guard let exchange = call.pointee.upstream.exchange else { continue }
                face(exchange, call.asUpstream)
                perform(exchange, exchange.pointee.machine.handle(.connected(reused: false)))
            }
        }
        if socket.pointee.writable, connection.pointee.output.count > 0 { markDirty(connection) }
        if socket.pointee.readable { readHTTP2(connection) }
    }

    private func firstConnecting(
        _ connection: UnsafeMutablePointer<HTTP2Upstream>
    ) -> UnsafeMutablePointer<HTTP2Call>? {
        var link = connection.pointee.firstCall
        while let call = link {
            if call.pointee.upstream.connecting { return call }
            link = call.pointee.next
        }
        return nil
    }

    /// All who waited for the connection are told.
    func http2ConnectFailed(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        connection.pointee.isLeaving = true
        while let call = firstConnecting(connection) {
            call.pointee.upstream.connecting = false
            guard let exchange = call.pointee.upstream.exchange else { continue }
            face(exchange, call.asUpstream)
            perform(exchange, connectFailed(exchange))
        }
        close(connection.pointee.socket)
    }

    /// Feeds what has arrived to the session.
    private func readHTTP2(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        // An endpoint that does not read the answers to its frames is not read from either.
        while !connection.pointee.isCondemned, socket.pointee.readable,
            connection.pointee.output.count < Self.upstreamOutputAtOnce
        {
            if socket.pointee.input.isAbsent { socket.pointee.input = buffers.take(BufferPool.medium) }
            guard !socket.pointee.input.isAbsent else {
                connection.pointee.isCondemned = true
                break
            }
            socket.pointee.input.start = 0
            socket.pointee.input.end = 0
            switch receive(socket) {
            case .bytes: break
            case .drained: continue
            case .endOfStream, .broken:
                connection.pointee.isCondemned = true
                continue
            }
            connection.pointee.liveness.hear(nowMs: nowMs)
            connection.pointee.timesHeard &+= 1
            let taken = nghttp2_session_mem_recv(
                connection.pointee.session, socket.pointee.input.head, socket.pointee.input.count)
            if taken >= 0, let call = connection.pointee.partial {
                connection.pointee.partial = nil
                advance(call)
            }
            if taken < 0 {
                metrics.parseFailed(.upstream, .other)
                connection.pointee.isLeaving = true
                nghttp2_session_terminate_session(connection.pointee.session, NGHTTP2_PROTOCOL_ERROR.rawValue)
            }
            markDirty(connection)
        }
        buffers.give(socket.pointee.input)
        socket.pointee.input = .none
        if connection.pointee.isCondemned { close(socket) }
    }

    // MARK: Output

    func markDirty(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        guard !connection.pointee.isDirty else { return }
        connection.pointee.isDirty = true
        connection.pointee.nextDirty = firstDirtyUpstream
        firstDirtyUpstream = connection
    }

    func flushDirtyUpstreams() {
        while let connection = firstDirtyUpstream {
            firstDirtyUpstream = connection.pointee.nextDirty
            connection.pointee.isDirty = false
            flush(connection)
        }
    }

    /// Writes frames until there are none, or the socket is full.
    private func flush(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        if connection.pointee.isCondemned { return close(socket) }
        guard !socket.pointee.connecting else { return }
        while true {
            let isWhole = fill(&connection.pointee.output, from: connection.pointee.session)
            guard isWhole else { return close(socket) }
            serveDrained(connection)
            let wanted = connection.pointee.output.count
            if wanted == 0 { break }
            guard socket.pointee.writable else { return }
            let sent = send(socket, connection.pointee.output.head, wanted)
            guard sent >= 0 else { return readLast(connection) }
            connection.pointee.output.start &+= sent
            connection.pointee.taken &+= UInt64(sent)
            metrics.bytes(.upstream, received: 0, sent: UInt64(sent))
            if sent < wanted {
                socket.pointee.writable = false
                socket.pointee.drain.noteFull(socket.pointee.descriptor)
                return
            }
        }
        buffers.give(connection.pointee.output)
        connection.pointee.output = .none
        let session = connection.pointee.session
        // The session has failed and said so, or nobody will use it any more.
        if nghttp2_session_want_read(session) == 0 || connection.pointee.isLeaving && connection.pointee.callCount == 0
        {
            return close(socket)
        }
        // Reading had stopped while the endpoint did not read.
        if socket.pointee.readable { readHTTP2(connection) }
    }

    /// The request's head is among the frames to be written.
    func headSent(_ call: UnsafeMutablePointer<HTTP2Call>) {
        buffers.give(call.pointee.head)
        call.pointee.head = .none
    }

    /// The endpoint takes nothing any more. What it said before, answers that came early among it, is still to be read,
    /// and then its end.
    private func readLast(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        connection.pointee.isLeaving = true
        buffers.give(connection.pointee.output)
        connection.pointee.output = .none
        socket.pointee.writable = false
        socket.pointee.readable = true
        readHTTP2(connection)
    }

    // MARK: The end

    /// What a connection that speaks HTTP/2 holds beside its socket. Its calls end as the endpoint's connections do
    /// that close unanswered, or in the middle of an answer.
    func disposeHTTP2(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        connection.pointee.isLeaving = true
        let socket = connection.pointee.socket
        let isRejected = socket.pointee.tls?.pointee.isRejected == true
        if isRejected, let link = socket.pointee.tls { tellRejection(socket, link) }
        let endpoint = socket.pointee.endpoint
        streamsMayBegin(connection)
        var place = endpoint.pointee.firstHTTP2
        if place == connection {
            endpoint.pointee.firstHTTP2 = connection.pointee.next
        } else {
            while let each = place, each.pointee.next != connection { place = each.pointee.next }
            place?.pointee.next = connection.pointee.next
        }
        while let call = connection.pointee.firstCall {
            unlink(call)
            if connection.pointee.isMalformed { call.pointee.note(.malformed) }
            if isRejected { call.pointee.note(.notAdmitted) }
            call.pointee.noteClosed()
            // Nobody has looked at what has not gone out: it may be sent again, whatever it is.
            if call.pointee.id > 0, connection.pointee.taken <= call.pointee.begin { call.pointee.isRefused = true }
            guard call.pointee.upstream.exchange != nil else {
                free(call)
                continue
            }
            call.pointee.upstream.connecting = false
            advance(call)
        }
        if connection.pointee.isDirty {
            if firstDirtyUpstream == connection {
                firstDirtyUpstream = connection.pointee.nextDirty
            } else {
                var link = firstDirtyUpstream
                while let each = link, each.pointee.nextDirty != connection { link = each.pointee.nextDirty }
                link?.pointee.nextDirty = connection.pointee.nextDirty
            }
        }
        buffers.give(connection.pointee.output)
        nghttp2_session_del(connection.pointee.session)
        connection.deinitialize(count: 1)
        connection.deallocate()
    }

    func http2UpstreamTimerExpired(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        if socket.pointee.connecting {
            metrics.timedOut(.connect)
            return http2ConnectFailed(connection)
        }
        if connection.pointee.callCount == 0 {
            if nowMs >= socket.pointee.deadline { return close(socket) }
        } else {
            switch connection.pointee.liveness.look(nowMs: nowMs, intervalMs: pingInterval(socket)) {
            case .wait: break
            case .ping:
                nghttp2_submit_ping(connection.pointee.session, 0, nil)
                markDirty(connection)
            case .lost:
                metrics.timedOut(.response)
                return close(socket)
            }
        }
        watch(connection)
    }

    /// Milliseconds from the endpoint's last sign to a PING.
    private func pingInterval(_ socket: UnsafeMutablePointer<UpstreamConnection>) -> UInt64 {
        generation.pointee.limits.pingIntervalMs << UInt64(socket.pointee.endpoint.pointee.pingDoublings)
    }

    /// How many calls the endpoint bears is known now, or is different: those who wait may find room.
    func noteSettings(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        connection.pointee.hasSettings = true
        let endpoint = socket.pointee.endpoint.pointee.endpoint
        let allowed = connection.pointee.callsAllowed
        if allowed > 0 || endpoint.pointee.callsToldEach != Endpoint.noCalls {
            endpoint.pointee.callsToldEach = max(allowed, 1)
        }
        callsMayBegin()
    }

    /// No call begins here any more. A server of gRPC that finds PING too frequent says so with the connection's end
    /// (gRFC A8): the next ones to it come half as often.
    func goAwayReceived(_ connection: UnsafeMutablePointer<HTTP2Upstream>, _ frame: nghttp2_goaway) {
        connection.pointee.isLeaving = true
        let reason = sluice_bytes(data: frame.opaque_data, size: frame.opaque_data_len)
        let endpoint = connection.pointee.socket.pointee.endpoint
        guard frame.error_code == NGHTTP2_ENHANCE_YOUR_CALM.rawValue, reason == sluice_bytes("too_many_pings"),
            endpoint.pointee.pingDoublings < HTTP2Liveness.doublingsAtMost
        else { return }
        endpoint.pointee.pingDoublings &+= 1
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)) else { return }
        let text = endpoint.pointee.endpoint.pointee.text.text
        let seconds = pingInterval(connection.pointee.socket) / 1_000
        HostLog.logger.warning("\(text) finds PING too frequent: from now on one after \(seconds) s of silence at most")
    }

    /// The timer looks at an open connection every so often.
    func watch(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        if connection.pointee.callCount == 0, socket.pointee.deadline <= nowMs {
            socket.pointee.deadline = nowMs &+ Self.http2IdleMs
        }
        let next =
            connection.pointee.callCount == 0
            ? nowMs &+ HTTP2Liveness.answerMs
            : connection.pointee.liveness.nextLook(nowMs: nowMs, intervalMs: pingInterval(socket))
        timers.start(socket.timer, at: next)
    }

    /// The last call of a connection has ended: from now on it is idle.
    func noteIdle(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        connection.pointee.socket.pointee.deadline = nowMs &+ Self.http2IdleMs
        if connection.pointee.isLeaving { markDirty(connection) }
    }
}
