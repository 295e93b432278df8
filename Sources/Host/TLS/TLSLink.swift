import CLinux
import COpenSSL
import Glibc
import SluiceABI

/// What a connection that speaks TLS has beside its socket: OpenSSL reads and writes the records, this asks it to.
///
/// The handshake needs no step of its own toward clients: `SSL_read` makes it on its way to the first byte. Nothing
/// here blocks; OpenSSL reads from and writes to the socket itself, which is why SIGPIPE is ignored in this process.
struct TLSLink {
    /// The `SSL`.
    let session: OpaquePointer
    /// The `SSL_CTX` it was made of. The session keeps a reference on it, so that no other one can get its address.
    let context: OpaquePointer
    /// OpenSSL had to write before it could read on, and the socket was full; or the other way round.
    var readWaitsForWriting = false
    var writeWaitsForReading = false
    /// A fatal error: neither read, nor written, nor taken leave of (SSL_shutdown(3)).
    var isBroken = false
    /// Nothing can be written any more, nor taken leave of. What the peer said before may still be read: one that
    /// answers early and closes has its answer in the socket already.
    var isWriteBroken = false
    /// The peer's side ended without TLS's own end, and without a reset.
    var isTruncated = false
    /// A byte of the peer has come through.
    var isEstablished = false
    /// A byte has been read: whatever becomes of the connection, the peer has let us in.
    var isHeard = false
    /// The peer has said instead, by an alert, that it does not accept the handshake. In TLS 1.3 it sees our
    /// certificate when for us the handshake is over (RFC 8446 §4.4.2.4), and nothing that was sent behind it was
    /// processed.
    var isRejected: Bool { rejection != 0 }
    /// That alert, as OpenSSL numbers errors; 0: none.
    var rejection: UInt = 0
    /// It stands in the log.
    var isRejectionTold = false
    /// Messages of the handshake protocol that came since the last byte of the peer.
    var messages: UInt32 = 0
    /// A handshake has some ten. After it come tickets, a few, and updates of keys, each of which costs us as much as
    /// a small request: who sends nothing else wants just that (RFC 8446 §4.6.3, App. C.4 says to bound what peers do).
    static let messagesAtMost: UInt32 = 32
    /// The subject of the client's verified certificate (RFC 2253), as long as the link; empty: none.
    var subject = sluice_bytes.empty
    /// The field that told it when the connection was made: what its requests say from then on, also when the listener
    /// is another one's by now. As long as the link, behind the subject.
    var subjectField = sluice_bytes.empty
    /// A subject that is longer counts as none: it is a field of each request.
    static let subjectBytes = 1_024

    /// The most that one record holds (RFC 8446 §5.1). What is written in one call is one record, so that a write that
    /// has to be repeated is repeated with the same bytes, or more behind them.
    static let recordBytes = 16_384

    /// Nil without memory. `descriptor` stays the caller's. [worker]
    static func make(_ context: OpaquePointer, _ descriptor: Int32) -> UnsafeMutablePointer<TLSLink>? {
        guard let session = SSL_new(context) else { return nil }
        guard SSL_set_fd(session, descriptor) == 1 else {
            SSL_free(session)
            return nil
        }
        let link = UnsafeMutablePointer<TLSLink>.allocate(capacity: 1)
        link.initialize(to: TLSLink(session: session, context: context))
        if let count = link.pointer(to: \.messages) { shim_count_messages(session, count) }
        return link
    }
}

extension UnsafeMutablePointer<TLSLink> {
    /// What the events of the socket mean for the bytes within TLS.
    func meaning(_ events: UInt32) -> UInt32 {
        var meaning = events
        if events & UInt32(EPOLLOUT.rawValue) != 0, pointee.readWaitsForWriting {
            pointee.readWaitsForWriting = false
            meaning |= UInt32(EPOLLIN.rawValue)
        }
        if events & UInt32(EPOLLIN.rawValue) != 0, pointee.writeWaitsForReading {
            pointee.writeWaitsForReading = false
            meaning |= UInt32(EPOLLOUT.rawValue)
        }
        return meaning
    }

