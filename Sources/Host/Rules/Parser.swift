import NearestName

/// Reads the tokens of a rule by recursive descent, one function for each line of the grammar in Docs/rules.md. Any
/// tokens give a tree or a fault at one of them.
struct Parser {
    private let text: [UInt8]
    private let tokens: [Token]
    private var at = 0
    private var depth = 0
    private var nodes = 0

    /// - Parameter text: UTF-8, or what was meant to be.
    static func parse(_ text: [UInt8]) throws(SyntaxFault) -> Expression {
        guard text.count <= RuleBounds.textBytes else {
            throw SyntaxFault(
                RuleBounds.textBytes, "a rule has at most \(RuleBounds.textBytes) bytes; make several of it")
        }
        var parser = Parser(text: text, tokens: try Lexer.tokens(text))
        let rule = try parser.disjunction()
        guard parser.token.kind == .end else {
            throw SyntaxFault(
                parser.token.offset,
                "\(parser.token.description) does not go on from here; "
                    + "join conditions with `and` or `or`")
        }
        return rule
    }

    private init(text: [UInt8], tokens: [Token]) {
        self.text = text
        self.tokens = tokens
    }

    private var token: Token { tokens[at] }

    private mutating func take() -> Token {
        let token = tokens[at]
        if at + 1 < tokens.count { at += 1 }
        return token
    }

    private mutating func take(word: String) -> Bool {
        guard token.kind == .word(word) else { return false }
        _ = take()
        return true
    }

    private mutating func take(symbol: String) -> Bool {
        guard token.kind == .symbol(symbol) else { return false }
        _ = take()
        return true
    }

    private mutating func expect(_ symbol: String, _ purpose: String) throws(SyntaxFault) {
        guard take(symbol: symbol) else {
            throw SyntaxFault(token.offset, "expected `\(symbol)` \(purpose), not \(token.description)")
        }
    }

    private mutating func node(_ offset: Int, _ kind: Expression.Kind) throws(SyntaxFault) -> Expression {
        nodes += 1
        guard nodes <= RuleBounds.nodes else {
            throw SyntaxFault(
                offset, "a rule has at most \(RuleBounds.nodes) operators and operands; make several of it")
        }
        return Expression(offset: offset, kind: kind)
    }

    private mutating func deeper(_ offset: Int) throws(SyntaxFault) {
        depth += 1
        guard depth <= RuleBounds.depth else {
            throw SyntaxFault(offset, "a rule nests at most \(RuleBounds.depth) deep; make several of it")
        }
    }

    // MARK: Conditions

    private mutating func disjunction() throws(SyntaxFault) -> Expression {
        let first = try conjunction()
        guard token.kind == .word("or") else { return first }
        let offset = token.offset
        var parts = [first]
        while take(word: "or") { parts.append(try conjunction()) }
        return try node(offset, .any(parts))
    }

    private mutating func conjunction() throws(SyntaxFault) -> Expression {
        let first = try negation()
        guard token.kind == .word("and") else { return first }
        let offset = token.offset
        var parts = [first]
        while take(word: "and") { parts.append(try negation()) }
        return try node(offset, .all(parts))
    }

    private mutating func negation() throws(SyntaxFault) -> Expression {
        let offset = token.offset
        guard take(word: "not") else { return try comparison() }
        try deeper(offset)
        defer { depth -= 1 }
        let inner = try negation()
        return try node(offset, .not(inner))
    }

    private mutating func comparison() throws(SyntaxFault) -> Expression {
        let left = try sum()
        let offset = token.offset
        if let comparison = comparisonAhead {
            _ = take()
            let right = try sum()
            if comparisonAhead != nil {
                throw SyntaxFault(
                    token.offset, "comparisons do not chain; write two of them and join them with `and`")
            }
            return try node(offset, .comparison(comparison, left, right))
        }
        if take(word: "in") { return try membership(left, offset, isNegated: false) }
        if token.kind == .word("not") {
            _ = take()
            guard take(word: "in") else { throw SyntaxFault(offset, "only `in` follows `not` here") }
            return try membership(left, offset, isNegated: true)
        }
        return left
    }

    private var comparisonAhead: Comparison? {
        switch token.kind {
        case .symbol(let text), .word(let text): Comparison(rawValue: text)
        default: nil
        }
    }

    private mutating func membership(
        _ left: Expression, _ offset: Int, isNegated: Bool
    ) throws(SyntaxFault) -> Expression {
        try expect("[", "before the list of `in`")
        var items: [Expression.ListItem] = []
        repeat {
            let item = token
            if token.kind == .symbol("]"), !items.isEmpty { break }
            let isMinus = take(symbol: "-")
            guard let value = literalAhead(isMinus: isMinus) else {
                throw SyntaxFault(item.offset, "a list of `in` has texts and numbers alone, not \(item.description)")
            }
            _ = take()
            nodes += 1
            items.append(Expression.ListItem(offset: item.offset, value: value))
        } while take(symbol: ",")
        try expect("]", "after the list of `in`")
        return try node(offset, .membership(left, items, isNegated: isNegated))
    }

