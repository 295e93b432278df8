import COpenSSL
import Foundation

/// A client over TLS 1.3 that does what libraries of HTTP never do. It takes any certificate. One thread.
final class TLSClient {
    private let socket: Socket
    private let context: OpaquePointer
    private let session: OpaquePointer

    /// Connects, and says nothing yet.
    ///
    /// - Parameter offering: names of protocols for ALPN (RFC 7301); none offers nothing.
    init(port: UInt16, offering: [String] = []) throws {
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
        let names = offering.flatMap { [UInt8($0.utf8.count)] + bytes($0) }
        if !names.isEmpty { SSL_set_alpn_protos(session, names, UInt32(names.count)) }
        self.context = context
        self.session = session
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    /// The same for a name (SNI), by TLS of this version alone, with keys of one kind that it can verify.
    convenience init(port: UInt16, asking name: String, verifying key: String, version: String) throws {
        try self.init(port: port)
        let number = version == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION
        let algorithms = key == "RSA" ? "RSA-PSS+SHA256:RSA+SHA256" : "ECDSA+SHA256"
        guard shim_set_server_name(session, name) == 1, shim_set_only_version(session, number) == 1,
            shim_set_signature_algorithms(session, algorithms) == 1
        else { throw HarnessError("OpenSSL makes no such session") }
    }

    /// Shows the certificate `name` to a server that asks for one.
    func present(_ certificates: Certificates, _ name: String) throws {
        guard SSL_use_certificate_file(session, certificates.file("\(name).pem"), SSL_FILETYPE_PEM) == 1,
            SSL_use_PrivateKey_file(session, certificates.file("\(name).key"), SSL_FILETYPE_PEM) == 1
        else { throw HarnessError("OpenSSL takes no certificate") }
    }

    /// The server's certificate has a key of RSA.
    var isShownRSA: Bool {
        SSL_get0_peer_certificate(session).map { shim_key_kind($0) == NID_rsaEncryption } ?? false
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

    /// The protocol that the server has confirmed by ALPN; nil when none.
    var confirmed: String? {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(session, &name, &count)
        return count == 0 ? nil : text(UnsafeBufferPointer(start: name, count: Int(count)))
    }

    func get(_ target: String) throws -> String {
        text(try ask(bytes("GET \(target) HTTP/1.1\r\nHost: test\r\n\r\n")))
    }

    /// Sends a message and returns what comes next.
    func ask(_ request: [UInt8]) throws -> [UInt8] {
        ERR_clear_error()
        guard SSL_write(session, request, Int32(request.count)) == Int32(request.count) else {
            throw HarnessError("the request was not taken")
        }
        var answer = [UInt8](repeating: 0, count: 65_536)
        let count = SSL_read(session, &answer, Int32(answer.count))
        guard count > 0 else { throw HarnessError("no answer came") }
        return Array(answer.prefix(Int(count)))
    }
}
