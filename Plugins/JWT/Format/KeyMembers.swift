import SluiceABI
import SluiceJSON

/// The members of one JWK as the set has them (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
struct KeyMembers {
    var type: String?
    var use: String?
    var operations: [String]?
    var algorithm: String?
    var id: String?
    var curve: String?
    var modulus: String?
    var exponent: String?
    var x: String?
    var y: String?
    /// It has a member that only a private key has.
    var isPrivate = false

    init(_ reader: inout JSONReader) throws(CodecFailure) {
        try reader.beginObject()
        var isFirst = true
        while let name = try reader.nextKey(&isFirst) {
            if name.equals("kty") {
                try Self.take(&type, &reader)
            } else if name.equals("use") {
                try Self.take(&use, &reader)
            } else if name.equals("key_ops") {
                if operations != nil { throw Self.repeated }
                operations = try Self.texts(&reader)
            } else if name.equals("alg") {
                try Self.take(&algorithm, &reader)
            } else if name.equals("kid") {
                try Self.take(&id, &reader)
            } else if name.equals("crv") {
                try Self.take(&curve, &reader)
            } else if name.equals("n") {
                try Self.take(&modulus, &reader)
            } else if name.equals("e") {
                try Self.take(&exponent, &reader)
            } else if name.equals("x") {
                try Self.take(&x, &reader)
            } else if name.equals("y") {
                try Self.take(&y, &reader)
            } else {
                if name.equals("d") || name.equals("p") || name.equals("q") { isPrivate = true }
                try reader.skip()
            }
        }
    }

    private static var repeated: CodecFailure { CodecFailure("a member of a key is there twice") }

    private static func take(_ value: inout String?, _ reader: inout JSONReader) throws(CodecFailure) {
        if value != nil { throw repeated }
        value = String(decoding: try reader.string().buffer, as: UTF8.self)
    }

    private static func texts(_ reader: inout JSONReader) throws(CodecFailure) -> [String] {
        var texts: [String] = []
        try reader.beginArray()
        var isFirst = true
        while try reader.nextElement(&isFirst) {
            texts.append(String(decoding: try reader.string().buffer, as: UTF8.self))
        }
        return texts
    }

    /// The key, or why it is left out.
    func publicKey(rsaAlgorithm: Algorithm) -> Result<PublicKey, KeySetFault> {
        if let use, use != "sig" { return .failure(KeySetFault("is not for signatures: its `use` is another")) }
        if let operations, !operations.contains("verify") {
            return .failure(KeySetFault("is not for checking signatures: its `key_ops` lack `verify`"))
        }
        switch type {
        case "RSA": return rsa(rsaAlgorithm)
        case "EC": return curveKey()
        case "OKP": return edwards()
        case "oct": return .failure(KeySetFault("is a shared secret, with which no token is accepted"))
        case nil: return .failure(KeySetFault("has no `kty`"))
        default: return .failure(KeySetFault("is of a type that is not known"))
        }
    }

    private func rsa(_ fallback: Algorithm) -> Result<PublicKey, KeySetFault> {
        guard let modulus = number(modulus), let exponent = number(exponent) else {
            return .failure(KeySetFault("lacks `n` or `e`, or they are no base64url"))
        }
        let bits = modulus.first.map { modulus.count * 8 - $0.leadingZeroBitCount } ?? 0
        guard KeySetText.modulusBits.contains(bits) else {
            return .failure(
                KeySetFault(
                    "has \(bits) bits; \(KeySetText.modulusBits.lowerBound) to "
                        + "\(KeySetText.modulusBits.upperBound) are taken"))
        }
        // More than 64 bits make a check slow and nobody safer.
        guard exponent.count <= 8, let last = exponent.last, last & 1 == 1, exponent != [1] else {
            return .failure(KeySetFault("has an exponent that is even, 1 or of more than 64 bits"))
        }
        let known = algorithm.map { Algorithm(rawValue: $0) } ?? fallback
        guard let known, known.isRSA else { return .failure(KeySetFault("has an `alg` that RSA keys do not have")) }
        return .success(PublicKey(id: id, algorithm: known, material: .rsa(modulus, exponent)))
    }

    private func curveKey() -> Result<PublicKey, KeySetFault> {
        guard let named = curve.flatMap({ Curve(rawValue: $0) }) else {
            return .failure(KeySetFault("is of a curve that is not known"))
        }
        guard let x = x.flatMap({ Base64URL.decode(Array($0.utf8)) }), x.count == named.size,
            let y = y.flatMap({ Base64URL.decode(Array($0.utf8)) }), y.count == named.size
        else { return .failure(KeySetFault("has an `x` or `y` that is not of its curve's size")) }
        guard algorithm == nil || algorithm == named.algorithm.rawValue else {
            return .failure(KeySetFault("has an `alg` that its curve does not have"))
        }
        return .success(PublicKey(id: id, algorithm: named.algorithm, material: .curve(named, x, y)))
    }

    private func edwards() -> Result<PublicKey, KeySetFault> {
        guard curve == "Ed25519" else { return .failure(KeySetFault("is of a curve that is not known")) }
        guard let x = x.flatMap({ Base64URL.decode(Array($0.utf8)) }), x.count == 32 else {
            return .failure(KeySetFault("has an `x` that is not of 32 bytes"))
        }
        // RFC 9864 §2.2 names the curve in `alg`.
        guard algorithm == nil || algorithm == "EdDSA" || algorithm == "Ed25519" else {
            return .failure(KeySetFault("has an `alg` that its curve does not have"))
        }
        return .success(PublicKey(id: id, algorithm: .edDSA, material: .ed25519(x)))
    }

    /// A Base64urlUInt (RFC 7518 §2), leading zeros taken off.
    private func number(_ text: String?) -> [UInt8]? {
        guard let bytes = text.flatMap({ Base64URL.decode(Array($0.utf8)) }) else { return nil }
        let content = Array(bytes.drop { $0 == 0 })
        return content.isEmpty ? nil : content
    }
}