    /// At most one record's worth. An end of the connection without TLS's own is `broken`: somebody on the way may have
    /// cut off the rest (RFC 8446 §6.1).
    func receive(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Received {
        guard !pointee.isBroken else { return .broken }
        while true {
            let before = pointee.messages
            ERR_clear_error()
            let received = SSL_read(pointee.session, bytes, Int32(clamping: count))
            if received > 0 {
                pointee.messages = 0
                pointee.isHeard = true
                return .bytes(Int(received))
            }
            guard goesOn(received, before) else { return refusal(received) }
        }
    }

    /// Whether the last call ended with a message of TLS's own, behind which there may be more in the socket, of which
    /// no further event tells.
    private func goesOn(_ result: Int32, _ before: UInt32) -> Bool {
        guard pointee.messages != before, SSL_get_error(pointee.session, result) == SSL_ERROR_WANT_READ else {
            return false
        }
        if pointee.messages > TLSLink.messagesAtMost { pointee.isBroken = true }
        return !pointee.isBroken
    }

    /// Whether bytes, or the end, wait to be read. What TLS itself wanted to be read is read by that.
    func somethingWaits() -> Bool {
        guard !pointee.isBroken else { return true }
        var byte: UInt8 = 0
        while true {
            let before = pointee.messages
            ERR_clear_error()
            let peeked = SSL_peek(pointee.session, &byte, 1)
            if peeked > 0 { return true }
            guard goesOn(peeked, before) else { return refusal(peeked) != .drained }
        }
    }

    private func refusal(_ result: Int32) -> Received {
        guard !pointee.isBroken else { return .broken }
        switch SSL_get_error(pointee.session, result) {
        case SSL_ERROR_WANT_READ: return .drained
        case SSL_ERROR_WANT_WRITE:
            pointee.readWaitsForWriting = true
            return .drained
        case SSL_ERROR_ZERO_RETURN: return .endOfStream
        default:
            pointee.isBroken = true
            pointee.isTruncated = TLSFault.isTruncation
            noteRejection()
            return .broken
        }
    }

    private func noteRejection() {
        if !pointee.isHeard, pointee.rejection == 0 { pointee.rejection = TLSFault.rejection }
    }

    /// The peer has closed before it has read all that was sent: the socket may have its alert nevertheless.
    private func lookForRejection() {
        guard !pointee.isHeard else { return }
        var byte: UInt8 = 0
        ERR_clear_error()
        if SSL_peek(pointee.session, &byte, 1) <= 0 { noteRejection() }
    }

    /// The number of bytes taken; less than `count` when the socket is full, -1 when the connection is broken.
    func send(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        guard !pointee.isBroken, !pointee.isWriteBroken else { return -1 }
        var sent = 0
        while sent < count {
            ERR_clear_error()
            let size = Swift.min(count &- sent, TLSLink.recordBytes)
            let written = SSL_write(pointee.session, bytes + sent, Int32(size))
            if written > 0 {
                sent &+= Int(written)
                continue
            }
            switch SSL_get_error(pointee.session, written) {
            case SSL_ERROR_WANT_WRITE: return sent
            case SSL_ERROR_WANT_READ:
                pointee.writeWaitsForReading = true
                return sent
            default:
                pointee.isWriteBroken = true
                lookForRejection()
                return sent > 0 ? sent : -1
            }
        }
        return sent
    }

    enum Handshake { case done, pending, failed }

    /// A step of the handshake toward an endpoint.
    func shakeHands() -> Handshake {
        ERR_clear_error()
        let result = SSL_do_handshake(pointee.session)
        if result == 1 {
            pointee.isEstablished = true
            return .done
        }
        switch SSL_get_error(pointee.session, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .pending
        default:
            pointee.isBroken = true
            return .failed
        }
    }

    /// Says that nothing follows (close_notify), as far as the socket takes it.
    func sayGoodbye() {
        guard !pointee.isBroken, !pointee.isWriteBroken, SSL_is_init_finished(pointee.session) == 1 else { return }
        ERR_clear_error()
        if SSL_shutdown(pointee.session) < 0 { ERR_clear_error() }
    }

    func free() {
        SSL_free(pointee.session)
        pointee.subject.data?.deallocate()
        deinitialize(count: 1)
        deallocate()
    }

    /// ALPN chose HTTP/2 (RFC 7301).
    var choseHTTP2: Bool {
        var name: UnsafePointer<UInt8>?
        var size: UInt32 = 0
        SSL_get0_alpn_selected(pointee.session, &name, &size)
        return size == 2 && name?[0] == UInt8(ascii: "h") && name?[1] == UInt8(ascii: "2")
    }

    /// Notes who the client is, once the handshake is over, and the name of the field that tells it.
    func noteSubject(in field: sluice_bytes) {
        guard let certificate = SSL_get0_peer_certificate(pointee.session),
            SSL_get_verify_result(pointee.session) == X509_V_OK,
            let name = X509_get_subject_name(certificate), let memory = BIO_new(BIO_s_mem())
        else { return }
        defer { BIO_free(memory) }
        X509_NAME_print_ex(memory, name, 0, shim_subject_format())
        let size = BIO_ctrl_pending(memory)
        guard size > 0, size <= TLSLink.subjectBytes else { return }
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: size + field.size)
        BIO_read(memory, text, Int32(size))
        pointee.subject = sluice_bytes(data: UnsafePointer(text), size: size)
        guard let name = field.data, field.size > 0 else { return }
        (text + size).initialize(from: name, count: field.size)
        pointee.subjectField = sluice_bytes(data: UnsafePointer(text + size), size: field.size)
    }
}

