import Glibc

/// How far a child has come, as the kernel tells it (proc_pid_stat(5)).
struct ProbeProgress: Equatable {
    /// `R` for one that runs or would, `D` for one that waits for a disk, `S` for one that sleeps.
    let state: Character
    /// Of the processor's time, in milliseconds; the kernel counts in steps of its own.
    let processorMs: Int

    /// - Parameters:
    ///   - stat: a line of `/proc/PID/stat`; nil: there is none.
    ///   - ticks: of the processor's time in a second.
    init(stat: String?, ticks: Int) {
        // The name in parentheses may hold anything; what counts is behind it.
        let fields = stat?.split(separator: ")").last?.split(separator: " ") ?? []
        state = fields.first?.first ?? "?"
        let used = fields.count > 12 ? (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) : 0
        processorMs = used * 1_000 / max(ticks, 1)
    }

    init(of process: pid_t) {
        self.init(stat: Self.read("/proc/\(process)/stat"), ticks: Int(sysconf(Int32(_SC_CLK_TCK))))
    }

    /// It would go on, but others have the processor or the disk, and it has not had `timeLimit` milliseconds itself.
    func isKeptWaiting(timeLimit: Int) -> Bool { (state == "R" || state == "D") && processorMs < timeLimit }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1_024)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
