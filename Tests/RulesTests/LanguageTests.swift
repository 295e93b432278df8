import Rules
import SluiceABI
import Testing

/// What each part of the language means, on one request.
@Suite struct LanguageTests {
    let request = SampleRequest(
        "POST", "/v2/models/iris/infer", query: "size=12&tag=a%20b+c&empty=&size=99&flag",
        headers: [
            ("Host", "gateway.test"), ("X-Width", "1025"), ("x-kind", "Image/PNG"), ("X-KIND", "second"),
            ("Content-Type", "Application/JSON ; charset=utf-8"), ("x-empty", ""),
        ],
        body: "0123456789", tenant: "acme", model: "iris", version: "2", priority: 3)

    @Test(arguments: [
        #"method == "POST""#, #"method != "post""#, #"lower(method) == "post""#, #"path == "/v2/models/iris/infer""#,
        #"path starts_with "/v2/""#, #"path ends_with "/infer""#, #"path contains "models""#,
        #"tenant == "acme""#, #"model == "iris""#, #"version == "2""#, "priority == 3", "priority < 5",
        #"header("x-width") == "1025""#, #"header("X-WIDTH") == '1025'"#, #"integer(header("x-width")) > 1024"#,
        #"number(header("x-width")) / 2 == 512.5"#, #"header("x-kind") == "Image/PNG""#,
        #"lower(header("x-kind")) in ["image/jpeg", "image/png"]"#, #"exists(header("x-empty"))"#,
        #"header("x-empty") == """#, #"not exists(header("x-none"))"#, #"content_type == "application/json""#,
        #"content_type in ["text/plain", "APPLICATION/json"]"#, #"query("size") == "12""#,
        #"integer(query("size")) * 2 == 24"#, #"query("tag") == "a b c""#, #"query("empty") == """#,
        #"query("flag") == """#, #"not exists(query("none"))"#, "body_size == 10", #"body contains "345""#,
        "length(body) == 10", "length(path) > 5", "true", "not false", "1 + 2 * 3 == 7", "(1 + 2) * 3 == 9",
        "10 - 4 - 3 == 3", "7 / 2 == 3", "-7 / 2 == -3", "-7 % 3 == -1", "7.0 / 2 == 3.5", "- -3 == 3",
        "1 == 1.0", "1 < 1.5", "2 >= 2", "5 in [1, 5]", "5 not in [1, 6,]", "-5 in [-5]", "1.5e1 == 15",
        #""a\x62c\n" == "abc\n""#, #"'it"s' == "it\"s""#, "true or 1 / (priority - 3) == 1",
        "false and true or true", "not (true and false)", "not 1 == 2", "integer(3.9) == 3", "integer(-3.9) == -3",
    ])
    func holds(rule: String) throws {
        #expect(try request.outcome(rule) == .holds, "\(rule)")
    }

    @Test(arguments: [
        #"method == "post""#, #"path starts_with "/v3""#, #"path contains "IRIS""#, "priority > 3",
        #"header("x-none") == "a""#, #"header("x-none") in ["a"]"#, #"header("x-none") starts_with """#,
        #"integer(header("x-kind")) > 0"#, #"integer(header("x-kind")) <= 0"#, #"content_type == "text/plain""#,
        "false", "true and false", "false or false", "3 in [1, 2]", #"tenant == "acm""#, #"tenant == "acmee""#,
        #"lower(tenant) == "ACM""#, #"path ends_with "/v2/models/iris/infer/and/more""#,
    ])
    func fails(rule: String) throws {
        #expect(try request.outcome(rule) == .fails, "\(rule)")
    }

