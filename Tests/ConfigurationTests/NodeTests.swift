import Configuration
import Testing

@Suite("Values of a node")
struct NodeTests {
    private let position = Position(file: "f", line: 1, column: 1)

    private func plain(_ text: String) -> Node { .scalar(text, quoted: false, position) }

    @Test("Whole numbers are those of JSON", arguments: ["0", "-1", "8080", "9223372036854775807"])
    func integers(text: String) {
        #expect(plain(text).integer == Int(text))
        #expect(plain(text).kind == .integer)
        #expect(plain(text).text == nil)
    }

    @Test(
        "What YAML 1.1 takes for a number or a boolean is text",
        arguments: [
            "010", "0x10", "0o7", "1_000", "+1", "12:30", ".5", "1.", "1e", "-", "--1", ".inf", ".nan", "yes", "no",
            "on",
            "off", "True", "FALSE", "y", "Null", "1 2",
        ])
    func texts(text: String) {
        let node = plain(text)
        #expect(node.integer == nil && node.number == nil && node.boolean == nil && !node.isNull)
        #expect(node.text == text)
    }

    @Test func numbers() {
        #expect(plain("0.25").number == 0.25)
        #expect(plain("-1.5e3").number == -1_500)
        #expect(plain("7").number == 7)
        #expect(plain("1e999").number == nil, "infinite")
        #expect(plain("9223372036854775808").integer == nil, "beyond 64 bits")
        #expect(plain("1.0").integer == nil)
    }

    @Test func booleansAndNothing() {
        #expect(plain("true").boolean == true)
        #expect(plain("false").boolean == false)
        for text in ["", "~", "null"] { #expect(plain(text).isNull) }
    }

    @Test("A quoted scalar is text", arguments: ["true", "1", "null", ""])
    func quoted(text: String) {
        let node = Node.scalar(text, quoted: true, position)
        #expect(node.text == text)
        #expect(node.integer == nil && node.boolean == nil && !node.isNull)
    }

    @Test func lookups() throws {
        let settings = try #require(
            read(
                """
                plugins:
                  - name: a
                    library: a.so
                    config: { limits: [1, 2.5], name: x, on: true }
                pipeline: { adapters: [a] }
                """
            ).settings)
        let config = try #require(settings.plugins.first).config
        #expect(config["limits"]?[0]?.integer == 1)
        #expect(config["limits"]?[1]?.number == 2.5)
        #expect(config["limits"]?[2] == nil && config["limits"]?[-1] == nil)
        #expect(config["name"]?.text == "x")
        #expect(config["on"]?.boolean == true)
        #expect(config["absent"] == nil && config["name"]?["x"] == nil && config[0] == nil)
        #expect(config.entries?.map(\.key) == ["limits", "name", "on"])
        #expect(config["limits"]?.position == Position(file: "plugins.yaml", line: 4, column: 23))
    }
}
