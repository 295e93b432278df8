/// Reads one YAML document into a tree of nodes: aliases and environment references expanded, tags resolved, repeated
/// keys refused, all within ``Bounds``.
struct YAMLTree {
    private let file: String
    private let references: EnvironmentReferences
    private(set) var diagnostics: [Diagnostic] = []
    /// Scalars whose text came from the environment, with that text: messages must not show it.
    private(set) var secrets: [Position: String] = [:]
    /// Scalars that could not be read, reported already: what they would say does not count.
    private(set) var unreadable: Set<Position> = []

    private var anchors: [String: Anchor] = [:]
    private var nodes = 0
    private var textBytes = 0

    private enum Anchor {
        /// Its node is still being read: an alias to it here would be endless.
        case open
        case closed(Node, Cost)
    }

    /// What a subtree costs each time it is used.
    private struct Cost {
        var nodes = 1
        var height = 1
        var textBytes = 0

        mutating func add(_ child: Cost) {
            nodes += child.nodes
            height = max(height, child.height + 1)
            textBytes += child.textBytes
        }
    }

    init(file: String, environment: [String: String]) {
        self.file = file
        references = EnvironmentReferences(environment: environment)
    }

    /// The document's root, or nil when the text cannot be read as one document. Even with a root, `diagnostics` may
    /// hold errors.
    mutating func read(_ text: [UInt8]) -> Node? {
        // A byte order mark is no part of the text, so column 1 is what follows it (YAML 1.2.2, section 5.2).
        let content = text.starts(with: [0xEF, 0xBB, 0xBF]) ? text[3...] : text[...]
        return content.withUnsafeBufferPointer { bytes in
            do throws(Refusal) {
                return try document(bytes)
            } catch {
                diagnostics.append(error.diagnostic)
                return nil
            }
        }
    }

    private mutating func document(_ text: UnsafeBufferPointer<UInt8>) throws(Refusal) -> Node {
        let start = Position(file: file, line: 1, column: 1)
        guard text.count <= Bounds.fileBytes else {
            throw refusal(start, "the file is larger than \(Bounds.fileBytes) bytes; is it a configuration?")
        }
        if let offset = TextPlace.firstInvalidByte(in: text) {
            let place = TextPlace(in: text, offset: offset)
            throw refusal(
                Position(file: file, line: place.line, column: place.column),
                "a byte that is not UTF-8; save the file as plain UTF-8 text")
        }
        let nothing = refusal(start, "the file is empty; a configuration has at least one key, such as `gateway`")
        guard !text.isEmpty else { throw nothing }
        if let line = lineOfExcessDirective(text) {
            throw refusal(
                Position(file: file, line: line, column: 1),
                "more than \(Bounds.directives) lines begin with `%`; a configuration needs no YAML directives")
        }
        guard var events = YAMLEvents(text: text, file: file) else {
            throw refusal(start, "memory is too short to read the file")
        }
        _ = try events.next()
        guard case .documentStart = try events.next().kind else { throw nothing }
        let root = try node(try events.next(), &events, depth: 1).node
        _ = try events.next()
        let next = try events.next()
        guard case .streamEnd = next.kind else {
            throw refusal(next.position, "a second document; a configuration is one document, so remove the `---`")
        }
        if root.isNull { throw nothing }
        return root
    }

    private func lineOfExcessDirective(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
        var count = 0
        var line = 1
        var startsLine = true
        for byte in text {
            if startsLine && byte == UInt8(ascii: "%") {
                count += 1
                if count > Bounds.directives { return line }
            }
            // libyaml also takes a lone carriage return for a line's end.
            startsLine = byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
            if byte == UInt8(ascii: "\n") { line += 1 }
        }
        return nil
    }

    private mutating func node(
        _ event: YAMLEvent, _ events: inout YAMLEvents, depth: Int
    ) throws(Refusal) -> (node: Node, cost: Cost) {
        if case .alias(let name) = event.kind { return try expand(alias: name, at: event.position, depth: depth) }
        guard depth <= Bounds.depth else { throw tooDeep(event.position) }
        nodes += 1
        try checkNodes(event.position)
        if let anchor = event.anchor { anchors[anchor] = .open }

        let result: (node: Node, cost: Cost)
        switch event.kind {
        case .sequenceStart:
            check(tag: event.tag, isOneOf: ["seq"], event.position)
            result = try sequence(&events, depth: depth, event.position)
        case .mappingStart:
            check(tag: event.tag, isOneOf: ["map"], event.position)
            result = try mapping(&events, depth: depth, event.position)
        case .scalar(let text, let plain):
            result = try scalar(text, plain: plain, tag: event.tag, event.position)
        default:
            // libyaml's grammar gives no other event where a node is due.
            throw refusal(event.position, "not YAML: a value was expected here")
        }
        if let anchor = event.anchor { anchors[anchor] = .closed(result.node, result.cost) }
        return result
    }

    private mutating func expand(
        alias name: String, at position: Position, depth: Int
    ) throws(Refusal) -> (node: Node, cost: Cost) {
        switch anchors[name] {
        case nil: throw refusal(position, "no anchor `&\(printable(name))` stands before this alias; define it first")
        case .open?:
            throw refusal(position, "the alias `*\(printable(name))` stands inside its own anchor; write it out")
        case .closed(let node, let cost)?:
            guard depth + cost.height - 1 <= Bounds.depth else { throw tooDeep(position) }
            nodes += cost.nodes
            try checkNodes(position)
            textBytes += cost.textBytes
            guard textBytes <= Bounds.textBytes else { throw refusal(position, EnvironmentReferences.tooLong) }
            if let secret = secrets[node.position] { secrets[position] = secret }
            if unreadable.contains(node.position) { unreadable.insert(position) }
            return (node.moved(to: position), cost)
        }
    }

