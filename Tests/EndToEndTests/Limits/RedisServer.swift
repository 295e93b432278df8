import Foundation

/// Redis from Debian on a free port of the loopback address, or on one that it had before; killed with its owner.
final class RedisServer {
    let port: UInt16
    private let process: ChildProcess
    private let directory: TemporaryDirectory

    static var wanted: Bool {
        FileManager.default.isExecutableFile(atPath: "/usr/bin/redis-server")
            || ProcessInfo.processInfo.environment["SLUICE_TEST_CLIENTS"] == "required"
    }

    init(port: UInt16? = nil, password: String = "") throws {
        let port = try port ?? Ports.free()
        self.port = port
        directory = try TemporaryDirectory()
        // Nothing is written to disk: what a test leaves behind is gone with the server.
        var arguments = [
            "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory.path,
        ]
        if !password.isEmpty { arguments += ["--requirepass", password] }
        process = try ChildProcess("redis-server", arguments)
        try waitUntil("Redis is ready") { [process] in
            if let status = process.poll() {
                throw HarnessError("Redis ended with \(status)\n\(process.standardOutput.suffix(2_000))")
            }
            guard let socket = try? Socket.connect(port: port) else { return false }
            socket.send("PING\r\n")
            guard case .data(let answer) = socket.receive(.after(seconds: 1)) else { return false }
            return answer.starts(with: bytes("+PONG")) || answer.starts(with: bytes("-NOAUTH"))
        }
    }

    /// What it answers to a command, words and quoted texts in one line.
    @discardableResult
    func command(_ line: String) throws -> String {
        let socket = try Socket.connect(port: port)
        socket.send("\(line)\r\nQUIT\r\n")
        var answer: [UInt8] = []
        while case .data(let bytes) = socket.receive(.ordinary) { answer += bytes }
        return String(decoding: answer, as: UTF8.self).replacingOccurrences(of: "+OK\r\n", with: "")
    }

    /// The buckets that it holds.
    func buckets() throws -> [String] {
        try command("KEYS *").split(separator: "\r\n").map(String.init)
            .filter { $0.hasPrefix("{") && !$0.hasSuffix(":clock") }
    }

    /// Ends it at once, as a machine does that fails.
    func kill() throws {
        process.signal(SIGKILL)
        _ = try process.wait()
    }

    /// Stops and continues it: it takes connections, and answers nothing.
    func freeze() { process.signal(SIGSTOP) }
    func thaw() { process.signal(SIGCONT) }
}
