/// The little of DER (X.690) that public keys and signatures are handed to libcrypto in.
public enum DER {
    /// A key as SubjectPublicKeyInfo (RFC 5280 §4.1; RFC 3279 §2.3.1, RFC 5480 §2, RFC 8410 §4).
    public static func publicKey(_ material: KeyMaterial) -> [UInt8] {
        switch material {
        case .rsa(let modulus, let exponent):
            // rsaEncryption, with the NULL that it must have.
            let algorithm: [UInt8] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00]
            return info(algorithm, tagged(0x30, integer(modulus) + integer(exponent)))
        case .curve(let curve, let x, let y):
            // id-ecPublicKey, the curve, and the point uncompressed.
            let algorithm: [UInt8] = [0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01] + curve.identifier
            return info(algorithm, [0x04] + x + y)
        case .ed25519(let x): return info([0x06, 0x03, 0x2B, 0x65, 0x70], x)
        }
    }

    /// A signature of ECDSA, which JWS writes as two numbers of the same size (RFC 7518 §3.4), as ECDSA-Sig-Value
    /// (RFC 3279 §2.2.3). Nil when it is not of the curve's size.
    public static func signature(_ signature: [UInt8], of curve: Curve) -> [UInt8]? {
        guard signature.count == 2 * curve.size else { return nil }
        return tagged(0x30, integer(signature[..<curve.size]) + integer(signature[curve.size...]))
    }

    private static func info(_ algorithm: [UInt8], _ key: [UInt8]) -> [UInt8] {
        tagged(0x30, tagged(0x30, algorithm) + tagged(0x03, [0] + key))
    }

    /// A number that is not negative, from its big-endian bytes.
    static func integer(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var content = Array(bytes.drop { $0 == 0 })
        if content.first.map({ $0 >= 0x80 }) ?? true { content.insert(0, at: 0) }
        return tagged(0x02, content)
    }

    private static func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var head = [tag]
        if content.count < 0x80 {
            head.append(UInt8(content.count))
        } else {
            var size: [UInt8] = []
            var left = content.count
            while left > 0 {
                size.insert(UInt8(truncatingIfNeeded: left), at: 0)
                left >>= 8
            }
            head.append(0x80 | UInt8(size.count))
            head += size
        }
        return head + content
    }
}
