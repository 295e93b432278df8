/// Checks the types of a tree and makes flat code of it. Used once.
struct Compiler {
    var code: [Instruction] = []
    var constants: [Constant] = []
    var steps: [PathStep] = []
    var used: [NativeFunction] = []
    let functions: [NativeFunction]
    private var depth = 0
    private var mayNeedBody = false

    enum Constant: Equatable {
        case literal(Literal)
        case index(Int32)
    }

    typealias Result = (program: Program, mayNeedBody: Bool, callsFunctions: Bool)

    static func compile(_ rule: Expression, functions: [NativeFunction]) throws(SyntaxFault) -> Result {
        var compiler = Compiler(functions: functions)
        try compiler.condition(rule, "a rule")
        compiler.code.append(Instruction(.end))
        return (compiler.flatten(), compiler.mayNeedBody, !compiler.used.isEmpty)
    }

    private init(functions: [NativeFunction]) { self.functions = functions }

    // MARK: Stack

    mutating func push(_ instruction: Instruction, at offset: Int) throws(SyntaxFault) {
        code.append(instruction)
        depth += 1
        guard depth <= RuleBounds.stack else {
            throw SyntaxFault(
                offset, "more than \(RuleBounds.stack) values wait for an operator here; make several rules of it")
        }
    }

    mutating func replace(_ count: Int, by instruction: Instruction) {
        code.append(instruction)
        depth -= count - 1
    }

    private mutating func constant(_ constant: Constant) -> Int {
        if let known = constants.firstIndex(of: constant) { return known }
        constants.append(constant)
        return constants.count - 1
    }

    // MARK: Conditions

    /// Emits something that is true or false.
    private mutating func condition(_ expression: Expression, _ owner: String) throws(SyntaxFault) {
        switch try value(expression) {
        case .boolean: break
        case .json: replace(1, by: Instruction(.condition))
        case let type:
            throw SyntaxFault(
                expression.offset,
                "\(owner) takes a condition, and this is \(type.description); compare it with a value")
        }
    }

    private mutating func chain(
        _ parts: [Expression], _ jump: Instruction.Operation, _ word: String
    ) throws(SyntaxFault) -> RuleType {
        var jumps: [Int] = []
        for (index, part) in parts.enumerated() {
            try condition(part, word)
            guard index < parts.count - 1 else { break }
            jumps.append(code.count)
            code.append(Instruction(jump))
            depth -= 1
        }
        for place in jumps { code[place].index = Int32(truncatingIfNeeded: code.count) }
        return .boolean
    }

    // MARK: Values

    /// Emits the code of an expression and says what it gives.
    mutating func value(_ expression: Expression) throws(SyntaxFault) -> RuleType {
        switch expression.kind {
        case .literal(let literal):
            try push(Instruction(.constant, index: constant(.literal(literal))), at: expression.offset)
            return literal.type
        case .field(let field):
            try read(field, at: expression.offset)
            return field.type
        case .all(let parts): return try chain(parts, .jumpIfFalse, "`and`")
        case .any(let parts): return try chain(parts, .jumpIfTrue, "`or`")
        case .not(let inner):
            try condition(inner, "`not`")
            replace(1, by: Instruction(.not))
            return .boolean
        case .negate(let inner):
            let type = try numeric(inner, "`-`")
            replace(1, by: Instruction(.negate))
            return type
        case .arithmetic(let operation, let left, let right):
            return try arithmetic(operation, left, right)
        case .comparison(let comparison, let left, let right):
            try compare(comparison, left, right, at: expression.offset)
            return .boolean
        case .membership(let left, let items, let isNegated):
            try membership(left, items, isNegated)
            return .boolean
        case .call(let name, let arguments): return try call(name, arguments, at: expression.offset)
        }
    }

