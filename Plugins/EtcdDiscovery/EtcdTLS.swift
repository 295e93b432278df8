import COpenSSL
import Glibc
import SluicePlugin

/// How members are spoken to over TLS: from version 1.2 on, and their certificates are always checked.
final class EtcdTLS: @unchecked Sendable {
    private let context: OpaquePointer
    private let serverName: String

    /// - Parameter config: `tls`, which may be null: then the system's authorities vouch for members.
    init(_ config: Configuration) throws(PluginError) {
        try config.allow(["ca_file", "certificate_file", "key_file", "server_name"])
        serverName = try config.text("server_name", default: "")
        guard let context = SSL_CTX_new(TLS_client_method()) else {
            throw config.error("OpenSSL has no memory for a context")
        }
        self.context = context
        guard shim_ctx_set_versions(context, TLS1_2_VERSION, TLS1_3_VERSION) == 1 else {
            throw config.error("OpenSSL does not speak TLS 1.2")
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        // The rest of a request may lie elsewhere when it is tried again.
        shim_ctx_set_mode(context, Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
        let authorities = config["ca_file"]
        if authorities.isNull {
            SSL_CTX_set_default_verify_paths(context)
        } else {
            let store = SSL_CTX_get_cert_store(context)
            try PEMFile(authorities).forEachCertificate { certificate, _ in
                X509_STORE_add_cert(store, certificate) == 1
            }
        }
        let (certificate, key) = (config["certificate_file"], config["key_file"])
        if certificate.isNull != key.isNull {
            throw config.error("`certificate_file` and `key_file` go together")
        }
        if certificate.isNull { return }
        try PEMFile(certificate).forEachCertificate { certificate, index in
            if index == 0 { return SSL_CTX_use_certificate(context, certificate) == 1 }
            return shim_ctx_add_chain(context, certificate) == 1
        }
        let privateKey = try PEMFile(key).privateKey()
        defer { EVP_PKEY_free(privateKey) }
        guard SSL_CTX_use_PrivateKey(context, privateKey) == 1, SSL_CTX_check_private_key(context) == 1 else {
            ERR_clear_error()
            throw key.error("the key does not fit the certificate")
        }
    }

    deinit { SSL_CTX_free(context) }

    /// A session over a connected socket, which expects the certificate of `server_name`, or else of the host.
    func session(_ socket: Int32, host: String) throws(EtcdTrouble) -> OpaquePointer {
        guard let session = SSL_new(context) else { throw .text("OpenSSL has no memory for a session") }
        let name = serverName.isEmpty ? host : serverName
        var isExpected = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name) == 1
        if !isExpected {
            // Not an address. Names alone are said to the server (RFC 6066 §3).
            isExpected = SSL_set1_host(session, name) == 1 && shim_set_server_name(session, name) == 1
        }
        guard isExpected, SSL_set_fd(session, socket) == 1 else {
            SSL_free(session)
            throw .text("`\(name)` is no name that a certificate can have")
        }
        return session
    }

    /// What the handshake failed for.
    static func reason(_ session: OpaquePointer) -> String {
        let verdict = SSL_get_verify_result(session)
        if verdict != Int(X509_V_OK) { return String(cString: X509_verify_cert_error_string(verdict)) }
        let code = ERR_get_error()
        guard code != 0, let text = ERR_reason_error_string(code) else { return "the handshake was broken off" }
        return String(cString: text)
    }
}
