import CLinux
import Glibc
import SluiceABI

/// Connections to endpoints that speak HTTP/1.1 or raw TCP: one that is kept, or a new one.
extension Worker {
    // MARK: Kept ones

    /// How long, milliseconds, a connection has stood idle that is looked at before it is used. One in steady use
    /// stands idle for less, and pays nothing; servers end those that were idle for a second or more.
    private static let restMs: UInt64 = 50

    /// A kept-alive connection, which is idle no more. Its end may have come already, in the same turn of the loop as
    /// the request: written to it, a request that may not be repeated would be lost.
    func takeKept(
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> UnsafeMutablePointer<UpstreamConnection>? {
        while let idle = endpoint.pointee.idle(under: pool.pointee.tls) {
            if nowMs &+ Self.idleMs &- idle.pointee.deadline >= Self.restMs, somethingWaits(idle) {
                close(idle)
                continue
            }
            endpoint.pointee.remove(idle)
            return idle
        }
        return nil
    }

    // MARK: New ones

    func connect(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>, _ index: UInt32
    ) -> ExchangeMachine.Action {
        guard let opened = openSocket(pool, endpoint) else {
            return failWithoutSocket(exchange)
        }
        let upstream = opened.socket
        attach(exchange, upstream, index)
        if opened.failed {
            _ = exchange.pointee.machine.handle(.connecting)
            return connectFailed(exchange)
        }
        guard upstream.pointee.connecting else { return exchange.pointee.machine.handle(.connected(reused: false)) }
        let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
        upstream.pointee.deadline = nowMs &+ limits.connectTimeoutMs
        timers.start(upstream.timer, at: upstream.pointee.knocks ? nextKnock(upstream) : upstream.pointee.deadline)
        return exchange.pointee.machine.handle(.connecting)
    }

    /// A socket on its way to an endpoint: connected already, connecting, or refused at once. Nil when there is none.
    func openSocket(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ endpoint: UnsafeMutablePointer<WorkerEndpoint>
    ) -> (socket: UnsafeMutablePointer<UpstreamConnection>, failed: Bool)? {
        let address = endpoint.pointee.endpoint.pointee.address
        let descriptor = socket(
            address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0, let upstream = upstreams.take() else {
            if descriptor >= 0 { Glibc.close(descriptor) }
            return nil
        }
        if address.family != AF_UNIX {
            var one: Int32 = 1
            _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        upstream.pointee.descriptor = descriptor
        upstream.pointee.endpoint = endpoint
        upstream.pointee.pool = pool.pointee.shared
        upstream.pointee.timer.kind = TimerKind.upstream
        upstream.pointee.timer.owner = UnsafeMutableRawPointer(upstream)
        endpoint.pointee.open &+= 1
        metrics.upstreamOpened(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
        let result = address.withPointer { Glibc.connect(descriptor, $0, $1) }
        let code = result == 0 ? 0 : clinux_errno()
        if code == EAGAIN, address.family == AF_UNIX {
            upstream.pointee.connecting = true
            upstream.pointee.knockMs = 1
            return (upstream, false)
        }
        guard code == 0 || code == EINPROGRESS, watch(upstream) else { return (upstream, true) }
        guard secure(upstream, pool, endpoint) else { return (upstream, true) }
        // A handshake is to follow in any case: the socket tells when it can be written to.
        if code == 0, upstream.pointee.tls == nil {
            upstream.pointee.writable = true
        } else {
            upstream.pointee.connecting = true
        }
        return (upstream, false)
    }

    func connectFailed(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        finishAttempt(exchange, .connectFailed, SLUICE_UNAVAILABLE)
        detachUpstream(exchange)
        return attemptFailed(exchange, .connectFailed)
    }

    /// The loop is told of what happens on the socket from here on. False when it cannot be.
    private func watch(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Bool {
        let edges = UInt32(EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue) | UInt32(1 << 31)
        let token = Token.make(Token.upstream, upstream.pointee.slot)
        return clinux_epoll_add(epoll, upstream.pointee.descriptor, edges, token) == 0
    }

    // MARK: Unix sockets whose queue is full

    /// The longest time, milliseconds, between two tries. A server that accepts at all makes room much sooner, and a
    /// thousand requests that wait cost some percent of a core.
    private static let knockMsAtMost: UInt8 = 32

    /// When to try again: after twice as long as the last time, from one millisecond on.
    private func nextKnock(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> UInt64 {
        let pause = upstream.pointee.knockMs
        upstream.pointee.knockMs = min(pause &* 2, Self.knockMsAtMost)
        return min(nowMs &+ UInt64(pause), upstream.pointee.deadline)
    }

    /// Connecting to a Unix socket never is under way: where the queue of those that the server has not accepted is
    /// full, connect(2) of a socket that does not block says EAGAIN, and nobody tells when there is room. A connection
    /// over TCP waits in the network for the same; this one is tried again until the time for it is over.
    func knock(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ exchange: ExchangePointer
    ) -> ExchangeMachine.Action {
        let address = upstream.pointee.endpoint.pointee.endpoint.pointee.address
        let result = address.withPointer { Glibc.connect(upstream.pointee.descriptor, $0, $1) }
        if result != 0, clinux_errno() == EAGAIN {
            timers.start(upstream.timer, at: nextKnock(upstream))
            return .none
        }
        upstream.pointee.knockMs = 0
        guard result == 0, watch(upstream) else { return connectFailed(exchange) }
        upstream.pointee.connecting = false
        upstream.pointee.writable = true
        return exchange.pointee.machine.handle(.connected(reused: false))
    }
}
