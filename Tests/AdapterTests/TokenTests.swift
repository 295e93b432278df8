import SluiceJSON
import TokenFormat
import TokenKeys
import TokenSigning
import Testing

/// Signatures and claims of tokens, against examples of the standards and keys of libcrypto's own making.
@Suite struct TokenTests {
    static func segments(_ text: String) throws -> TokenSegments {
        try Array(text.utf8).withUnsafeBufferPointer { try TokenSegments($0) }
    }

    static func token(_ text: String) throws(TokenFault) -> TokenText {
        let bytes = Array(text.utf8)
        let outcome = bytes.withUnsafeBufferPointer { buffer -> Result<TokenText, TokenFault> in
            do throws(TokenFault) { return .success(try TokenText(buffer)) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    /// Whether the set verifies the signature of a token whose payload may be anything.
    static func verifies(_ text: String, _ set: String) throws -> Bool {
        let keys = try KeySet(KeySetText.read(Array(set.utf8)))
        let segments = try segments(text)
        return Array(text.utf8).withUnsafeBufferPointer { buffer in
            keys.keys[0].verifies(
                segments.signature, of: UnsafeBufferPointer(rebasing: buffer[..<segments.signedCount]))
        }
    }

    static func outcome(_ text: String, _ set: String) throws -> Refusal? {
        let keys = try KeySet(KeySetText.read(Array(set.utf8)))
        let token = try token(text)
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBufferPointer { buffer -> Refusal? in
            do throws(Refusal) {
                try keys.check(token, buffer)
                return nil
            } catch { return error }
        }
    }

    // MARK: The standards' examples

    static let claimsOfRFC7515 =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

    struct Example: Sendable, CustomTestStringConvertible {
        var source: String
        var key: String
        var token: String
        var testDescription: String { source }
    }

    static let examples = [
        Example(
            source: "RFC 7515 A.2, RS256",
            key: """
                {"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPME\
                zP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re\
                xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNm\
                oudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}
                """,
            token: """
                eyJhbGciOiJSUzI1NiJ9.\(claimsOfRFC7515).cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZ\
                mh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h\
                6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCn\
                vWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw
                """),
        Example(
            source: "RFC 7515 A.3, ES256",
            key: """
                {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue65\
                9LNpXW6pCyStikYjKIWI5a0"}
                """,
            token: """
                eyJhbGciOiJFUzI1NiJ9.\(claimsOfRFC7515).DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8IS\
                lSApmWQxfKTUJqPP3-Kg6NU1Q
                """),
        Example(
            source: "RFC 7515 A.4, ES512",
            key: """
                {"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSf\
                S9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9u\
                bmf63e3kyMj2"}
                """,
            token: """
                eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2S\
                I-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolL\
                zeO_Jn
                """),
        Example(
            source: "RFC 8037 A.4, EdDSA",
            key: #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            token: """
                eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
                WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg
                """),
    ]

    @Test(arguments: examples) func examplesOfTheStandardsVerify(example: Example) throws {
        let set = keySet([example.key])
        #expect(try Self.verifies(example.token, set))
        // One bit of the payload, and one of the signature.
        let parts = example.token.split(separator: ".")
        var payload = try #require(Base64URL.decode(Array(parts[1].utf8)))
        payload[0] ^= 1
        #expect(try !Self.verifies("\(parts[0]).\(Base64URL.encode(payload)).\(parts[2])", set))
        for place in [0, 40] {
            var signature = try #require(Base64URL.decode(Array(parts[2].utf8)))
            signature[place] ^= 1
            #expect(try !Self.verifies("\(parts[0]).\(parts[1]).\(Base64URL.encode(signature))", set))
        }
    }

    @Test(arguments: Algorithm.allCases) func everyAlgorithmVerifiesItsOwnAlone(algorithm: Algorithm) throws {
        let key = try SigningKey(algorithm)
        let alg = algorithm.isRSA ? algorithm.rawValue : nil
        let set = keySet([try key.jwk(id: "a", alg: alg)])
        let token = try key.token(#"{"sub":"u"}"#, id: "a")
        #expect(try Self.outcome(token, set) == nil)
        // Another key of the same kind.
        let other = try SigningKey(algorithm)
        #expect(try Self.outcome(token, keySet([try other.jwk(id: "a", alg: alg)])) == .signature)
        // The same key under another name, and a header that names another algorithm of the same key.
        #expect(try Self.outcome(token, keySet([try key.jwk(id: "b", alg: alg)])) == .unknownKey)
        for wrong in Algorithm.allCases where wrong != algorithm {
            let forged = try key.token("{}", header: "{\"alg\":\"\(wrong.rawValue)\",\"kid\":\"a\"}")
            #expect(try Self.outcome(forged, set) == .unknownKey, "\(wrong)")
        }
    }

    /// An ECDSA signature of zeros verifies whatever it is compared with, where nobody looks (CVE-2022-21449).
    @Test func aSignatureOfZerosIsNone() throws {
        let key = try SigningKey(.es256)
        let parts = try key.token("{}").split(separator: ".")
        let zeros = Base64URL.encode([UInt8](repeating: 0, count: 64))
        #expect(try Self.outcome("\(parts[0]).\(parts[1]).\(zeros)", keySet([try key.jwk(id: nil)])) == .signature)
        // In DER, as other programs write it, it is of another size.
        #expect(try Self.outcome("\(parts[0]).\(parts[1]).\(zeros)AA", keySet([try key.jwk(id: nil)])) == .signature)
    }

    @Test func aTokenWithoutAKeysNameIsTriedWithFew() throws {
        let keys = try (0..<6).map { _ in try SigningKey(.edDSA) }
        let set = keySet(try keys.enumerated().map { try $0.element.jwk(id: "\($0.offset)") })
        #expect(try Self.outcome(try keys[3].token("{}"), set) == nil)
        #expect(try Self.outcome(try keys[4].token("{}"), set) == .signature)
        #expect(try Self.outcome(try keys[5].token("{}", id: "5"), set) == nil)
    }

    @Test func theKeyThatATokenNamesComesBeforeThoseWithoutAName() throws {
        let keys = try (0..<6).map { _ in try SigningKey(.edDSA) }
        // Five without a name stand before the one that has it: more than are tried.
        let set = keySet(try keys.enumerated().map { try $0.element.jwk(id: $0.offset < 5 ? nil : "named") })
        #expect(try Self.outcome(try keys[5].token("{}", id: "named"), set) == nil)
        // What has no name may have made it still, within its bound, and another key of that name has not.
        #expect(try Self.outcome(try keys[3].token("{}", id: "named"), set) == nil)
        #expect(try Self.outcome(try keys[4].token("{}", id: "named"), set) == .signature)
        #expect(try Self.outcome(try SigningKey(.edDSA).token("{}", id: "named"), set) == .signature)
        #expect(try Self.outcome(try SigningKey(.es256).token("{}", id: "named"), set) == .unknownKey)
    }

    // MARK: Form

    private static func made(_ header: String, _ payload: String = "{}", signature: String = "AAAA") -> String {
        "\(Base64URL.encode(Array(header.utf8))).\(Base64URL.encode(Array(payload.utf8))).\(signature)"
    }

    @Test(
        arguments: [
            ("{\"alg\":\"none\"}", TokenFault.algorithm), ("{\"alg\":\"None\"}", .algorithm),
            ("{\"alg\":\"HS256\"}", .algorithm), ("{\"alg\":\"RS1\"}", .algorithm), ("{\"alg\":\"rs256\"}", .algorithm),
            ("{\"alg\":\"\"}", .algorithm), ("{}", .malformed), ("{\"alg\":null}", .malformed),
            ("{\"alg\":[\"RS256\"]}", .malformed), ("{\"alg\":\"RS256\",\"alg\":\"RS256\"}", .malformed),
            ("{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}", .malformed),
            ("{\"alg\":\"RS256\",\"crit\":[\"exp\"],\"exp\":1}", .critical),
            ("{\"alg\":\"RS256\",\"crit\":[]}", .critical),
            ("{\"alg\":\"RS256\",\"kid\":7}", .malformed), ("[]", .malformed), ("{\"alg\":\"RS256\"}x", .malformed),
            ("{\"alg\":\"RS256\",}", .malformed), ("\u{FEFF}{\"alg\":\"RS256\"}", .malformed),
        ]) func headersAreReadStrictly(header: String, fault: TokenFault)
    {
        #expect(throws: fault) { try Self.token(Self.made(header)) }
    }

    @Test func theFormIsReadStrictly() throws {
        let good = Self.made("{\"alg\":\"RS256\",\"jku\":\"https://evil.test/\"}", "{\"sub\":\"a\"}")
        #expect(try Self.token(good).claims["sub"] == .text("a"))
        let parts = good.split(separator: ".").map(String.init)
        let bad = [
            "", ".", "..", "...", "a.b", parts[0], "\(parts[0]).\(parts[1])", "\(parts[0]).\(parts[1]).",
            "\(parts[0])..\(parts[2])", ".\(parts[1]).\(parts[2])", "\(good).", "\(good).AAAA", "\(good)=",
            " \(good)", "\(good)\n", "\(parts[0])=.\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1]).AAAAA",
            // Bits behind the last byte that are not zero: another text of the same token.
            "\(parts[0]).\(parts[1]).AAB", "\(parts[0]).\(parts[1]).AA+A",
        ]
        for text in bad { #expect(throws: TokenFault.malformed, "\(text)") { try Self.token(text) } }
        for payload in ["[]", "7", "", "{", "{\"a\":1,\"a\":2}", "{\"a\":NaN}", "{\"a\":01}", "{\"a\":\"\u{1}\"}"] {
            #expect(throws: TokenFault.malformed, "\(payload)") {
                try Self.token(Self.made("{\"alg\":\"RS256\"}", payload))
            }
        }
    }

    @Test func claimsKeepWhatTheySay() throws {
        let claims = try Claims(
            Array(
                #"{"t":"a\u00e9","n":12.50,"b":true,"l":["x","y"],"m":["x",1],"o":{"a":[1]},"z":null,"e":1e999}"#.utf8))
        #expect(claims["t"] == .text("a\u{e9}"))
        #expect(claims["n"] == .number(12.5, text: "12.50"))
        #expect(claims["b"]?.asText == "true")
        #expect(claims["l"]?.asText == "x,y")
        for name in ["m", "o", "z", "e"] { #expect(claims[name] == .other, "\(name)") }
        #expect(claims["none"] == nil)
        // Composed and decomposed look alike and are two names.
        #expect(try Claims(Array("{\"\u{e9}\":1,\"e\u{301}\":2}".utf8)).members.count == 2)
        let many = (0...Claims.atMost).map { "\"\($0)\":0" }.joined(separator: ",")
        #expect(throws: TokenFault.malformed) { try Claims(Array("{\(many)}".utf8)) }
    }

    // MARK: Policy

    private static func check(
        _ claims: String, header: String = "{\"alg\":\"RS256\"}", now: Double = 1_000,
        _ change: (inout TokenPolicy) -> Void
    ) throws -> Result<Double, Refusal> {
        let token = try token(made(header, claims))
        var policy = TokenPolicy()
        policy.leeway = 10
        change(&policy)
        do throws(Refusal) { return .success(try policy.check(token.header, token.claims, now: now)) } catch {
            return .failure(error)
        }
    }

    @Test(
        arguments: [
            (#"{"exp":1000}"#, 1_009.9, nil), (#"{"exp":1000}"#, 1_010, .expired), (#"{"exp":1000.5}"#, 1_010.4, nil),
            ("{}", 0, .claim), (#"{"exp":"1000"}"#, 0, .malformed), (#"{"exp":1e400}"#, 0, .malformed),
            (#"{"exp":-1}"#, 1_000, .expired), (#"{"exp":9e15}"#, 1_000, nil), (#"{"exp":1e16}"#, 0, .malformed),
            (#"{"exp":2000,"nbf":1000}"#, 990, nil), (#"{"exp":2000,"nbf":1000}"#, 989.9, .notYet),
            (#"{"exp":2000,"nbf":null}"#, 1_000, .malformed), (#"{"exp":2000,"iat":1011}"#, 1_000, .notYet),
            (#"{"exp":2000,"iat":1010}"#, 1_000, nil), (#"{"exp":true}"#, 0, .malformed),
        ] as [(String, Double, Refusal?)])
    func timesHoldWithinTheLeeway(claims: String, now: Double, refusal: Refusal?) throws {
        switch try Self.check(claims, now: now, { _ in }) {
        case .success(let end): #expect(refusal == nil && end > now)
        case .failure(let found): #expect(found == refusal)
        }
    }

    @Test func ageCountsFromIssue() throws {
        #expect(try Self.check(#"{"exp":5000,"iat":900}"#, now: 1_000) { $0.maxAge = 100 } == .success(1_010))
        #expect(try Self.check(#"{"exp":5000,"iat":900}"#, now: 1_010) { $0.maxAge = 100 } == .failure(.expired))
        #expect(try Self.check(#"{"exp":5000}"#, now: 1_000) { $0.maxAge = 100 } == .failure(.claim))
        #expect(try Self.check("{}") { $0.requiresExpiry = false } == .success(.infinity))
    }

    @Test(
        arguments: [
            (#"{"iss":"a","aud":"m"}"#, nil), (#"{"iss":"b","aud":["x","m"]}"#, nil), (#"{"aud":"m"}"#, .issuer),
            (#"{"iss":"A","aud":"m"}"#, .issuer), (#"{"iss":["a"],"aud":"m"}"#, .issuer), (#"{"iss":"a"}"#, .audience),
            (#"{"iss":"a","aud":["m",1]}"#, .audience), (#"{"iss":"a","aud":[]}"#, .audience),
            (#"{"iss":"a","aud":"mm"}"#, .audience),
        ] as [(String, Refusal?)])
    func issuerAndAudienceAreTheConfigured(claims: String, refusal: Refusal?) throws {
        let outcome = try Self.check(claims) {
            $0.requiresExpiry = false
            $0.issuers = ["a", "b"]
            $0.audiences = ["m"]
        }
        #expect(outcome == (refusal.map { .failure($0) } ?? .success(.infinity)))
    }

    @Test func typesScopesAndClaimsAreAskedFor() throws {
        func outcome(_ claims: String, type: String = "", _ change: (inout TokenPolicy) -> Void) throws -> Refusal? {
            let header = "{\"alg\":\"RS256\"\(type.isEmpty ? "" : ",\"typ\":\"\(type)\"")}"
            let found = try Self.check(claims, header: header) {
                $0.requiresExpiry = false
                change(&$0)
            }
            if case .failure(let refusal) = found { return refusal }
            return nil
        }
        #expect(try outcome("{}", type: "AT+JWT") { $0.type = "at+jwt" } == nil)
        #expect(try outcome("{}", type: "application/at+jwt") { $0.type = "at+jwt" } == nil)
        #expect(try outcome("{}", type: "JWT") { $0.type = "at+jwt" } == .type)
        #expect(try outcome("{}") { $0.type = "JWT" } == .type)
        #expect(try outcome(#"{"sub":null}"#) { $0.required = ["sub"] } == nil)
        #expect(try outcome(#"{"Sub":"a"}"#) { $0.required = ["sub"] } == .claim)
        for good in [#"{"scope":"a b c"}"#, #"{"scp":["a","b"]}"#, #"{"scope":"a","scp":["b"]}"#] {
            #expect(try outcome(good) { $0.scopes = ["a", "b"] } == nil, "\(good)")
        }
        for bad in [#"{"scope":"a bb"}"#, "{}", #"{"scope":"A b"}"#, #"{"scope":{"a":"b"}}"#] {
            #expect(try outcome(bad) { $0.scopes = ["a", "b"] } == .scope, "\(bad)")
        }
    }

    /// What goes to a client stands between quotation marks (RFC 6750 §3).
    @Test func textsOfRefusalsAreQuotable() {
        for refusal in Refusal.allCases {
            let text = String(describing: refusal.text)
            #expect(!text.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C })
        }
    }
}
