import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Listeners: connections of clients come in, as many as the limits allow.
extension Worker {
    func open(_ listener: WorkerListener) {
        if let known = listeners.firstIndex(where: { $0.id == listener.id }) {
            // Of those that stay, the adapter alone may change.
            listeners[known] = listener
            return
        }
        listeners.append(listener)
        if !acceptTimer.pointee.isRunning { watch(listener) }
    }

    private func watch(_ listener: WorkerListener) {
        let shared: UInt32 = listener.isUnix ? 1 << 28 : 0  // EPOLLEXCLUSIVE
        _ = clinux_epoll_add(
            epoll, listener.descriptor, UInt32(EPOLLIN.rawValue) | shared, Token.listener | UInt64(listener.id))
    }

    /// Takes what waits in the accept queue first: a connection that the kernel has accepted is not reset.
    func close(listener id: UInt32) {
        guard let position = listeners.firstIndex(where: { $0.id == id }) else { return }
        let listener = listeners.remove(at: position)
        while accept(listener, atMost: Self.acceptsAtMost) == Self.acceptsAtMost {}
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, listener.descriptor, nil)
        Glibc.close(listener.descriptor)
    }

    func accept(_ listener: WorkerListener) { _ = accept(listener, atMost: Self.acceptsAtMost) }

    func accept(_ listener: WorkerListener, atMost bound: Int) -> Int {
        var accepted = 0
        while accepted < bound {
            var address = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let descriptor = clinux_accept(listener.descriptor, &address, &length)
            if descriptor < 0 {
                let code = clinux_errno()
                // A connection that was reset while it waited.
                if code == ECONNABORTED || code == EINTR { continue }
                if code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM { pauseAccepting() }
                break
            }
            accepted += 1
            admit(descriptor, listener, &address, Int(length))
        }
        return accepted
    }

    /// Descriptors or memory are out. The listeners stay ready, and the loop would do nothing but try: they are left
    /// alone for a while, in which connections end and clients wait in the kernel's queue.
    private func pauseAccepting() {
        metrics.rejected(.memory)
        guard !acceptTimer.pointee.isRunning else { return }
        for listener in listeners { _ = epoll_ctl(epoll, EPOLL_CTL_DEL, listener.descriptor, nil) }
        timers.start(acceptTimer, at: nowMs &+ 100)
    }

    func resumeAccepting() {
        for listener in listeners { watch(listener) }
    }

    private func admit(
        _ descriptor: Int32, _ listener: WorkerListener, _ address: inout sockaddr_storage, _ length: Int
    ) {
        let isWithinBound = settings.connections.take()
        guard isWithinBound, let client = clients.take() else {
            if isWithinBound { settings.connections.give() }
            metrics.rejected(.maxConnections)
            let answer: StaticString =
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
            let speaksHTTP = listener.adapter.isEmpty && secured(UInt16(truncatingIfNeeded: listener.id)) == nil
            if speaksHTTP { _ = sendBytes(descriptor, answer.utf8Start, answer.utf8CodeUnitCount) }
            Glibc.close(descriptor)
            return
        }
        if !listener.isUnix {
            var one: Int32 = 1
            _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        client.pointee.descriptor = descriptor
        client.pointee.listener = UInt16(truncatingIfNeeded: listener.id)
        client.pointee.adapterName = listener.adapter
        client.pointee.timer.kind = TimerKind.client
        client.pointee.timer.owner = UnsafeMutableRawPointer(client)
        let kept = min(length, 32)
        client.pointee.peerLength = UInt8(kept)
        withUnsafeMutableBytes(of: &client.pointee.peer) { destination in
            withUnsafeBytes(of: &address) { source in
                destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[0..<kept]))
            }
        }
        if generation.pointee.securedCount > 0, let secured = secured(client.pointee.listener),
            !secure(client, secured)
        {
            metrics.rejected(.memory)
            settings.connections.give()
            Glibc.close(descriptor)
            clients.give(client)
            return
        }
        client.pointee.deadline = nowMs &+ generation.pointee.limits.headerTimeoutMs
        timers.start(client.timer, at: client.pointee.deadline)
        metrics.clientOpened()
        let edges = UInt32(EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue) | UInt32(1 << 31)
        if clinux_epoll_add(epoll, descriptor, edges, Token.make(Token.client, client.pointee.slot)) != 0 {
            close(client)
        }
    }
}
