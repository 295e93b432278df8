import COpenSSL
import Configuration
import Glibc

/// What connections of one kind have in common: an `SSL_CTX`. Connections made of it keep it alive. [main]
final class TLSContext {
    let pointer: OpaquePointer

    fileprivate init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { SSL_CTX_free(pointer) }

    struct Failure: Error {
        var position: Position
        var message: String
    }

    /// Mozilla's "intermediate" recommendation, version 5.7: forward secrecy and authenticated encryption only. TLS 1.3
    /// has the three suites that OpenSSL offers by itself.
    private static let suites =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    private static let groups = "X25519:prime256v1:secp384r1"

    static func blank(
        _ method: OpaquePointer?, _ least: Settings.TLSVersion, _ position: Position
    ) throws(Failure) -> TLSContext {
        ERR_clear_error()
        guard let made = SSL_CTX_new(method) else {
            throw Failure(position: position, message: "OpenSSL makes no context: \(TLSFault.text())")
        }
        let context = TLSContext(made)
        shim_ctx_set_options(made)
        // A record is written as far as the socket takes it and offered again from wherever it then lies; an idle
        // connection keeps no record buffers.
        shim_ctx_set_mode(
            made,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS))
        // A read returns after what TLS itself had to say, however much of it comes: `TLSLink` counts, and goes on.
        shim_ctx_no_auto_retry(made)
        // One read of the socket takes head and content of a record together.
        shim_ctx_read_ahead(made)
        guard shim_ctx_set_versions(made, least == .v13 ? TLS1_3_VERSION : TLS1_2_VERSION, TLS1_3_VERSION) == 1,
            SSL_CTX_set_cipher_list(made, suites) == 1, shim_ctx_set_groups(made, groups) == 1
        else {
            throw Failure(
                position: position,
                message:
                    "this OpenSSL has none of the suites or groups wanted: \(TLSFault.text()); check its configuration")
        }
        return context
    }
}

/// One certificate; whoever uses it takes a reference of its own. [main]
final class Certificate {
    let pointer: OpaquePointer
    /// Takes over the reference.
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { X509_free(pointer) }
}

/// A file as it was when the generation was made.
struct TLSFile {
    /// A chain of certificates or a bundle of authorities: more than all public authorities together have.
    private static let bytesAtMost = 1_048_576

    let named: Settings.NamedFile
    let bytes: [UInt8]

    init(_ named: Settings.NamedFile) throws(TLSContext.Failure) {
        self.named = named
        let descriptor = open(named.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw TLSContext.Failure(
                position: named.position,
                message:
                    "cannot read `\(named.path)`: \(String(cString: strerror(errno))); correct the path or its modes")
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG,
            information.st_size <= Self.bytesAtMost
        else {
            throw TLSContext.Failure(
                position: named.position,
                message: "`\(named.path)` is no regular file of at most \(Self.bytesAtMost) bytes; name one")
        }
        var bytes = [UInt8](repeating: 0, count: Int(information.st_size))
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            guard got > 0 else { break }
            count += got
        }
        self.bytes = Array(bytes.prefix(count))
    }

    func fault(_ message: String) -> TLSContext.Failure {
        TLSContext.Failure(position: named.position, message: message)
    }

    /// All certificates in it, in their order. Words before, between and behind them are passed over (RFC 7468 §2); a
    /// certificate that cannot be read is not: who trusts the rest alone would find it out by the clients it refuses.
    func certificates() throws(TLSContext.Failure) -> [Certificate] {
        let none = fault("`\(named.path)` holds no certificate in PEM; name the file that does")
        guard !bytes.isEmpty else { throw none }
        var list: [Certificate] = []
        ERR_clear_error()
        bytes.withUnsafeBytes { content in
            guard let memory = BIO_new_mem_buf(content.baseAddress, Int32(content.count)) else { return }
            defer { BIO_free(memory) }
            while let certificate = PEM_read_bio_X509(memory, nil, nil, nil) { list.append(Certificate(certificate)) }
        }
        guard TLSFault.isEndOfPEM else {
            throw fault(
                "certificate \(list.count + 1) of `\(named.path)` cannot be read: \(TLSFault.text()); put it there "
                    + "whole, or take it out")
        }
        ERR_clear_error()
        guard PEMLines(bytes).areWhole else {
            throw fault(
                "a `-----BEGIN` or `-----END` line of `\(named.path)` is broken, so that \(list.count) certificates "
                    + "alone were found; correct it")
        }
        guard !list.isEmpty else { throw none }
        return list
    }

