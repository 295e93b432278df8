import SluicePlugin
import TokenFormat
import TokenKeys

/// What a good token says to the rest of the pipeline. Made once on a thread of the pool, then only read.
final class VerifiedToken: Sendable {
    /// Nanoseconds of the wall clock; from then on it is refused.
    let end: UInt64
    let tenant: KeptText?
    /// In the order of the mapping; nil where the token has no such claim.
    let fields: [KeptText?]

    init(end: UInt64, tenant: KeptText?, fields: [KeptText?]) {
        self.end = end
        self.tenant = tenant
        self.fields = fields
    }
}

/// Which claims go where.
struct ClaimMapping: Sendable {
    var tenant: String?
    var fields: [(field: KeptText, claim: String)] = []
}

/// Decides about a token. Any thread; allocates.
struct Verifier: Sendable {
    let policy: TokenPolicy
    let mapping: ClaimMapping

    /// - Parameter now: nanoseconds of the wall clock.
    func verify(
        _ text: UnsafeBufferPointer<UInt8>, with keys: KeySet, now: UInt64
    ) throws(Refusal) -> VerifiedToken {
        let token: TokenText
        do throws(TokenFault) { token = try TokenText(text) } catch {
            switch error {
            case .malformed: throw .malformed
            case .algorithm: throw .algorithm
            case .critical: throw .critical
            }
        }
        try keys.check(token, text)
        let end = try policy.check(token.header, token.claims, now: Double(now) / 1e9)
        var tenant: KeptText?
        if let name = mapping.tenant {
            // Without a tenant the limits of tenants would not hold.
            switch token.claims[name] {
            case .text(let text)? where !text.isEmpty: tenant = try Self.kept(text)
            case .number(_, let text)?: tenant = try Self.kept(text)
            default: throw .claim
            }
        }
        var fields: [KeptText?] = []
        for (_, claim) in mapping.fields { fields.append(try token.claims[claim]?.asText.map(Self.kept) ?? nil) }
        return VerifiedToken(
            end: end >= Double(UInt64.max) / 1e9 ? .max : UInt64(max(0, end) * 1e9), tenant: tenant, fields: fields)
    }

    /// What becomes a field's value, or part of one, must not break out of it.
    private static func kept(_ text: String) throws(Refusal) -> KeptText {
        let kept = KeptText(text)
        guard kept.withBytes({ $0.isFieldValue }) else { throw .field }
        return kept
    }
}
