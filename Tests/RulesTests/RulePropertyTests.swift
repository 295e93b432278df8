import SluiceABI
import SluiceHashing
import Testing

@testable import Rules

/// Random rules of every form, over random requests.
struct RuleMaker {
    var numbers: SplitMix64

    init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int.random(in: 0..<choices.count, using: &numbers)]
    }
    mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &numbers) == 0 }

    static let texts = ["", "a", "A", "ab", "aB", "12", "-3", "1.5", "x y", "\"\\\n", "é", "acme", "zzzz", "0", "01"]
    static let integers: [Int64] = [0, 1, 2, 3, 5, 12, -3, 255, 1 << 53, .max, .max - 1]

    mutating func facts() -> SampleFacts {
        SampleFacts(
            method: pick(["GET", "POST"]), path: pick(["/", "/a/ab", "/acme"]), tenant: pick(["", "acme", "A"]),
            priority: Int64(pick([0, 5, 9])), headers: pairs(["x", "X", "y"]), query: pairs(["x", "y", "a b"]),
            json: json(depth: 3),
            shape: (0..<pick([0, 1, 3])).map { _ in Int64(Int.random(in: 0...3, using: &numbers)) },
            elements: [])
    }

    private mutating func pairs(_ names: [String]) -> [(name: String, value: String)] {
        (0..<pick([0, 1, 3])).map { _ in (pick(names), pick(Self.texts.filter { $0 != "\"\\\n" })) }
    }

    private mutating func json(depth: Int) -> SampleJSON {
        let kind = Int.random(in: 0..<(depth > 0 ? 10 : 5), using: &numbers)
        switch kind {
        case 0: return .null
        case 1: return .boolean(chance(2))
        case 2: return .integer(pick(Self.integers))
        case 3: return .number(pick([1.5, -0.25, 1e300, 2.5e-3]))
        case 4: return .text(pick(Self.texts))
        case 5, 6: return .array((0..<pick([0, 1, 3])).map { _ in json(depth: depth - 1) })
        default:
            return .object((0..<pick([1, 2, 4])).map { _ in (pick(["a", "b", "é", "x.y"]), json(depth: depth - 1)) })
        }
    }

    mutating func condition(depth: Int) -> Expression {
        let kind = Int.random(in: 0..<(depth > 0 ? 12 : 6), using: &numbers)
        switch kind {
        case 0: return make(.literal(.boolean(chance(2))))
        case 1: return make(.call("exists", [value(depth: 0)]))
        case 2, 3:
            let comparison = pick(Comparison.allCases)
            if comparison.isTextTest {
                return make(.comparison(comparison, text(), chance(3) ? make(.field(json())) : text(literal: true)))
            }
            if comparison.isOrder { return make(.comparison(comparison, number(depth: depth), number(depth: depth))) }
            let isText = chance(2)
            return make(
                .comparison(
                    comparison, isText ? text() : number(depth: depth), isText ? text() : number(depth: depth)))
        case 4:
            let isText = chance(2)
            let items = (0..<pick([1, 3])).map { _ in
                Expression.ListItem(
                    offset: 0, value: isText ? .text(Array(pick(Self.texts).utf8)) : .integer(pick(Self.integers)))
            }
            return make(.membership(isText ? text() : number(depth: 0), items, isNegated: chance(2)))
        case 5: return make(.comparison(pick([.equal, .notEqual]), make(.field(json())), any()))
        case 6, 7: return make(.not(condition(depth: depth - 1)))
        case 8, 9: return make(.all((0..<pick([2, 3])).map { _ in condition(depth: depth - 1) }))
        default: return make(.any((0..<pick([2, 3])).map { _ in condition(depth: depth - 1) }))
        }
    }

    private func make(_ kind: Expression.Kind) -> Expression { Expression(offset: 0, kind: kind) }

    private mutating func any() -> Expression {
        switch Int.random(in: 0..<5, using: &numbers) {
        case 0: make(.literal(.null))
        case 1: make(.literal(.boolean(chance(2))))
        case 2: make(.field(json()))
        default: value(depth: 0)
        }
    }

    private mutating func value(depth: Int) -> Expression { chance(2) ? text() : number(depth: depth) }

    private mutating func json() -> Field {
        .json(
            (0..<pick([1, 2, 3])).map { _ in
                chance(3) ? .index(Int32(pick([0, 1, 2]))) : .key(Array(pick(["a", "b", "é", "x.y"]).utf8))
            })
    }

    private mutating func text(literal: Bool = false) -> Expression {
        if literal || chance(3) { return make(.literal(.text(Array(pick(Self.texts).utf8)))) }
        let name = Array(pick(["x", "y", "a b"]).utf8)
        let field = make(
            .field(
                pick([.method, .path, .tenant, .header(name), .query(name), json(), .tensor(.name([0x74]), .datatype)]))
        )
        return chance(4) ? make(.call("lower", [field])) : field
    }

    private mutating func number(depth: Int) -> Expression {
        switch Int.random(in: 0..<(depth > 0 ? 9 : 6), using: &numbers) {
        case 0: return make(.literal(.integer(pick(Self.integers))))
        case 1: return make(.literal(.number(pick([0.5, 1.5, 1e300]))))
        case 2: return make(.field(pick([.priority, json(), json()])))
        case 3:
            let attribute = pick(
                [.rank, .elements, .smallest, .largest, .shape(0), .shape(-1), .shape(2)] as [TensorAttribute])
            return make(.field(.tensor(.name([pick([0x74, 0x75])]), attribute)))
        case 4: return make(.call(pick(["integer", "number"]), [text()]))
        case 5: return make(.call("length", [text()]))
        case 6: return make(.negate(make(.field(pick([.priority, json()])))))
        default:
            let operation = pick(Arithmetic.allCases)
            return make(.arithmetic(operation, number(depth: depth - 1), number(depth: depth - 1)))
        }
    }
}

