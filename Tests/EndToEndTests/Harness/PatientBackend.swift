import Foundation

/// A backend in a process of its own, to which a test does what happens to backends. Killed with its owner.
final class PatientBackend: @unchecked Sendable {
    enum Wire: String, CaseIterable {
        case http
        case grpc
    }

    let wire: Wire
    let port: UInt16
    private var process: ChildProcess

    /// So many, which come up beside each other.
    static func some(_ count: Int, _ wire: Wire) throws -> [PatientBackend] {
        let backends = try (0..<count).map { _ in try PatientBackend(wire, port: Ports.free()) }
        for backend in backends { try backend.awaitReady() }
        return backends
    }

    private init(_ wire: Wire, port: UInt16) throws {
        self.wire = wire
        self.port = port
        process = try Self.start(wire, port)
    }

    private static func start(_ wire: Wire, _ port: UInt16) throws -> ChildProcess {
        try ChildProcess(Clients.python, [Clients.script("serve_patient.py"), wire.rawValue, "\(port)"])
    }

    private func awaitReady() throws {
        try waitUntil("a backend is ready", .after(seconds: 60)) {
            if let status = process.poll() {
                throw HarnessError("the backend ended with \(status)\n\(process.standardError.suffix(3_000))")
            }
            return process.standardOutput.contains("ready")
        }
    }

    var endpoint: String { "\(wire.rawValue)://127.0.0.1:\(port)" }
    /// What marks its series in the metrics.
    var label: String { "endpoint=\"\(endpoint)\"" }

    /// kill -9: its connections are reset, and nobody listens on its port.
    func kill() throws {
        process.signal(SIGKILL)
        try process.wait()
    }

    /// The same program on the same port.
    func startAgain() throws {
        process = try Self.start(wire, port)
        try awaitReady()
    }

    /// Its connections stay, the kernel goes on to take new ones for it, and nothing is ever answered.
    func freeze() { process.signal(SIGSTOP) }
    func thaw() { process.signal(SIGCONT) }

    /// Each answer takes three seconds, or no longer does.
    func toggleSlowness() { process.signal(SIGUSR1) }

    /// grpc.health.v1 says NOT_SERVING, or SERVING again. Nothing else changes.
    func toggleServing() { process.signal(SIGUSR2) }
}