/// The first error that OpenSSL noted on this thread.
enum TLSFault {
    static var isPlainHTTP: Bool {
        let code = ERR_peek_error()
        return shim_error_library(code) == ERR_LIB_SSL && shim_error_reason(code) == SSL_R_HTTP_REQUEST
    }

    /// The connection ended where TLS had not (SSL_get_error(3)).
    static var isTruncation: Bool {
        let code = ERR_peek_error()
        return shim_error_library(code) == ERR_LIB_SSL
            && shim_error_reason(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING
    }

    /// The peer's alert about our certificate, or about what was agreed (RFC 8446 §6.2). Others may come of what was
    /// sent behind the handshake, or may say that the peer itself is in trouble.
    /// 0: it is none of these.
    static var rejection: UInt {
        let code = ERR_peek_error()
        guard shim_error_library(code) == ERR_LIB_SSL else { return 0 }
        switch shim_error_reason(code) - SSL_AD_REASON_OFFSET {
        case SSL3_AD_HANDSHAKE_FAILURE, SSL3_AD_BAD_CERTIFICATE, SSL3_AD_UNSUPPORTED_CERTIFICATE,
            SSL3_AD_CERTIFICATE_REVOKED, SSL3_AD_CERTIFICATE_EXPIRED, SSL3_AD_CERTIFICATE_UNKNOWN, TLS1_AD_UNKNOWN_CA,
            TLS1_AD_ACCESS_DENIED, TLS1_AD_DECRYPT_ERROR, TLS13_AD_CERTIFICATE_REQUIRED:
            return code
        default: return 0
        }
    }

    /// Nothing more in PEM follows in what was read.
    static var isEndOfPEM: Bool {
        let code = ERR_peek_last_error()
        return shim_error_library(code) == ERR_LIB_PEM && shim_error_reason(code) == PEM_R_NO_START_LINE
    }

    /// In words, for a log line or a message about the configuration. Empties the list.
    static func text() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        return text(of: code)
    }

    static func text(of code: UInt) -> String {
        guard code != 0 else { return "the connection ended" }
        if let reason = ERR_reason_error_string(code) { return String(cString: reason) }
        return "error \(code)"
    }
}
