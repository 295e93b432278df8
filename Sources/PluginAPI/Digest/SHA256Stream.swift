import CCrypto
import SluiceHashing
import SluicePlugin

/// SHA-256 (FIPS 180-4) by libcrypto, over pieces that come one after the other. The state is made once and used again,
/// so that a digest allocates nothing. One thread at a time.
public struct SHA256Stream: ~Copyable {
    private let context: OpaquePointer
    private let algorithm: OpaquePointer

    /// Nil when libcrypto has no SHA-256, as its configuration may say. Allocates.
    public init?() {
        guard let algorithm = EVP_MD_fetch(nil, "SHA256", nil) else { return nil }
        guard let context = EVP_MD_CTX_new() else {
            EVP_MD_free(algorithm)
            return nil
        }
        self.algorithm = algorithm
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(context)
        EVP_MD_free(algorithm)
    }

    /// Begins a digest; one that was under way is forgotten. False when libcrypto refuses.
    @inline(__always)
    public mutating func begin() -> Bool { EVP_DigestInit_ex2(context, algorithm, nil) == 1 }

    /// Adds bytes to the digest that was begun. False when libcrypto refuses.
    @inline(__always)
    public mutating func add(_ bytes: Bytes) -> Bool {
        bytes.isEmpty || EVP_DigestUpdate(context, bytes.raw.data, bytes.count) == 1
    }

    /// The digest of what was added; nil when libcrypto refuses.
    public mutating func finish() -> Digest256? {
        var digest = Digest256()
        var size: UInt32 = 0
        let status = withUnsafeMutableBytes(of: &digest) { memory in
            EVP_DigestFinal_ex(context, memory.baseAddress?.assumingMemoryBound(to: UInt8.self), &size)
        }
        return status == 1 && size == UInt32(MemoryLayout<Digest256>.size) ? digest : nil
    }

    /// The digest of one piece; nil when libcrypto refuses.
    public mutating func digest(of bytes: Bytes) -> Digest256? {
        guard begin(), add(bytes) else { return nil }
        return finish()
    }
}

extension Context {
    /// For the instance that is being made.
    public func sha256() throws(PluginError) -> SHA256Stream {
        guard let hash = SHA256Stream() else { throw noSHA256 }
        return hash
    }

    /// The digest of what a configuration says, with the state that `sha256` made.
    public func digest(of bytes: [UInt8], _ hash: inout SHA256Stream) throws(PluginError) -> Digest256 {
        guard let digest = bytes.withUnsafeBytes({ hash.digest(of: Bytes($0)) }) else { throw noSHA256 }
        return digest
    }

    private var noSHA256: PluginError {
        error(.failedPrecondition, "libcrypto computes no SHA-256; check its configuration")
    }
}
