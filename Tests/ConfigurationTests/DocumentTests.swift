import Configuration
import Glibc
import Testing

@Suite("Documents that the reader's declarations generate", .serialized)
struct DocumentTests {
    private var updates: Bool { getenv("UPDATE_DOCS") != nil }

    @Test func theSchemaInTheTreeIsTheGeneratedOne() throws {
        if updates { try Repository.write(ConfigurationSchema.text, to: "Docs/plugins.schema.json") }
        let isCurrent = try Repository.read("Docs/plugins.schema.json") == ConfigurationSchema.text
        #expect(isCurrent, "Docs/plugins.schema.json is not what the reader declares; see Docs/configuration.md")
    }

    @Test func theKeyTablesInTheTreeAreTheGeneratedOnes() throws {
        let (start, end) = ("<!-- keys: generated -->\n", "<!-- keys: end -->")
        let text = try Repository.read("Docs/configuration.md")
        let head = try #require(text.firstRange(of: start), "the start marker is missing").upperBound
        let tail = try #require(text[head...].firstRange(of: end), "the end marker is missing").lowerBound
        let generated = "\n" + ConfigurationKeys.markdown + "\n"
        if updates {
            try Repository.write(text[..<head] + generated + text[tail...], to: "Docs/configuration.md")
        } else {
            #expect(
                text[head..<tail] == generated,
                "the tables in Docs/configuration.md are not what the reader declares; the text above them says how")
        }
    }

    @Test func everyKeyIsInBothDocuments() {
        for key in ["max_connections", "when_full", "connect_timeout_ms", "allow_group_writable", "healthy_after"] {
            #expect(ConfigurationSchema.text.contains("\"\(key)\""))
            #expect(ConfigurationKeys.markdown.contains("`\(key)`"))
        }
    }
}
