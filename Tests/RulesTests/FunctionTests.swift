import Glibc
import Rules
import Testing

/// What native functions get and give, without libffi: the functions here read their cells themselves.
@Suite struct FunctionTests {
    /// Adds up what it gets: whole numbers as they are, and of bytes their count.
    private static func function(_ name: String, _ signature: String, _ call: @escaping NativeFunction.Call) throws
        -> NativeFunction
    {
        NativeFunction(name: name, signature: try NativeSignature.parse(signature), context: nil, call: call)
    }

    private static func cell(_ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ index: Int) -> UInt64 {
        arguments[index].map { $0.loadUnaligned(as: UInt64.self) } ?? 0
    }

    static func all() throws -> [NativeFunction] {
        [
            try function("sum", "i64(i64, i32)") { _, arguments, result in
                let one = Int64(bitPattern: FunctionTests.cell(arguments, 0))
                let other = Int64(Int32(truncatingIfNeeded: FunctionTests.cell(arguments, 1)))
                result.storeBytes(of: one &+ other, as: Int64.self)
            },
            try function("first", "u8(bytes)") { _, arguments, result in
                let start = UnsafePointer<UInt8>(bitPattern: UInt(FunctionTests.cell(arguments, 0)))
                let size = FunctionTests.cell(arguments, 1)
                // The rest of the cell is rubbish, as C leaves it.
                let byte = size > 0 ? start?[0] ?? 0 : 0
                result.storeBytes(of: 0xFFFF_FFFF_FFFF_FF00 | UInt64(byte), as: UInt64.self)
            },
            try function("minus", "i16(u8)") { _, arguments, result in
                let value = -Int16(truncatingIfNeeded: FunctionTests.cell(arguments, 0))
                result.storeBytes(of: UInt64(UInt16(bitPattern: value)), as: UInt64.self)
            },
            try function("most", "u64()") { _, _, result in result.storeBytes(of: UInt64.max, as: UInt64.self) },
            try function("half", "f32(f32)") { _, arguments, result in
                let value = Float(bitPattern: UInt32(truncatingIfNeeded: FunctionTests.cell(arguments, 0)))
                result.storeBytes(of: value / 2, as: Float.self)
            },
            try function("root", "f64(f64)") { _, arguments, result in
                let value = Double(bitPattern: FunctionTests.cell(arguments, 0))
                result.storeBytes(of: value.squareRoot(), as: Double.self)
            },
            try function("is_even", "bool(u64)") { _, arguments, result in
                let isEven = FunctionTests.cell(arguments, 0) % 2 == 0
                result.storeBytes(of: isEven ? 0x101 : 0x100, as: UInt64.self)
            },
        ]
    }

    @Test(arguments: [
        "sum(40, 2) == 42", "sum(-40, -2) == -42", "sum(sum(1, 2), 3) * 2 == 12", #"first(tenant) == 97"#,
        #"first("") == 0"#, #"first(json("k")) == 107"#, "minus(5) == -5", "most() > 9223372036854775807",
        "most() % 10 == 5", "most() / 2 == 9223372036854775807", "most() == most()", "most() != 1",
        "most() > 1.5", "not is_even(most())", "is_even(2)", "half(5) == 2.5",
        "half(0.5) == 0.25", "root(2.25) == 1.5", "root(9) == 3", #"is_even(json("n"))"#,
        #"is_even(integer(header("n")))"#,
    ])
    func holds(rule: String) throws {
        let request = SampleRequest(headers: [("n", "8")], body: #"{"k": "k", "n": 4}"#, tenant: "acme")
        #expect(try request.outcome(rule, Self.all()) == .holds, "\(rule)")
        #expect(try Rule(rule, functions: Self.all()).callsFunctions)
    }

    /// A function is not called with what is absent or out of its range: it has no result then.
    @Test(arguments: [
        "exists(sum(1, 2147483648))", "exists(minus(256))", "exists(minus(-1))", "exists(is_even(-1))",
        #"exists(first(header("none")))"#, #"exists(first(json("n")))"#, "exists(root(-1))", "exists(most() + 1)",
        "exists(-most())", "exists(most() % -3)", #"is_even(json("k"))"#,
    ])
    func fails(rule: String) throws {
        let request = SampleRequest(body: #"{"k": "k", "n": 4}"#)
        #expect(try request.outcome(rule, Self.all()) == .fails, "\(rule)")
    }

    @Test(arguments: [
        ("sum(1) == 1", 1, "`sum` takes 2 arguments, not 1"), ("most(1) == 1", 1, "takes 0 arguments, not 1"),
        ("sum(1, 2.5) == 1", 8, "`sum` takes i32 here, and this is a number; write integer(…) around it"),
        ("first(5) == 1", 7, "`first` takes bytes here, and this is a whole number"),
        ("root(path) == 1", 6, "`root` takes f64 here, and this is a text; write integer(…) or number(…)"),
        ("sum(1, 2)", 1, "a rule takes a condition"), ("frst(path) == 1", 1, "did you mean `first`?"),
    ])
    func mistakesAreTold(rule: String, column: Int, message: String) throws {
        let functions = try Self.all()
        do throws(RuleError) {
            _ = try Rule(rule, functions: functions)
            Issue.record("`\(rule)` was taken")
        } catch {
            #expect(error.column == column, "\(rule)")
            #expect(error.message.contains(message), "\(rule): \(error.message)")
        }
    }

    @Test func namesAreWordsOfTheirOwn() {
        for name in ["crc32", "image_width", "_x", "A9"] { #expect(NativeFunction.fault(inName: name) == nil) }
        for name in ["", "9a", "a-b", "ä", "header", "and", "exists", "body", "contains", "true"] {
            #expect(NativeFunction.fault(inName: name) != nil, "\(name)")
        }
    }
}
