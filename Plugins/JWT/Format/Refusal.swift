/// Why a request is not let in. Each says what a client may know: nothing of what the gateway expects.
public enum Refusal: Int, Error, CaseIterable, Sendable {
    /// No token was shown.
    case missing
    /// More than one was (RFC 6750 §3.1, `invalid_request`).
    case repeated
    case tooLong
    case malformed
    case algorithm
    case critical
    case unknownKey
    case signature
    case expired
    case notYet
    case issuer
    case audience
    case type
    case claim
    /// It is a good token without a scope that is needed (RFC 6750 §3.1, `insufficient_scope`).
    case scope
    /// A claim that is to become a field's value has a control character in it.
    case field

    /// How refusals are counted: few enough to tell apart in a graph.
    public var reason: String {
        switch self {
        case .missing: "missing"
        case .repeated, .tooLong, .malformed, .critical: "malformed"
        case .algorithm, .unknownKey: "key"
        case .signature: "signature"
        case .expired, .notYet: "time"
        case .issuer, .audience, .type, .claim, .field: "claims"
        case .scope: "scope"
        }
    }

    /// For the client, and as `error_description`: no quotation mark and no backslash in it (RFC 6750 §3).
    public var text: StaticString {
        switch self {
        case .missing: "a bearer token is needed"
        case .repeated: "more than one bearer token was shown"
        case .tooLong: "the token is too long"
        case .malformed: "the token is malformed"
        case .algorithm: "the token's algorithm is not accepted"
        case .critical: "the token has a critical extension that is not understood"
        case .unknownKey: "the token's key is not known"
        case .signature: "the token's signature is wrong"
        case .expired: "the token has expired"
        case .notYet: "the token is not valid yet"
        case .issuer: "the token's issuer is not accepted"
        case .audience: "the token is not for this audience"
        case .type: "the token is of another type"
        case .claim: "the token lacks a claim that is needed"
        case .scope: "the token lacks a scope that is needed"
        case .field: "a claim of the token cannot stand in a field"
        }
    }

    /// The error code of RFC 6750 §3.1; nil when no credentials were shown, where no error is to be named.
    public var code: StaticString? {
        switch self {
        case .missing: nil
        case .repeated, .tooLong: "invalid_request"
        case .scope: "insufficient_scope"
        default: "invalid_token"
        }
    }
}
