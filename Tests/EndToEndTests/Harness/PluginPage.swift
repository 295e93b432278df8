import Foundation
import Testing

/// The parts of a plugin's page that can be tried.
///
/// - `yaml` blocks with `plugins:` are whole configurations.
/// - Blocks with `file=PATH` behind the language are files below /etc/sluice that the example reads.
/// - Blocks with `at=HOST:PORT/PATH` are what an endpoint of the example answers there.
/// - `console` blocks are commands, `$ curl …` (a `\` at the end of a line continues it), and under each the lines that
///   it prints, some of them or all, in their order; `…` in a line stands for what differs each time.
struct PluginPage {
    struct Step {
        var command: String
        var lines: [String]
    }

    static let directory = Clients.root + "/Docs/plugins"
    /// Where examples write their logs.
    static let logs = "/var/log/sluice/"

    let name: String
    private(set) var examples: [String] = []
    private(set) var files: [(path: String, text: String)] = []
    private(set) var answers: [(place: String, text: String)] = []
    private(set) var conversation: [Step] = []

    init(_ name: String) throws {
        self.name = name
        let page = try String(contentsOfFile: "\(Self.directory)/\(name)", encoding: .utf8)
        var (information, lines): (String?, [String]) = (nil, [])
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if !line.hasPrefix("```") {
                lines.append(String(line))
            } else if let opened = information {
                take(opened, lines)
                information = nil
            } else {
                (information, lines) = (String(line.dropFirst(3)), [])
            }
        }
    }

    private mutating func take(_ information: String, _ lines: [String]) {
        let text = lines.joined(separator: "\n") + "\n"
        let words = information.split(separator: " ").map(String.init)
        func value(_ key: String) -> String? {
            words.first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) }
        }
        if let path = value("file") {
            files.append((path, text))
        } else if let place = value("at") {
            answers.append((place, text))
        } else if words.first == "console" {
            converse(lines)
        } else if words.first == "yaml", lines.contains("plugins:") {
            examples.append(text)
        }
    }

    private mutating func converse(_ lines: [String]) {
        var continues = false
        for line in lines {
            if continues, let last = conversation.indices.last {
                conversation[last].command += "\n" + line
            } else if line.hasPrefix("$ ") {
                conversation.append(Step(command: String(line.dropFirst(2)), lines: []))
            } else if let last = conversation.indices.last {
                conversation[last].lines.append(line)
                continue
            }
            continues = line.hasSuffix("\\")
        }
    }

    /// Whether a line of the output is the one that the page shows.
    static func fits(_ shown: String, _ line: String) -> Bool {
        let parts = shown.components(separatedBy: "…")
        guard parts.count > 1, let first = parts.first, let last = parts.last else { return shown == line }
        guard line.hasPrefix(first), line.hasSuffix(last), line.count >= first.count + last.count else { return false }
        var rest = line.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.range(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}

/// A page's example, served on free ports, with an endpoint at each address of the loopback interface that it names.
///
/// An endpoint answers with one line of JSON: its own address as the page has it, the request line without its version,
/// and the fields of the request that begin with `x-`. On the page the gateway listens on port 8080, and its metrics
/// are on port 9090.
final class PluginPageStage {
    private let page: PluginPage
    private let gateway: Gateway
    /// What stands on the page, and what it is here.
    private var places: [(shown: String, real: String)] = []
    private var endpoints: [ScriptedBackend] = []

    init(_ page: PluginPage) throws {
        self.page = page
        let directory = try TemporaryDirectory()
        var example = try #require(page.examples.first)
        let texts = [example] + page.files.map(\.text)
        let named = texts.joined().matches(of: #/127\.0\.0\.1:\d+/#).map { String($0.0) }
        for place in Set(named).sorted() {
            let answers = page.answers.filter { $0.place.hasPrefix(place + "/") }
            let endpoint = try Self.endpoint(place, answers.map { (String($0.place.dropFirst(place.count)), $0.text) })
            endpoints.append(endpoint)
            places.append((place, "127.0.0.1:\(endpoint.port)"))
        }
        places.append(("/etc/sluice/", directory.path + "/"))
        places.append((PluginPage.logs, directory.path + "/"))
        for file in page.files {
            let path = Self.replacing(places, in: file.path)
            try Self.replacing(places, in: file.text).write(toFile: path, atomically: true, encoding: .utf8)
        }
        example = Self.withFreePorts(Self.replacing(places, in: example), directory)
        gateway = try Gateway(text: example, in: directory)
        places.append(("localhost:8080", "127.0.0.1:\(gateway.port)"))
        places.append(("localhost:9090", "127.0.0.1:\(gateway.metricsPort)"))
    }

    private static func endpoint(_ place: String, _ answers: [(path: String, text: String)]) throws -> ScriptedBackend {
        try ScriptedBackend { connection, request in
            func tell(_ type: String, _ text: String) {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nServer: endpoint\r\n"
                connection.socket.send(head + "Content-Length: \(text.utf8.count)\r\n\r\n" + text)
            }
            if let answer = answers.first(where: { $0.path == request.target }) {
                return tell("text/plain", answer.text)
            }
            let fields = request.fields.map { ($0.name.lowercased(), $0.value) }.filter { $0.0.hasPrefix("x-") }
            let told =
                [("endpoint", place), ("request", "\(request.method) \(request.target)")] + fields.sorted { $0 < $1 }
            let members = told.map { "\"\($0.0)\":\"\($0.1)\"" }.joined(separator: ",")
            tell("application/json", "{\(members)}\n")
        }
    }

    private static func replacing(_ places: [(shown: String, real: String)], in text: String) -> String {
        // At once: a free port may be one that the page names for something else.
        let shown = places.map { NSRegularExpression.escapedPattern(for: $0.shown) + #"(?!\d)"# }
        guard let pattern = try? Regex(shown.joined(separator: "|")) else { return text }
        return text.replacing(pattern) { match in
            places.first { $0.shown == text[match.range] }?.real ?? String(text[match.range])
        }
    }

    private static func withFreePorts(_ example: String, _ directory: TemporaryDirectory) -> String {
        let own = [
            ("server", "server: { worker_threads: 2 }"), ("listeners", "listeners: [ { address: \"127.0.0.1:0\" } ]"),
            ("admin", "admin: { socket: \(directory.file("admin.sock")) }"),
            ("monitoring", "monitoring: { metrics_port: 0 }"),
        ]
        var lines = example.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let missing = own.filter { key, _ in !lines.contains { $0.hasPrefix("  \(key):") } }.map { "  " + $0.1 }
        if let at = lines.firstIndex(of: "gateway:") {
            lines.insert(contentsOf: missing, at: at + 1)
        } else {
            lines = ["gateway:"] + missing + lines
        }
        return lines.joined(separator: "\n")
    }

    /// Runs the command and looks for the lines under it. What metrics and logs say may take a moment to become so.
    func play(_ step: PluginPage.Step) throws {
        let command = Self.replacing(places, in: step.command)
        let isLate = step.command.contains("localhost:9090") || step.command.contains(PluginPage.logs)
        let deadline = Deadline.after(seconds: isLate ? 20 : 0)
        while true {
            let result = try ChildProcess.run("sh", ["-c", command])
            let output = result.output.replacingOccurrences(of: "\r", with: "").split(
                separator: "\n", omittingEmptySubsequences: false
            ).map { Self.replacing(places.map { ($0.real, $0.shown) }, in: String($0)) }
            var rest = output[...]
            let missing = step.lines.first { shown in
                guard let found = rest.firstIndex(where: { PluginPage.fits(shown, $0) }) else { return true }
                rest = rest[(found + 1)...]
                return false
            }
            if missing == nil { return }
            if deadline.isPast {
                Issue.record(
                    "\(page.name): `\(step.command)` does not print `\(missing ?? "")`\n\(result)")
                return
            }
            pauseBetweenLooks(milliseconds: 20)
        }
    }
}
