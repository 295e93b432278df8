import Foundation

/// An authority of the test's own and what it signs, by the openssl program, in a directory.
struct Certificates {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=Authority of the tests", "-keyout", file("ca.key"), "-out", file("ca.pem"),
        ])
    }

    func file(_ name: String) -> String { directory.file(name) }

    /// `name.pem` and `name.key`, valid for these names (as openssl writes them, `DNS:a,IP:127.0.0.1`).
    func make(_ name: String, _ names: String, subject: String = "/CN=test", days: Int = 20, rsa: Bool = false) throws {
        let key = rsa ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        try openssl(
            ["req", "-newkey"] + key + [
                "-nodes", "-subj", subject, "-keyout", file("\(name).key"), "-out", file("\(name).csr"),
            ])
        try directory.write("\(name).ext", "subjectAltName=\(names)\n")
        try openssl([
            "x509", "-req", "-in", file("\(name).csr"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"),
            "-CAcreateserial", "-days", "\(days)", "-extfile", file("\(name).ext"), "-out", file("\(name).pem"),
        ])
    }

    /// A listener of a configuration that speaks TLS with the certificate `name`.
    func listener(_ name: String, _ more: String = "") -> String {
        "127.0.0.1:0\n      tls: { certificate: \(file("\(name).pem")), key: \(file("\(name).key"))\(more) }"
    }

    func openssl(_ arguments: [String]) throws {
        let result = try ChildProcess.run("/usr/bin/openssl", arguments)
        guard result.status == 0 else { throw HarnessError("openssl \(arguments): \(result.errors)") }
    }
}

/// curl, which has to succeed.
func curl(_ arguments: [String]) throws -> String {
    let result = try ChildProcess.run(
        "/usr/bin/curl", ["--silent", "--show-error", "--max-time", "30"] + arguments, .after(seconds: 40))
    guard result.status == 0 else { throw HarnessError("curl \(arguments): \(result.status) \(result.errors)") }
    return result.output
}
