import COpenSSL
import Configuration
import Glibc
import SluiceABI

/// TLS toward clients.
extension TLSContext {
    /// - Parameters:
    ///   - speaksHTTP: false where an adapter frames what comes over raw TCP.
    ///   - ticketKeys: 80 bytes, those of the process: a client may resume on any listener that has the same
    ///     authorities, and after a reload.
    static func listener(
        _ settings: Settings.ListenerTLS, speaksHTTP: Bool, files: [Settings.NamedFile: TLSFile], ticketKeys: [UInt8]
    ) throws(Failure) -> TLSContext {
        var made: [TLSContext] = []
        var shown: [(leaf: Certificate, context: TLSContext)] = []
        for each in settings.certificates {
            guard let chain = files[each.certificate], let key = files[each.key] else { continue }
            let leaf = try chain.certificates()[0]
            let context: TLSContext
            if let other = companion(of: leaf, among: shown) {
                context = other
            } else {
                context = try blank(TLS_server_method(), settings.minVersion, settings.position)
                made.append(context)
            }
            try context.use(chain, key)
            shown.append((leaf, context))
        }
        guard let first = made.first else {
            throw Failure(position: settings.position, message: "a listener with TLS needs a certificate; add it")
        }
        // Each of them: what verifies a client is the context of the certificate that it was shown.
        for context in made { try context.verifyClients(settings, files) }
        // Sessions are in the clients' tickets, sealed: nothing is kept here for one that may never come back.
        shim_ctx_cache_mode(first.pointer, Int(SSL_SESS_CACHE_OFF))
        var keys = ticketKeys
        _ = shim_ctx_ticket_keys(first.pointer, &keys, keys.count)
        // One, where OpenSSL sends two, which take a tenth of a handshake's time: a client that comes back gets a new
        // one with each connection (RFC 8446 §C.4), and most never come back with it.
        SSL_CTX_set_num_tickets(first.pointer, 1)
        // Each of them, too: the protocol is chosen after the certificate, by that one's context. Where HTTP is not
        // spoken it is not promised: of an adapter's protocol no name for ALPN is known, and a server that confirms
        // none leaves the client free to go on (RFC 7301 §3.1).
        if speaksHTTP { for context in made { context.chooseProtocol() } }
        if made.count > 1 { CertificateChoice.install(made, on: first) }
        return first
    }

    /// The context of a certificate for the same names that has another kind of key: of those that stand in one context
    /// OpenSSL shows the one that the client can verify (`signature_algorithms`, RFC 8446 §4.2.3, and in TLS 1.2 the
    /// suites). A context has room for one of each kind.
    private static func companion(
        of leaf: Certificate, among shown: [(leaf: Certificate, context: TLSContext)]
    ) -> TLSContext? {
        let kind = shim_key_kind(leaf.pointer)
        let named = shown.filter { shim_same_names($0.leaf.pointer, leaf.pointer) == 1 }
        return named.first { candidate in
            !named.contains { $0.context === candidate.context && shim_key_kind($0.leaf.pointer) == kind }
        }?.context
    }

    private func chooseProtocol() {
        SSL_CTX_set_alpn_select_cb(
            pointer,
            { _, chosen, size, offered, count, _ in
                guard let chosen, let size, let offered else { return SSL_TLSEXT_ERR_NOACK }
                var name: UnsafeMutablePointer<UInt8>?
                let found = SSL_select_next_proto(
                    &name, size, Protocols.served, UInt32(Protocols.servedSize), offered, count)
                guard found == OPENSSL_NPN_NEGOTIATED else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                chosen.pointee = UnsafePointer(name)
                return SSL_TLSEXT_ERR_OK
            }, nil)
    }

    private func verifyClients(
        _ settings: Settings.ListenerTLS, _ files: [Settings.NamedFile: TLSFile]
    ) throws(Failure) {
        var identity: [UInt8] = []
        if let authorities = settings.clientCA, let file = files[authorities] {
            try trust(file, tellingClients: true)
            let required = settings.clientCertificate == .required
            SSL_CTX_set_verify(
                pointer, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
            identity = file.bytes + [required ? 1 : 0]
        }
        // A ticket is taken only where the same clients would be let in (SSL_CTX_set_session_id_context(3)).
        let name = identity.withUnsafeBytes { sha256($0) } ?? []
        SSL_CTX_set_session_id_context(pointer, name, UInt32(name.count))
    }
}

/// The names of protocols as ALPN writes them, the most wanted first (RFC 7301 §3.1).
enum Protocols {
    private static let both: StaticString = "\u{2}h2\u{8}http/1.1"
    static var served: UnsafePointer<UInt8> { both.utf8Start }
    static var servedSize: Int { both.utf8CodeUnitCount }
    static let http2: [UInt8] = [2] + Array("h2".utf8)
    static let http1: [UInt8] = [8] + Array("http/1.1".utf8)
}

/// Which certificate a client is shown, by the name it asks for. Owned by the context it is installed on, which may
/// outlive the generation by as long as a handshake takes.
private enum CertificateChoice {
    /// Where a context keeps its choice.
    static let place = shim_ctx_data_index { _, value, _, _, _, _ in
        guard let value else { return }
        Unmanaged<Box>.fromOpaque(value).release()
    }

    final class Box {
        let others: [OpaquePointer]
        let first: OpaquePointer
        init(_ contexts: [TLSContext]) {
            // Not a reference on the first one, which owns this.
            first = contexts[0].pointer
            others = contexts.dropFirst().map(\.pointer)
            for other in others { SSL_CTX_up_ref(other) }
        }
        deinit { for other in others { SSL_CTX_free(other) } }
    }

    static func install(_ contexts: [TLSContext], on context: TLSContext) {
        let box = Unmanaged.passRetained(Box(contexts)).toOpaque()
        SSL_CTX_set_ex_data(context.pointer, place, box)
        shim_ctx_on_server_name(
            context.pointer,
            { session, _, argument in
                guard let session, let argument,
                    let name = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name)
                else { return SSL_TLSEXT_ERR_OK }
                let box = Unmanaged<Box>.fromOpaque(argument).takeUnretainedValue()
                if CertificateChoice.isFor(name, box.first) { return SSL_TLSEXT_ERR_OK }
                for other in box.others where CertificateChoice.isFor(name, other) {
                    SSL_set_SSL_CTX(session, other)
                    break
                }
                return SSL_TLSEXT_ERR_OK
            }, box)
    }

    private static func isFor(_ name: UnsafePointer<CChar>, _ context: OpaquePointer) -> Bool {
        guard let certificate = SSL_CTX_get0_certificate(context) else { return false }
        return X509_check_host(certificate, name, strlen(name), UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS), nil) == 1
    }
}
