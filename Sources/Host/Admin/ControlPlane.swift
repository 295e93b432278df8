/// What the admin socket and the metrics listener ask of the gateway. Called on the thread that turns `AdminServer`,
/// which is the control thread: an implementation may use the gateway's main state without locks, and may block for as
/// long as a reload takes. [main]
protocol ControlPlane: AnyObject {
    func status() -> StatusReport

    /// Reads the configuration again and waits for the outcome.
    func reload() -> ReloadOutcome

    /// The Prometheus text format.
    func metricsText() -> [UInt8]
}

/// How a reload ended, for whoever asked for it.
struct ReloadOutcome: Sendable {
    /// Whether the new configuration is in force.
    var succeeded: Bool
    /// The number of the generation in force now.
    var generation: UInt64
    /// Errors and warnings as `check` prints them ("file:line:column: error: …"), in the order of the file.
    var diagnostics: [String]

    /// What `sluice reload` prints.
    var text: String {
        let verdict =
            succeeded
            ? "reloaded: generation \(generation) is in force"
            : "refused: generation \(generation) stays in force"
        return (diagnostics + [verdict]).map { $0 + "\n" }.joined()
    }

    var json: [UInt8] {
        var json = JSONText()
        json.object {
            $0.key("ok")
            $0.value(succeeded)
            $0.key("generation")
            $0.value(generation)
            $0.key("diagnostics")
            $0.array { list in
                for diagnostic in diagnostics { list.value(diagnostic) }
            }
        }
        return json.bytes + [UInt8(ascii: "\n")]
    }
}

/// Why the admin socket or the metrics listener cannot be had, or the gateway cannot be reached through it.
struct AdminError: Error, CustomStringConvertible {
    var description: String
    /// The error number behind it; 0 when there is none.
    var code: Int32
    init(_ description: String, code: Int32 = 0) {
        self.description = description
        self.code = code
    }
}
