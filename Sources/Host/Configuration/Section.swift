/// One mapping of the file with known keys. The code that reads a section names each key once, with its shape and
/// meaning; run with a mapping it reads, run without one it describes (``describe(_:)``). What was not named when the
/// reading ends is an unknown key.
final class Section {
    typealias Body = (Section) -> Void

    let reading: Reading
    let position: Position
    /// The name under which this section stands in a table; empty elsewhere.
    let name: String
    private var values: [String: Node.Entry]?
    private let entries: [Node.Entry]
    private var known: [String] = []
    private(set) var shape = SectionShape()

    private init(_ reading: Reading, position: Position, name: String, entries: [Node.Entry]?) {
        self.reading = reading
        self.position = position
        self.name = name
        self.entries = entries ?? []
        values = entries.map { Dictionary($0.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first }) }
    }

    /// Reads a mapping; a node that is none has been reported before.
    static func read(_ node: Node, named name: String = "", _ reading: Reading, _ body: Body) {
        guard case .mapping(let entries, let position) = node else { return }
        let section = Section(reading, position: position, name: name, entries: entries)
        body(section)
        section.reportUnknownKeys()
    }

    static func describe(_ body: Body) -> SectionShape {
        let nowhere = Reading(file: "", directory: "/")
        let section = Section(nowhere, position: Position(file: "", line: 1, column: 1), name: "", entries: nil)
        body(section)
        return section.shape
    }

    var isDescribing: Bool { values == nil }

    /// Where a key stands, nil when it does not.
    func keyPosition(_ key: String) -> Position? { values?[key]?.keyPosition }

    /// A value that its own reader will declare and check.
    func peek(_ key: String) -> Node? { values?[key]?.value }

    /// The kernel takes no longer path for a Unix socket.
    func checkSocketPath(_ path: String, _ position: Position) {
        guard path.utf8.count > Bounds.socketPathBytes else { return }
        reading.error(
            position,
            "the path of a Unix socket has at most \(Bounds.socketPathBytes) bytes, its directory included; this "
                + "one has \(path.utf8.count)")
    }

    func has(_ key: String) -> Bool { values?[key] != nil }

    /// The primitive under all that follows: declares a key and gives its value when it is there and has its shape.
    /// - Parameter initially: what holds without the key, for the reference.
    func take(
        _ key: String, _ shape: @autoclosure () -> Shape, required: Bool = false,
        initially: @autoclosure () -> String? = nil,
        effect: Effect = .now, _ meaning: @autoclosure () -> String
    ) -> Node? {
        known.append(key)
        guard let values else {
            self.shape.keys.append(
                KeyDeclaration(
                    name: key, shape: shape(), isRequired: required, initially: initially(), effect: effect,
                    meaning: meaning()))
            return nil
        }
        guard let entry = values[key] else {
            if required {
                let owner = name.isEmpty ? "here" : "in `\(printable(name))`"
                reading.error(position, "`\(key)` is missing \(owner); add it. \(meaning())")
            }
            return nil
        }
        switch effect {
        case .now: break
        case .later: reading.warning(entry.keyPosition, "`\(key)` has no effect yet")
        }
        return reading.check(entry.value, shape(), "`\(key)`") ? entry.value : nil
    }

    /// Of `keys` exactly one must stand in the section.
    func exactlyOne(of keys: [String], _ advice: String) {
        shape.exclusive.append(keys)
        guard !isDescribing else { return }
        let present = keys.compactMap { keyPosition($0) }
        let words = keys.map { "`\($0)`" }
        if present.isEmpty {
            reading.error(position, "one of \(Shape.listed(words)) is missing; \(advice)")
        } else if present.count > 1, let last = present.max(by: { ($0.line, $0.column) < ($1.line, $1.column) }) {
            let both = keys.filter(has).map { "`\($0)`" }
            reading.error(last, "\(both.joined(separator: " and ")) exclude each other; \(advice)")
        }
    }

    private func reportUnknownKeys() {
        let declared = Set(known)
        for entry in entries where !declared.contains(entry.key) {
            let advice =
                reading.guess(for: entry.key, among: known).map { "did you mean `\($0)`?" }
                ?? "known here: \(known.map { "`\($0)`" }.joined(separator: ", "))"
            reading.error(entry.keyPosition, "unknown key `\(printable(entry.key))`; \(advice)")
        }
    }
}

