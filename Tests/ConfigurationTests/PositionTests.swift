import Configuration
import Testing

@Suite("Positions and messages")
struct PositionTests {
    @Test("Columns count characters, not bytes, whatever the line ends with", arguments: ["\n", "\r\n"])
    func columns(lineEnd: String) {
        let text = ["gateway:", "  # größer", "  \"grüße\": 1", "  server: {\"ü\": 1, prt: 2}", ""]
        let places = complaints(text.joined(separator: lineEnd)).map { $0.prefix { $0 != "e" } }
        #expect(places == ["3:3: ", "4:12: ", "4:20: "])
    }

    @Test func aByteOrderMarkIsNoColumn() {
        #expect(complaints("\u{FEFF}gatway: 1\n").first == "1:1: error: unknown key `gatway`; did you mean `gateway`?")
    }

    @Test func theWholeLineReads() {
        let result = read("gateway:\n  server: {port: http}\n")
        #expect(
            result.diagnostics.map(\.description) == [
                "plugins.yaml:2:18: error: `port` takes a whole number from 0 to 65535, not `http`"
            ])
    }

    @Test func foreignTextCannotMoveTheCursor() throws {
        let message = try #require(complaints("\"a\\e[2J\\u202e\\n\": 1\n").first)
        #expect(message.contains("unknown key `a\\u{1b}[2J\\u{202e}\\u{a}`"))
    }

    @Test func longForeignTextIsCut() throws {
        let message = try #require(complaints("\(String(repeating: "k", count: 500)): 1\n").first)
        #expect(message.contains("`" + String(repeating: "k", count: 64) + "…`"))
    }

    @Test func anErrorInASharedTreeIsToldOnce() {
        let text = """
            models:
              a: { versions: &v { "1": { backend: linear-model, wieght: 1 } } }
              b: { versions: *v }
            """
        #expect(complaints(text) == ["2:53: error: unknown key `wieght`; did you mean `weight`?"])
    }

    @Test("A wrong alias is told where it stands")
    func aliasPosition() {
        let text = "gateway:\n  limits: &a {header_count: 9}\n  server: {port: *a}\n"
        #expect(complaints(text) == ["3:18: error: `port` takes a whole number from 0 to 65535, not a mapping"])
    }

    @Test(
        "A guess is made only where one is near",
        arguments: [
            ("serer", "server"), ("quue", "queue"), ("limit", "limits"), ("amdin", "admin"), ("SERVER", "server"),
        ])
    func guesses(written: String, meant: String) {
        #expect(complaints("gateway:\n  \(written): 1\n").first?.hasSuffix("did you mean `\(meant)`?") == true)
    }

    @Test func noGuessIsBetterThanAWrongOne() {
        #expect(complaints("gateway:\n  tls: 1\n").first?.contains("known here: `server`") == true)
    }
}
