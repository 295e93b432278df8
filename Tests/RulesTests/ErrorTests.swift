import Rules
import Testing

/// Each mistake is told at its column, with what to do.
@Suite struct ErrorTests {
    @Test(arguments: [
        ("", 1, "expected a value, not the end of the rule"),
        ("method", 1, "a rule takes a condition, and this is a text"),
        ("priority", 1, "this is a whole number; compare it"),
        ("methud == \"GET\"", 1, "`methud` is no field; did you mean `method`?"),
        ("1 == 1 and tennant == \"a\"", 12, "did you mean `tenant`?"),
        ("frobnicate == 1", 1, "known are body, body_size"),
        ("header == \"a\"", 8, "expected `(` after `header`"),
        ("header(x) == \"a\"", 8, "`header` takes the name of a header in quotes, not `x`"),
        ("header(\"\") == \"a\"", 8, "the name of a header is not empty"),
        ("header(\"x\") > 5", 1, "write integer(…) or number(…) around it"),
        ("header(\"x\") == 5", 13, "a text is never equal to a whole number; put the number in quotes"),
        ("header(\"x\") < \"b\"", 13, "texts have no order"),
        ("priority == \"high\"", 10, "a whole number is never equal to a text"),
        ("priority starts_with \"1\"", 1, "`starts_with` takes texts, and this is a whole number"),
        ("path contains 5", 15, "`contains` takes texts, and this is a whole number"),
        ("path + 1 == 2", 1, "`+` takes numbers, and this is a text; write integer(…)"),
        ("not path", 5, "`not` takes a condition, and this is a text"),
        ("true and path", 10, "`and` takes a condition"),
        ("priority or true", 1, "`or` takes a condition"),
        ("priority == null", 10, "only json(…) can be null; write `not exists(…)`"),
        ("priority = 1", 10, "`=` is no operator; `==` compares"),
        ("true && false", 6, "write `and`"), ("true || false", 6, "write `or`"), ("!true", 1, "write `not`"),
        ("true false", 6, "`false` does not go on from here; join conditions"),
        ("1 < 2 < 3", 7, "comparisons do not chain"),
        ("(true", 6, "expected `)` to close the one at column 1"),
        ("true)", 5, "`)` does not go on from here"),
        ("priority in 5", 13, "expected `[` before the list of `in`"),
        ("priority in [1, path]", 17, "texts and numbers alone, not `path`"),
        ("priority in []", 14, "texts and numbers alone"),
        ("priority in [1, \"a\"]", 17, "a whole number is never equal to a text"),
        ("priority not 5", 10, "only `in` follows `not` here"),
        ("path == \"abc", 9, "this text has no end; close it with \""),
        ("path == 'abc", 9, "close it with '"),
        ("path == \"a\\q\"", 11, "unknown escape"), ("path == \"\\xg1\"", 10, "two hexadecimal digits"),
        ("path == \"a\tb\"", 11, "a control character inside a text"),
        ("priority == 99999999999999999999", 13, "is larger than 9223372036854775807"),
        ("priority == 9223372036854775808", 13, "is larger than 9223372036854775807"),
        ("priority == -9223372036854775809", 14, "is larger than 9223372036854775807"),
        ("priority - 9223372036854775808 == 0", 12, "is larger than 9223372036854775807"),
        ("priority == - -9223372036854775808", 13, "without its sign this number is larger than"),
        ("priority == -(-9223372036854775808)", 13, "without its sign this number is larger than"),
        ("priority in [9223372036854775808]", 14, "is larger than 9223372036854775807"),
        ("tensor(\"a\").shape[-9223372036854775808] == 1", 20, "a dimension is a whole number from -16 to 15"),
        ("priority == 007", 13, "does not begin with 0"), ("priority == 5k", 14, "followed by a letter"),
        ("priority == 1e999", 13, "larger than a 64-bit float"),
        ("priority # 1", 10, "this character means nothing here"),
        ("json(\"\") == 1", 6, "is not empty"), ("json(\"a..b\") == 1", 6, "this is no path into JSON"),
        ("json(\"a[x]\") == 1", 6, "this is no path"), ("json(\"a[1\") == 1", 6, "this is no path"),
        ("json(\".a\") == 1", 6, "this is no path"), ("json(\"a[0]b\") == 1", 6, "this is no path"),
        ("tensor(\"a\") == 1", 13, "one of shape, rank, elements, datatype, min, max follows"),
        ("tensor(\"a\").width == 1", 13, "a tensor has shape, rank"),
        ("tensor(\"a\").shape == 1", 19, "expected `[` after `shape`"),
        ("tensor(\"a\").shape[16] == 1", 19, "from -16 to 15"),
        ("tensor(\"a\").datatype == \"FLOAT\"", 25, "`FLOAT` is no element type; known are BOOL"),
        ("tensor(\"a\").datatype in [\"FP32\", \"F16\"]", 34, "`F16` is no element type"),
        ("exists", 1, "`exists` is a function"), ("exists()", 1, "`exists` takes one argument, not 0"),
        ("exists(path, path)", 1, "takes one argument, not 2"), ("lower(5) == \"5\"", 7, "`lower` takes a text"),
        ("integer(true) == 1", 9, "`integer` takes a text or a number, and this is a condition"),
        ("crc33(body) == 1", 1, "no function is named `crc33`; declare it under `functions`"),
        ("exsits(path)", 1, "did you mean `exists`?"),
        ("path contains lower(tenant)", 15, "`contains` without case looks for a text in quotes"),
        ("1 / 0 == 1", 5, "a division by zero"), ("path == \"é\" and x", 17, "`x` is no field"),
        ("and true", 1, "expected a value before `and`"),
    ])
    func isToldAtItsColumn(rule: String, column: Int, message: String) {
        do throws(RuleError) {
            _ = try Rule(rule)
            Issue.record("`\(rule)` was taken")
        } catch {
            #expect(error.column == column, "\(rule): \(error.message)")
            #expect(error.message.contains(message), "\(rule): \(error.message)")
        }
    }

