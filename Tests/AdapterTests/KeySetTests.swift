import TokenFormat
import TokenKeys
import TokenSigning
import Testing

/// Sets of keys as text (RFC 7517).
@Suite struct KeySetTests {
    private static func read(_ text: String, _ algorithms: [Algorithm] = Algorithm.allCases) throws -> KeySetText {
        try KeySetText.read(Array(text.utf8), algorithms: algorithms)
    }

    private static func fault(_ text: String) -> String? {
        do throws(KeySetFault) {
            _ = try KeySet(KeySetText.read(Array(text.utf8)))
            return nil
        } catch { return error.text }
    }

    private static let point = """
        "kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",\
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        """

    @Test func aKeyHasOneAlgorithm() throws {
        let rsa = try SigningKey(.rs256)
        #expect(try Self.read(keySet([try rsa.jwk(id: "a")])).keys.map(\.algorithm) == [.rs256])
        #expect(try Self.read(keySet([try rsa.jwk(id: "a", alg: "PS384")])).keys.map(\.algorithm) == [.ps384])
        let fallback = try KeySetText.read(Array(keySet([try rsa.jwk(id: nil)]).utf8), rsaAlgorithm: .ps256)
        #expect(fallback.keys.map(\.algorithm) == [.ps256])
        #expect(try Self.read("{\"keys\":[{\(Self.point)}]}").keys.map(\.algorithm) == [.es256])
        #expect(try Self.read("{\"keys\":[{\(Self.point),\"alg\":\"ES256\",\"use\":\"sig\"}]}").keys.count == 1)
    }

    /// RFC 7517 §5: keys that are not understood are left out, the others serve.
    @Test(
        arguments: [
            (#"{"kty":"oct","k":"AAAA"}"#, "a shared secret"), (#"{"kty":"new"}"#, "not known"), ("{}", "no `kty`"),
            (#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#, "curve that is not known"),
            (#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#, "not of its curve's size"),
            ("{\(point),\"use\":\"enc\"}", "not for signatures"),
            ("{\(point),\"key_ops\":[\"sign\"]}", "lack `verify`"),
            ("{\(point),\"alg\":\"ES384\"}", "its curve does not have"),
            (#"{"kty":"OKP","crv":"Ed448","x":"AA"}"#, "not known"),
            (#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#, "32 bytes"),
            (#"{"kty":"RSA","n":"AQAB"}"#, "lacks `n` or `e`"),
            (#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, "has 17 bits"),
            (#"{"kty":"RSA","n":"A+==","e":"AQAB"}"#, "no base64url"),
            ("5", "no JSON object"), ("[{}]", "no JSON object"),
            ("{\(point),\"kid\":5}", "a `kid` that is no text"),
            ("{\(point),\"use\":[\"sig\"]}", "a `use` that is no text"),
            (#"{"kty":"RSA","n":null,"e":"AQAB"}"#, "`n` that is no text"), (#"{"kty":{"a":1}}"#, "`kty` that is no"),
            ("{\(point),\"key_ops\":\"verify\"}", "no list of texts"),
            ("{\(point),\"key_ops\":[1]}", "no list of texts"),
            ("{\(point),\"x\":\"AA\"}", "`x` twice"), ("{\(point),\"kty\":\"EC\"}", "`kty` twice"),
            // What members of other types mean is not known: neither their kinds nor that they are private.
            (#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","e":{"a":1}}"#, "a type that is not known"),
            (#"{"kty":"new","x":["a"],"d":"AA","p":"AA"}"#, "a type that is not known"),
            (#"{"kid":"a","q":"AA"}"#, "no `kty`"),
        ]) func keysThatAreNotUnderstoodAreLeftOut(key: String, reason: String) throws
    {
        let set = try Self.read("{\"other\":[1],\"keys\":[\(key),{\(Self.point)}]}")
        #expect(set.keys.count == 1)
        #expect(set.ignored.count == 1 && set.ignored[0].contains(reason), "\(set.ignored)")
        #expect(Self.fault("{\"keys\":[\(key)]}")?.contains(reason) == true)
    }

    @Test func numbersOfRSAAreBounded() throws {
        let small = try SigningKey(.rs256, rsaBits: 1_024)
        #expect(Self.fault(keySet([try small.jwk(id: "small")]))?.contains("(kid `small`) has 1024 bits") == true)
        let good = try SigningKey(.rs256).jwk(id: nil)
        for exponent in ["AQ", "AA", "", "AgA", "BA", "AQABAAAAAAAAAQ"] {
            let set = keySet([good.replacing("\"e\":\"AQAB\"", with: "\"e\":\"\(exponent)\"")])
            #expect(Self.fault(set) != nil, "\(exponent)")
        }
        #expect(Self.fault(keySet([good.replacing("\"AQAB\"", with: "\"AAAAAQAB\"")])) == nil)
    }

    @Test func aPointBesideItsCurveIsNoKey() throws {
        let moved = Self.point.replacing("x_FE", with: "x_FF")
        #expect(Self.fault("{\"keys\":[{\(moved)}]}")?.contains("make no key") == true)
    }

    @Test(
        arguments: [
            ("", "expected a JSON"), ("null", "expected a JSON"), ("[]", "expected a JSON"), ("{}", "no member `keys`"),
            (point, "expected a JSON"),
            ("{\"keys\":{}}", "expected a JSON"), ("{\"keys\":[],\"keys\":[]}", "twice"), ("{\"keys\":[]}", "no key"),
            ("{\"keys\":[1]}", "no key to verify with"), ("{\"keys\":[{\(point)}", ""),
            ("{\"keys\":[{\(point)},]}", ""),
            ("{\"keys\":[{\(point),\"d\":\"AAAA\"}]}", "private key"), ("<html>", ""),
            ("{\"keys\":[{\"d\":5,\"kid\":5,\(point)}]}", "private key"),
            (#"{"keys":[{"p":"AA","kty":"RSA"}]}"#, "private key"),
        ]) func whatIsNoSetIsRefused(text: String, reason: String)
    {
        let found = Self.fault(text)
        #expect(found != nil)
        if !reason.isEmpty { #expect(found?.contains(reason) == true, "\(found ?? "")") }
    }

    @Test func algorithmsMayBeNarrowed() throws {
        let set = "{\"keys\":[{\(Self.point)}]}"
        #expect(try Self.read(set, [.es256]).keys.count == 1)
        let none = try Self.read(set, [.rs256, .edDSA])
        #expect(none.keys.isEmpty && none.ignored == ["key 1 is of ES256, which `algorithms` does not list"])
    }
}
