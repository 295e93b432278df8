import COpenSSL
import Foundation

/// The server's side of TLS on one connection of a scripted backend, which may end as servers should not. One thread.
final class TLSServer {
    private let socket: Socket
    private let context: OpaquePointer
    private let session: OpaquePointer

    /// Shakes hands with the certificate `name`. `speaksHTTP2`: chooses it by ALPN (RFC 7301).
    init(_ socket: Socket, _ certificates: Certificates, _ name: String, speaksHTTP2: Bool = false) throws {
        self.socket = socket
        // What OpenSSL writes to a connection that the peer has closed.
        signal(SIGPIPE, SIG_IGN)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(socket.descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        guard let context = SSL_CTX_new(TLS_server_method()),
            SSL_CTX_use_certificate_file(context, certificates.file("\(name).pem"), SSL_FILETYPE_PEM) == 1,
            SSL_CTX_use_PrivateKey_file(context, certificates.file("\(name).key"), SSL_FILETYPE_PEM) == 1
        else { throw HarnessError("OpenSSL takes no certificate") }
        if speaksHTTP2 {
            SSL_CTX_set_alpn_select_cb(
                context,
                { _, out, size, offered, count, _ in
                    // The gateway offers nothing else toward endpoints of HTTP/2: one name, behind its length.
                    guard let offered, count >= 3, offered[0] == 2 else { return SSL_TLSEXT_ERR_NOACK }
                    out?.pointee = offered + 1
                    size?.pointee = 2
                    return SSL_TLSEXT_ERR_OK
                }, nil)
        }
        guard let session = SSL_new(context), SSL_set_fd(session, socket.descriptor) == 1, SSL_accept(session) == 1
        else { throw HarnessError("no handshake") }
        self.context = context
        self.session = session
    }

    /// Without an end of TLS: the script that returns closes the connection.
    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    /// What comes next; empty at the end.
    func read() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = SSL_read(session, &buffer, Int32(buffer.count))
        return Array(buffer.prefix(max(0, Int(count))))
    }

    /// Reads until `what` has come. False when the connection ended before.
    func read(until what: [UInt8]) -> Bool {
        var seen: [UInt8] = []
        while !text(seen).contains(text(what)) {
            let more = read()
            if more.isEmpty { return false }
            seen += more
        }
        return true
    }

    @discardableResult
    func write(_ content: [UInt8]) -> Bool { SSL_write(session, content, Int32(content.count)) > 0 }
}
