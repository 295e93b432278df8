import NearestName

/// A type of C at the border of a native function, as signatures write it.
public enum NativeType: String, CaseIterable, Sendable {
    case i8, i16, i32, i64
    case u8, u16, u32, u64
    case f32, f64
    /// C's `_Bool`.
    case bool
    /// Two arguments: the address of the bytes and how many there are, 64 bits wide. Parameters only.
    case bytes

    var code: UInt8 { UInt8(Self.allCases.firstIndex(of: self) ?? 0) }
    var isFloat: Bool { self == .f32 || self == .f64 }
}

/// What a native function takes and gives: `u64(u64, bytes)`.
public struct NativeSignature: Equatable, Sendable {
    public var result: NativeType
    /// At most 8.
    public var parameters: [NativeType]

    /// Reads a signature. Errors carry the column.
    public static func parse(_ text: String) throws(RuleError) -> NativeSignature {
        let bytes = Array(text.utf8)
        do throws(SyntaxFault) {
            return try read(bytes)
        } catch {
            throw error.error(in: bytes)
        }
    }

    private static func read(_ bytes: [UInt8]) throws(SyntaxFault) -> NativeSignature {
        guard bytes.count <= 256 else { throw SyntaxFault(256, "a signature has at most 256 bytes") }
        var tokens = try Lexer.tokens(bytes)[...]
        let resultPlace = tokens.first?.offset ?? 0
        let result = try type(&tokens)
        guard result != .bytes else {
            throw SyntaxFault(resultPlace, "a function cannot return bytes; it returns a number or bool")
        }
        try expect("(", &tokens)
        var signature = NativeSignature(result: result, parameters: [])
        if tokens.first?.kind != .symbol(")") {
            while true {
                guard signature.parameters.count < RuleBounds.parameters else {
                    throw SyntaxFault(
                        tokens.first?.offset ?? 0, "a function has at most \(RuleBounds.parameters) parameters")
                }
                signature.parameters.append(try type(&tokens))
                guard tokens.first?.kind == .symbol(",") else { break }
                tokens.removeFirst()
            }
        }
        try expect(")", &tokens)
        if let rest = tokens.first, rest.kind != .end {
            throw SyntaxFault(rest.offset, "nothing follows the closing parenthesis of a signature; remove it")
        }
        return signature
    }

    private static func type(_ tokens: inout ArraySlice<Token>) throws(SyntaxFault) -> NativeType {
        guard let token = tokens.first else { throw SyntaxFault(0, "a signature is missing") }
        guard case .word(let word) = token.kind else {
            throw SyntaxFault(
                token.offset, "expected a type, not \(written(token)); a signature reads like `u64(u64, bytes)`")
        }
        guard let type = NativeType(rawValue: word) else {
            let known = NativeType.allCases.map(\.rawValue)
            throw SyntaxFault(
                token.offset,
                "`\(shown(word))` is no type; "
                    + (nearestName(to: word, among: known).map { "did you mean `\($0)`? " } ?? "")
                    + "known are \(known.joined(separator: ", "))")
        }
        tokens.removeFirst()
        return type
    }

    private static func written(_ token: Token?) -> String {
        guard let token, token.kind != .end else { return "the end of the signature" }
        return token.description
    }

    private static func expect(_ symbol: String, _ tokens: inout ArraySlice<Token>) throws(SyntaxFault) {
        guard let token = tokens.first, token.kind == .symbol(symbol) else {
            throw SyntaxFault(
                tokens.first?.offset ?? 0,
                "expected `\(symbol)`, not \(written(tokens.first)); "
                    + "a signature reads like `u64(u64, bytes)`")
        }
        tokens.removeFirst()
    }
}

/// A function that rules may call by its name.
public struct NativeFunction: Sendable {
    /// Calls the function. `arguments` points to one pointer for each argument of C, `bytes` being two; each points to
    /// eight bytes that hold the value in the low ones. `result` has room for 16 bytes; a whole number shorter than 64
    /// bits may be widened. On a worker: it must not block.
    public typealias Call =
        @convention(c) (
            _ context: UnsafeMutableRawPointer?, _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>,
            _ result: UnsafeMutableRawPointer
        ) -> Void

    public let name: String
    public let signature: NativeSignature
    let call: Call
    /// Lives as long as every rule that was compiled with the function.
    nonisolated(unsafe) let context: UnsafeMutableRawPointer?

    public init(name: String, signature: NativeSignature, context: UnsafeMutableRawPointer?, call: @escaping Call) {
        self.name = name
        self.signature = signature
        self.context = context
        self.call = call
    }

    /// What is wrong with a function's name; nil for a good one: a word that the language does not know yet.
    public static func fault(inName name: String) -> String? {
        let isWord = name.utf8.allSatisfy(Lexer.isWord) && name.utf8.first.map { $0 &- 0x30 >= 10 } == true
        guard isWord, name.utf8.count <= 64 else {
            return "a function's name is a word of 1 to 64 letters, digits and `_` that begins with none of the digits"
        }
        let reserved =
            ["and", "or", "not", "in", "true", "false", "null", "header", "query", "json", "tensor"]
            + Field.words.keys + BuiltIn.allCases.map(\.rawValue) + Comparison.allCases.map(\.rawValue)
        return reserved.contains(name) ? "`\(name)` is a word of the rule language; choose another name" : nil
    }
}
