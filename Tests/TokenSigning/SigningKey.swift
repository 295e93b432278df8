import CCrypto
import TokenFormat

/// A key pair made for a test, by libcrypto, which signs tokens with it.
public final class SigningKey: @unchecked Sendable {
    public struct Failure: Error {}

    public let algorithm: Algorithm
    private let key: OpaquePointer

    public init(_ algorithm: Algorithm, rsaBits: Int32 = 2_048) throws {
        self.algorithm = algorithm
        let type = algorithm.isRSA ? EVP_PKEY_RSA : algorithm.curve == nil ? EVP_PKEY_ED25519 : EVP_PKEY_EC
        guard let context = EVP_PKEY_CTX_new_id(type, nil) else { throw Failure() }
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_keygen_init(context) == 1 else { throw Failure() }
        if algorithm.isRSA { EVP_PKEY_CTX_set_rsa_keygen_bits(context, rsaBits) }
        switch algorithm.curve {
        case .p256?: EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1)
        case .p384?: EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_secp384r1)
        case .p521?: EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_secp521r1)
        case nil: break
        }
        var made: OpaquePointer?
        guard EVP_PKEY_keygen(context, &made) == 1, let made else { throw Failure() }
        key = made
    }

    deinit { EVP_PKEY_free(key) }

    /// The public part as a JWK. `alg` is left out when it is nil.
    public func jwk(id: String?, alg: String? = nil, more: String = "") throws -> String {
        var members = id.map { ["\"kid\":\"\($0)\""] } ?? []
        if let alg { members.append("\"alg\":\"\(alg)\"") }
        if !more.isEmpty { members.append(more) }
        if algorithm.isRSA {
            members += ["\"kty\":\"RSA\"", "\"n\":\"\(try number("n"))\"", "\"e\":\"\(try number("e"))\""]
        } else if let curve = algorithm.curve {
            var point = [UInt8](repeating: 0, count: 2 * curve.size + 1)
            var size = 0
            guard EVP_PKEY_get_octet_string_param(key, "pub", &point, point.count, &size) == 1, size == point.count
            else { throw Failure() }
            let (x, y) = (point[1..<(curve.size + 1)], point[(curve.size + 1)...])
            members += [
                "\"kty\":\"EC\"", "\"crv\":\"\(curve.rawValue)\"", "\"x\":\"\(Base64URL.encode(x))\"",
                "\"y\":\"\(Base64URL.encode(y))\"",
            ]
        } else {
            var x = [UInt8](repeating: 0, count: 32)
            var size = x.count
            guard EVP_PKEY_get_raw_public_key(key, &x, &size) == 1 else { throw Failure() }
            members += ["\"kty\":\"OKP\"", "\"crv\":\"Ed25519\"", "\"x\":\"\(Base64URL.encode(x))\""]
        }
        return "{\(members.joined(separator: ","))}"
    }

    private func number(_ name: String) throws -> String {
        var value: OpaquePointer?
        guard EVP_PKEY_get_bn_param(key, name, &value) == 1, let value else { throw Failure() }
        defer { BN_free(value) }
        var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(value) + 7) / 8)
        BN_bn2bin(value, &bytes)
        return Base64URL.encode(bytes)
    }

    /// A token of those claims. `header` stands in place of the one with the key's algorithm.
    public func token(_ claims: String, id: String? = nil, header: String? = nil) throws -> String {
        let kid = id.map { ",\"kid\":\"\($0)\"" } ?? ""
        let head = header ?? "{\"alg\":\"\(algorithm.rawValue)\",\"typ\":\"JWT\"\(kid)}"
        let text = Base64URL.encode(Array(head.utf8)) + "." + Base64URL.encode(Array(claims.utf8))
        return text + "." + Base64URL.encode(try sign(Array(text.utf8)))
    }

    private func sign(_ text: [UInt8]) throws -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { throw Failure() }
        defer { EVP_MD_CTX_free(context) }
        var parameters: OpaquePointer?
        let hash: OpaquePointer?
        switch algorithm.hashBits {
        case 256: hash = EVP_sha256()
        case 384: hash = EVP_sha384()
        case 512: hash = EVP_sha512()
        default: hash = nil
        }
        guard EVP_DigestSignInit(context, &parameters, hash, nil, key) == 1 else { throw Failure() }
        if algorithm.isPSS {
            EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING)
            EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, -1)
        }
        var size = 1_024
        var signature = [UInt8](repeating: 0, count: size)
        guard EVP_DigestSign(context, &signature, &size, text, text.count) == 1 else { throw Failure() }
        signature.removeLast(signature.count - size)
        guard let curve = algorithm.curve else { return signature }
        return Self.halves(signature, curve.size)
    }

    /// Takes the two numbers out of an ECDSA-Sig-Value (RFC 3279 §2.2.3).
    private static func halves(_ der: [UInt8], _ size: Int) -> [UInt8] {
        var place = der[1] < 0x80 ? 2 : 2 + Int(der[1] & 0x7F)
        var halves: [UInt8] = []
        for _ in 0..<2 {
            let count = Int(der[place + 1])
            let number = der[(place + 2)..<(place + 2 + count)].drop { $0 == 0 }
            halves += [UInt8](repeating: 0, count: size - number.count) + number
            place += 2 + count
        }
        return halves
    }
}

/// A set of those JWKs.
public func keySet(_ keys: [String]) -> String { "{\"keys\":[\(keys.joined(separator: ","))]}" }
