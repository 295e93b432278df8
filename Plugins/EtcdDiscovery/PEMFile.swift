import COpenSSL
import SluicePlugin

/// A file in PEM that `tls` names, read once. On the control thread, which neither a pipe by that name nor a question
/// for a passphrase may hold up.
struct PEMFile {
    /// More than all public authorities together have.
    private static let bytesAtMost = 1_048_576

    private let named: Configuration
    private let bytes: [UInt8]

    init(_ named: Configuration) throws(PluginError) {
        self.named = named
        let path = try named.absolutePath()
        do throws(RegularFile.Failure) {
            bytes = try RegularFile(path).content(atMost: Self.bytesAtMost)
        } catch { throw named.error("it \(error.text)") }
    }

    /// Hands each certificate to `use`, which takes a reference of its own and says whether it could, in their order.
    func forEachCertificate(_ use: (OpaquePointer, _ index: Int) -> Bool) throws(PluginError) {
        var (count, isTaken) = (0, true)
        ERR_clear_error()
        bytes.withUnsafeBytes { content in
            guard let memory = BIO_new_mem_buf(content.baseAddress, Int32(content.count)) else { return }
            defer { BIO_free(memory) }
            while isTaken, let certificate = PEM_read_bio_X509_AUX(memory, nil, noPassphrase, nil) {
                isTaken = use(certificate, count)
                X509_free(certificate)
                count += 1
            }
        }
        // What ends the loop otherwise is a certificate that is broken.
        let end = ERR_peek_last_error()
        let isWhole =
            end == 0 || shim_error_library(end) == ERR_LIB_PEM && shim_error_reason(end) == PEM_R_NO_START_LINE
        ERR_clear_error()
        guard count > 0 else { throw named.error("the file has no certificates in PEM") }
        guard isTaken else { throw named.error("certificate \(count) of the file is refused") }
        guard isWhole else { throw named.error("certificate \(count + 1) of the file cannot be read") }
    }

    /// The caller's to free.
    func privateKey() throws(PluginError) -> OpaquePointer {
        ERR_clear_error()
        let key = bytes.withUnsafeBytes { content -> OpaquePointer? in
            guard let memory = BIO_new_mem_buf(content.baseAddress, Int32(content.count)) else { return nil }
            defer { BIO_free(memory) }
            return PEM_read_bio_PrivateKey(memory, nil, noPassphrase, nil)
        }
        ERR_clear_error()
        guard let key else {
            throw named.error("the file has no private key in PEM that can be read without a passphrase")
        }
        return key
    }
}

/// Nobody is asked for one: OpenSSL by itself would read the terminal.
private func noPassphrase(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ isWritten: Int32, _ context: UnsafeMutableRawPointer?
) -> Int32 { 0 }
