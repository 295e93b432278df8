import CNGHTTP2
import Glibc
import HTTP1
import SluiceABI

/// Where a call to an endpoint that speaks HTTP/2 finds its place.
extension Worker {
    /// A place on a connection of the endpoint, or on a new one; the credits of the pools bound how many those are, and
    /// `waitForStreams` where connections bear no calls.
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
            if let action = waitForStreams(exchange, pool, endpoint, index) { return action }
            link = openHTTP2(exchange, pool, endpoint)
        }
        guard let connection = link, let call = calls.take() else {
            if let link, link.pointee.isCondemned, link.pointee.callCount == 0 { close(link.pointee.socket) }
            return failWithoutSocket(exchange)
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

    // MARK: Endpoints that bear no call

    /// There are as many connections as there may be, and an endpoint that bears no call on one of them at present,
    /// which it may say for a while (RFC 9113 §6.5.2), would say it on the next one: the request goes to another
    /// endpoint that has room, or waits until a call ends, or a connection, or the endpoint bears more. Nil: another
    /// connection may be opened.
    private func waitForStreams(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>, _ index: UInt32
    ) -> ExchangeMachine.Action? {
        // A check does not wait. There is one at a time, and its connection ends when it has been idle for a while.
        guard exchange.pointee.probe == nil else { return nil }
        var (count, refusing) = (0, 0)
        var link = endpoint.pointee.firstHTTP2
        while let connection = link {
            let context = connection.pointee.socket.pointee.tls?.pointee.context
            let ends = connection.pointee.isCondemned || connection.pointee.isLeaving
            if !ends, context == pool.pointee.tls {
                count &+= 1
                if connection.pointee.bearsNoCall { refusing &+= 1 }
            }
            link = connection.pointee.next
        }
        guard refusing > 0, count >= pool.pointee.maxConnections else { return nil }
        endpoint.pointee.endpoint.pointee.callsToldEach = Endpoint.noCalls
        if exchange.pointee.rival != nil { return otherGoesOn(exchange, .connectFailed) }
        if markEligible(pool, anywhere: true) > 1 {
            let elsewhere = other(exchange, pool, than: index)
            // Each time there is one endpoint less that has room.
            if elsewhere != index {
                let target = pool.pointee.targets[Int(elsewhere)]
                return takeCall(exchange, pool, workerEndpoint(target), elsewhere)
            }
        }
        leaveGate(exchange)
        // Whom the pool would let go at once would come back here at once.
        let room = placesBeside(pool, places(pool, eligibleCount(pool)))
        guard room <= pool.pointee.shared.pointee.gate.pointee.underWay else {
            return fail(
                exchange, SLUICE_UNAVAILABLE, 503, sluice_bytes("the endpoint bears no calls at present"),
                retryAfter: 1)
        }
        return enqueue(exchange, pool)
    }

    /// A call has ended, or the whole connection: whoever waits for a stream may find room, or open another one.
    func streamsMayBegin(_ connection: UnsafeMutablePointer<HTTP2Upstream>) {
        let socket = connection.pointee.socket
        let endpoint = socket.pointee.endpoint.pointee.endpoint
        guard endpoint.pointee.callsToldEach == Endpoint.noCalls else { return }
        if connection.pointee.isLeaving {
            endpoint.pointee.callsToldEach = 0
        } else if connection.pointee.hasRoom {
            endpoint.pointee.callsToldEach = connection.pointee.callsAllowed
        } else {
            return
        }
        callsMayBegin()
    }

    /// An endpoint bears more calls than it did: for those who wait, in whichever pool names it, there may be room.
    func callsMayBegin() {
        for index in 0..<generation.pointee.poolCount {
            let pool = generation.pointee.pools + index
            guard pool.pointee.speaksHTTP2, pool.pointee.shared.pointee.gate.pointee.waiting > 0 else { continue }
            askHome(pool.pointee.shared)
        }
    }
}
