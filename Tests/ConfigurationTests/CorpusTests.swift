import Configuration
import Glibc
import Testing

/// Files that the reader accepts (`good`) or refuses, with every diagnostic as a comment `#! line:column: …` at the
/// file's end. check_schema.py holds the JSON Schema to the verdicts of `good` and `structure`; what `meaning` has
/// wrong a schema cannot see, and `syntax` is wrong before a schema is asked.
@Suite("The corpus of configuration files")
struct CorpusTests {
    static let environment = ["HOST": "127.0.0.1", "PORT": "8081", "SECRET": "s3cr3t", "EMPTY": ""]
    private static let folder = "Tests/ConfigurationTests/Corpus/"
    private static let mark = "#! "

    static func files(_ kind: String) throws -> [String] {
        try Repository.names(in: folder + kind, ending: ".yaml").map { "\(kind)/\($0)" }
    }

    @Test("Accepted", arguments: try files("good"))
    func good(name: String) throws {
        #expect(try check(name).settings != nil)
    }

    @Test("Refused", arguments: try files("structure") + files("meaning") + files("syntax"))
    func bad(name: String) throws {
        #expect(try check(name).settings == nil)
    }

    /// Reads a file and compares all its diagnostics. With UPDATE_DOCS they are written into it instead.
    private func check(_ name: String) throws -> ConfigurationResult {
        let bytes = try Repository.bytes(Self.folder + name)
        let result = read(bytes, environment: Self.environment)
        let found = result.diagnostics.map {
            "\($0.position.line):\($0.position.column): \($0.severity.rawValue): \($0.message)"
        }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let marked = lines.filter { $0.starts(with: Self.mark.utf8) }
        if getenv("UPDATE_DOCS") != nil {
            let body = Array(lines.filter { !$0.starts(with: Self.mark.utf8) }.joined(separator: [UInt8(ascii: "\n")]))
            try Repository.write(body + found.flatMap { Array("\(Self.mark)\($0)\n".utf8) }, to: Self.folder + name)
        } else {
            let expected = marked.map { String(decoding: $0.dropFirst(Self.mark.utf8.count), as: UTF8.self) }
            #expect(found == expected)
        }
        return result
    }
}
