import SluiceABI
import SluiceJSON

/// The numbers of a public key.
public enum KeyMaterial: Equatable, Sendable {
    /// Modulus and exponent, big-endian, without leading zeros.
    case rsa([UInt8], [UInt8])
    /// The point's coordinates, each of the curve's size.
    case curve(Curve, [UInt8], [UInt8])
    /// 32 bytes (RFC 8037 §2).
    case ed25519([UInt8])
}

/// A key of a set: what it verifies, and with which one algorithm (RFC 8725 §3.1).
public struct PublicKey: Equatable, Sendable {
    public var id: String?
    public var algorithm: Algorithm
    public var material: KeyMaterial

    public init(id: String?, algorithm: Algorithm, material: KeyMaterial) {
        self.id = id
        self.algorithm = algorithm
        self.material = material
    }
}

/// Why a text is no set of keys.
public struct KeySetFault: Error, Equatable, Sendable {
    public let text: String
    public init(_ text: String) { self.text = text }
}

/// A JWK Set (RFC 7517 §5), read from its text.
public struct KeySetText: Equatable, Sendable {
    /// Large sets have some tens of keys, of at most 2 KiB each, and certificates beside them.
    public static let bytesAtMost = 1 << 20
    /// A token is tried with few of them, see `KeySet`; the one that it names is found among all.
    public static let keysAtMost = 256
    /// RFC 7518 §3.3 asks for 2,048 bits; beyond 8,192 one check takes a millisecond.
    public static let modulusBits = 2_048...8_192

    public var keys: [PublicKey] = []
    /// Why keys were left out, as RFC 7517 §5 says of those that are not understood: one sentence each.
    public var ignored: [String] = []

    /// - Parameters:
    ///   - algorithms: those that are taken; keys of others are left out.
    ///   - rsaAlgorithm: of RSA keys that do not say theirs.
    public static func read(
        _ text: [UInt8], algorithms: [Algorithm] = Algorithm.allCases, rsaAlgorithm: Algorithm = .rs256
    ) throws(KeySetFault) -> KeySetText {
        guard text.count <= bytesAtMost else { throw KeySetFault("it is larger than \(bytesAtMost) bytes") }
        var members: [KeyMembers]?
        do throws(CodecFailure) {
            members = try PrivateArena(limit: 2 * bytesAtMost).read(text) { reader throws(CodecFailure) in
                var found: [KeyMembers]?
                try reader.beginObject()
                var isFirst = true
                while let key = try reader.nextKey(&isFirst) {
                    guard key.equals("keys") else {
                        try reader.skip()
                        continue
                    }
                    if found != nil { throw CodecFailure("the member `keys` is there twice") }
                    found = try list(&reader)
                }
                return found
            }
        } catch { throw KeySetFault(error.text) }
        guard let members else { throw KeySetFault("it has no member `keys`: a JWK Set is `{\"keys\": [ … ]}`") }
        var set = KeySetText()
        for (index, member) in members.enumerated() {
            let name = "key \(index + 1)" + (member.id.map { " (kid `\(printable($0))`)" } ?? "")
            if member.isPrivate {
                throw KeySetFault("\(name) holds a private key, which no verifier needs: publish its public part alone")
            }
            switch member.publicKey(rsaAlgorithm: rsaAlgorithm) {
            case .success(let key) where algorithms.contains(key.algorithm): set.keys.append(key)
            case .success(let key):
                set.ignored.append("\(name) is of \(key.algorithm.rawValue), which `algorithms` does not list")
            case .failure(let fault): set.ignored.append("\(name) \(fault.text)")
            }
        }
        return set
    }

    private static func list(_ reader: inout JSONReader) throws(CodecFailure) -> [KeyMembers] {
        var keys: [KeyMembers] = []
        try reader.beginArray()
        var isFirst = true
        while try reader.nextElement(&isFirst) {
            guard keys.count < keysAtMost else { throw CodecFailure("the set has more than 256 keys") }
            keys.append(try KeyMembers(&reader))
        }
        return keys
    }

    /// For a log: outside text, cut, all that is not printable ASCII shown as `?`.
    private static func printable(_ text: String) -> String {
        String(decoding: text.utf8.prefix(64).map { $0 >= 0x20 && $0 < 0x7F ? $0 : 0x3F }, as: UTF8.self)
    }
}

extension CodecFailure {
    var text: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.maximumTextSize) { buffer in
            let size = write(to: buffer)
            return String(decoding: buffer[..<size], as: UTF8.self)
        }
    }
}