    private func literalAhead(isMinus: Bool) -> Literal? {
        switch token.kind {
        case .integer(let value): .integer(isMinus ? -value : value)
        case .magnitudeOfLowest where isMinus: .integer(.min)
        case .number(let value): .number(isMinus ? -value : value)
        case .text(let value) where !isMinus: .text(value)
        default: nil
        }
    }

    // MARK: Values

    private mutating func sum() throws(SyntaxFault) -> Expression {
        var left = try product()
        while case .symbol(let symbol) = token.kind, symbol == "+" || symbol == "-",
            let operation = Arithmetic(rawValue: symbol)
        {
            let offset = take().offset
            let right = try product()
            left = try node(offset, .arithmetic(operation, left, right))
        }
        return left
    }

    private mutating func product() throws(SyntaxFault) -> Expression {
        var left = try signed()
        while case .symbol(let symbol) = token.kind, symbol == "*" || symbol == "/" || symbol == "%",
            let operation = Arithmetic(rawValue: symbol)
        {
            let offset = take().offset
            let right = try signed()
            left = try node(offset, .arithmetic(operation, left, right))
        }
        return left
    }

    private mutating func signed() throws(SyntaxFault) -> Expression {
        let offset = token.offset
        guard take(symbol: "-") else { return try operand() }
        try deeper(offset)
        defer { depth -= 1 }
        if token.kind == .magnitudeOfLowest {
            _ = take()
            return try node(offset, .literal(.integer(.min)))
        }
        let inner = try signed()
        switch inner.kind {
        case .literal(.integer(.min)):
            throw SyntaxFault(offset, "without its sign this number is larger than \(Int64.max); write a smaller one")
        case .literal(.integer(let value)): return try node(offset, .literal(.integer(-value)))
        case .literal(.number(let value)): return try node(offset, .literal(.number(-value)))
        default: return try node(offset, .negate(inner))
        }
    }

    private mutating func operand() throws(SyntaxFault) -> Expression {
        let first = take()
        switch first.kind {
        case .text(let value): return try node(first.offset, .literal(.text(value)))
        case .integer(let value): return try node(first.offset, .literal(.integer(value)))
        // Behind the minus of a difference.
        case .magnitudeOfLowest: throw Lexer.tooLarge(first.offset)
        case .number(let value): return try node(first.offset, .literal(.number(value)))
        case .symbol("("):
            try deeper(first.offset)
            defer { depth -= 1 }
            let inner = try disjunction()
            try expect(")", "to close the one at column \(SyntaxFault(first.offset, "").error(in: text).column)")
            return inner
        case .word(let word): return try operand(word, first.offset)
        case .symbol, .end:
            throw SyntaxFault(
                first.offset, "expected a value, not \(first.description); such as a text, a number or a field")
        }
    }

