import COpenSSL
import Configuration
import SluiceABI

/// TLS toward endpoints.
extension TLSContext {
    static func endpoint(
        _ settings: Settings.EndpointTLS, speaksHTTP2: Bool, files: [Settings.NamedFile: TLSFile]
    ) throws(Failure) -> TLSContext {
        let context = try blank(TLS_client_method(), settings.minVersion, settings.position)
        if let pair = settings.certificate, let chain = files[pair.certificate], let key = files[pair.key] {
            try context.use(chain, key)
        }
        if settings.verifies {
            if let authorities = settings.ca, let file = files[authorities] {
                try context.trust(file, tellingClients: false)
            } else if SSL_CTX_set_default_verify_paths(context.pointer) != 1 {
                throw Failure(
                    position: settings.position,
                    message: "the system's authorities cannot be read: \(TLSFault.text()); name some under `ca`")
            }
            SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
        } else {
            SSL_CTX_set_verify(context.pointer, SSL_VERIFY_NONE, nil)
        }
        let names = speaksHTTP2 ? Protocols.http2 : Protocols.http1
        SSL_CTX_set_alpn_protos(context.pointer, names, UInt32(names.count))
        // The worker keeps the latest session of each endpoint itself.
        shim_ctx_cache_mode(context.pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE))
        SSL_CTX_sess_set_new_cb(context.pointer) { session, state in
            guard let session, let state, let place = SSL_get_ex_data(session, 0),
                let context = SSL_get_SSL_CTX(session)
            else { return 0 }
            // The reference is ours from here on.
            place.assumingMemoryBound(to: WorkerEndpoint.self).pointee.keep(state, of: context)
            return 1
        }
        return context
    }
}

extension WorkerEndpoint {
    /// The session that the next connection resumes; it says by itself until when.
    mutating func keep(_ state: OpaquePointer, of context: OpaquePointer) {
        if let session { SSL_SESSION_free(session) }
        session = state
        guard sessionContext != context else { return }
        // Held, so that no other context, which may verify otherwise, can get its address.
        SSL_CTX_up_ref(context)
        if let sessionContext { SSL_CTX_free(sessionContext) }
        sessionContext = context
    }
}
