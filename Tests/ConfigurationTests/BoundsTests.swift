import Configuration
import Glibc
import Testing

@Suite("Bad and hostile input")
struct BoundsTests {
    private func onlyError(_ result: ConfigurationResult) throws -> Diagnostic {
        #expect(result.settings == nil)
        try #require(result.diagnostics.count == 1, "\(result.diagnostics)")
        return result.diagnostics[0]
    }

    @Test func anAliasBombIsRefused() throws {
        // Nine levels of nine: 387 million values in 300 bytes.
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(try onlyError(read(text)).message.hasPrefix("more than 262144 values, aliases expanded"))
    }

    @Test func aBombOfOneLongTextIsRefused() throws {
        let long = String(repeating: "x", count: 1 << 20)
        let text = "a: &a \(long)\nb: [\(Array(repeating: "*a", count: 20).joined(separator: ", "))]\n"
        #expect(try onlyError(read(text)).message.hasPrefix("aliases and environment references make more than"))
    }

    @Test func aBombOfEnvironmentReferencesIsRefused() {
        let text = "a: \"" + String(repeating: "${BIG}", count: 40_000) + "\"\n"
        let result = read(text, environment: ["BIG": String(repeating: "x", count: 100_000)])
        #expect(result.settings == nil)
        #expect(result.diagnostics.contains { $0.message.hasPrefix("aliases and environment references make more") })
    }

    @Test("Depth counts through aliases", arguments: [false, true])
    func depth(throughAliases: Bool) throws {
        let text =
            throughAliases
            ? "a: &a " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40) + "\nb: "
                + String(repeating: "[", count: 40) + "*a" + String(repeating: "]", count: 40) + "\n"
            : String(repeating: "[", count: 100_000)
        #expect(try onlyError(read(text)).message.hasPrefix("values nest deeper than 64 levels"))
    }

    @Test func aTreeAtTheBoundOfDepthIsRead() throws {
        let text = "plugins: [{name: a, library: b, config: " + String(repeating: "[", count: 61)
        let closed = text + String(repeating: "]", count: 61) + "}]\n"
        #expect(read(closed).settings != nil)
    }

    @Test func aTextOverFourMebibytesIsRefused() throws {
        let text = "a: 1\n" + String(repeating: "# filler\n", count: 500_000)
        #expect(try onlyError(read(text)).message.hasPrefix("the file is larger than 4194304 bytes"))
    }

    /// libyaml's own check of directives is quadratic: these 200,000 would keep a reload busy for minutes.
    @Test("Directives are bounded", arguments: ["\n", "\r"])
    func directives(lineEnd: String) throws {
        let text = (0..<200_000).map { "%TAG !\($0)! x" }.joined(separator: lineEnd) + "\n--- {a: 1}\n"
        #expect(try onlyError(read(text)).message.hasPrefix("more than 16 lines begin with `%`"))
    }

    /// As many wrong names as right ones: every pair would be some 10^9 edit distances.
    @Test func guessesAreBounded() {
        let plugins = (0..<10_000).map { "- {name: plugin-number-\($0), library: a}" }.joined(separator: "\n")
        let names = (0..<10_000).map { "plugin-nomber-\($0)" }.joined(separator: ", ")
        let result = read("plugins:\n\(plugins)\npipeline: {filters: [\(names)]}\n")
        #expect(result.diagnostics.count == 1_001)
        #expect(result.diagnostics.first?.message.hasSuffix("did you mean `plugin-number-0`?") == true)
        #expect(result.diagnostics[900].message.hasSuffix("list it under `plugins`"))
    }

    @Test func diagnosticsAreBoundedAndErrorsComeFirst() throws {
        var text = "gateway:\n  circuit_breaker: {}\n"
        for index in 0..<5_000 { text += "  zz\(index): 1\n" }
        let result = read(text)
        #expect(result.diagnostics.count == 1_001)
        #expect(result.diagnostics.allSatisfy { $0.severity == .error })
        #expect(result.diagnostics.last?.message.hasPrefix("and 4000 more errors") == true)
        #expect(result.diagnostics.first?.position.line == 3)
    }

    /// A deterministic walk over mutations of the corpus: nothing may trap, and a refusal must say something.
    @Test func noBytesTrap() throws {
        var state: UInt64 = 0x5DEE_CE66_D1CE_5EED
        func random(_ bound: Int) -> Int {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(max(bound, 1)))
        }
        let seeds = try ["good", "structure", "meaning", "syntax"].flatMap { try CorpusTests.files($0) }
            .map { try Repository.bytes("Tests/ConfigurationTests/Corpus/" + $0) }
        let spice = [
            "${", "}", "&a ", "*a", "\u{0}", "!!", "[", "{", ": ", "\n", "\t", "\u{FEFF}", "\u{10FFFF}", "99999999",
        ]
        for _ in 0..<1_500 {
            var bytes = seeds[random(seeds.count)]
            for _ in 0...random(6) where !bytes.isEmpty {
                let index = random(bytes.count)
                switch random(4) {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: random(256))
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(contentsOf: Array(spice[random(spice.count)].utf8), at: index)
                default: bytes = Array(bytes[..<index])
                }
            }
            let result = read(bytes, environment: CorpusTests.environment)
            #expect(result.settings != nil || result.diagnostics.contains { $0.severity == .error })
        }
        for length in 0..<64 { _ = read((0..<length).map { _ in UInt8(truncatingIfNeeded: random(256)) }) }
    }

    @Test("Files that are no configuration", arguments: ["/", "/dev/zero", "/nonexistent/plugins.yaml"])
    func files(path: String) throws {
        let diagnostic = try onlyError(ConfigurationReader(environment: [:]).read(path: path))
        let expected = [
            "/": "the configuration is a directory; name the file in it, such as `plugins.yaml`",
            "/dev/zero": "the configuration is not a regular file; a reload must be able to read it again",
            "/nonexistent/plugins.yaml":
                "the configuration cannot be opened: No such file or directory; check `--config`",
        ]
        #expect(diagnostic.message == expected[path])
        #expect(diagnostic.position == Position(file: path, line: 1, column: 1))
    }

    @Test func aHundredMegabytesAreRefusedUnread() throws {
        let file = try #require(tmpfile())
        defer { fclose(file) }
        try #require(ftruncate(fileno(file), 100 << 20) == 0)
        let path = "/proc/self/fd/\(fileno(file))"
        let diagnostic = try onlyError(ConfigurationReader(environment: [:]).read(path: path))
        #expect(diagnostic.message.contains("has 104857600 bytes, more than the 4194304 allowed"))
    }

    @Test func aFileIsReadFromItsPath() throws {
        let path = Repository.path("Tests/ConfigurationTests/Corpus/good/every-key.yaml")
        let settings = try #require(
            ConfigurationReader(environment: CorpusTests.environment).read(path: path).settings)
        let directory = Repository.path("Tests/ConfigurationTests/Corpus/good")
        #expect(settings.admin.socket == directory + "/run/sluice.sock")
        #expect(settings.pluginPath == [directory + "/.build/release", "/usr/lib/sluice/plugins"])
    }
}
