import Foundation
import Testing

extension EndToEnd {
    /// The examples of the plugins' pages are configurations that the gateway takes and serves, and the conversations
    /// beside them are had with it.
    @Suite struct PluginPages {
        private static let pages = ((try? FileManager.default.contentsOfDirectory(atPath: PluginPage.directory)) ?? [])
            .filter { $0.hasSuffix(".md") }.sorted()

        @Test(arguments: pages) func everyExampleIsAccepted(page: String) throws {
            let examples = try PluginPage(page).examples
            #expect(!examples.isEmpty, "\(page) has no example that begins with `plugins:`")
            for example in examples {
                let directory = try TemporaryDirectory()
                let here = example.replacingOccurrences(of: PluginPage.logs, with: directory.path + "/")
                try directory.write("plugins.yaml", here)
                let outcome = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(outcome.status == 0, "\(page): \(outcome.errors)\n\(example)")
            }
        }

        /// The page's first example serves, and what is said of it is so.
        @Test(arguments: pages) func whatThePageShowsIsWhatHappens(page: String) throws {
            let page = try PluginPage(page)
            #expect(!page.conversation.isEmpty, "\(page.name) has no block of `console` with a request and its answer")
            let stage = try PluginPageStage(page)
            for step in page.conversation { try stage.play(step) }
        }

        /// A page that nobody finds is not there.
        @Test func everyPageIsListed() throws {
            let index = try String(contentsOfFile: Clients.root + "/Docs/README.md", encoding: .utf8)
            #expect(!Self.pages.isEmpty)
            for page in Self.pages { #expect(index.contains("(plugins/\(page))"), "\(page) is not in Docs/README.md") }
        }

        @Test(arguments: [
            ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK", true), ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK ", false),
            ("sid=…; Path=/", "sid=abc; Path=/", true), ("sid=…; Path=/", "sid=abc; Path=/x", false),
            ("…", "anything", true), ("a…a", "a", false), ("a…b…c", "a-b-c", true), ("a…b…c", "a-c-b", false),
        ]) func aLineMayLeaveOutWhatDiffersEachTime(_ shown: String, _ line: String, _ fits: Bool) {
            #expect(PluginPage.fits(shown, line) == fits)
        }
    }
}