    private mutating func read(_ field: Field, at offset: Int) throws(SyntaxFault) {
        let instruction: Instruction
        switch field {
        case .method: instruction = Instruction(.method)
        case .path: instruction = Instruction(.path)
        case .tenant: instruction = Instruction(.tenant)
        case .model: instruction = Instruction(.model)
        case .version: instruction = Instruction(.version)
        case .priority: instruction = Instruction(.priority)
        case .contentType: instruction = Instruction(.contentType)
        case .bodySize: instruction = Instruction(.bodySize)
        case .body: instruction = Instruction(.body)
        case .header(let name): instruction = Instruction(.header, index: constant(.literal(.text(name))))
        case .query(let name): instruction = Instruction(.query, index: constant(.literal(.text(name))))
        case .json(let path):
            instruction = Instruction(.json, count: path.count, index: steps.count)
            steps += path
        case .tensor(let name, let attribute): instruction = tensor(name, attribute)
        }
        switch field {
        case .bodySize, .body, .json, .tensor: mayNeedBody = true
        default: break
        }
        try push(instruction, at: offset)
    }

    private mutating func tensor(_ name: TensorName, _ attribute: TensorAttribute) -> Instruction {
        let index =
            switch name {
            case .name(let text): constant(.literal(.text(text)))
            case .index(let number): constant(.index(number))
            }
        return switch attribute {
        case .rank: Instruction(.tensorRank, index: index)
        case .elements: Instruction(.tensorElements, index: index)
        case .datatype: Instruction(.tensorDatatype, index: index)
        case .smallest: Instruction(.tensorSmallest, index: index)
        case .largest: Instruction(.tensorLargest, index: index)
        case .shape(let dimension): Instruction(.tensorShape, count: Int(dimension), index: index)
        }
    }

    private mutating func numeric(_ expression: Expression, _ owner: String) throws(SyntaxFault) -> RuleType {
        let type = try value(expression)
        guard type.isNumeric else {
            let remedy = type == .text ? "; write integer(…) or number(…) around it" : ""
            throw SyntaxFault(expression.offset, "\(owner) takes numbers, and this is \(type.description)\(remedy)")
        }
        return type
    }

    private mutating func arithmetic(
        _ operation: Arithmetic, _ left: Expression, _ right: Expression
    ) throws(SyntaxFault) -> RuleType {
        let owner = "`\(operation.rawValue)`"
        let leftType = try numeric(left, owner)
        let rightType = try numeric(right, owner)
        if operation == .divide || operation == .remainder, case .literal(.integer(0)) = right.kind {
            throw SyntaxFault(right.offset, "a division by zero has no result; divide by something else")
        }
        let instruction: Instruction.Operation =
            switch operation {
            case .add: .add
            case .subtract: .subtract
            case .multiply: .multiply
            case .divide: .divide
            case .remainder: .remainder
            }
        replace(2, by: Instruction(instruction))
        if leftType == .integer, rightType == .integer { return .integer }
        return leftType == .number || rightType == .number ? .number : .json
    }

    // MARK: Comparisons

    private mutating func compare(
        _ comparison: Comparison, _ left: Expression, _ right: Expression, at offset: Int
    ) throws(SyntaxFault) {
        let ignoresCase = left.ignoresCase || right.ignoresCase
        let leftType = try value(left.caseless)
        let rightType = try value(right.caseless)
        if comparison.isTextTest {
            for (operand, type) in [(left, leftType), (right, rightType)] where type != .text && type != .json {
                throw SyntaxFault(
                    operand.offset, "`\(comparison.rawValue)` takes texts, and this is \(type.description)")
            }
            // A search without case compares at each place: what is looked for must be the operator's own.
            if comparison == .contains, ignoresCase, !right.caseless.isLiteral {
                throw SyntaxFault(
                    right.offset, "`contains` without case looks for a text in quotes; write it out, or drop lower(…)")
            }
        } else if comparison.isOrder {
            try checkOrder(comparison, left, leftType, right, rightType, at: offset)
        } else {
            try checkEqual(leftType, rightType, at: offset)
        }
        try checkDatatype(left, right)
        let instruction: Instruction.Operation =
            switch comparison {
            case .equal: .equal
            case .notEqual: .notEqual
            case .less: .less
            case .lessOrEqual: .lessOrEqual
            case .greater: .greater
            case .greaterOrEqual: .greaterOrEqual
            case .startsWith: .startsWith
            case .endsWith: .endsWith
            case .contains: .contains
            }
        replace(2, by: Instruction(instruction, ignoresCase: ignoresCase))
    }