/// A tree as text, with a parenthesis wherever one may stand.
struct RulePrinter {
    func write(_ expression: Expression) -> String {
        switch expression.kind {
        case .literal(let literal): return write(literal)
        case .field(let field): return write(field)
        case .all(let parts): return parts.map { "(\(write($0)))" }.joined(separator: " and ")
        case .any(let parts): return parts.map { "(\(write($0)))" }.joined(separator: " or\n")
        case .not(let inner): return "not (\(write(inner)))"
        case .negate(let inner): return "-(\(write(inner)))"
        case .arithmetic(let operation, let left, let right):
            return "(\(write(left))) \(operation.rawValue) (\(write(right)))"
        case .comparison(let comparison, let left, let right):
            return "(\(write(left))) \(comparison.rawValue) (\(write(right)))"
        case .membership(let left, let items, let isNegated):
            let list = items.map { write($0.value) }.joined(separator: ", ")
            return "(\(write(left))) \(isNegated ? "not in" : "in") [\(list)]"
        case .call(let name, let arguments): return "\(name)(\(arguments.map(write).joined(separator: ", ")))"
        }
    }

    private func write(_ literal: Literal) -> String {
        switch literal {
        case .text(let text): quoted(text)
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .boolean(let value): "\(value)"
        case .null: "null"
        }
    }

    private func quoted(_ text: [UInt8]) -> String {
        var written = "\""
        for byte in text {
            switch byte {
            case 0x22, 0x5C: written += "\\" + String(decoding: [byte], as: UTF8.self)
            case 0x20...0x7E: written += String(decoding: [byte], as: UTF8.self)
            default: written += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return written + "\""
    }

    private func write(_ field: Field) -> String {
        switch field {
        case .header(let name): return "header(\(quoted(name)))"
        case .query(let name): return "query(\(quoted(name)))"
        case .json(let steps):
            var path: [UInt8] = []
            for step in steps {
                switch step {
                case .key(let key): path += "['".utf8 + key + "']".utf8
                case .index(let index): path += "[\(index)]".utf8
                }
            }
            return "json(\(quoted(path)))"
        case .tensor(let name, let attribute):
            let tensor = if case .name(let text) = name { "tensor(\(quoted(text)))" } else { "tensor(0)" }
            switch attribute {
            case .rank: return tensor + ".rank"
            case .elements: return tensor + ".elements"
            case .datatype: return tensor + ".datatype"
            case .smallest: return tensor + ".min"
            case .largest: return tensor + ".max"
            case .shape(let index): return tensor + ".shape[\(index)]"
            }
        default: return Field.words.first { $0.value == field }?.key ?? "?"
        }
    }
}

@Suite struct RulePropertyTests {
    /// The compiled form says what the tree says, for every seed; a failing seed replays.
    @Test(arguments: 0..<8) func compiledRulesSayWhatTheirTreesSay(part: UInt64) throws {
        var held = 0
        var refused = 0
        for seed in (part * 1_000)..<(part * 1_000 + 1_000) {
            var maker = RuleMaker(seed: seed)
            var facts = maker.facts()
            facts.elements = (0..<facts.shape.reduce(1, *)).map { UInt8(truncatingIfNeeded: $0 * 7 + Int64(seed)) }
            let tree = maker.condition(depth: 4)
            let text = RulePrinter().write(tree)
            guard text.utf8.count <= 4_096 else { continue }
            let rule: Rule
            do throws(RuleError) {
                rule = try Rule(text)
            } catch {
                // A condition of json alone, a division by the literal zero, two literals that never agree.
                refused += 1
                continue
            }
            let wanted = NaiveEvaluator(facts: facts).holds(tree)
            let outcome = request(facts, escapes: maker.chance(2)).outcome(rule)
            held += wanted ? 1 : 0
            #expect(outcome == (wanted ? .holds : .fails), "seed \(seed): \(text)")
            if outcome != (wanted ? .holds : .fails) { return }
        }
        #expect((150...850).contains(held), "both outcomes occur: \(held)")
        #expect(refused < 250, "\(refused) of the rules are refused")
    }

    private func request(_ facts: SampleFacts, escapes: Bool) -> SampleRequest {
        let query = facts.query.map { pair in
            [pair.name, pair.value].map { text in
                text.utf8.map { byte in
                    escapes || byte >= 0x80 || " +%&=".utf8.contains(byte)
                        ? byte == 0x20 ? "+" : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
                        : String(decoding: [byte], as: UTF8.self)
                }.joined()
            }.joined(separator: "=")
        }.joined(separator: "&")
        let request = SampleRequest(
            facts.method, facts.path, query: query, headers: facts.headers.map { ($0.name, $0.value) },
            body: facts.json.written(escapes: escapes), tenant: facts.tenant, priority: UInt32(facts.priority))
        request.setTensors([
            .init(name: "t", datatype: SLUICE_DATATYPE_UINT8, shape: facts.shape, data: facts.elements)
        ])
        return request
    }

    @Test func whatIsPrintedIsReadAsTheSameTree() throws {
        for seed in UInt64(50_000)..<51_000 {
            var maker = RuleMaker(seed: seed)
            let text = RulePrinter().write(maker.condition(depth: 3))
            guard text.utf8.count <= 4_096, let once = try? Parser.parse(Array(text.utf8)) else { continue }
            let again = try Parser.parse(Array(RulePrinter().write(once).utf8))
            #expect(RulePrinter().write(again) == RulePrinter().write(once), "seed \(seed): \(text)")
        }
    }
}
