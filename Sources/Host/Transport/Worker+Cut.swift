import CLinux
import Glibc

/// Connections of clients that end with a reset.
extension Worker {
    /// Between two looks at a connection that is to be reset, in milliseconds: a client is hardly kept waiting for the
    /// news, and the few that are cut while they have something to read cost next to nothing.
    private static let cutTickMs: UInt64 = 20

    /// The client's last answer cannot be completed, and a reset tells it so. A reset also destroys what the kernel has
    /// not brought to the client yet, among it whole answers to requests that were sent before this one on the same
    /// connection: as long as the client takes those, the reset waits.
    func cut(_ client: UnsafeMutablePointer<ClientConnection>) {
        // From here on the connection is reset whoever closes it.
        var reset = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(
            client.pointee.descriptor, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        guard clinux_unacknowledged(client.pointee.descriptor) > 0 else { return close(client) }
        client.pointee.isCut = true
        client.pointee.floor = 0
        buffers.give(client.pointee.input)
        client.pointee.input = .none
        client.pointee.drain.noteFull(client.pointee.descriptor)
        client.pointee.deadline = nowMs &+ Self.lingerMs
        timers.start(client.timer, at: nowMs &+ Self.cutTickMs)
    }

    /// The client has read all, or reads no more.
    func resetDrained(_ client: UnsafeMutablePointer<ClientConnection>) {
        let movedAt = client.pointee.drain.look(client.pointee.descriptor, nowMs: nowMs)
        let isDrained = clinux_unacknowledged(client.pointee.descriptor) <= 0
        guard !isDrained, nowMs < max(client.pointee.deadline, movedAt &+ Self.lingerMs) else { return close(client) }
        timers.start(client.timer, at: nowMs &+ Self.cutTickMs)
    }
}
