/// The JSON Schema of the file for editors (draft 2020-12), from the same declarations that the reader runs.
///
/// It knows the structure: keys, types, ranges, forms. What needs more than one value (a name that is defined
/// elsewhere, an address given twice) only the reader knows, and `sluice check` tells.
public enum ConfigurationSchema {
    /// The whole schema, a line break at the end.
    public static var text: String {
        var settings = Settings()
        let root = Section.describe { settings.readRoot($0) }
        let members: [(String, JSON)] = [
            ("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
            ("title", .string("Configuration of Sluice")),
            ("$comment", .string("Generated from the reader's own declarations; Docs/configuration.md says how.")),
            (
                "$defs",
                .object([
                    (
                        "reference",
                        .object([
                            ("description", .string("An environment reference: ${NAME} or ${NAME:-default}.")),
                            ("type", .string("string")),
                            ("pattern", .string("(^|[^$])\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}")),
                        ])
                    )
                ])
            ),
        ]
        return JSON.object(members + schema(.section(root))).text() + "\n"
    }

    private static let reference = JSON.object([("$ref", .string("#/$defs/reference"))])

    private static func schema(_ shape: Shape) -> [(String, JSON)] {
        switch shape {
        case .null: return [("type", .string("null"))]
        case .anything: return []
        case .list(let item, let atLeast):
            return [("type", .string("array")), ("items", .object(schema(item)))]
                + (atLeast > 0 ? [("minItems", .integer(atLeast))] : [])
        case .section(let section): return schema(section)
        case .table(let item, let names, let atLeast):
            return [("type", .string("object"))]
                + (names.pattern.map { [("propertyNames", .object([("pattern", .string($0))]))] } ?? [])
                + (atLeast > 0 ? [("minProperties", .integer(atLeast))] : [])
                + [("additionalProperties", .object(schema(item)))]
        case .text(let form) where form.pattern == nil: return [("type", .string("string"))]
        case .boolean, .integer, .number, .choice, .text:
            return [("anyOf", .array([.object(scalar(shape)), reference]))]
        case .either(let shapes):
            // One `anyOf` for all, so that an editor shows one complaint.
            let alternatives = shapes.flatMap { shape -> [JSON] in
                let alternative = schema(shape)
                guard alternative.count == 1, case ("anyOf", .array(let inner))? = alternative.first else {
                    return [.object(alternative)]
                }
                return inner
            }
            let references = alternatives.count { isReference($0) }
            let others = alternatives.filter { !isReference($0) }
            return [("anyOf", .array(others + (references > 0 ? [reference] : [])))]
        }
    }

    private static func isReference(_ json: JSON) -> Bool {
        guard case .object(let members) = json else { return false }
        return members.first?.0 == "$ref"
    }

    private static func scalar(_ shape: Shape) -> [(String, JSON)] {
        switch shape {
        case .boolean: [("type", .string("boolean"))]
        case .integer(let range):
            [
                ("type", .string("integer")), ("minimum", .integer(range.lowerBound)),
                ("maximum", .integer(range.upperBound)),
            ]
        case .number(let range):
            [
                ("type", .string("number")), ("minimum", .number(range.lowerBound)),
                ("maximum", .number(range.upperBound)),
            ]
        case .choice(let words): [("enum", .array(words.map { .string($0) }))]
        case .text(let form):
            [("type", .string("string"))] + (form.pattern.map { [("pattern", .string($0))] } ?? [])
        default: []
        }
    }

    private static func schema(_ section: SectionShape) -> [(String, JSON)] {
        let properties = section.keys.map { key -> (String, JSON) in
            var description = key.meaning
            if case .later = key.effect { description += " Has no effect yet." }
            if let initially = key.initially { description += " Without it: \(initially)." }
            return (key.name, .object([("description", .string(description))] + schema(key.shape)))
        }
        let required = section.keys.filter(\.isRequired).map { JSON.string($0.name) }
        let exclusive = section.exclusive.map { keys in
            JSON.object([
                ("oneOf", .array(keys.map { .object([("required", .array([.string($0)]))]) }))
            ])
        }
        return [("type", .string("object"))]
            + (required.isEmpty ? [] : [("required", .array(required))])
            + (exclusive.isEmpty ? [] : [("allOf", .array(exclusive))])
            + [("properties", .object(properties)), ("additionalProperties", .boolean(false))]
    }
}
