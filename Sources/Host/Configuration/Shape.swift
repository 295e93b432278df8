/// What a value of the file may be. One description serves the reader's checks, the JSON Schema for editors and the
/// key tables of the reference, so that the three cannot drift.
indirect enum Shape {
    case null
    case boolean
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    /// One of some words.
    case choice([String])
    case text(TextForm)
    case list(Shape, atLeast: Int)
    case section(SectionShape)
    /// A mapping whose keys are names that the operator chooses.
    case table(Shape, names: TextForm, atLeast: Int)
    case either([Shape])
    /// A tree that the host does not read.
    case anything

    var isNullable: Bool {
        switch self {
        case .null, .anything: true
        case .section(let section): section.isNullable
        case .either(let shapes): shapes.contains { $0.isNullable }
        default: false
        }
    }

    /// What is expected, as the object of "takes".
    var expectation: String {
        switch self {
        case .null: return "nothing"
        case .boolean: return "`true` or `false`"
        case .integer(let range): return "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number(let range): return "a number from \(decimal(range.lowerBound)) to \(decimal(range.upperBound))"
        case .choice(let words): return Self.listed(words.map { "`\($0)`" })
        case .text(let form): return form.expectation
        case .list(.anything, _): return "a list"
        case .list(let item, _): return "a list, each item \(item.expectation)"
        case .section: return "a mapping of keys"
        case .table(_, let names, _): return "a mapping, each key \(names.expectation)"
        case .either(let shapes):
            // That nothing is fine too helps nobody who wrote something.
            return Self.listed(
                shapes.compactMap { shape in
                    if case .null = shape { nil } else { shape.expectation }
                })
        case .anything: return "any value"
        }
    }

    static func listed(_ words: [String]) -> String {
        guard words.count > 1, let last = words.last else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }
}

/// A mapping with known keys.
struct SectionShape {
    var keys: [KeyDeclaration] = []
    /// Of each group exactly one key must be there.
    var exclusive: [[String]] = []
    /// `key:` with nothing after it is the same as no key.
    var isNullable = false
}

struct KeyDeclaration {
    var name: String
    var shape: Shape
    var isRequired: Bool
    /// What holds without the key, in words or as the file would say it; nil: nothing to say.
    var initially: String?
    var effect: Effect
    var meaning: String
}

/// Whether this version acts on a key.
enum Effect {
    case now
    /// Accepted and checked; a warning says that it changes nothing.
    case later
}

/// Which texts are allowed.
struct TextForm: Sendable {
    enum Verdict: Equatable {
        case fits
        case misfits
        /// The complaint, as what follows the key's name. It may not show the text, which can be a secret.
        case because(String)
    }

    var expectation: String
    /// The same for editors, ECMA-262 syntax; it may be wider than `check`. Nil: any text.
    var pattern: String?
    var check: @Sendable (String) -> Verdict

    static let anything = TextForm(expectation: "text", pattern: nil) { _ in .fits }

    /// Names of plugins and labels become labels of metrics and words of log lines.
    static let name = TextForm(
        expectation: "a name of 1 to 64 letters, digits, `.`, `_` or `-` that begins with a letter or a digit",
        pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    ) { text in
        guard let first = text.utf8.first, isAlphanumeric(first), text.utf8.count <= 64 else { return .misfits }
        return text.utf8.allSatisfy { isAlphanumeric($0) || ".-_".utf8.contains($0) } ? .fits : .misfits
    }

    /// How links and models name a plugin.
    static let pluginName = TextForm(
        expectation: "the name of an entry of `plugins`", pattern: name.pattern, check: name.check)

    /// Models and versions have the names that clients ask for, such as `meta-llama/Llama-3`.
    static let modelName = TextForm(
        expectation: "a name of 1 to 256 characters without control characters",
        pattern: "^[^\\u0000-\\u001f\\u007f]{1,256}$"
    ) { text in
        (1...256).contains(text.unicodeScalars.count) && !hasControls(text) ? .fits : .misfits
    }

    /// A path must fit the kernel's PATH_MAX of 4096 bytes with its NUL.
    static let path = TextForm(
        expectation: "a path of at most 4095 bytes",
        pattern: "^[^\\u0000-\\u001f\\u007f]{1,4095}$"
    ) { text in
        (1...4095).contains(text.utf8.count) && !hasControls(text) ? .fits : .misfits
    }

    static let sha256 = TextForm(
        expectation: "the 64 hexadecimal digits that `sha256sum` prints", pattern: "^[0-9A-Fa-f]{64}$"
    ) { hexadecimalBytes($0)?.count == 32 ? .fits : .misfits }

    static let webAddress = TextForm(
        expectation: "an address that begins with `http://` or `https://`", pattern: "^https?://[^\\u0000-\\u0020]+$"
    ) { text in
        let prefix = ["http://", "https://"].first { text.hasPrefix($0) }
        guard let prefix, text.utf8.count > prefix.utf8.count else { return .misfits }
        return text.utf8.allSatisfy { $0 > 0x20 } ? .fits : .misfits
    }

    static let requestPath = TextForm(
        expectation: "a path that begins with `/`", pattern: "^/[^\\u0000-\\u0020]*$"
    ) { text in
        text.utf8.first == UInt8(ascii: "/") && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F } ? .fits : .misfits
    }

    /// What may stand as the value of a field (RFC 9110 §5.5), visible ASCII and spaces within.
    static let fieldValue = TextForm(
        expectation: "printable ASCII text", pattern: "^[\\u0021-\\u007e]([\\u0020-\\u007e]*[\\u0021-\\u007e])?$"
    ) { text in
        guard let first = text.utf8.first, let last = text.utf8.last, first > 0x20, last > 0x20 else { return .misfits }
        return text.utf8.allSatisfy { (0x20...0x7E).contains($0) } ? .fits : .misfits
    }

    static func hasControls(_ text: String) -> Bool {
        text.utf8.contains { $0 < 0x20 || $0 == 0x7F }
    }
}

func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: false
    }
}

/// The bytes that pairs of hexadecimal digits spell, or nil.
func hexadecimalBytes(_ text: String) -> [UInt8]? {
    let digits = text.utf8.map { byte -> UInt8? in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = digits[index], let low = digits[index + 1] else { return nil }
        bytes.append(high << 4 | low)
    }
    return bytes
}

/// A number as an operator writes it: `10`, not `10.0`.
func decimal(_ number: Double) -> String {
    Int(exactly: number).map(String.init) ?? String(number)
}
