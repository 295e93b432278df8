/// What a token has to say beside a good signature. Pure: the time is told.
public struct TokenPolicy: Sendable {
    /// One of them is `iss`; nil: whatever it is.
    public var issuers: [String]?
    /// One of them is among `aud`; nil: whatever it is.
    public var audiences: [String]?
    /// `typ` of the header, as RFC 7515 §4.1.9 compares it; nil: whatever it is.
    public var type: String?
    /// Seconds by which clocks may differ.
    public var leeway: Double = 30
    /// Seconds that may have passed since `iat`, which then has to be there.
    public var maxAge: Double?
    public var requiresExpiry = true
    /// Claims that have to be there.
    public var required: [String] = []
    /// All of them are in `scope` (RFC 8693 §4.2), or in an array `scp` or `scope`.
    public var scopes: [String] = []

    public init() {}

    /// Until when the token is good, in seconds since 1970, leeway included; infinite where nothing ends it.
    /// - Parameter now: seconds since 1970.
    public func check(_ header: TokenHeader, _ claims: Claims, now: Double) throws(Refusal) -> Double {
        if let type, !Self.isType(header.type, type) { throw .type }
        var end = Double.infinity
        if let expiry = try date(claims, "exp") {
            end = expiry
        } else if requiresExpiry {
            throw .claim
        }
        if let from = try date(claims, "nbf"), now < from - leeway { throw .notYet }
        let issued = try date(claims, "iat")
        // A token from the future was made by a clock that is wrong, or forged with a key that is not yet in use.
        if let issued, now < issued - leeway { throw .notYet }
        if let maxAge {
            guard let issued else { throw .claim }
            end = min(end, issued + maxAge)
        }
        // "on or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4).
        guard now < end + leeway else { throw .expired }
        if let issuers {
            guard case .text(let issuer)? = claims["iss"], issuers.contains(where: { Self.same($0, issuer) }) else {
                throw .issuer
            }
        }
        if let audiences {
            guard let listed = Self.texts(claims["aud"]),
                audiences.contains(where: { mine in listed.contains { Self.same($0, mine) } })
            else { throw .audience }
        }
        for name in required where claims[name] == nil { throw .claim }
        if !scopes.isEmpty {
            var granted: [Substring] = []
            for name in ["scope", "scp"] {
                for text in Self.texts(claims[name]) ?? [] { granted += text.split(separator: " ") }
            }
            for scope in scopes where !granted.contains(where: { Self.same($0, scope) }) { throw .scope }
        }
        return end + leeway
    }

    /// A NumericDate (RFC 7519 §2).
    private func date(_ claims: Claims, _ name: String) throws(Refusal) -> Double? {
        switch claims[name] {
        case nil: return nil
        // 2^53: whole seconds that a double tells apart.
        case .number(let value, _)? where abs(value) < 9_007_199_254_740_992: return value
        default: throw .malformed
        }
    }

    private static func texts(_ value: ClaimValue?) -> [String]? {
        switch value {
        case .text(let text)?: [text]
        case .texts(let texts)?: texts
        default: nil
        }
    }

    /// Byte by byte (RFC 7519 §2, StringOrURI), not by what looks alike.
    static func same(_ left: some StringProtocol, _ right: some StringProtocol) -> Bool {
        left.utf8.elementsEqual(right.utf8)
    }

    /// Media types compare without regard to case, and `application/` may be left out.
    private static func isType(_ shown: String?, _ wanted: String) -> Bool {
        func short(_ text: String) -> String {
            let lower = text.lowercased()
            return lower.hasPrefix("application/") ? String(lower.dropFirst(12)) : lower
        }
        guard let shown else { return false }
        return short(shown) == short(wanted)
    }
}
