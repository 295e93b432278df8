import CCrypto
import TokenFormat

/// A public key as libcrypto has it, with the one algorithm that it verifies. Any thread.
public final class VerificationKey: @unchecked Sendable {
    public let id: String?
    public let algorithm: Algorithm
    private let key: OpaquePointer

    /// Nil when the numbers are no key: a point that is not on its curve, say.
    public init?(_ described: PublicKey) {
        let text = DER.publicKey(described.material)
        let key = text.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            var place = buffer.baseAddress
            return d2i_PUBKEY(nil, &place, buffer.count)
        }
        // What a thread's error queue holds would be taken for the failure of another call.
        ERR_clear_error()
        guard let key else { return nil }
        self.key = key
        id = described.id
        algorithm = described.algorithm
    }

    deinit { EVP_PKEY_free(key) }

    /// Whether `signature` is this key's over `text`. Some 30 µs (RSA 2048) to 1 ms (P-521): not on a worker.
    public func verifies(_ signature: [UInt8], of text: UnsafeBufferPointer<UInt8>) -> Bool {
        var signature = signature
        if let curve = algorithm.curve {
            guard let written = DER.signature(signature, of: curve) else { return false }
            signature = written
        }
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        var parameters: OpaquePointer?
        guard EVP_DigestVerifyInit(context, &parameters, hash, nil, key) == 1 else { return false }
        if algorithm.isPSS {
            // The salt is as long as the hash (RFC 7518 §3.5), which -1 says (RSA_PSS_SALTLEN_DIGEST).
            guard EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1,
                EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, -1) == 1
            else { return false }
        }
        return EVP_DigestVerify(context, signature, signature.count, text.baseAddress, text.count) == 1
    }

    private var hash: OpaquePointer? {
        switch algorithm.hashBits {
        case 256: EVP_sha256()
        case 384: EVP_sha384()
        case 512: EVP_sha512()
        default: nil
        }
    }
}

/// The keys that are in force together.
public final class KeySet: Sendable {
    /// How many keys of the name that a token asks for it is tried with, and how many of those that it may mean without
    /// saying so: each costs what a good signature costs, so that a bad token costs at most eight of them. Issuers give
    /// each key a name of its own (RFC 7517 §4.5), and have two or three while they change them.
    private static let triesAtMost = 4

    public let keys: [VerificationKey]
    /// Why keys of the text are not among them.
    public let ignored: [String]

    public init(_ text: KeySetText) throws(KeySetFault) {
        var ignored = text.ignored
        var keys: [VerificationKey] = []
        for described in text.keys {
            if let key = VerificationKey(described) {
                keys.append(key)
            } else {
                ignored.append("a key of \(described.algorithm.rawValue) has numbers that make no key")
            }
        }
        guard !keys.isEmpty else {
            throw KeySetFault(
                ignored.first.map { "it has no key to verify with: \($0)" } ?? "it has no key: nobody could pass")
        }
        self.keys = keys
        self.ignored = ignored
    }

    /// Whether a key of the set signed the token with its own algorithm.
    public func check(_ token: TokenText, _ text: UnsafeBufferPointer<UInt8>) throws(Refusal) {
        let signed = UnsafeBufferPointer(rebasing: text[..<token.signedCount])
        let fitting = keys.lazy.filter { $0.algorithm == token.header.algorithm }
        func isOfOne(_ keys: some Sequence<VerificationKey>) -> Bool {
            keys.prefix(Self.triesAtMost).contains { $0.verifies(token.signature, of: signed) }
        }
        guard let asked = token.header.keyID else {
            // It may be of any key.
            if isOfOne(fitting) { return }
            throw fitting.isEmpty ? .unknownKey : .signature
        }
        // A key without a name may have made any token. Those do not come before the one that the token names: there
        // may be more of them than are tried.
        let named = fitting.filter { key in key.id.map { $0.utf8.elementsEqual(asked.utf8) } ?? false }
        let nameless = fitting.filter { $0.id == nil }
        if isOfOne(named) || isOfOne(nameless) { return }
        throw named.isEmpty && nameless.isEmpty ? .unknownKey : .signature
    }
}
