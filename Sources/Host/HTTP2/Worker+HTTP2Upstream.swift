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

    // MARK: Opening

    /// A place on a connection of the endpoint, or on a new one; the credits of the pools bound how many those are.
    func takeCall(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>, _ index: UInt32
    ) -> ExchangeMachine.Action {
        var link = endpoint.pointee.firstHTTP2
        while let connection = link {
            // One that was opened under other settings of TLS ends with its calls.
            if connection.pointee.hasRoom, connection.pointee.socket.pointee.tls?.pointee.context == pool.pointee.tls {
                break
            }
            link = connection.pointee.next
        }
        if link == nil {
            // One without calls that this pool may not use gives way. Not at once: its last call may have ended just
            // now, in the midst of what the connection or libnghttp2 is about.
            if endpoint.pointee.open >= pool.pointee.maxConnections, let unused = unusedHTTP2(pool, endpoint) {
                unused.pointee.isCondemned = true
                markDirty(unused)
            }
            link = openHTTP2(exchange, pool, endpoint)
        }
        guard let connection = link, let call = calls.take() else {
            if let link, link.pointee.isCondemned, link.pointee.callCount == 0 { close(link.pointee.socket) }
            metrics.rejected(.memory)
            if exchange.pointee.rival != nil { return otherGoesOn(exchange, .connectFailed) }
            return fail(
                exchange, SLUICE_RESOURCE_EXHAUSTED, 503, sluice_bytes("the gateway has no socket left"), retryAfter: 1)
        }
        let socket = connection.pointee.socket
        call.pointee.connection = connection
        call.pointee.upstream.endpoint = endpoint
        call.pointee.upstream.pool = pool.pointee.shared
        call.pointee.upstream.timer.kind = TimerKind.upstream
        call.pointee.upstream.timer.owner = UnsafeMutableRawPointer(call)
        call.pointee.next = connection.pointee.firstCall
        connection.pointee.firstCall?.pointee.previous = call
        connection.pointee.firstCall = call
        connection.pointee.callCount &+= 1
        attach(exchange, call.asUpstream, index)
        if socket.pointee.connecting {
            call.pointee.upstream.connecting = true
            return exchange.pointee.machine.handle(.connecting)
        }
        // The connection failed at once: there is nothing to wait for.
        if connection.pointee.isCondemned {
            _ = exchange.pointee.machine.handle(.connecting)
            let action = connectFailed(exchange)
            close(socket)
            return action
        }
        call.pointee.upstream.reused = true
        if let opener = socket.pointee.pool {
            metrics.upstreamReused(pool: PoolMetricsID(index: opener.pointee.metrics))
        }
        return exchange.pointee.machine.handle(.connected(reused: true))
    }

    /// A connection without calls that was opened under other settings of TLS than the pool's.
    private func unusedHTTP2(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ endpoint: UnsafeMutablePointer<WorkerEndpoint>
    ) -> UnsafeMutablePointer<HTTP2Upstream>? {
        var link = endpoint.pointee.firstHTTP2
        while let connection = link {
            let context = connection.pointee.socket.pointee.tls?.pointee.context
            let ends = connection.pointee.isCondemned || connection.pointee.isLeaving
            if connection.pointee.callCount == 0, !ends, context != pool.pointee.tls { return connection }
            link = connection.pointee.next
        }
        return nil
    }

    /// Nil when there is no socket or memory; condemned when the endpoint refused at once.
    private func openHTTP2(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>
    ) -> UnsafeMutablePointer<HTTP2Upstream>? {
        guard let opened = openSocket(pool, endpoint) else { return nil }
        let socket = opened.socket
        findVanishedHost(socket)
        let limits = generation.pointee.limits
        let connection = UnsafeMutablePointer<HTTP2Upstream>.allocate(capacity: 1)
        var session: OpaquePointer?
        guard
            nghttp2_session_client_new3(
                &session, HTTP2UpstreamCallbacks.table, UnsafeMutableRawPointer(connection),
                http2Memory.options(headerBytes: limits.headerBytes), http2Memory.table) == 0, let session
        else {
            connection.deallocate()
            close(socket)
            return nil
        }
        connection.initialize(
            to: HTTP2Upstream(session: session, socket: socket, worker: Unmanaged.passUnretained(self)))
        socket.pointee.http2 = connection
        connection.pointee.next = endpoint.pointee.firstHTTP2
        endpoint.pointee.firstHTTP2 = connection
        connection.pointee.liveness.hear(nowMs: nowMs)
        withUnsafeTemporaryAllocation(of: nghttp2_settings_entry.self, capacity: 3) { settings in
            settings[0] = nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0)
            settings[1] = nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: Self.streamWindow)
            settings[2] = nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(limits.headerBytes))
            nghttp2_submit_settings(session, 0, settings.baseAddress, settings.count)
        }
        let window = Self.connectionWindow(streams: HTTP2Upstream.callsAtMost)
        nghttp2_session_set_local_window_size(session, 0, 0, window)
        if opened.failed {
            connection.pointee.isCondemned = true
        } else if socket.pointee.connecting {
            let own = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
            timers.start(socket.timer, at: nowMs &+ own.connectTimeoutMs)
        } else {
            markDirty(connection)
            watch(connection)
        }
        return connection
    }

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
            guard sent >= 0 else { return close(socket) }
            connection.pointee.output.start &+= sent
            metrics.bytes(.upstream, received: 0, sent: UInt64(sent))
            if sent < wanted {
                socket.pointee.writable = false
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

    // MARK: The end

    /// What a connection that speaks HTTP/2 holds beside its socket. Its calls end as the endpoint's connections do
    /// that close unanswered, or in the middle of an answer.
    func disposeHTTP2(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        connection.pointee.isLeaving = true
        let socket = connection.pointee.socket
        let isRejected = socket.pointee.tls?.pointee.isRejected == true
        if isRejected, let link = socket.pointee.tls { tellRejection(socket, link) }
        let endpoint = socket.pointee.endpoint
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
        socket.pointee.endpoint.pointee.endpoint.pointee.callsToldEach = max(connection.pointee.callsAllowed, 1)
        if let pool = socket.pointee.pool, pool.pointee.gate.pointee.waiting > 0 { askHome(pool) }
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
    private func watch(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
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
