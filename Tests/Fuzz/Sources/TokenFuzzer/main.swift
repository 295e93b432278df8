// Tokens: what is accepted is of one text only, has an algorithm that may be, names that are there once and no critical
// extension, and a policy decides about it whatever it claims.
import FuzzDriver
import TokenFormat

fuzz { data, count in
    let text = UnsafeBufferPointer(start: data, count: count)
    guard let token = try? TokenText(text) else { return 0 }
    expect(
        token.signedCount < count && text[token.signedCount] == UInt8(ascii: "."), "the signature stands behind a dot")
    expect(!token.signature.isEmpty, "an unsigned token is none")
    expect(
        Base64URL.encode(token.signature).utf8.elementsEqual(text[(token.signedCount + 1)...]),
        "a signature has one text")
    let names = token.claims.members.map { Array($0.name.utf8) }
    expect(Set(names).count == names.count && names.count <= Claims.atMost, "names are there once")
    if let segments = try? TokenSegments(text) {
        let again = "\(Base64URL.encode(segments.header)).\(Base64URL.encode(segments.payload))"
        expect(again.utf8.elementsEqual(text[..<token.signedCount]), "what is signed has one text")
        expect((try? Claims(segments.header))?["crit"] == nil, "a critical extension is refused")
    } else {
        expect(false, "a token has three parts")
    }
    var policy = TokenPolicy()
    policy.issuers = ["a"]
    policy.audiences = ["m"]
    policy.maxAge = 1e6
    policy.scopes = ["a"]
    for now in [0, 1.5e9, 1e15] {
        if let end = try? policy.check(token.header, token.claims, now: now) {
            expect(now < end && token.claims["iss"] == .text("a"), "who passes is the issuer's, and in time")
        }
    }
    return 0
}
