/// What a node says, typed by this file's rules, which are stricter than YAML 1.1 and a subset of YAML 1.2's core
/// schema: booleans are `true` and `false`, numbers are those of JSON (RFC 8259, section 6), and a quoted scalar is
/// always text. So `yes`, `on`, `010`, `1_000` and `12:30` are text, whichever YAML reader an editor uses.
extension Node {
    /// An unquoted `null`, `~` or nothing at all.
    public var isNull: Bool {
        guard case .scalar(let text, quoted: false, _) = self else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    public var boolean: Bool? {
        switch plainText {
        case "true"?: true
        case "false"?: false
        default: nil
        }
    }

    /// A whole number that fits 64 bits.
    public var integer: Int? {
        guard let text = plainText, JSONNumber(text)?.isInteger == true else { return nil }
        return Int(text)
    }

    /// A finite number.
    public var number: Double? {
        guard let text = plainText, JSONNumber(text) != nil, let value = Double(text), value.isFinite else {
            return nil
        }
        return value
    }

    /// A scalar that is neither null, boolean nor number.
    public var text: String? {
        guard case .scalar(let text, let quoted, _) = self else { return nil }
        return quoted || kind == .text ? text : nil
    }

    public var items: [Node]? {
        guard case .sequence(let items, _) = self else { return nil }
        return items
    }

    public var entries: [Entry]? {
        guard case .mapping(let entries, _) = self else { return nil }
        return entries
    }

    /// The value of a mapping's key; nil when there is none, or this is no mapping.
    public subscript(key: String) -> Node? {
        entries?.first { $0.key == key }?.value
    }

    /// The item of a list; nil when there is none, or this is no list.
    public subscript(index: Int) -> Node? {
        guard let items, items.indices.contains(index) else { return nil }
        return items[index]
    }

    public enum Kind: String, Sendable {
        case null = "nothing"
        case boolean = "true or false"
        case integer = "a whole number"
        case number = "a number"
        case text = "text"
        case sequence = "a list"
        case mapping = "a mapping"
    }

    public var kind: Kind {
        switch self {
        case .sequence: return .sequence
        case .mapping: return .mapping
        case .scalar(_, quoted: true, _): return .text
        case .scalar(let text, quoted: false, _):
            if isNull { return .null }
            if boolean != nil { return .boolean }
            guard let number = JSONNumber(text) else { return .text }
            return number.isInteger ? .integer : .number
        }
    }

    private var plainText: String? {
        guard case .scalar(let text, quoted: false, _) = self else { return nil }
        return text
    }
}

/// The grammar of a number in JSON: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
private struct JSONNumber {
    let isInteger: Bool

    init?(_ text: String) {
        var rest = Substring(text).utf8[...]
        func takeDigits() -> Int {
            let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            rest = rest.dropFirst(digits.count)
            return digits.count
        }
        if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let startsWithZero = rest.first == UInt8(ascii: "0")
        let digits = takeDigits()
        guard digits == 1 || (digits > 1 && !startsWithZero) else { return nil }
        var isInteger = true
        if rest.first == UInt8(ascii: ".") {
            isInteger = false
            rest = rest.dropFirst()
            guard takeDigits() > 0 else { return nil }
        }
        if let letter = rest.first, letter | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            rest = rest.dropFirst()
            if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
                rest = rest.dropFirst()
            }
            guard takeDigits() > 0 else { return nil }
        }
        guard rest.isEmpty else { return nil }
        self.isInteger = isInteger
    }
}
