import COpenSSL
import Foundation

/// A client over TLS 1.3 that does what libraries of HTTP never do. It takes any certificate. One thread.
final class TLSClient {
    private let socket: Socket
    private let context: OpaquePointer
    private let session: OpaquePointer

    /// Connects, and says nothing yet.
    init(port: UInt16) throws {
        socket = try Socket.connect(port: port)
        // What OpenSSL writes to a connection that the peer has closed.
        signal(SIGPIPE, SIG_IGN)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(socket.descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        guard let context = SSL_CTX_new(TLS_client_method()), let session = SSL_new(context),
            SSL_set_fd(session, socket.descriptor) == 1
        else { throw HarnessError("OpenSSL makes no session") }
        self.context = context
        self.session = session
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    /// Nil when it is done; else why not.
    func shakeHands() -> String? {
        ERR_clear_error()
        let result = SSL_connect(session)
        if result == 1 { return nil }
        let reason = ERR_reason_error_string(ERR_peek_error()).map { String(cString: $0) }
        return "error \(SSL_get_error(session, result)), \(reason ?? "the connection ended"), errno \(errno)"
    }

    /// New keys for what is sent from here on (RFC 8446 §4.6.3). False when the connection is broken.
    func updatesKeys() -> Bool {
        ERR_clear_error()
        return SSL_key_update(session, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(session) == 1
    }

    func get(_ target: String) throws -> String {
        let request = bytes("GET \(target) HTTP/1.1\r\nHost: test\r\n\r\n")
        ERR_clear_error()
        guard SSL_write(session, request, Int32(request.count)) == Int32(request.count) else {
            throw HarnessError("the request was not taken")
        }
        var answer = [UInt8](repeating: 0, count: 65_536)
        let count = SSL_read(session, &answer, Int32(answer.count))
        guard count > 0 else { throw HarnessError("no answer came") }
        return text(Array(answer.prefix(Int(count))))
    }
}
