import Foundation
import Testing

extension EndToEnd {
    /// The examples of the author's guide are built from its own text and loaded.
    @Suite struct AuthorsGuide {
        /// Code blocks of the guide: those with a `file=`, by that name, and the shell commands between them.
        private struct Blocks {
            var files: [(name: String, text: String)] = []
            var commands: [String] = []

            init() throws {
                let guide = try String(contentsOfFile: Clients.root + "/Docs/writing-a-plugin.md", encoding: .utf8)
                var (information, lines): (String?, [String]) = (nil, [])
                for line in guide.split(separator: "\n", omittingEmptySubsequences: false) {
                    guard line.hasPrefix("```") else {
                        lines.append(String(line))
                        continue
                    }
                    if let opened = information {
                        let text = lines.joined(separator: "\n") + "\n"
                        if let name = opened.range(of: "file=") {
                            files.append((String(opened[name.upperBound...]), text))
                        } else if opened == "sh" {
                            commands.append(text)
                        }
                        information = nil
                    } else {
                        information = String(line.dropFirst(3))
                    }
                    lines = []
                }
            }
        }

        private func inspect(_ library: String) throws -> String {
            #expect(chmod(library, 0o755) == 0)
            let result = try Gateway.command(["plugin", "inspect", library])
            #expect(result.status == 0, "\(result)")
            return result.output
        }

        @Test func theExampleInC() throws {
            let directory = try TemporaryDirectory()
            let blocks = try Blocks()
            let source = try #require(blocks.files.first { $0.name.hasSuffix(".c") })
            try directory.write(source.name, source.text)
            let command = try #require(blocks.commands.first { $0.hasPrefix("gcc") })
            let built = try ChildProcess.run(
                "sh", ["-ec", command], directory: directory.path, environment: ["SLUICE": Clients.root],
                .after(seconds: 60))
            #expect(built.status == 0 && built.errors.isEmpty, "\(built)")
            #expect(try inspect(directory.file("liblowest_id.so")).contains("sluice.balancer/1"))
        }

        @Test func theExampleInSwift() throws {
            let directory = try TemporaryDirectory()
            let repository = try ThirdParty.repository(in: directory)
            for file in try Blocks().files where !file.name.hasSuffix(".c") {
                let text = file.text.replacingOccurrences(
                    of: "\"https://[^\"]*/sluice\"", with: "\"\(repository)\"", options: .regularExpression)
                try directory.write("Tiers/" + file.name, text)
            }
            let package = directory.file("Tiers")
            let built = try ChildProcess.run(
                "swift", ["build", "--configuration", "release", "--package-path", package], .after(seconds: 400))
            #expect(built.status == 0, "\(built)")
            #expect(try inspect(package + "/.build/release/libTiers.so").contains("sluice.router/1"))
        }
    }
}
