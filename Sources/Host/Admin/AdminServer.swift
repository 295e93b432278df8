import Glibc

/// Serves the admin socket and the metrics listener from the control thread. The control loop is `turn`, again and
/// again; nothing here knows the gateway but through `ControlPlane`. [main]
final class AdminServer {
    /// At once, for each role: an operator, a scraper or two and some scripts. The metrics listener is open to
    /// whoever reaches it, so it may not use up what the Unix socket needs.
    static let connectionLimit = 16

    /// For a request to come whole, and for the peer to take some of the answer.
    static let defaultPatienceMs: UInt64 = 5_000

    private struct Listener {
        var descriptor: Int32
        var role: AdminRole
        /// Of a Unix socket.
        var file: SocketFile?
    }

    private struct Connection {
        var descriptor: Int32
        var role: AdminRole
        var input: [UInt8] = []
        var output: [UInt8] = []
        var written = 0
        var phase = Phase.reading
        var deadlineMs: UInt64
    }

    private enum Phase {
        case reading, writing
        /// The answer is out; what the peer still sends is read away, so that closing does not reset the connection.
        case lingering
        case closed
    }

    private unowned let plane: any ControlPlane
    private let patienceMs: UInt64
    private var listeners: [Listener] = []
    private var connections: [Connection] = []
    /// The metrics listener as configured, and its port.
    private var metrics: (host: String, configured: UInt16, port: UInt16)?
    /// No descriptors were left: do not accept until then.
    private var acceptPausedUntilMs: UInt64 = 0

    /// - Parameter plane: must outlive this.
    init(plane: any ControlPlane, patienceMs: UInt64 = AdminServer.defaultPatienceMs) {
        self.plane = plane
        self.patienceMs = patienceMs
    }

    deinit { close() }

    /// Opens the admin socket with mode 0600.
    func listen(path: String) throws(AdminError) {
        let descriptor = try AdminSocket.listen(path: path)
        listeners.append(Listener(descriptor: descriptor, role: .control, file: SocketFile(path: path)))
    }

    /// Closes the admin socket at `path` and takes its file away; connections that are open are served to their end.
    func stopListening(path: String) {
        for listener in listeners where listener.file?.path == path { remove(listener) }
        listeners.removeAll { $0.file?.path == path }
    }

    /// Opens the metrics listener, in place of the one before, which stays when it is the same or this one fails: where
    /// the one is in the other's way, as on the same port of all addresses, it is closed for a moment. Nil closes it.
    /// - Returns: the port, which the kernel chose for 0.
    @discardableResult
    func listenForMetrics(at place: (host: String, port: UInt16)?) throws(AdminError) -> UInt16? {
        if let place, let metrics, metrics.host == place.host, metrics.configured == place.port { return metrics.port }
        guard let place else {
            closeMetrics()
            return nil
        }
        do throws(AdminError) {
            let opened = try AdminSocket.listen(host: place.host, port: place.port)
            closeMetrics()
            return serveMetrics(place, opened)
        } catch {
            guard error.code == EADDRINUSE, let old = metrics, old.port == place.port else { throw error }
            closeMetrics()
            do throws(AdminError) {
                return serveMetrics(place, try AdminSocket.listen(host: place.host, port: place.port))
            } catch {
                if let again = try? AdminSocket.listen(host: old.host, port: old.port) {
                    _ = serveMetrics((old.host, old.configured), again)
                }
                throw error
            }
        }
    }

    private func serveMetrics(
        _ place: (host: String, port: UInt16), _ opened: (descriptor: Int32, port: UInt16)
    ) -> UInt16 {
        listeners.append(Listener(descriptor: opened.descriptor, role: .metrics))
        metrics = (place.host, place.port, opened.port)
        return opened.port
    }

    private func closeMetrics() {
        for listener in listeners where listener.role == .metrics { Glibc.close(listener.descriptor) }
        listeners.removeAll { $0.role == .metrics }
        metrics = nil
    }

    /// Closes everything and takes the socket's file away.
    func close() {
        for connection in connections where connection.phase != .closed { Glibc.close(connection.descriptor) }
        connections = []
        for listener in listeners { remove(listener) }
        listeners = []
        metrics = nil
    }

    private func remove(_ listener: Listener) {
        Glibc.close(listener.descriptor)
        listener.file?.remove()
    }

