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
    /// It has a member that only private keys of the known types have (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2). In keys
    /// of other types the name may mean anything.
    var isPrivate: Bool {
        switch type {
        case "RSA": hasD || hasPrime
        case "EC", "OKP": hasD
        default: false
        }
    }
    private var hasD = false
    private var hasPrime = false
    /// The first member that is not what it should be. The key is not understood then, and the rest of the set is
    /// (RFC 7517 §5).
    private var fault: KeySetFault?

    init(_ reader: inout JSONReader) throws(CodecFailure) {
        guard try reader.peek() == .object else {
            fault = KeySetFault("is no JSON object")
            try reader.skip()
            return
        }
        try reader.beginObject()
        var isFirst = true
        while let name = try reader.nextKey(&isFirst) {
            if name.equals("kty") {
                try take(\.type, "kty", &reader)
            } else if name.equals("use") {
                try take(\.use, "use", &reader)
            } else if name.equals("key_ops") {
                try takeOperations(&reader)
            } else if name.equals("alg") {
                try take(\.algorithm, "alg", &reader)
            } else if name.equals("kid") {
                try take(\.id, "kid", &reader)
            } else if name.equals("crv") {
                try take(\.curve, "crv", &reader)
            } else if name.equals("n") {
                try take(\.modulus, "n", &reader)
            } else if name.equals("e") {
                try take(\.exponent, "e", &reader)
            } else if name.equals("x") {
                try take(\.x, "x", &reader)
            } else if name.equals("y") {
                try take(\.y, "y", &reader)
            } else {
                if name.equals("d") { hasD = true }
                if name.equals("p") || name.equals("q") { hasPrime = true }
                try reader.skip()
            }
        }
    }

    private mutating func take(
        _ member: WritableKeyPath<KeyMembers, String?>, _ name: String, _ reader: inout JSONReader
    ) throws(CodecFailure) {
        if self[keyPath: member] != nil { note("has `\(name)` twice") }
        guard try reader.peek() == .string else {
            note("has a `\(name)` that is no text")
            try reader.skip()
            return
        }
        self[keyPath: member] = String(decoding: try reader.string().buffer, as: UTF8.self)
    }

    private mutating func takeOperations(_ reader: inout JSONReader) throws(CodecFailure) {
        if operations != nil { note("has `key_ops` twice") }
        operations = []
        guard try reader.peek() == .array else {
            note("has `key_ops` that are no list of texts")
            try reader.skip()
            return
        }
        try reader.beginArray()
        var isFirst = true
        while try reader.nextElement(&isFirst) {
            if try reader.peek() == .string {
                operations?.append(String(decoding: try reader.string().buffer, as: UTF8.self))
            } else {
                note("has `key_ops` that are no list of texts")
                try reader.skip()
            }
        }
    }

    private mutating func note(_ text: String) {
        if fault == nil { fault = KeySetFault(text) }
    }

    /// The key, or why it is left out.
    func publicKey(rsaAlgorithm: Algorithm) -> Result<PublicKey, KeySetFault> {
        // What members of a type that is not known are is not known, either.
        if let fault, ["RSA", "EC", "OKP", nil].contains(type) { return .failure(fault) }
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
