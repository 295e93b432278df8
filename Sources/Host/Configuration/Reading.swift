import NearestName

/// The state of one reading: what was found wrong so far, and the names that later sections may refer to.
final class Reading {
    let file: String
    /// Relative paths begin here; absolute, without a slash at the end.
    let directory: String
    private let secrets: [Position: String]
    private let unreadable: Set<Position>
    private(set) var diagnostics: [Diagnostic]
    private var candidates = 0
    /// Names of `plugins`, with where each stands.
    var plugins: [String: Position] = [:]
    /// Adapters that listeners name; the plugins stand after them in the reader's order.
    var listenerAdapters: [Node] = []
    /// Those that a message may show: what the environment gave is not among them.
    var shownPlugins: [String] = []

    /// - Parameter tree: what is known of the values from reading them; nil when nothing is read.
    init(file: String, directory: String, tree: YAMLTree? = nil) {
        self.file = file
        self.directory = directory
        secrets = tree?.secrets ?? [:]
        unreadable = tree?.unreadable ?? []
        diagnostics = tree?.diagnostics ?? []
    }

    func error(_ position: Position, _ message: String) {
        diagnostics.append(Diagnostic(.error, position, message))
    }

    func warning(_ position: Position, _ message: String) {
        diagnostics.append(Diagnostic(.warning, position, message))
    }

    func isSecret(_ node: Node) -> Bool { secrets[node.position] != nil }

    /// What a message says was found: the text itself where that is no secret.
    func shown(_ node: Node) -> String {
        guard case .scalar(let text, _, let position) = node, !node.isNull else { return node.kind.rawValue }
        return secrets[position] != nil ? "what the environment gave" : "`\(printable(text))`"
    }

    /// The known name that a text most likely means, or nil: for what the environment gave (a guess would tell what it
    /// looks like) and once the reading has guessed enough.
    func guess(for node: Node, among known: some Collection<String>) -> String? {
        guard let text = node.text, !isSecret(node) else { return nil }
        return guess(for: text, among: known)
    }

    func guess(for text: String, among known: some Collection<String>) -> String? {
        candidates += known.count
        guard candidates <= Bounds.suggestionCandidates else { return nil }
        return nearestName(to: text, among: known)
    }

    /// Absolute: what begins with a slash stays, all else begins at the file's directory. Without `.` and doubled
    /// slashes, so that the same socket in other words is the same text; `..` stays, since what it leaves may be a
    /// link.
    func absolute(_ path: String) -> String {
        let whole = path.utf8.first == UInt8(ascii: "/") ? path : directory + "/" + path
        let steps = whole.utf8.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }
        return "/" + steps.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    }

    /// Whether a value has its shape. What lies inside a section or a table is left to its own reader.
    /// - Parameter label: how messages call the value, such as "`port`".
    func check(_ node: Node, _ shape: Shape, _ label: String) -> Bool {
        if unreadable.contains(node.position) { return false }
        switch (shape, node) {
        case (.anything, _), (.section, .mapping): return true
        case (.null, _) where node.isNull, (.boolean, _) where node.boolean != nil: return true
        case (.integer(let range), _) where node.integer.map(range.contains) == true: return true
        case (.number(let range), _) where node.number.map(range.contains) == true: return true
        case (.choice(let words), _) where node.text.map(words.contains) == true: return true
        case (.text(let form), _):
            guard let text = node.text else { break }
            switch form.check(text) {
            case .fits: return true
            case .misfits: break
            case .because(let complaint):
                error(node.position, "\(label) \(complaint)")
                return false
            }
        case (.list(let item, let atLeast), .sequence(let items, _)):
            guard items.count >= atLeast else {
                error(node.position, "\(label) takes a list of at least \(atLeast) item\(atLeast == 1 ? "" : "s")")
                return false
            }
            // Every item is checked, so that all errors of the list come at once.
            return items.count { !check($0, item, "an item of \(label)") } == 0
        case (.table(_, _, let atLeast), .mapping(let entries, _)):
            guard entries.count >= atLeast else {
                error(node.position, "\(label) takes at least \(atLeast) entr\(atLeast == 1 ? "y" : "ies")")
                return false
            }
            return true
        case (.either(let shapes), _):
            if let fitting = shapes.first(where: { $0.admits(node) }) { return check(node, fitting, label) }
        default: break
        }
        error(node.position, "\(label) takes \(shape.expectation), not \(shown(node))\(remedy(node, shape))")
        return false
    }

    /// The commonest mistakes of writing a value, each with its cure.
    private func remedy(_ node: Node, _ shape: Shape) -> String {
        guard case .scalar(let text, let quoted, let position) = node, !isSecret(node) else { return "" }
        let wantsText = shape.admits(.scalar("a", quoted: true, position))
        if !quoted && wantsText && node.text == nil && !node.isNull { return "; put it in quotes" }
        if quoted && !wantsText && Node.scalar(text, quoted: false, position).kind != .text {
            return "; remove the quotes"
        }
        let isWhole = shape.admits(.scalar("1", quoted: false, position)) && !node.isNull
        if !quoted && isWhole && node.kind == .text && text.utf8.contains(where: { $0 &- 48 < 10 }) {
            return "; write plain decimal digits"
        }
        return ""
    }
}

extension Shape {
    /// Whether a node is of this shape's kind, so that the messages of this shape are the ones that help.
    fileprivate func admits(_ node: Node) -> Bool {
        switch self {
        case .null: node.isNull
        case .boolean: node.boolean != nil
        case .integer: node.integer != nil
        case .number: node.number != nil
        case .choice(let words): node.text.map(words.contains) == true
        case .text: node.text != nil
        case .list: node.kind == .sequence
        case .section, .table: node.kind == .mapping
        case .either(let shapes): shapes.contains { $0.admits(node) }
        case .anything: true
        }
    }
}
