import CLinux
import COpenSSL
import Glibc
import HTTP1
import SluiceABI

/// Bytes of connections, whether they speak TLS or not.
extension Worker {
    // MARK: Clients

    /// Sends no SIGPIPE, never blocks. The number of bytes taken, less when the socket is full, -1 when it is broken.
    @inline(__always)
    func send(_ client: UnsafeMutablePointer<ClientConnection>, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        if let link = client.pointee.tls { return link.send(bytes, count) }
        return sendBytes(client.pointee.descriptor, bytes, count)
    }

    /// What a client's socket has, to `bytes`.
    @inline(__always)
    func read(
        _ client: UnsafeMutablePointer<ClientConnection>, _ bytes: UnsafeMutableRawPointer, _ count: Int
    ) -> Received {
        if let link = client.pointee.tls { return read(client, link, bytes, count) }
        return receiveBytes(client.pointee.descriptor, bytes, count)
    }

    private func read(
        _ client: UnsafeMutablePointer<ClientConnection>, _ link: UnsafeMutablePointer<TLSLink>,
        _ bytes: UnsafeMutableRawPointer, _ count: Int
    ) -> Received {
        let received = link.receive(bytes, count)
        guard !link.pointee.isEstablished else { return received }
        switch received {
        case .bytes, .endOfStream:
            link.pointee.isEstablished = true
            link.noteSubject(in: secured(client.pointee.listener)?.subjectField ?? .empty)
            metrics.handshakeEnded(.client, resumed: SSL_session_reused(link.pointee.session) == 1)
        case .broken:
            if SSL_get_state(link.pointee.session) != TLS_ST_BEFORE || ERR_peek_error() != 0 {
                metrics.parseFailed(.client, .tls)
            }
            if TLSFault.isPlainHTTP { answerPlainHTTP(client) }
        case .drained: break
        }
        return received
    }

    /// Whoever speaks HTTP to a port of TLS is told so in HTTP.
    private func answerPlainHTTP(_ client: UnsafeMutablePointer<ClientConnection>) {
        let answer = lastAnswer(400, sluice_bytes("this port speaks HTTPS only"))
        guard answer.count > 0 else { return }
        _ = sendBytes(client.pointee.descriptor, answer.head, answer.count)
        buffers.give(answer)
    }

    /// A connection that was accepted on a listener with TLS. False when there is no memory for it.
    func secure(_ client: UnsafeMutablePointer<ClientConnection>, _ secured: SecuredListener) -> Bool {
        guard let link = TLSLink.make(secured.context, client.pointee.descriptor) else { return false }
        SSL_set_accept_state(link.pointee.session)
        client.pointee.tls = link
        return true
    }

    /// How the listener of a client speaks TLS; nil when it does not.
    func secured(_ listener: UInt16) -> SecuredListener? {
        let list = generation.pointee.secured
        for index in 0..<generation.pointee.securedCount where list[index].listener == listener { return list[index] }
        return nil
    }

    /// Whether a client says of itself what only a verified certificate may say.
    @inline(never)
    func claimsOwnField(_ head: UnsafeMutablePointer<RequestHead>) -> Bool {
        let fields = head.pointee.fields
        for index in 0..<fields.count where isOwnField(fields[index].name) { return true }
        return false
    }

    /// The same of the lines of a trailer section: some recipients merge it into the header (RFC 9110 §6.5.1).
    @inline(never)
    func claimsOwnField(trailers: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard generation.pointee.ownFieldCount > 0 else { return false }
        var cursor = trailers
        let end = trailers + count
        while cursor < end {
            let rest = end - cursor
            let colon = memchr(cursor, 0x3A, rest).map { UnsafeRawPointer($0) - UnsafeRawPointer(cursor) } ?? rest
            if isOwnField(sluice_bytes(cursor, colon)) { return true }
            guard let lineEnd = memchr(cursor, 0x0A, rest) else { return false }
            cursor += UnsafeRawPointer(lineEnd) - UnsafeRawPointer(cursor) + 1
        }
        return false
    }

