@testable import Rules

/// What a value of JSON is, as the property test builds bodies of it.
indirect enum SampleJSON {
    case null
    case boolean(Bool)
    case integer(Int64)
    case number(Double)
    case text(String)
    case array([SampleJSON])
    case object([(key: String, value: SampleJSON)])

    /// With every character beyond letters and digits escaped when `escapes`.
    func written(escapes: Bool) -> String {
        switch self {
        case .null: return "null"
        case .boolean(let value): return "\(value)"
        case .integer(let value): return "\(value)"
        case .number(let value): return "\(value)"
        case .text(let text): return Self.quoted(text, escapes)
        case .array(let items): return "[ \(items.map { $0.written(escapes: escapes) }.joined(separator: " ,")) ]"
        case .object(let members):
            return "{"
                + members.map { "\(Self.quoted($0.key, escapes)) :\n\($0.value.written(escapes: escapes))" }
                .joined(separator: ",\t") + "}"
        }
    }

    private static func quoted(_ text: String, _ escapes: Bool) -> String {
        var written = "\""
        for unit in text.utf16 {
            if escapes || unit == 0x22 || unit == 0x5C || unit < 0x20 {
                let digits = String(unit, radix: 16)
                written += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            } else if let scalar = Unicode.Scalar(unit) {
                written.unicodeScalars.append(scalar)
            }
        }
        return written + "\""
    }
}

/// The request of the property test, in Swift's own values.
struct SampleFacts {
    var method: String
    var path: String
    var tenant: String
    var priority: Int64
    var headers: [(name: String, value: String)]
    var query: [(name: String, value: String)]
    var json: SampleJSON
    var shape: [Int64]
    var elements: [UInt8]
}

/// Walks the tree as the language reference reads, with Swift's own texts, numbers and lists: nothing of the compiled
/// form is shared.
struct NaiveEvaluator {
    enum Result: Equatable {
        case absent, null, structure
        case boolean(Bool)
        case integer(Int64)
        case number(Double)
        case text([UInt8])

        var float: Double? {
            switch self {
            case .integer(let value): Double(value)
            case .number(let value): value
            default: nil
            }
        }
    }

    let facts: SampleFacts

    func holds(_ rule: Expression) -> Bool { value(rule) == .boolean(true) }

    private func number(_ value: Double) -> Result { value.isFinite ? .number(value) : .absent }
    private func text(_ value: String) -> Result { .text(Array(value.utf8)) }

    func value(_ expression: Expression) -> Result {
        switch expression.kind {
        case .literal(let literal): return value(literal)
        case .field(let field): return value(field)
        case .all(let parts): return .boolean(parts.allSatisfy { holds($0) })
        case .any(let parts): return .boolean(parts.contains { holds($0) })
        case .not(let inner): return .boolean(!holds(inner))
        case .negate(let inner):
            switch value(inner) {
            case .integer(let value): return value == .min ? .absent : .integer(-value)
            case .number(let value): return .number(-value)
            default: return .absent
            }
        case .arithmetic(let operation, let left, let right): return calculate(operation, value(left), value(right))
        case .comparison(let comparison, let left, let right):
            return .boolean(compare(comparison, value(left), value(right), isCaseless(left) || isCaseless(right)))
        case .membership(let left, let items, let isNegated):
            let wanted = value(left)
            let isAmong = items.contains { equal(wanted, value($0.value), isCaseless(left)) }
            return .boolean(isAmong != isNegated)
        case .call(let name, let arguments): return call(name, value(arguments[0]))
        }
    }

    private func isCaseless(_ expression: Expression) -> Bool {
        switch expression.kind {
        case .call("lower", _), .field(.contentType): true
        default: false
        }
    }

    private func value(_ literal: Literal) -> Result {
        switch literal {
        case .text(let text): .text(text)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .boolean(let value): .boolean(value)
        case .null: .null
        }
    }

    private func value(_ field: Field) -> Result {
        switch field {
        case .method: return text(facts.method)
        case .path: return text(facts.path)
        case .tenant: return facts.tenant.isEmpty ? .absent : text(facts.tenant)
        case .priority: return .integer(facts.priority)
        case .header(let name):
            let wanted = String(decoding: name, as: UTF8.self)
            return facts.headers.first { $0.name.lowercased() == wanted }.map { text($0.value) } ?? .absent
        case .query(let name):
            let wanted = String(decoding: name, as: UTF8.self)
            return facts.query.first { $0.name == wanted }.map { text($0.value) } ?? .absent
        case .json(let steps): return value(facts.json, steps[...])
        case .tensor(.name(let name), let attribute) where name == Array("t".utf8): return value(attribute)
        default: return .absent
        }
    }

