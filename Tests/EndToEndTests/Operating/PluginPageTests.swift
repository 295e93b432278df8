import Foundation
import Testing

extension EndToEnd {
    /// The examples of the plugins' pages are configurations that the gateway takes.
    @Suite struct PluginPages {
        private static let directory = Clients.root + "/Docs/plugins"

        /// Blocks of YAML that name plugins; others are parts of one.
        private static func examples(_ page: String) throws -> [String] {
            let text = try String(contentsOfFile: "\(directory)/\(page)", encoding: .utf8)
            return text.components(separatedBy: "\n```").enumerated().compactMap { index, part in
                guard index % 2 == 1, part.hasPrefix("yaml\n") else { return nil }
                let block = String(part.dropFirst(5))
                return block.hasPrefix("plugins:") || block.contains("\nplugins:") ? block + "\n" : nil
            }
        }

        private static let pages = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [])
            .filter { $0.hasSuffix(".md") }.sorted()

        @Test(arguments: pages) func everyExampleIsAccepted(page: String) throws {
            let examples = try Self.examples(page)
            #expect(!examples.isEmpty, "\(page) has no example that begins with `plugins:`")
            for example in examples {
                let directory = try TemporaryDirectory()
                try directory.write("plugins.yaml", example)
                let outcome = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(outcome.status == 0, "\(page): \(outcome.errors)\n\(example)")
            }
        }

        /// A page that nobody finds is not there.
        @Test func everyPageIsListed() throws {
            let index = try String(contentsOfFile: Clients.root + "/Docs/README.md", encoding: .utf8)
            #expect(!Self.pages.isEmpty)
            for page in Self.pages { #expect(index.contains("(plugins/\(page))"), "\(page) is not in Docs/README.md") }
        }
    }
}
