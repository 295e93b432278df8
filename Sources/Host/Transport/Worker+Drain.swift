import CLinux
import Glibc

/// The last answers of a connection while the process stops.
extension Worker {
    /// The process stops, and no further request of the client has arrived: the present one's answer is its last, and
    /// says so (RFC 9112 §9.6). Requests that were sent behind it before are answered as well.
    @inline(__always)
    func isLast(_ exchange: ExchangePointer) -> Bool {
        guard draining else { return false }
        guard let client = exchange.pointee.client, !client.pointee.isStream else { return true }
        return !moreArrived(client)
    }

    /// Bytes behind the present request are there: in the connection's buffer, or in its socket.
    @inline(never)
    private func moreArrived(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        if client.pointee.input.count > 0 { return true }
        if let link = client.pointee.tls {
            client.pointee.readable = link.somethingWaits()
            return client.pointee.readable
        }
        var byte: UInt8 = 0
        let count = recv(client.pointee.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        client.pointee.readable = count >= 0 || clinux_errno() != EAGAIN
        return count > 0
    }
}
