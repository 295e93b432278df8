import SluiceABI
import SluicePlugin
import Testing

@Suite struct CookiesTests {
    private func value(_ name: String, _ fields: [(String, String)]) -> String? {
        let exchange = FakeExchange(fields: fields)
        return KeptText(name).withBytes { Cookies(Message(exchange.message)).value(of: $0).map { String($0) } }
    }

    /// The first two are the examples of RFC 6265 section 3.1.
    @Test(
        arguments: [
            ("SID=31d4d96e407aad42", "SID", "31d4d96e407aad42"),
            ("SID=31d4d96e407aad42; lang=en-US", "lang", "en-US"),
            ("a=1;b=2", "b", "2"), ("a=1;  b=2", "b", "2"), ("a=1 ; b=2 ", "a", "1"),
            // The first of a name counts: it has the longest path.
            ("id=deep; id=shallow", "id", "deep"),
            ("id=", "id", ""), ("id=a=b==", "id", "a=b=="), ("id=\"q\"", "id", "\"q\""), ("id=\"\"", "id", "\"\""),
            ("x-id=1; id=2", "id", "2"), ("idx=1; id=2", "id", "2"), ("; ;id=2;", "id", "2"),
            // What is of no grammar is passed over.
            ("junk; id=2", "id", "2"), ("id; id=2", "id", "2"), ("id=a b; id=2", "id", "2"),
            ("id=\"a; id=2", "id", "2"), ("id=a\\b; id=a,b; id=\u{e9}; id=2", "id", "2"),
        ] as [(String, String, String?)])
    func aCookieIsFoundByItsName(field: String, name: String, expected: String?) {
        #expect(value(name, [("cookie", field)]) == expected)
    }

    @Test(
        arguments: ["", ";", "=", "=1", "ID=1", "i=1; d=2", "id", "id =1", "id=a b", "id=\"", "id=a\u{1}", "xid=1"])
    func whatIsNotThereIsNotFound(field: String) {
        #expect(value("id", [("cookie", field)]) == nil)
        #expect(value("", [("cookie", field)]) == nil)
    }

    /// HTTP/2 clients send one field a cookie (RFC 9113 section 8.2.3).
    @Test func severalFieldsAreReadAsOne() {
        let fields = [("Cookie", "a=1"), ("host", "x"), ("cookie", "b=2; c=3"), ("COOKIE", "a=4")]
        #expect(value("a", fields) == "1")
        #expect(value("c", fields) == "3")
        #expect(value("d", fields) == nil)
        #expect(value("a", [("set-cookie", "a=1")]) == nil)
    }
}

@Suite struct FieldSyntaxTests {
    @Test func tokensAreThoseOfTheRFC() {
        for byte in UInt8.min...UInt8.max {
            let texts = CTexts()
            let isToken = SluicePlugin.Bytes(texts.bytes([byte])).isToken
            let allowed =
                Array("!#$%&'*+-.^_`|~0123456789".utf8).contains(byte) || byte | 0x20 >= 97 && byte | 0x20 <= 122
            #expect(isToken == allowed, "\(byte)")
        }
        #expect(!Bytes().isToken)
        #expect(!Bytes("a b").isToken)
    }

    @Test(
        arguments: [
            ("", true), ("a b\tc", true), ("\u{e9}", true), (" a", false), ("a\t", false), ("a\rb", false),
            ("a\nb", false), ("a\0b", false), ("\u{7f}", false),
        ])
    func valuesHaveNoControlsAndNoWhiteSpaceAround(value: String, valid: Bool) {
        #expect(KeptText(value).withBytes { $0.isFieldValue } == valid)
    }

    @Test func fieldsOfTheConnectionAreKnownInAnyCase() {
        for name in [
            "TE", "Upgrade", "connection", "Keep-Alive", "CONTENT-LENGTH", "HTTP2-Settings", "Proxy-Connection",
            "transfer-encoding",
        ] {
            #expect(KeptText(name).withBytes { $0.isFieldOfConnection }, "\(name)")
        }
        for name in ["host", "content-type", "via", "tea", "cookie", ""] {
            #expect(!KeptText(name).withBytes { $0.isFieldOfConnection }, "\(name)")
        }
    }
}
