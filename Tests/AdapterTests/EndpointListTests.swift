import FileDiscoveryCodec
import Testing

@Suite struct EndpointListTests {
    static func read(_ text: String) throws -> [ListedEndpoint] { try EndpointList.read(Array(text.utf8)) }

    @Test func jsonAndLinesSayTheSame() throws {
        let expected = [
            ListedEndpoint(address: "http://10.0.0.1:80"),
            ListedEndpoint(address: "10.0.0.2:80", weight: 2, zone: "b"),
        ]
        let json = "[\"http://10.0.0.1:80\",{\"address\":\"10.0.0.2:80\",\"weight\":2,\"zone\":\"b\"}]"
        #expect(try Self.read(json) == expected)
        #expect(try Self.read("{\"endpoints\": \(json)}") == expected)
        let items = "- http://10.0.0.1:80  # the first\r\n  - { address: \"10.0.0.2:80\", weight: 2, zone: 'b' }\n"
        #expect(try Self.read(items) == expected)
        #expect(try Self.read("---\n# comment\nendpoints:\n\n" + items) == expected)
    }

    @Test func anEmptyListIsWrittenOut() throws {
        for text in ["[]", "endpoints:\n", "endpoints: []", "{\"endpoints\":[]}"] {
            #expect(try Self.read(text).isEmpty)
        }
        for text in ["", " \n", "# nothing\n"] { #expect(throws: ListFault.self) { try Self.read(text) } }
    }

    @Test(arguments: [
        "garbage", "- ", "- { weight: 2 }", "- { address: a, weight: -1 }", "- { address: a", "- \"a", "- \"a\\n\"",
        "[1]", "[{\"weight\":1}]", "[\"a\"", "[\"a\"] x", "{\"endpoint\":[]}", "{\"endpoints\":[],\"endpoints\":[]}",
        "[{\"address\":\"a\",\"weight\":1.5}]", "endpoints:\nendpoints:\n", "- a\nb: c", "- \u{1}",
    ])
    func whatIsNoListIsRefused(_ text: String) {
        #expect(throws: ListFault.self) { try Self.read(text) }
    }

    @Test func aFaultNamesItsLine() {
        #expect(throws: ListFault(line: 3, message: "`}` is missing")) { try Self.read("endpoints:\n- a:1\n- { b\n") }
    }
}