    private mutating func sequence(
        _ events: inout YAMLEvents, depth: Int, _ position: Position
    ) throws(Refusal) -> (node: Node, cost: Cost) {
        var items: [Node] = []
        var cost = Cost()
        while true {
            let event = try events.next()
            if case .sequenceEnd = event.kind { return (.sequence(items, position), cost) }
            let item = try node(event, &events, depth: depth + 1)
            items.append(item.node)
            cost.add(item.cost)
        }
    }

    private mutating func mapping(
        _ events: inout YAMLEvents, depth: Int, _ position: Position
    ) throws(Refusal) -> (node: Node, cost: Cost) {
        var entries: [Node.Entry] = []
        var firstLine: [String: Int] = [:]
        var cost = Cost()
        while true {
            let event = try events.next()
            if case .mappingEnd = event.kind { return (.mapping(entries, position), cost) }
            guard case .scalar(let key, let plain) = event.kind else {
                try skipPair(event, &events, depth: depth + 1)
                continue
            }
            // A key is text as it stands, whatever it looks like. It may be a secret under a plugin's `config`, so no
            // message here shows it.
            nodes += 1
            try add(textBytes: key.utf8.count, event.position)
            if let anchor = event.anchor {
                anchors[anchor] = .closed(.scalar(key, quoted: !plain, event.position), Cost())
            }
            let value = try node(try events.next(), &events, depth: depth + 1)
            cost.add(value.cost)
            cost.nodes += 1
            cost.textBytes += key.utf8.count
            if plain && key == "<<" {
                report(event.position, "merge keys (`<<`) are not read; write the keys out, or quote it")
            } else if let line = firstLine[key] {
                // Also what Unicode calls equivalent: no operator could tell the two apart.
                report(event.position, "this key stands twice in one mapping, first on line \(line); keep one")
            } else {
                firstLine[key] = event.position.line
                entries.append(Node.Entry(key: key, keyPosition: event.position, value: value.node))
            }
        }
    }

    /// Reads a pair whose key is no scalar, and drops it.
    private mutating func skipPair(
        _ key: YAMLEvent, _ events: inout YAMLEvents, depth: Int
    ) throws(Refusal) {
        report(key.position, "a key must be plain text; a list, a mapping or an alias cannot be a key")
        _ = try node(key, &events, depth: depth)
        _ = try node(try events.next(), &events, depth: depth)
    }

    private mutating func scalar(
        _ text: String, plain: Bool, tag: String?, _ position: Position
    ) throws(Refusal) -> (node: Node, cost: Cost) {
        check(tag: tag, isOneOf: ["str", "int", "float", "bool", "null"], position)
        // A tag decides over the style: `!!str 8080` is text, `!!int "8080"` a number (YAML 1.2.2, section 3.3.2).
        var quoted = !plain
        switch tag {
        case "!"?, (Self.coreTag + "str")?: quoted = true
        case let tag? where tag.hasPrefix(Self.coreTag): quoted = false
        default: break
        }
        var value = text
        switch references.expand(text, limit: Bounds.textBytes - min(textBytes, Bounds.textBytes)) {
        case .unchanged: break
        case .expanded(let expanded, let secret):
            value = expanded
            if secret { secrets[position] = expanded }
        case .refused(let message):
            unreadable.insert(position)
            report(position, message)
        }
        let bytes = value.utf8.count
        try add(textBytes: bytes, position)
        return (.scalar(value, quoted: quoted, position), Cost(textBytes: bytes))
    }

    private static let coreTag = "tag:yaml.org,2002:"

    private mutating func check(tag: String?, isOneOf names: [String], _ position: Position) {
        guard let tag, tag != "!" else { return }
        if tag.hasPrefix(Self.coreTag), names.contains(String(tag.dropFirst(Self.coreTag.count))) { return }
        unreadable.insert(position)
        report(position, "the tag `\(printable(tag))` has no meaning here; remove it")
    }

    private mutating func add(textBytes bytes: Int, _ position: Position) throws(Refusal) {
        textBytes += bytes
        guard textBytes <= Bounds.textBytes else { throw refusal(position, EnvironmentReferences.tooLong) }
    }

    private func checkNodes(_ position: Position) throws(Refusal) {
        guard nodes <= Bounds.nodes else {
            throw refusal(
                position, "more than \(Bounds.nodes) values, aliases expanded; repeat less, or split the configuration")
        }
    }

    private func tooDeep(_ position: Position) -> Refusal {
        refusal(position, "values nest deeper than \(Bounds.depth) levels, aliases expanded; nest less")
    }

    private func refusal(_ position: Position, _ message: String) -> Refusal {
        Refusal(diagnostic: Diagnostic(.error, position, message))
    }

    private mutating func report(_ position: Position, _ message: String) {
        diagnostics.append(Diagnostic(.error, position, message))
    }
}

extension Node {
    /// The same value, said to stand at `position`: where an alias stands is where its author must look.
    fileprivate func moved(to position: Position) -> Node {
        switch self {
        case .scalar(let text, let quoted, _): .scalar(text, quoted: quoted, position)
        case .sequence(let items, _): .sequence(items, position)
        case .mapping(let entries, _): .mapping(entries, position)
        }
    }
}

/// Foreign text for a message: cut to 64 characters, with nothing that could move a terminal's cursor.
func printable(_ text: String) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == 64 { return result + "…" }
        count += 1
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