    private mutating func operand(_ word: String, _ offset: Int) throws(SyntaxFault) -> Expression {
        switch word {
        case "true": return try node(offset, .literal(.boolean(true)))
        case "false": return try node(offset, .literal(.boolean(false)))
        case "null": return try node(offset, .literal(.null))
        case "header":
            let name = try name(of: word, "the name of a header")
            return try node(offset, .field(.header(name.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 })))
        case "query": return try node(offset, .field(.query(try name(of: word, "the name of a parameter"))))
        case "json": return try json(offset)
        case "tensor": return try tensor(offset)
        case "and", "or", "not", "in":
            throw SyntaxFault(offset, "expected a value before `\(word)`; such as a text, a number or a field")
        default: break
        }
        if let field = Field.words[word] { return try node(offset, .field(field)) }
        guard take(symbol: "(") else { throw unknown(word, offset) }
        try deeper(offset)
        defer { depth -= 1 }
        var arguments: [Expression] = []
        if !take(symbol: ")") {
            repeat { arguments.append(try disjunction()) } while take(symbol: ",")
            try expect(")", "after the arguments of `\(shown(word))`")
        }
        return try node(offset, .call(word, arguments))
    }

    private func unknown(_ word: String, _ offset: Int) -> SyntaxFault {
        let taking = ["header", "query", "json", "tensor"]
        if BuiltIn(rawValue: word) != nil {
            return SyntaxFault(offset, "`\(word)` is a function; give it an argument in parentheses")
        }
        let near = nearestName(to: word, among: Field.words.keys.sorted() + taking)
        return SyntaxFault(
            offset,
            "`\(shown(word))` is no field; "
                + (near.map { "did you mean `\($0)`?" }
                    ?? "known are \((Field.words.keys + taking).sorted().joined(separator: ", "))"))
    }

    /// `("name")`, not empty.
    private mutating func name(of word: String, _ what: String) throws(SyntaxFault) -> [UInt8] {
        try expect("(", "after `\(word)`: it takes \(what) in parentheses")
        let argument = take()
        guard case .text(let name) = argument.kind else {
            throw SyntaxFault(argument.offset, "`\(word)` takes \(what) in quotes, not \(argument.description)")
        }
        guard !name.isEmpty else { throw SyntaxFault(argument.offset, "\(what) is not empty") }
        try expect(")", "after \(what)")
        return name
    }

    private mutating func json(_ offset: Int) throws(SyntaxFault) -> Expression {
        let start = at + 1 < tokens.count ? tokens[at + 1].offset : offset
        let path = try name(of: "json", "a path such as \"user.tags[0]\"")
        guard let steps = PathStep.parse(path) else {
            throw SyntaxFault(
                start,
                "this is no path into JSON; write keys with dots between and indices in brackets, such as "
                    + "\"user.tags[0]\", and [\"a.b\"] for a key with a dot")
        }
        guard steps.count <= RuleBounds.pathSteps else {
            throw SyntaxFault(start, "a path has at most \(RuleBounds.pathSteps) steps")
        }
        return try node(offset, .field(.json(steps)))
    }

    private mutating func tensor(_ offset: Int) throws(SyntaxFault) -> Expression {
        try expect("(", "after `tensor`: it takes the name of a tensor, or its index, in parentheses")
        let argument = take()
        let name: TensorName
        switch argument.kind {
        case .text(let text) where !text.isEmpty: name = .name(text)
        case .integer(let index) where index < 65_536: name = .index(Int32(index))
        default:
            throw SyntaxFault(
                argument.offset, "`tensor` takes a name in quotes or an index from 0 on, not \(argument.description)")
        }
        try expect(")", "after the name of a tensor")
        try expect(".", "after `tensor(…)`: one of \(TensorAttribute.words.joined(separator: ", ")) follows")
        let word = take()
        let attribute: TensorAttribute
        switch word.kind {
        case .word("rank"): attribute = .rank
        case .word("elements"): attribute = .elements
        case .word("datatype"): attribute = .datatype
        case .word("min"): attribute = .smallest
        case .word("max"): attribute = .largest
        case .word("shape"): attribute = .shape(try dimension())
        default:
            throw SyntaxFault(
                word.offset,
                "a tensor has \(TensorAttribute.words.joined(separator: ", ")), not \(word.description)")
        }
        return try node(offset, .field(.tensor(name, attribute)))
    }

    private mutating func dimension() throws(SyntaxFault) -> Int32 {
        try expect("[", "after `shape`: which dimension is meant, such as shape[0] or shape[-1] for the last")
        let isMinus = take(symbol: "-")
        let index = take()
        // The ABI's tensors have at most 16 dimensions.
        guard case .integer(let value) = index.kind, isMinus ? (1...16).contains(value) : value < 16 else {
            throw SyntaxFault(index.offset, "a dimension is a whole number from -16 to 15")
        }
        try expect("]", "after the dimension")
        return Int32(isMinus ? -value : value)
    }
}

extension PathStep {
    /// `a.b[0]["c.d"]`; nil for anything else. At least one step.
    static func parse(_ path: [UInt8]) -> [PathStep]? {
        var steps: [PathStep] = []
        var rest = path[...]
        while let byte = rest.first {
            if byte == UInt8(ascii: "[") {
                guard let end = close(rest) else { return nil }
                let inside = rest[(rest.startIndex + 1)..<end]
                if inside.first == 0x22 || inside.first == 0x27 {
                    guard inside.count >= 2, inside.last == inside.first else { return nil }
                    steps.append(.key(Array(inside.dropFirst().dropLast())))
                } else {
                    guard !inside.isEmpty, inside.allSatisfy({ $0 &- 0x30 < 10 }),
                        let index = Int32(String(decoding: inside, as: UTF8.self))
                    else { return nil }
                    steps.append(.index(index))
                }
                rest = rest[(end + 1)...]
            } else {
                if !steps.isEmpty {
                    guard byte == UInt8(ascii: ".") else { return nil }
                    rest = rest.dropFirst()
                }
                let key = rest.prefix { !".[]\"'".utf8.contains($0) }
                guard !key.isEmpty else { return nil }
                steps.append(.key(Array(key)))
                rest = rest[key.endIndex...]
            }
        }
        return steps.isEmpty ? nil : steps
    }

    /// Index of the bracket that closes the one at the start.
    private static func close(_ text: ArraySlice<UInt8>) -> Int? {
        let next = text.dropFirst()
        guard let quote = next.first, quote == 0x22 || quote == 0x27 else {
            return text.firstIndex(of: UInt8(ascii: "]"))
        }
        guard let end = next.dropFirst().firstIndex(of: quote), end + 1 < text.endIndex,
            text[end + 1] == UInt8(ascii: "]")
        else { return nil }
        return end + 1
    }
}