    /// What is not there is equal to nothing, not even to itself, and has no order.
    @Test(arguments: [
        (#"header("x-none") == header("x-none")"#, RuleOutcome.fails), (#"header("x-none") != "a""#, .holds),
        (#"header("x-none") not in ["a"]"#, .holds), (#"integer(header("x-none")) < 1"#, .fails),
        (#"integer(header("x-none")) >= 1"#, .fails), (#"not integer(header("x-none")) < 1"#, .holds),
        (#"exists(integer(header("x-kind")))"#, .fails), (#"length(header("x-none")) == 0"#, .fails),
        (#"exists(1 / (priority - 3))"#, .fails), (#"exists(1 % (priority - 3))"#, .fails),
        (#"exists(1.0 / (priority - 3))"#, .fails),
        ("exists(9223372036854775807 + priority)", .fails), ("exists(-9223372036854775807 - priority)", .fails),
        ("exists(9223372036854775807 * priority)", .fails), ("exists(9223372036854775807.0 * 1e300 * 1e300)", .fails),
        ("exists(integer(1e300))", .fails),
    ])
    func absentValues(rule: String, outcome: RuleOutcome) throws {
        #expect(try request.outcome(rule) == outcome, "\(rule)")
    }

    @Test(arguments: [
        ("12", "12"), ("-9223372036854775808", "-9223372036854775807 - 1"), ("0", "0"), ("-0", "0"),
        ("-9223372036854775808", "-9223372036854775808"), ("-9223372036854775808", "(- 9223372036854775808)"),
    ])
    func textsThatAreWholeNumbers(text: String, value: String) throws {
        let request = SampleRequest(headers: [("n", text)])
        #expect(try request.outcome("integer(header(\"n\")) == \(value)") == .holds)
    }

    /// The lowest whole number is written like all others, though it has no counterpart above 0.
    @Test(arguments: [
        "integer(header(\"n\")) == -9223372036854775808", "integer(header(\"n\")) in [-9223372036854775808]",
        "integer(header(\"n\")) in [1, - 9223372036854775808, 2]", "-9223372036854775808 < -9223372036854775807",
        "-9223372036854775808 + 1 == -9223372036854775807", "not exists(-9223372036854775808 - 1)",
        "not exists(-9223372036854775808 / -1)", "not exists(- integer(header(\"n\")))",
        "-1 - -9223372036854775808 == 9223372036854775807", "priority not in [-9223372036854775808]",
    ])
    func theLowestWholeNumberCanBeWritten(rule: String) throws {
        let request = SampleRequest(headers: [("n", "-9223372036854775808")])
        #expect(try request.outcome(rule) == .holds, "\(rule)")
    }

    @Test(arguments: ["", " 1", "1 ", "+1", "01", "1.0", "0x10", "1e3", "9223372036854775808", "--1", "-", "nan"])
    func textsThatAreNoWholeNumbers(text: String) throws {
        let request = SampleRequest(headers: [("n", text)])
        #expect(try request.outcome("not exists(integer(header(\"n\")))") == .holds)
    }

    @Test(arguments: ["1.", ".5", "1e", "1e+", "inf", "nan", "0x1p3", "1,5", "1e999", "00.5"])
    func textsThatAreNoNumbers(text: String) throws {
        let request = SampleRequest(headers: [("n", text)])
        #expect(try request.outcome("not exists(number(header(\"n\")))") == .holds)
    }

    /// Only the 26 letters have two cases: not the bytes around them, nor those beyond ASCII.
    @Test func caseIsThatOfTheLettersOfASCII() throws {
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        let request = SampleRequest(headers: [("Long-" + letters + "-Name", letters), ("around", "@[`{@[`{É")])
        let small = letters.lowercased()
        #expect(try request.outcome("lower(header(\"long-\(small)-name\")) == \"\(small)\"") == .holds)
        #expect(try request.outcome(#"lower(header("around")) == "@[`{@[`{É""#) == .holds)
        #expect(try request.outcome(#"lower(header("around")) == "`{`{`{`{É""#) == .fails)
        #expect(try request.outcome(#"lower(header("around")) == "@[`{@[`{é""#) == .fails)
        #expect(try request.outcome(#"lower(header("around")) == "@[`{@[`[É""#) == .fails)
    }

    @Test func numbersAreReadAsFloats() throws {
        let request = SampleRequest(headers: [("n", "-2.5e-1")])
        #expect(try request.outcome("number(header(\"n\")) == -0.25") == .holds)
    }

    @Test func theBodyIsAskedForOnlyWhereItDecides() throws {
        let request = SampleRequest("GET", "/")
        request.stream(size: 100)
        #expect(try request.outcome(#"method == "POST" and json("a") == 1"#) == .fails)
        #expect(try request.outcome(#"method == "GET" and json("a") == 1"#) == .needsBody)
        #expect(try request.outcome(#"method == "GET" or json("a") == 1"#) == .holds)
        #expect(try request.outcome("body_size == 100") == .holds)
        for rule in [#"body contains "a""#, #"tensor("a").rank == 1"#, #"exists(json("a"))"#, "exists(body)"] {
            #expect(try request.outcome(rule) == .needsBody, "\(rule)")
            #expect(try Rule(rule).mayNeedBody)
        }
        request.stream()
        #expect(try request.outcome("body_size == 100") == .needsBody)
        #expect(try !Rule(#"method == "GET" and header("a") == path and priority > 1"#).mayNeedBody)
    }

    @Test func withoutABodyItsFieldsAreAbsent() throws {
        let request = SampleRequest("GET", "/")
        for rule in ["exists(body)", #"exists(json("a"))"#, #"exists(tensor("a").rank)"#, "body_size > 0"] {
            #expect(try request.outcome(rule) == .fails, "\(rule)")
        }
        #expect(try request.outcome("body_size == 0") == .holds)
    }

    @Test func aRawPayloadStandsForTheBody() throws {
        let request = SampleRequest(body: "as it came")
        request.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
        request.request.pointee.payload.raw = request.bytes("as a filter left it")
        #expect(try request.outcome(#"body == "as a filter left it""#) == .holds)
    }

    @Test func memoryIsTakenForUnescapedTextsAloneAndItsEndIsReported() throws {
        let request = SampleRequest(query: "a=b&c=%41", headers: [("K", "ABC")], body: #"{"a":"b","c":"\u0041"}"#)
        #expect(
            try request.outcome(#"query("a") == "b" and json("a") == "b" and lower(header("k")) == "abc""#) == .holds)
        #expect(request.taken.isEmpty)
        #expect(try request.outcome(#"query("c") == "A" and json("c") == "A""#) == .holds)
        #expect(request.taken.count == 2)
        request.room = 0
        #expect(try request.outcome(#"query("c") == "A""#) == .noMemory)
        #expect(try request.outcome(#"json("c") == "A""#) == .noMemory)
        #expect(try request.outcome(#"lower(lower(header("k"))) == "abc""#) == .noMemory)
        #expect(try request.outcome(#"query("a") == "b""#) == .holds)
    }
}