    /// Whether only the gateway says this of a client. Names are compared as those do who make variables of them (CGI,
    /// RFC 3875 §4.1.18, and WSGI): for them `_` and `-` are one, and so are both cases.
    func isOwnField(_ name: sluice_bytes) -> Bool {
        for index in 0..<generation.pointee.ownFieldCount {
            let own = generation.pointee.ownFields[index]
            guard own.size == name.size, let data = name.data, let ownData = own.data else { continue }
            var same = 0
            while same < own.size, Self.asVariable(data[same]) == Self.asVariable(ownData[same]) { same &+= 1 }
            if same == own.size { return true }
        }
        return false
    }

    private static func asVariable(_ byte: UInt8) -> UInt8 {
        if byte == UInt8(ascii: "-") { return UInt8(ascii: "_") }
        return byte &- 0x61 < 26 ? byte & 0xDF : byte
    }

    /// The field that tells of the client's verified certificate; nil when it has shown none.
    @inline(never)
    func subjectField(_ exchange: ExchangePointer) -> sluice_field? {
        guard var client = exchange.pointee.client else { return nil }
        if client.pointee.isStream { client = client.asStream.pointee.connection.pointee.client }
        guard let link = client.pointee.tls, !link.pointee.subject.isEmpty else { return nil }
        // A listener that has moved, or left, keeps its connections. What they say is said for as long as no client can
        // say it: while some listener has the field.
        let name = secured(client.pointee.listener)?.subjectField ?? link.pointee.subjectField
        guard !name.isEmpty, isOwnField(name) else { return nil }
        return sluice_field(name: name, value: link.pointee.subject)
    }

    // MARK: Endpoints

    @inline(__always)
    func send(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        if let link = upstream.pointee.tls { return link.send(bytes, count) }
        return sendBytes(upstream.pointee.descriptor, bytes, count)
    }

    @inline(__always)
    func read(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ bytes: UnsafeMutableRawPointer, _ count: Int
    ) -> Received {
        if let link = upstream.pointee.tls { return read(upstream, link, bytes, count) }
        return receiveBytes(upstream.pointee.descriptor, bytes, count)
    }

    private func read(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ link: UnsafeMutablePointer<TLSLink>,
        _ bytes: UnsafeMutableRawPointer, _ count: Int
    ) -> Received {
        let received = link.receive(bytes, count)
        if link.pointee.isRejected { tellRejection(upstream, link) }
        return received
    }

    /// Once, as a handshake that fails is told.
    func tellRejection(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ link: UnsafeMutablePointer<TLSLink>
    ) {
        guard !link.pointee.isRejectionTold else { return }
        link.pointee.isRejectionTold = true
        logFailure(upstream, TLSFault.text(of: link.pointee.rejection))
        metrics.parseFailed(.upstream, .tls)
    }

    /// A socket on its way to an endpoint that speaks TLS. False when there is no memory for it.
    func secure(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ pool: UnsafeMutablePointer<WorkerPool>,
        _ endpoint: UnsafeMutablePointer<WorkerEndpoint>
    ) -> Bool {
        guard let context = pool.pointee.tls else { return true }
        guard let link = TLSLink.make(context, upstream.pointee.descriptor) else { return false }
        upstream.pointee.tls = link
        let session = link.pointee.session
        SSL_set_connect_state(session)
        SSL_set_ex_data(session, 0, endpoint)
        let target = endpoint.pointee.endpoint
        let name = pool.pointee.tlsName ?? target.pointee.hostName
        // RFC 6066 §3: an address is no name to ask for.
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name) != 1 {
            _ = shim_set_server_name(session, name)
            // RFC 9110 §4.3.4: the common name identifies no server.
            SSL_set_hostflags(
                session, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
            if SSL_set1_host(session, name) != 1 { return false }
        }
        if let known = endpoint.pointee.session, endpoint.pointee.sessionContext == context {
            SSL_set_session(session, known)
        }
        return true
    }