    /// The caller's to free.
    func privateKey() throws(TLSContext.Failure) -> OpaquePointer {
        ERR_clear_error()
        let key = bytes.withUnsafeBytes { content -> OpaquePointer? in
            guard let memory = BIO_new_mem_buf(content.baseAddress, Int32(content.count)) else { return nil }
            defer { BIO_free(memory) }
            // Nobody is asked for a passphrase.
            return PEM_read_bio_PrivateKey(memory, nil, { _, _, _, _ in 0 }, nil)
        }
        ERR_clear_error()
        guard let key else {
            throw fault("`\(named.path)` holds no private key in PEM that can be read without a passphrase; name one")
        }
        return key
    }
}

/// The lines of a file that begin and end what is in PEM. OpenSSL takes one for plain words that is cut short, or has
/// the mark of UTF-8 before it, and with it passes over the certificate.
private struct PEMLines {
    private static let mark = Array("-----".utf8)
    private static let begin = Array("-----BEGIN".utf8)
    private static let end = Array("-----END".utf8)

    /// As many blocks begin as end, and each of these lines is one that OpenSSL knows.
    let areWhole: Bool

    init(_ bytes: [UInt8]) {
        var (begun, ended, broken) = (0, 0, 0)
        let lines = bytes.split { $0 == 0x0A || $0 == 0x0D }
        for line in lines {
            let isBegin = line.starts(with: Self.begin)
            guard isBegin || line.starts(with: Self.end) else { continue }
            begun += isBegin ? 1 : 0
            ended += isBegin ? 0 : 1
            // White space may follow.
            let visible = line.lastIndex { $0 > 0x20 }.map { line[...$0] } ?? line
            if !visible.dropFirst(Self.end.count).reversed().starts(with: Self.mark) { broken += 1 }
        }
        // The file may be cut within the word. Hyphens alone are a rule that somebody drew.
        if let last = lines.last, last.count > Self.mark.count, last.count < Self.begin.count,
            Self.begin.starts(with: last)
        {
            broken += 1
        }
        areWhole = begun == ended && broken == 0
    }
}

extension TLSContext {
    /// A certificate with its chain and its key.
    func use(_ chain: TLSFile, _ keyFile: TLSFile) throws(Failure) {
        let certificates = try chain.certificates()
        for (index, certificate) in certificates.enumerated() {
            ERR_clear_error()
            let taken =
                index == 0
                ? SSL_CTX_use_certificate(pointer, certificate.pointer)
                : shim_ctx_add_chain(pointer, certificate.pointer)
            guard taken == 1 else {
                throw chain.fault(
                    "certificate \(index + 1) of `\(chain.named.path)` is refused: \(TLSFault.text()); replace it, or "
                        + "take it out")
            }
        }
        let key = try keyFile.privateKey()
        defer { EVP_PKEY_free(key) }
        ERR_clear_error()
        // The context may have another pair that the key belongs to.
        guard X509_check_private_key(certificates[0].pointer, key) == 1, SSL_CTX_use_PrivateKey(pointer, key) == 1,
            SSL_CTX_check_private_key(pointer) == 1
        else {
            throw keyFile.fault(
                "the key in `\(keyFile.named.path)` does not belong to the certificate in `\(chain.named.path)`: "
                    + "\(TLSFault.text()); name the key it was made with")
        }
    }

    /// Certificates that these authorities have signed are accepted.
    func trust(_ authorities: TLSFile, tellingClients: Bool) throws(Failure) {
        let store = SSL_CTX_get_cert_store(pointer)
        for (index, certificate) in try authorities.certificates().enumerated() {
            ERR_clear_error()
            guard X509_STORE_add_cert(store, certificate.pointer) == 1,
                !tellingClients || SSL_CTX_add_client_CA(pointer, certificate.pointer) == 1
            else {
                throw authorities.fault(
                    "certificate \(index + 1) of `\(authorities.named.path)` is refused: \(TLSFault.text()); replace "
                        + "it, or take it out")
            }
        }
    }
}
