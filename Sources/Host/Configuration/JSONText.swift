/// A JSON value with its keys in order, enough to write a schema that people read in a diff.
indirect enum JSON {
    case object([(String, JSON)])
    case array([JSON])
    case string(String)
    case integer(Int)
    case number(Double)
    case boolean(Bool)

    /// Indented by two spaces; lists of plain values stand on one line.
    func text(indentation: String = "") -> String {
        let inner = indentation + "  "
        switch self {
        case .object(let members):
            guard !members.isEmpty else { return "{}" }
            let lines = members.map { "\(inner)\(Self.quoted($0.0)): \($0.1.text(indentation: inner))" }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indentation)}"
        case .array(let items):
            let areScalars = items.allSatisfy {
                switch $0 {
                case .object, .array: false
                default: true
                }
            }
            if areScalars { return "[" + items.map { $0.text() }.joined(separator: ", ") + "]" }
            let lines = items.map { inner + $0.text(indentation: inner) }
            return "[\n" + lines.joined(separator: ",\n") + "\n\(indentation)]"
        case .string(let text): return Self.quoted(text)
        case .integer(let number): return String(number)
        case .number(let number): return decimal(number)
        case .boolean(let value): return value ? "true" : "false"
        }
    }

    /// RFC 8259, section 7.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
