import Foundation

/// A real etcd of one member on free ports of the loopback address, as Debian has it; killed with its owner. It can be
/// killed and started again on the same data.
final class EtcdServer {
    let clientPort: UInt16
    private let peerPort: UInt16
    private let directory: TemporaryDirectory
    private let certificates: Certificates?
    private(set) var process: ChildProcess
    /// `name:password` once it lets nobody in without.
    var user: String?

    /// Debian's etcd-server and etcd-client; `make test` installs them and asks for these tests.
    static var wanted: Bool {
        ["/usr/bin/etcd", "/usr/bin/etcdctl"].allSatisfy(FileManager.default.isExecutableFile)
            || ProcessInfo.processInfo.environment["SLUICE_TEST_CLIENTS"] == "required"
    }

    /// - Parameter certificates: with one named `etcd`, for 127.0.0.1; then it speaks TLS, and takes clients only with
    ///   a certificate of the same authority.
    init(certificates: Certificates? = nil) throws {
        directory = try TemporaryDirectory()
        self.certificates = certificates
        clientPort = try Ports.free()
        peerPort = try Ports.free()
        process = try ChildProcess(
            "etcd", Self.arguments(directory, clientPort, peerPort, certificates), directory: directory.path)
        try waitUntilReady()
    }

    private static func arguments(
        _ directory: TemporaryDirectory, _ clientPort: UInt16, _ peerPort: UInt16, _ certificates: Certificates?
    ) -> [String] {
        let client = "\(certificates == nil ? "http" : "https")://127.0.0.1:\(clientPort)"
        let peer = "http://127.0.0.1:\(peerPort)"
        var arguments = [
            "--data-dir", directory.file("data"), "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)",
        ]
        if let certificates {
            arguments += [
                "--cert-file", certificates.file("etcd.pem"), "--key-file", certificates.file("etcd.key"),
                "--trusted-ca-file", certificates.file("ca.pem"), "--client-cert-auth",
            ]
        }
        return arguments
    }

    var endpoint: String { "\(certificates == nil ? "http" : "https")://127.0.0.1:\(clientPort)" }

    private func waitUntilReady() throws {
        try waitUntil("etcd is ready", .after(seconds: 60)) {
            if let status = process.poll() { throw HarnessError("etcd ended: \(status)\n\(process.standardError)") }
            return try call(["endpoint", "health"]).status == 0
        }
    }

    /// etcdctl, whatever comes of it.
    private func call(_ arguments: [String]) throws -> (status: Int32, output: String, errors: String) {
        var all = ["--endpoints", endpoint]
        if let user { all += ["--user", user] }
        if let certificates {
            all += ["--cacert", certificates.file("ca.pem"), "--cert", certificates.file("etcd.pem")]
            all += ["--key", certificates.file("etcd.key")]
        }
        return try ChildProcess.run("etcdctl", all + arguments, environment: ["ETCDCTL_API": "3"])
    }

    /// etcdctl, which has to succeed.
    @discardableResult
    func control(_ arguments: String...) throws -> String {
        let result = try call(arguments)
        guard result.status == 0 else { throw HarnessError("etcdctl \(arguments): \(result.errors)") }
        return result.output
    }

    /// A lease's id.
    func lease(seconds: Int) throws -> String {
        let words = try control("lease", "grant", "\(seconds)").split(separator: " ")
        guard words.count > 1 else { throw HarnessError("no lease") }
        return String(words[1])
    }

    func kill() throws {
        process.signal(SIGKILL)
        try process.wait()
    }

    /// Starts it again on the same data and ports.
    func restart() throws {
        process = try ChildProcess(
            "etcd", Self.arguments(directory, clientPort, peerPort, certificates), directory: directory.path)
        try waitUntilReady()
    }
}