    private func checkOrder(
        _ comparison: Comparison, _ left: Expression, _ leftType: RuleType, _ right: Expression, _ rightType: RuleType,
        at offset: Int
    ) throws(SyntaxFault) {
        if leftType == .text, rightType == .text {
            throw SyntaxFault(
                offset,
                "`\(comparison.rawValue)` compares numbers, and texts have no order here; "
                    + "write integer(…) or number(…) around both")
        }
        for (operand, type) in [(left, leftType), (right, rightType)] where !type.isNumeric {
            let remedy = type == .text ? "; write integer(…) or number(…) around it" : ""
            throw SyntaxFault(
                operand.offset, "`\(comparison.rawValue)` compares numbers, and this is \(type.description)\(remedy)")
        }
    }

    private func checkEqual(_ leftType: RuleType, _ rightType: RuleType, at offset: Int) throws(SyntaxFault) {
        guard leftType != rightType, leftType != .json, rightType != .json,
            !(leftType.isNumeric && rightType.isNumeric)
        else { return }
        if leftType == .null || rightType == .null {
            throw SyntaxFault(offset, "only json(…) can be null; write `not exists(…)` for what is not there")
        }
        let mixesTextAndNumber =
            (leftType == .text && rightType.isNumeric) || (rightType == .text && leftType.isNumeric)
        throw SyntaxFault(
            offset,
            "\(leftType.description) is never equal to \(rightType.description)"
                + (mixesTextAndNumber
                    ? "; put the number in quotes, or write integer(…) or number(…) around the text"
                    : "; compare values of one type"))
    }

    /// A misspelt element type would never be equal to any.
    private func checkDatatype(_ left: Expression, _ right: Expression) throws(SyntaxFault) {
        for (field, other) in [(left, right), (right, left)] {
            if case .field(.tensor(_, .datatype)) = field.kind, case .literal(.text(let text)) = other.kind {
                try checkDatatype(text, at: other.offset)
            }
        }
    }

    private func checkDatatype(_ text: [UInt8], at offset: Int) throws(SyntaxFault) {
        let known = (0...255).compactMap { datatypeName($0) }.map { "\($0)" }
        let name = String(decoding: text, as: UTF8.self)
        guard !known.contains(name) else { return }
        throw SyntaxFault(
            offset, "`\(shown(name))` is no element type; known are \(known.joined(separator: ", "))")
    }

    private mutating func membership(
        _ left: Expression, _ items: [Expression.ListItem], _ isNegated: Bool
    ) throws(SyntaxFault) {
        let type = try value(left.caseless)
        for item in items {
            let fits =
                switch (type, item.value.type) {
                case (.json, _), (.text, .text), (.integer, .integer), (.integer, .number), (.number, .integer),
                    (.number, .number):
                    true
                default: false
                }
            guard fits else {
                throw SyntaxFault(
                    item.offset,
                    "\(type.description) is never equal to \(item.value.type.description); "
                        + "list values of one type")
            }
            if case .field(.tensor(_, .datatype)) = left.kind, case .text(let text) = item.value {
                try checkDatatype(text, at: item.offset)
            }
        }
        // Lists lie in one piece, so their constants are not shared.
        let start = constants.count
        constants += items.map { .literal($0.value) }
        replace(
            1,
            by: Instruction(
                isNegated ? .isNotIn : .isIn, ignoresCase: left.ignoresCase, count: items.count, index: start))
    }
}

extension Expression {
    /// Compares without the case of ASCII letters: media types (RFC 9110 §8.3.1), and what `lower` says.
    fileprivate var ignoresCase: Bool {
        switch kind {
        case .field(.contentType), .call(BuiltIn.lower.rawValue, _): true
        default: false
        }
    }

    /// Without the `lower` around it, which a comparison needs no copy for.
    fileprivate var caseless: Expression {
        if case .call(BuiltIn.lower.rawValue, let arguments) = kind, arguments.count == 1 {
            switch arguments[0].kind {
            case .field(let field) where field.type == .text || field.type == .json: return arguments[0]
            case .literal(.text): return arguments[0]
            default: break
            }
        }
        return self
    }

    fileprivate var isLiteral: Bool {
        if case .literal = kind { true } else { false }
    }
}