    /// One turn of the control loop: waits until something happens, at most `timeoutMs` (-1: for ever), and serves
    /// what came.
    /// - Parameter descriptors: of the caller, waited for as well.
    /// - Returns: those of `descriptors` that are readable or closed by their peers.
    @discardableResult
    func turn(waitingFor descriptors: [Int32] = [], timeoutMs: Int32 = -1) -> [Int32] {
        let now = Self.nowMs()
        var polled: [pollfd] = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        for listener in listeners {
            let full = connections.count(where: { $0.role == listener.role }) >= Self.connectionLimit
            // A negative descriptor is passed over (poll(2)).
            let paused = full || now < acceptPausedUntilMs
            polled.append(pollfd(fd: paused ? -1 : listener.descriptor, events: Int16(POLLIN), revents: 0))
        }
        for connection in connections {
            let events = connection.phase == .writing ? POLLOUT : POLLIN
            polled.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
        }
        let count = poll(&polled, nfds_t(polled.count), wait(now, timeoutMs))
        // What is read may be a reload that takes seconds: who sent something meanwhile is looked at first, in the next
        // turn.
        let polledAt = Self.nowMs()
        guard count > 0 else {
            expire(at: polledAt)
            return []
        }
        let own = descriptors.count
        // As they were polled: what is read may be a reload, after which there are others.
        let polledListeners = listeners
        let firstConnection = own + polledListeners.count
        for index in connections.indices where polled[firstConnection + index].revents != 0 { advance(index) }
        for (index, listener) in polledListeners.enumerated() where polled[own + index].revents != 0 {
            if listeners.contains(where: { $0.descriptor == listener.descriptor }) { accept(listener) }
        }
        expire(at: polledAt)
        return descriptors.indices.filter { polled[$0].revents != 0 }.map { descriptors[$0] }
    }

    /// Until the caller's limit, a connection's deadline or the end of a pause, whichever comes first.
    private func wait(_ now: UInt64, _ timeoutMs: Int32) -> Int32 {
        var deadline = connections.map(\.deadlineMs).min() ?? .max
        if acceptPausedUntilMs > now { deadline = min(deadline, acceptPausedUntilMs) }
        guard deadline != .max else { return timeoutMs }
        let own = Int32(min(deadline > now ? deadline - now : 0, 60_000))
        return timeoutMs < 0 ? own : min(own, timeoutMs)
    }

    private func accept(_ listener: Listener) {
        let descriptor = Glibc.accept(listener.descriptor, nil, nil)
        guard descriptor >= 0 else {
            if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
                // The listener stays readable: without a pause the control thread would spin.
                acceptPausedUntilMs = Self.nowMs() + 100
            }
            return
        }
        AdminSocket.makeNonblocking(descriptor)
        connections.append(
            Connection(descriptor: descriptor, role: listener.role, deadlineMs: Self.nowMs() + patienceMs))
        // The request is mostly there already.
        advance(connections.count - 1)
    }

    private func expire(at now: UInt64) {
        for index in connections.indices where connections[index].deadlineMs <= now {
            if connections[index].phase == .reading {
                finish(index, AdminResponse(408, "the request did not come within \(patienceMs) ms"), true)
                // One try to write it; the next expiry closes.
                if connections[index].phase == .writing { connections[index].deadlineMs = now + 100 }
            } else {
                close(index)
            }
        }
        connections.removeAll { $0.phase == .closed }
    }

    private func advance(_ index: Int) {
        switch connections[index].phase {
        case .reading: read(index)
        case .writing: write(index)
        case .lingering: _ = receive(index)
        case .closed: break
        }
    }

    /// Reads what is there. False when the connection is at its end.
    private func receive(_ index: Int) -> Bool {
        var piece = [UInt8](repeating: 0, count: AdminRequest.sizeLimit)
        let count = recv(connections[index].descriptor, &piece, piece.count, 0)
        if count > 0 {
            if connections[index].phase == .reading { connections[index].input += piece[0..<count] }
            return true
        }
        if count < 0, errno == EAGAIN || errno == EINTR { return true }
        close(index)
        return false
    }

    private func read(_ index: Int) {
        guard receive(index) else { return }
        switch AdminRequest.read(connections[index].input) {
        case .incomplete: break
        case .malformed(let status, let reason): finish(index, AdminResponse(status, reason), true)
        case .complete(let request):
            let response = AdminRoutes.answer(request, role: connections[index].role, plane: plane)
            finish(index, response, request.method != "HEAD")
        }
    }

    private func finish(_ index: Int, _ response: AdminResponse, _ withBody: Bool) {
        connections[index].output = response.bytes(withBody: withBody)
        connections[index].phase = .writing
        connections[index].deadlineMs = Self.nowMs() + patienceMs
        write(index)
    }

    private func write(_ index: Int) {
        while connections[index].written < connections[index].output.count {
            let count = connections[index].output[connections[index].written...].withUnsafeBytes {
                send(connections[index].descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                connections[index].written += count
                connections[index].deadlineMs = Self.nowMs() + patienceMs
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EAGAIN {
                return
            } else {
                return close(index)
            }
        }
        shutdown(connections[index].descriptor, Int32(SHUT_WR))
        connections[index].phase = .lingering
        connections[index].output = []
        connections[index].deadlineMs = Self.nowMs() + 1_000
    }

    private func close(_ index: Int) {
        guard connections[index].phase != .closed else { return }
        Glibc.close(connections[index].descriptor)
        connections[index].phase = .closed
    }

    private static func nowMs() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000 + UInt64(now.tv_nsec) / 1_000_000
    }
}
