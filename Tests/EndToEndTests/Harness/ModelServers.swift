import Foundation

/// The Python environment that `make test` makes, and the servers and clients that run in it.
enum Clients {
    /// The checkout that these tests stand in.
    static let root: String = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { url.deleteLastPathComponent() }
        return url.path
    }()

    static var python: String { root + "/.venv-test/bin/python" }

    /// `make test` makes the environment and asks for these tests; a bare `swift test` may go without.
    static var wanted: Bool {
        FileManager.default.isExecutableFile(atPath: python)
            || ProcessInfo.processInfo.environment["SLUICE_TEST_CLIENTS"] == "required"
    }

    static func script(_ name: String) -> String { root + "/Tests/EndToEndTests/Clients/" + name }

    /// Runs a client to its end; anything but success is told with what it printed.
    static func run(_ name: String, _ arguments: [String]) throws {
        // A sanitizer makes tensors of 64 MB in JSON some ten times slower.
        let patience = ChildProcess.memoryIsItsOwn ? 90.0 : 600
        let result = try ChildProcess.run(python, [script(name)] + arguments, .after(seconds: patience))
        guard result.status == 0 else {
            throw HarnessError(
                "\(name) \(arguments): \(result.status)\n\(result.output)\n\(result.errors.suffix(3_000))")
        }
    }
}

/// A server of ours in Python on a free port of the loopback address, which prints `ready`; killed with its owner.
final class PythonServer {
    let port: UInt16
    private let process: ChildProcess

    init(_ script: String, _ arguments: [String] = []) throws {
        port = try Ports.free()
        process = try ChildProcess(Clients.python, [Clients.script(script), "\(port)"] + arguments)
        try waitUntil("\(script) is ready", .after(seconds: 60)) { [process] in
            if let status = process.poll() {
                throw HarnessError("\(script) ended with \(status)\n\(process.standardError.suffix(3_000))")
            }
            return process.standardOutput.contains("ready")
        }
    }
}

/// A real model server on a free port of the loopback address, killed with its owner.
final class ModelServer {
    let port: UInt16
    private let process: ChildProcess
    private let directory: TemporaryDirectory

    var endpoint: String { "http://127.0.0.1:\(port)" }

    /// MLServer with an sklearn model.
    static func mlserver() throws -> ModelServer {
        let directory = try TemporaryDirectory()
        let ports = try (0..<3).map { _ in try Ports.free() }
        let process = try ChildProcess(
            Clients.python, [Clients.script("serve_mlserver.py"), directory.path] + ports.map { "\($0)" })
        return try ModelServer(process, directory, ports[0])
    }

    /// The kserve SDK's server with an sklearn model.
    static func kserve() throws -> ModelServer {
        let port = try Ports.free()
        let process = try ChildProcess(Clients.python, [Clients.script("serve_kserve.py"), "\(port)"])
        return try ModelServer(process, TemporaryDirectory(), port)
    }

    /// A server of OpenAI's API with a model that makes its input larger.
    static func openAI() throws -> ModelServer {
        let port = try Ports.free()
        let process = try ChildProcess(Clients.python, [Clients.script("serve_openai.py"), "\(port)"])
        return try ModelServer(process, TemporaryDirectory(), port, ready: "/v1/files")
    }

    /// fakellm, which serves the chats of OpenAI's API with made-up answers.
    static func fakeLLM() throws -> ModelServer {
        let port = try Ports.free()
        let directory = try TemporaryDirectory()
        try directory.write("fakellm.yaml", "version: 1\ndefaults: { fallback: deterministic_echo }\n")
        let process = try ChildProcess(
            Clients.python,
            ["-m", "fakellm.cli", "serve", "--port", "\(port)", "--config", directory.file("fakellm.yaml")])
        return try ModelServer(process, directory, port, ready: "/_fakellm/stats")
    }

    private init(
        _ process: ChildProcess, _ directory: TemporaryDirectory, _ port: UInt16,
        ready: String = "/v2/models/iris/ready"
    ) throws {
        self.process = process
        self.directory = directory
        self.port = port
        // Importing scipy from a cold disk takes most of it.
        try waitUntil("the model server is ready", .after(seconds: 120)) {
            if let status = process.poll() {
                throw HarnessError("the model server ended with \(status)\n\(process.standardError.suffix(3_000))")
            }
            guard let socket = try? Socket.connect(port: port) else { return false }
            socket.send("GET \(ready) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return (try? MessageReader(socket).response())?.status == 200
        }
    }
}
