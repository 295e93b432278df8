/// The key tables of Docs/configuration.md, from the same declarations that the reader runs.
public enum ConfigurationKeys {
    /// One table a section, Markdown, in the order of the reader.
    public static var markdown: String {
        var settings = Settings()
        let root = Section.describe { settings.readRoot($0) }
        var tables: [String] = []
        append(root, path: "", to: &tables)
        return tables.joined(separator: "\n")
    }

    private static func append(_ section: SectionShape, path: String, to tables: inout [String]) {
        var lines = ["### \(path.isEmpty ? "The file" : "`\(path)`")", ""]
        lines += ["| key | value | without it | meaning |", "|---|---|---|---|"]
        for key in section.keys {
            let initially = key.isRequired ? "*required*" : key.initially ?? ""
            var meaning = key.meaning
            if case .later = key.effect { meaning += " **Has no effect yet.**" }
            lines.append("| `\(key.name)` | \(value(key.shape)) | \(initially) | \(meaning) |")
        }
        for keys in section.exclusive {
            lines += ["", "Exactly one of \(Shape.listed(keys.map { "`\($0)`" })) must be there."]
        }
        tables.append(lines.joined(separator: "\n") + "\n")
        for key in section.keys {
            for (inner, suffix) in sections(key.shape) {
                append(inner, path: (path.isEmpty ? "" : path + ".") + key.name + suffix, to: &tables)
            }
        }
    }

    /// The sections within a shape, each with how its path goes on.
    private static func sections(_ shape: Shape) -> [(SectionShape, String)] {
        switch shape {
        case .section(let section): [(section, "")]
        case .list(let item, _): sections(item).map { ($0.0, "[]" + $0.1) }
        case .table(let item, _, _): sections(item).map { ($0.0, ".NAME" + $0.1) }
        // One section or a list of them: the same keys.
        case .either(let shapes) where isOneOrMore(shapes): Array(shapes.flatMap(sections).prefix(1))
        case .either(let shapes): shapes.flatMap(sections)
        default: []
        }
    }

    private static func isOneOrMore(_ shapes: [Shape]) -> Bool {
        let hasSection = shapes.contains { if case .section = $0 { true } else { false } }
        return hasSection && shapes.contains { if case .list(.section, _) = $0 { true } else { false } }
    }

    private static func value(_ shape: Shape) -> String {
        switch shape {
        case .section: return "a mapping, see below"
        case .list(.section, _): return "a list of mappings, see below"
        case .table(.section, let names, _): return "a mapping, see below; each key \(names.expectation)"
        case .list(let item, _): return "a list, each item \(value(item))"
        case .either(let shapes):
            let words = shapes.map(value)
            // `key:` with nothing after it, as the text above the tables says.
            return Shape.listed(words.count > 1 && isSection(shapes) ? Array(words.dropFirst()) : words)
        default: return shape.expectation
        }
    }

    private static func isSection(_ shapes: [Shape]) -> Bool {
        guard case .null? = shapes.first else { return false }
        return !sections(.either(shapes)).isEmpty
    }
}