    @Test func theBoundsHold() {
        func refusal(_ rule: String) -> String? {
            do throws(RuleError) {
                _ = try Rule(rule)
                return nil
            } catch { return error.message }
        }
        func nested(_ count: Int) -> String {
            String(repeating: "(", count: count) + "true" + String(repeating: ")", count: count)
        }
        #expect(refusal(nested(32)) == nil)
        #expect(refusal(nested(33))?.contains("nests at most 32 deep") == true)
        #expect(refusal(String(repeating: "not ", count: 33) + "true")?.contains("nests at most 32") == true)
        #expect(refusal(String(repeating: "- ", count: 33) + "1 == 1")?.contains("nests at most 32") == true)
        let terms = (0..<255).map { _ in "1" }.joined(separator: "+")
        #expect(refusal(terms + " == 255") == nil)
        #expect(refusal(terms + "+1+1 == 257")?.contains("at most 512 operators and operands") == true)
        let list = (0..<600).map(String.init).joined(separator: ",")
        #expect(refusal("priority in [\(list)]")?.contains("at most 512") == true)
        #expect(refusal("path == \"" + String(repeating: "a", count: 4096) + "\"")?.contains("4096 bytes") == true)
        let path = (0..<17).map { "k\($0)" }.joined(separator: ".")
        #expect(refusal("exists(json(\"\(path)\"))")?.contains("at most 16 steps") == true)
        // A value waits at each level, and the last has two.
        let deep = (0..<31).map { _ in "1 + (" }.joined() + "1" + String(repeating: ")", count: 31)
        #expect(refusal(deep + " == 32") == nil)
        let wide = "1 + (" + (0..<31).map { _ in "1 + (" }.joined() + "1 + 1" + String(repeating: ")", count: 32)
        #expect(refusal(wide + " == 34")?.contains("more than 32 values wait") == true)
    }

    @Test(arguments: [
        ("", 1, "expected a type"), ("u64", 4, "expected `(`"), ("u64(", 5, "expected a type"),
        ("u65(u64)", 1, "`u65` is no type; did you mean"), ("bytes(u64)", 1, "cannot return bytes"),
        ("u64(u64, )", 10, "expected a type"), ("u64(u64) x", 10, "nothing follows"),
        ("u64(size_t)", 5, "known are i8, i16"), ("u64(\"a\")", 5, "expected a type, not a text"),
        ("u64(u8,u8,u8,u8,u8,u8,u8,u8,u8)", 29, "at most 8 parameters"),
    ])
    func signaturesToo(text: String, column: Int, message: String) {
        do throws(RuleError) {
            _ = try NativeSignature.parse(text)
            Issue.record("`\(text)` was taken")
        } catch {
            #expect(error.column == column, "\(text): \(error.message)")
            #expect(error.message.contains(message), "\(text): \(error.message)")
        }
    }
}