    private func value(_ json: SampleJSON, _ steps: ArraySlice<PathStep>) -> Result {
        guard let step = steps.first else {
            switch json {
            case .null: return .null
            case .boolean(let value): return .boolean(value)
            case .integer(let value): return .integer(value)
            case .number(let value): return .number(value)
            case .text(let value): return text(value)
            case .array, .object: return .structure
            }
        }
        switch (step, json) {
        case (.key(let key), .object(let members)):
            let wanted = String(decoding: key, as: UTF8.self)
            guard let member = members.first(where: { $0.key == wanted }) else { return .absent }
            return value(member.value, steps.dropFirst())
        case (.index(let index), .array(let items)):
            return Int(index) < items.count ? value(items[Int(index)], steps.dropFirst()) : .absent
        default: return .absent
        }
    }

    private func value(_ attribute: TensorAttribute) -> Result {
        switch attribute {
        case .rank: return .integer(Int64(facts.shape.count))
        case .elements: return .integer(facts.shape.reduce(1, *))
        case .datatype: return text("UINT8")
        case .smallest: return facts.elements.min().map { .integer(Int64($0)) } ?? .absent
        case .largest: return facts.elements.max().map { .integer(Int64($0)) } ?? .absent
        case .shape(let index):
            let place = index < 0 ? facts.shape.count + Int(index) : Int(index)
            return facts.shape.indices.contains(place) ? .integer(facts.shape[place]) : .absent
        }
    }

    private func calculate(_ operation: Arithmetic, _ left: Result, _ right: Result) -> Result {
        if case .integer(let one) = left, case .integer(let other) = right {
            // Wide enough for every result.
            let (a, b) = (Int128(one), Int128(other))
            if b == 0, operation == .divide || operation == .remainder { return .absent }
            let result =
                switch operation {
                case .add: a + b
                case .subtract: a - b
                case .multiply: a * b
                case .divide: a / b
                // The one remainder whose quotient does not fit has no result either.
                case .remainder: one == .min && other == -1 ? Int128(Int64.max) + 1 : a % b
                }
            return Int64(exactly: result).map { .integer($0) } ?? .absent
        }
        guard let one = left.float, let other = right.float else { return .absent }
        switch operation {
        case .add: return number(one + other)
        case .subtract: return number(one - other)
        case .multiply: return number(one * other)
        case .divide: return number(one / other)
        case .remainder: return number(one.truncatingRemainder(dividingBy: other))
        }
    }

    private func folded(_ text: [UInt8], _ isCaseless: Bool) -> [UInt8] {
        isCaseless ? text.map { (65...90).contains($0) ? $0 + 32 : $0 } : text
    }

    private func equal(_ left: Result, _ right: Result, _ isCaseless: Bool) -> Bool {
        switch (left, right) {
        case (.text(let one), .text(let other)): return folded(one, isCaseless) == folded(other, isCaseless)
        case (.integer(let one), .integer(let other)): return one == other
        case (.null, .null): return true
        case (.boolean(let one), .boolean(let other)): return one == other
        default:
            guard let one = left.float, let other = right.float else { return false }
            return one == other
        }
    }

    private func compare(_ comparison: Comparison, _ left: Result, _ right: Result, _ isCaseless: Bool) -> Bool {
        switch comparison {
        case .equal: return equal(left, right, isCaseless)
        case .notEqual: return !equal(left, right, isCaseless)
        case .startsWith, .endsWith, .contains:
            guard case .text(let one) = left, case .text(let other) = right else { return false }
            let (text, part) = (folded(one, isCaseless), folded(other, isCaseless))
            if comparison == .startsWith { return text.starts(with: part) }
            if comparison == .endsWith { return text.reversed().starts(with: part.reversed()) }
            return part.isEmpty || text.indices.contains { text[$0...].starts(with: part) }
        case .less, .lessOrEqual, .greater, .greaterOrEqual:
            if case .integer(let one) = left, case .integer(let other) = right { return order(comparison, one, other) }
            guard let one = left.float, let other = right.float else { return false }
            return order(comparison, one, other)
        }
    }

    private func order<Number: Comparable>(_ comparison: Comparison, _ one: Number, _ other: Number) -> Bool {
        switch comparison {
        case .less: one < other
        case .lessOrEqual: one <= other
        case .greater: one > other
        default: one >= other
        }
    }

    private func call(_ name: String, _ argument: Result) -> Result {
        switch (BuiltIn(rawValue: name), argument) {
        case (.exists, _): return .boolean(argument != .absent)
        case (.lower, .text(let text)): return .text(folded(text, true))
        case (.length, .text(let text)): return .integer(Int64(text.count))
        case (.integer, .integer): return argument
        case (.integer, .number(let value)):
            return Int64(exactly: value.rounded(.towardZero)).map { .integer($0) } ?? .absent
        case (.integer, .text(let text)):
            let digits = String(decoding: text, as: UTF8.self)
            return digits.wholeMatch(of: /-?(0|[1-9][0-9]*)/).flatMap { _ in Int64(digits) }.map { .integer($0) }
                ?? .absent
        case (.number, .text(let text)):
            let digits = String(decoding: text, as: UTF8.self)
            return digits.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?/)
                .flatMap { _ in Double(digits) }.map { number($0) } ?? .absent
        case (.number, _): return argument.float.map { .number($0) } ?? .absent
        default: return .absent
        }
    }
}