/// Typed keys.
extension Section {
    func integer(
        _ key: String, into value: inout Int, _ range: ClosedRange<Int>, effect: Effect = .now, _ meaning: String
    ) {
        let node = take(key, .integer(range), initially: "\(value)", effect: effect, meaning)
        if let found = node?.integer { value = found }
    }

    func integer(
        _ key: String, into value: inout Int?, _ range: ClosedRange<Int>, initially: String, effect: Effect = .now,
        _ meaning: String
    ) {
        if let found = take(key, .integer(range), initially: initially, effect: effect, meaning)?.integer {
            value = found
        }
    }

    func number(
        _ key: String, into value: inout Double, _ range: ClosedRange<Double>, effect: Effect = .now, _ meaning: String
    ) {
        let node = take(key, .number(range), initially: decimal(value), effect: effect, meaning)
        if let found = node?.number { value = found }
    }

    func boolean(_ key: String, into value: inout Bool, _ meaning: String) {
        if let found = take(key, .boolean, initially: "\(value)", meaning)?.boolean { value = found }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, into value: inout Choice, _ meaning: String
    ) where Choice.RawValue == String {
        let words = Choice.allCases.map(\.rawValue)
        if let word = take(key, .choice(words), initially: value.rawValue, meaning)?.text,
            let found = Choice(rawValue: word)
        {
            value = found
        }
    }

    /// A text with its node, for whoever must say more about it.
    func text(
        _ key: String, _ form: TextForm = .anything, required: Bool = false, initially: String? = nil,
        effect: Effect = .now, _ meaning: String
    ) -> String? {
        take(key, .text(form), required: required, initially: initially, effect: effect, meaning)?.text
    }

    /// A section within; nothing after the key is the same as no key.
    func section(_ key: String, effect: Effect = .now, initially: String? = nil, _ meaning: String, _ body: Body) {
        func shape() -> Shape {
            var shape = isDescribing ? Section.describe(body) : SectionShape()
            shape.isNullable = true
            return .either([.null, .section(shape)])
        }
        if let node = take(key, shape(), initially: initially, effect: effect, meaning) {
            Section.read(node, reading, body)
        }
    }

    /// One section, or a list of them; nothing after the key is the same as no key.
    func oneOrMore(_ key: String, initially: String? = nil, _ meaning: String, _ body: Body) {
        func shape() -> Shape {
            let item = isDescribing ? Section.describe(body) : SectionShape()
            return .either([.null, .section(item), .list(.section(item), atLeast: 0)])
        }
        guard let node = take(key, shape(), initially: initially, meaning), !node.isNull else { return }
        for item in node.items ?? [node] where reading.check(item, .section(SectionShape()), "`\(key)`") {
            Section.read(item, reading, body)
        }
    }

    /// A list of sections. One that is none does not hide the errors of the others.
    func sections(_ key: String, initially: String? = nil, _ meaning: String, _ body: Body) {
        func shape() -> Shape {
            let item = isDescribing ? Shape.section(Section.describe(body)) : .anything
            return .either([.null, .list(item, atLeast: 0)])
        }
        for item in take(key, shape(), initially: initially, meaning)?.items ?? [] {
            if reading.check(item, .section(SectionShape()), "an item of `\(key)`") {
                Section.read(item, reading, body)
            }
        }
    }

    /// A mapping of names to sections, in the order of the file. `body` finds the name in ``name``.
    func table(
        _ key: String, names: TextForm, required: Bool = false, _ meaning: String, _ body: Body
    ) {
        func shape() -> Shape {
            let item = Shape.section(isDescribing ? Section.describe(body) : SectionShape())
            let table = Shape.table(item, names: names, atLeast: required ? 1 : 0)
            return required ? table : .either([.null, table])
        }
        for entry in take(key, shape(), required: required, meaning)?.entries ?? [] {
            checkName(entry, names)
            if reading.check(entry.value, .section(SectionShape()), "`\(printable(entry.key))`") {
                Section.read(entry.value, named: entry.key, reading, body)
            }
        }
    }

    /// A name that the operator chose must be fit to be shown and asked for.
    func checkName(_ entry: Node.Entry, _ form: TextForm) {
        if entry.key.utf8.starts(with: "${".utf8) {
            reading.error(entry.keyPosition, "environment references are not read in keys; write the name out")
        } else if form.check(entry.key) != .fits {
            reading.error(entry.keyPosition, "the name `\(printable(entry.key))` must be \(form.expectation)")
        }
    }
}
