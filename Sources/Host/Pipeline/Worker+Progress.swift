import CNGHTTP2

/// What moves of a body behind the gateway's own buffers: in the kernel, and through the windows of HTTP/2. A peer that
/// is slow, and does not stand still, is not cut off.
extension Worker {
    /// In how many steps of its limit a body is looked at whose socket is full: whoever stands still is cut a quarter
    /// of the limit late at most, and a look costs a system call.
    private static let looksPerLimit: UInt64 = 4

    /// When an exchange whose body waits for a socket is looked at again, in milliseconds; `.max`: it need not be.
    @inline(__always)
    func lookMs(_ exchange: ExchangePointer) -> UInt64 {
        // In this order: nearly all sockets are writable, and what flows takes more to tell.
        guard waitsForSocket(exchange), bodyFlows(exchange) else {
            // Whose client stops reading in a pause of the endpoint's is not given the endpoint's time.
            return exchange.pointee.answersEvents
                ? nowMs &+ exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyTimeoutMs : .max
        }
        let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
        return nowMs &+ max(limits.bodyTimeoutMs / Self.looksPerLimit, 1)
    }

    @inline(__always)
    private func waitsForSocket(_ exchange: ExchangePointer) -> Bool {
        if let client = exchange.pointee.client, !client.pointee.writable, !client.pointee.isStream { return true }
        guard let upstream = exchange.pointee.upstream else { return false }
        return !upstream.pointee.writable && !upstream.pointee.isStream
    }

    /// A body flows: what has moved of it unseen counts as progress.
    func noteUnseenProgress(_ exchange: ExchangePointer) {
        var moved: UInt64 = 0
        if let client = exchange.pointee.client, !client.pointee.writable {
            moved = client.pointee.isStream ? movedAt(client.asStream) : look(client)
        }
        if let upstream = exchange.pointee.upstream, !upstream.pointee.writable, !upstream.pointee.connecting {
            moved = max(moved, upstream.pointee.isStream ? movedAt(upstream.asCall) : look(upstream))
        }
        if moved > exchange.pointee.progressAt { exchange.pointee.progressAt = moved }
    }

    private func look(_ client: UnsafeMutablePointer<ClientConnection>) -> UInt64 {
        client.pointee.drain.look(client.pointee.descriptor, nowMs: nowMs)
    }

    private func look(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> UInt64 {
        upstream.pointee.drain.look(upstream.pointee.descriptor, nowMs: nowMs)
    }

    /// The same of a connection that speaks HTTP/2, whose socket is full.
    func look(_ connection: UnsafeMutablePointer<HTTP2Connection>) -> UInt64 {
        let client = connection.pointee.client
        guard connection.pointee.output.count > 0, !client.pointee.writable else { return 0 }
        return look(client)
    }

    /// A stream that may send, and waits for its turn on a connection that moves, does not stand still. One whose own
    /// window is shut does: others may not buy it time.
    func movedAt(_ stream: UnsafeMutablePointer<HTTP2Stream>) -> UInt64 {
        let connection = stream.pointee.connection
        guard stream.pointee.output.count > 0, !stream.pointee.isClosed,
            nghttp2_session_get_stream_remote_window_size(connection.pointee.session, stream.pointee.id) > 0
        else { return 0 }
        return max(connection.pointee.dataAt, look(connection))
    }

    private func movedAt(_ call: UnsafeMutablePointer<HTTP2Call>) -> UInt64 {
        guard call.pointee.output.count > 0, call.pointee.id > 0, !call.pointee.isClosed else { return 0 }
        let connection = call.pointee.connection
        guard nghttp2_session_get_stream_remote_window_size(connection.pointee.session, call.pointee.id) > 0 else {
            return 0
        }
        let socket = connection.pointee.socket
        guard connection.pointee.output.count > 0, !socket.pointee.writable else { return connection.pointee.dataAt }
        return max(connection.pointee.dataAt, look(socket))
    }

    /// DATA with content goes out on a stream.
    @inline(__always)
    func dataSent(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        stream.pointee.connection.pointee.dataAt = nowMs
        if let exchange = stream.pointee.client.exchange {
            exchange.pointee.progressAt = nowMs
        } else {
            stream.pointee.client.deadline = nowMs
        }
    }

    @inline(__always)
    func dataSent(_ call: UnsafeMutablePointer<HTTP2Call>) {
        call.pointee.connection.pointee.dataAt = nowMs
        // Else it is the deadline that counts, and from the client's last byte.
        guard let exchange = call.pointee.upstream.exchange, bodyFlows(exchange) else { return }
        exchange.pointee.progressAt = nowMs
    }
}
