import SluiceABI
import SluiceJSON

/// What is wrong with a token's form. It says nothing of what the token holds.
public enum TokenFault: Error, Equatable, Sendable {
    /// It is no JWS in compact form, or its header or claims are no JSON objects of unique names.
    case malformed
    /// Its algorithm is none of those that are accepted.
    case algorithm
    /// It has a critical extension, of which none is understood (RFC 7515 §4.1.11).
    case critical
}

/// The JOSE header of a token (RFC 7515 §4).
public struct TokenHeader: Equatable, Sendable {
    public var algorithm: Algorithm
    public var keyID: String?
    public var type: String?
}

/// The three parts of a JWS in compact form (RFC 7515 §7.1), decoded and no more.
public struct TokenSegments: Sendable {
    public let header: [UInt8]
    public let payload: [UInt8]
    /// Not empty: an unsecured JWS is none here.
    public let signature: [UInt8]
    /// What the signature is over: the first bytes of the text.
    public let signedCount: Int

    public init(_ text: UnsafeBufferPointer<UInt8>) throws(TokenFault) {
        let dot = UInt8(ascii: ".")
        guard let first = text.firstIndex(of: dot), let second = text[(first + 1)...].firstIndex(of: dot),
            let header = Base64URL.decode(text[..<first]), !header.isEmpty,
            let payload = Base64URL.decode(text[(first + 1)..<second]), !payload.isEmpty,
            // A third dot is no letter of base64url.
            let signature = Base64URL.decode(text[(second + 1)...]), !signature.isEmpty
        else { throw .malformed }
        self.header = header
        self.payload = payload
        self.signature = signature
        signedCount = second
    }
}

/// A token: read, not verified.
public struct TokenText: Sendable {
    public let header: TokenHeader
    public let claims: Claims
    public let signature: [UInt8]
    /// What the signature is over: the first bytes of the text.
    public let signedCount: Int

    /// Reads `text`. Names in the header that tell where a key is to be got (`jku`, `jwk`, `x5u`, `x5c`) are passed
    /// over: keys are the operator's to choose (RFC 8725 §3.10).
    public init(_ text: UnsafeBufferPointer<UInt8>) throws(TokenFault) {
        let segments = try TokenSegments(text)
        header = try Self.header(segments.header)
        claims = try Claims(segments.payload)
        signature = segments.signature
        signedCount = segments.signedCount
    }

    private static func header(_ text: [UInt8]) throws(TokenFault) -> TokenHeader {
        let members = try Claims(text)
        if members["crit"] != nil { throw .critical }
        guard case .text(let name)? = members["alg"] else { throw .malformed }
        guard let algorithm = Algorithm(rawValue: name) ?? (name == "Ed25519" ? .edDSA : nil) else { throw .algorithm }
        return TokenHeader(
            algorithm: algorithm, keyID: try members.text("kid"), type: try members.text("typ"))
    }
}

/// A value of a JSON object, as far as a verifier looks into it.
public enum ClaimValue: Equatable, Sendable {
    case text(String)
    case number(Double, text: String)
    case boolean(Bool)
    /// An array of nothing but texts.
    case texts([String])
    /// Null, an object, another array.
    case other

    /// As text, where it has one: what tenants and fields of requests can be made of.
    public var asText: String? {
        switch self {
        case .text(let text): text
        case .number(_, let text): text
        case .boolean(let value): value ? "true" : "false"
        case .texts(let texts): texts.joined(separator: ",")
        case .other: nil
        }
    }
}

/// The members of a token's header or claims, in their order, with unique names (RFC 7519 §4).
public struct Claims: Equatable, Sendable {
    /// Tokens have some ten; each is compared with those before it.
    public static let atMost = 128
    public private(set) var members: [(name: String, value: ClaimValue)] = []

    public static func == (left: Claims, right: Claims) -> Bool {
        left.members.elementsEqual(right.members) { $0.name == $1.name && $0.value == $1.value }
    }

    public init(_ text: [UInt8]) throws(TokenFault) {
        do throws(CodecFailure) {
            // Strings with escapes are copied, no more than once.
            members = try PrivateArena(limit: 2 * text.count + 1_024).read(text) { reader throws(CodecFailure) in
                var found: [(name: String, value: ClaimValue)] = []
                try reader.beginObject()
                var isFirst = true
                while let key = try reader.nextKey(&isFirst) {
                    let name = String(decoding: key.buffer, as: UTF8.self)
                    // Bytes, not characters that look alike.
                    guard found.count < Self.atMost, !found.contains(where: { $0.name.utf8.elementsEqual(name.utf8) })
                    else { throw CodecFailure("a name is there twice, or there are too many") }
                    found.append((name, try Self.value(&reader)))
                }
                return found
            }
        } catch { throw .malformed }
    }

    public subscript(name: String) -> ClaimValue? {
        members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The text of that name; nil when there is none, malformed when it is something else.
    func text(_ name: String) throws(TokenFault) -> String? {
        switch self[name] {
        case nil: return nil
        case .text(let text)?: return text
        default: throw .malformed
        }
    }

    private static func value(_ reader: inout JSONReader) throws(CodecFailure) -> ClaimValue {
        switch try reader.peek() {
        case .string: return .text(String(decoding: try reader.string().buffer, as: UTF8.self))
        case .true, .false: return .boolean(try reader.boolean())
        case .number:
            let position = reader.position
            let text = String(decoding: try reader.skip().buffer, as: UTF8.self)
            reader.restore(position)
            // One too large for a double is no date, and no text that anybody meant.
            guard let value = try reader.number().asDouble else { return .other }
            return .number(value, text: text)
        case .array:
            let position = reader.position
            var texts: [String] = []
            try reader.beginArray()
            var isFirst = true
            while try reader.nextElement(&isFirst) {
                guard try reader.peek() == .string else {
                    reader.restore(position)
                    try reader.skip()
                    return .other
                }
                texts.append(String(decoding: try reader.string().buffer, as: UTF8.self))
            }
            return .texts(texts)
        case .object, .null:
            try reader.skip()
            return .other
        }
    }
}