    /// The handshake goes on. Toward HTTP/2 the endpoint has to choose it (RFC 9113 §3.2).
    func shakeHands(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> UnsafeMutablePointer<TLSLink>.Handshake {
        guard let link = upstream.pointee.tls else { return .done }
        var step = link.shakeHands()
        switch step {
        case .done:
            let speaksHTTP2 = upstream.pointee.endpoint.pointee.endpoint.pointee.speaksHTTP2
            if speaksHTTP2, !link.choseHTTP2 {
                step = .failed
                logFailure(upstream, "the endpoint chose no HTTP/2 (ALPN)")
            } else {
                metrics.handshakeEnded(.upstream, resumed: SSL_session_reused(link.pointee.session) == 1)
            }
        case .failed:
            let verdict = SSL_get_verify_result(link.pointee.session)
            logFailure(
                upstream,
                verdict == X509_V_OK
                    ? TLSFault.text()
                    : "its certificate is not accepted: \(String(cString: X509_verify_cert_error_string(verdict)))")
        case .pending: break
        }
        if step == .failed { metrics.parseFailed(.upstream, .tls) }
        return step
    }

    private func logFailure(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ reason: String) {
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)) else { return }
        let text = upstream.pointee.endpoint.pointee.endpoint.pointee.text.text
        HostLog.logger.warning("no TLS with \(text): \(reason)")
    }

    // MARK: Both

    /// Sends what `collect` has listed.
    @inline(__always)
    func sendCollected(
        _ descriptor: Int32, _ tls: UnsafeMutablePointer<TLSLink>?, _ count: Int
    ) -> (bytes: Int, wanted: Int) {
        if let tls { return sendCollected(tls, count) }
        return sendCollected(descriptor, count)
    }

    /// Small pieces go together into a record: each record costs its frame, and each write a call of the kernel.
    private func sendCollected(_ link: UnsafeMutablePointer<TLSLink>, _ count: Int) -> (bytes: Int, wanted: Int) {
        var wanted = 0
        for index in 0..<count { wanted &+= pieces[index].iov_len }
        var sent = 0
        var index = 0
        var offset = 0
        while index < count {
            let piece = pieces[index]
            let rest = piece.iov_len &- offset
            guard rest > 0 else {
                index &+= 1
                offset = 0
                continue
            }
            var bytes = UnsafeRawPointer(piece.iov_base.unsafelyUnwrapped + offset)
            var size = min(rest, TLSLink.recordBytes)
            if rest < TLSLink.recordBytes, index &+ 1 < count {
                size = gatherRecord(count, index, offset)
                bytes = UnsafeRawPointer(recordScratch)
            }
            let taken = link.send(bytes, size)
            guard taken >= 0 else { return (sent > 0 ? sent : -1, wanted) }
            sent &+= taken
            guard taken == size else { break }
            var step = taken
            while step > 0, index < count {
                let left = pieces[index].iov_len &- offset
                if step < left {
                    offset &+= step
                    step = 0
                } else {
                    step &-= left
                    index &+= 1
                    offset = 0
                }
            }
        }
        return (sent, wanted)
    }

    /// Copies pieces from `index` on to `recordScratch`, as many bytes as a record holds.
    private func gatherRecord(_ count: Int, _ first: Int, _ firstOffset: Int) -> Int {
        var size = 0
        var index = first
        var offset = firstOffset
        while index < count, size < TLSLink.recordBytes {
            let part = min(pieces[index].iov_len &- offset, TLSLink.recordBytes &- size)
            if part > 0 { memcpy(recordScratch + size, pieces[index].iov_base.unsafelyUnwrapped + offset, part) }
            size &+= part
            index &+= 1
            offset = 0
        }
        return size
    }
}

/// A listener of the present generation that speaks TLS.
struct SecuredListener {
    /// As connections know it; 0 until it is open.
    var listener: UInt16
    /// The `SSL_CTX`; the generation keeps it.
    var context: OpaquePointer
    /// The field that tells the subject of the client's certificate; empty: none is asked for.
    var subjectField: sluice_bytes
}
