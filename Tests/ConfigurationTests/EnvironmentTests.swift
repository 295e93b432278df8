import Configuration
import Testing

@Suite("Environment references")
struct EnvironmentTests {
    private func level(_ written: String, _ environment: [String: String]) -> String? {
        read("gateway:\n  monitoring:\n    log_level: \(written)\n", environment: environment).settings?
            .monitoring.logLevel
    }

    @Test func references() {
        #expect(level("${LEVEL}", ["LEVEL": "debug"]) == "debug")
        #expect(level("\"${LEVEL}\"", ["LEVEL": "debug"]) == "debug")
        #expect(level("${A}b${C}", ["A": "de", "C": "ug"]) == "debug")
        #expect(level("${LEVEL:-error}", [:]) == "error")
        #expect(level("${LEVEL:-error}", ["LEVEL": ""]) == "error", "set to nothing, as in a shell")
        #expect(level("${LEVEL:-error}", ["LEVEL": "debug"]) == "debug")
        #expect(level("${LEVEL}", [:]) == nil)
    }

    @Test func escapesAndLoneDollars() throws {
        let text = "plugins: [{name: a, library: b, config: [\"$${HOME}\", \"$HOME\", \"5$\", \"$$\", \"$$${A}\"]}]\n"
        let config = try #require(read(text, environment: ["HOME": "/h", "A": "x"]).settings?.plugins.first?.config)
        #expect(config.items?.map(\.text) == ["${HOME}", "$HOME", "5$", "$$", "$${A}"])
    }

    @Test func whatIsReplacedIsTypedAfterwardsUnlessQuoted() {
        #expect(read("gateway:\n  server:\n    port: ${P}\n", environment: ["P": "81"]).settings != nil)
        #expect(
            complaints("gateway:\n  server:\n    port: \"${P}\"\n", environment: ["P": "81"])
                == ["3:11: error: `port` takes a whole number from 0 to 65535, not what the environment gave"])
    }

    @Test func aReplacedTextIsNotReadAsYAML() throws {
        let text = "plugins:\n  - name: a\n    library: b\n    config: ${X}\n"
        let settings = try #require(read(text, environment: ["X": "[1, 2]\nname: c # *a ${Y}"]).settings)
        #expect(settings.plugins.first?.config.text == "[1, 2]\nname: c # *a ${Y}")
    }

    /// The same secret in every place that takes a value: no message may hold a part of it.
    @Test func noMessageShowsAValueOfTheEnvironment() throws {
        let secret = "hunter2-hunter2"
        var messages = 0
        for name in try CorpusTests.files("good") {
            let text = try Repository.read("Tests/ConfigurationTests/Corpus/" + name)
            // Every plain word after a colon becomes a reference.
            let poisoned = text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
                guard let colon = line.firstRange(of: ": "), !line.contains("{"), !line.contains("}") else {
                    return String(line)
                }
                return line[..<colon.upperBound] + "${SECRET}"
            }.joined(separator: "\n")
            let result = read(poisoned, environment: ["SECRET": secret])
            messages += result.diagnostics.count { $0.message.contains("what the environment gave") }
            #expect(!result.diagnostics.contains { $0.message.contains("hunter2") }, "\(result.diagnostics)")
        }
        #expect(messages >= 10, "the poisoned values must be wrong, or there was nothing to look at")
    }

    @Test func noMessageShowsWhatStandsInAPluginsConfig() {
        let text = """
            plugins:
              - name: api-key
                library: a.so
                config: { sk-hunter2: tenant, sk-hunter2: other, ? [hunter2] : 1, key: "${hunter2" }
            """
        let messages = complaints(text)
        #expect(messages.count == 4)
        #expect(!messages.contains { $0.contains("hunter2") }, "\(messages)")
    }
}
