import CLinux
import Glibc

/// Loads `image` in a child process, which catches what no check of bytes can: symbols and libraries that are missing,
/// constructors that crash, hang or exit, an entry that does. Blocks for at most the command's time limit and another
/// second. Whatever the plugin does there, this process keeps its memory, its signals and its descriptors. [main]
func probe(_ image: ImageFile, with command: ProbeCommand) throws(ImageFault) -> ImageDescription {
    switch try trialAnswer(of: image, as: .plugin, with: command) {
    case .accepted(let description): return description
    case .refused(let fault): throw fault
    case .loaded: preconditionFailure("a plugin's trial answers with its description")
    }
}

/// The same for a library, which has no entry.
func probeLibrary(_ image: ImageFile, with command: ProbeCommand) throws(ImageFault) {
    if case .refused(let fault) = try trialAnswer(of: image, as: .library, with: command) { throw fault }
}

private func trialAnswer(
    of image: ImageFile, as trial: ProbeTrial, with command: ProbeCommand
) throws(ImageFault) -> ProbeAnswer {
    let token = hexadecimal((0..<ProbeChannel.tokenBytes / 2).map { _ in UInt8.random(in: .min ... .max) })
    let child = try ProbeChild(command, trial, image: image.descriptor, token: token)
    let end = child.waitForEnd(timeLimit: command.timeLimit)
    let words = child.lastWords
    switch end {
    case .running:
        throw ImageFault(
            .probeTimedOut,
            "it did not load within \(command.timeLimit) ms: \(trial.culprit) hangs\(words); \(trial.hangRemedy)")
    case .signal(let number):
        let name = strsignal(number).map { String(cString: $0) } ?? "signal \(number)"
        throw ImageFault(
            .probeCrashed, "it crashes while it is loaded (\(name))\(words); \(trial.crashRemedy)")
    case .exit(0), .unknown:
        if child.answer.isEmpty {
            throw ImageFault(
                .probeExited, "\(trial.culprit) ends the process with code 0\(words); it must return instead")
        }
    case .exit(let code):
        if !child.answer.isEmpty { break }
        throw ImageFault(
            .probeExited,
            "\(trial.culprit) ends the process with code \(code)\(words); it must return instead")
    }
    let isEnded = end == .exit(0) || end == .unknown
    switch ProbeAnswer(child.answer, token: token) {
    case .accepted(let description) where trial == .plugin && isEnded: return .accepted(description)
    case .loaded where trial == .library && isEnded: return .loaded
    case .refused(let fault): return .refused(fault)
    default:
        throw ImageFault(
            .probeGarbled,
            "it wrote to a descriptor that is not its own while it was loaded (\(child.answer.count) bytes)\(words); "
                + "constructors and the entry must do nothing but return")
    }
}

/// The child process of a probe, from its start to its reaping. Killed, with what it started, at the latest when this
/// object goes.
private final class ProbeChild {
    enum End: Equatable {
        case running
        case exit(Int32)
        case signal(Int32)
        /// The kernel reaped it, because this process ignores SIGCHLD: only the answer tells.
        case unknown
    }

    private(set) var answer: [UInt8] = []
    private var diagnostics: [UInt8] = []
    private let process: pid_t
    private let processDescriptor: Int32
    private let answerDescriptor: Int32
    private let diagnosticsDescriptor: Int32

    init(_ command: ProbeCommand, _ trial: ProbeTrial, image: Int32, token: String) throws(ImageFault) {
        // All above the child's own numbers, so that no dup2 of the child's overwrites one that is still needed.
        let lowest: Int32 = 10
        var pair: [Int32] = [-1, -1]
        var pipe: [Int32] = [-1, -1]
        var open: [Int32] = []
        defer { for descriptor in open where descriptor >= 0 { close(descriptor) } }
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw systemFault("socketpair")
        }
        open += pair
        guard clinux_pipe(&pipe) == 0 else { throw systemFault("pipe2") }
        open += pipe
        let sources = [image, pair[1], pipe[1]].map { clinux_duplicate_above($0, lowest) }
        open += sources
        guard sources.allSatisfy({ $0 >= lowest }) else { throw systemFault("duplicating a descriptor") }
        var words = token
        guard words.withUTF8({ write(pair[0], $0.baseAddress, $0.count) }) == ProbeChannel.tokenBytes else {
            throw systemFault("writing to the probe")
        }
        process = try Self.start(command, trial, image: sources[0], answer: sources[1], diagnostics: sources[2])
        processDescriptor = clinux_pidfd_open(process)
        // Without pidfds (before Linux 5.3, and in some sandboxes) the end is asked for instead of waited for.
        guard processDescriptor >= 0 || clinux_errno() == ENOSYS else {
            let fault = systemFault("pidfd_open")
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
            throw fault
        }
        answerDescriptor = pair[0]
        diagnosticsDescriptor = pipe[0]
        open.removeAll { $0 == pair[0] || $0 == pipe[0] }
    }

    deinit {
        if processDescriptor >= 0 { close(processDescriptor) }
        close(answerDescriptor)
        close(diagnosticsDescriptor)
    }

    /// Starts the command with three descriptors and nothing else of this process: signals as at the start of a
    /// program, a process group of its own, no descriptor above, an environment of what the dynamic linker reads.
    private static func start(
        _ command: ProbeCommand, _ trial: ProbeTrial, image: Int32, answer: Int32, diagnostics: Int32
    ) throws(ImageFault) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        guard posix_spawn_file_actions_init(&actions) == 0, posix_spawnattr_init(&attributes) == 0 else {
            throw systemFault("posix_spawn")
        }
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        var allSignals = sigset_t()
        var noSignals = sigset_t()
        sigfillset(&allSignals)
        sigemptyset(&noSignals)
        let flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP
        let isPrepared =
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0
            && posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0
            && posix_spawn_file_actions_adddup2(&actions, diagnostics, 2) == 0
            && posix_spawn_file_actions_adddup2(&actions, image, ProbeChannel.image) == 0
            && posix_spawn_file_actions_adddup2(&actions, answer, ProbeChannel.answer) == 0
            && clinux_spawn_close_from(&actions, ProbeChannel.answer + 1) == 0
            && posix_spawnattr_setsigdefault(&attributes, &allSignals) == 0
            && posix_spawnattr_setsigmask(&attributes, &noSignals) == 0
            && posix_spawnattr_setpgroup(&attributes, 0) == 0
            && posix_spawnattr_setflags(&attributes, Int16(flags)) == 0
        guard isPrepared else { throw systemFault("posix_spawn") }

        var arguments = [strdup("sluice"), strdup(ProbeCommand.argument), strdup(trial.rawValue), nil]
        var environment = linkerEnvironment().map { strdup($0) } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var process: pid_t = 0
        let executable = command.executable ?? OwnExecutable.path
        let error = posix_spawn(&process, executable, &actions, &attributes, &arguments, &environment)
        guard error == 0 else {
            throw ImageFault(
                .probeNotStarted,
                "the process that tries plugins cannot be started (\(executable): \(systemErrorText(error))); "
                    + "check the limits on processes and memory")
        }
        return process
    }

    /// What decides how libraries are found and how runtimes report, and no secret that happens to stand beside.
    private static func linkerEnvironment() -> [String] {
        let prefixes = ["LD_", "GLIBC_TUNABLES=", "UBSAN_", "LSAN_", "LANG=", "LC_", "TZ="]
        // The backtrace of a crash would be of nobody's use, take longer than the time limit, and hide the last words.
        // A sanitizer would turn the signal into an exit code.
        let sanitizer = "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0"
        var kept = ["SWIFT_BACKTRACE=enable=no", "ASAN_OPTIONS=\(sanitizer)", "TSAN_OPTIONS=\(sanitizer)"]
        guard let entries = clinux_environment() else { return kept }
        var index = 0
        while let entry = entries[index] {
            let text = String(cString: entry)
            if prefixes.contains(where: { text.hasPrefix($0) }) { kept.append(text) }
            index += 1
        }
        return kept
    }

    /// Gathers what the child says until it ends or its time is over, then kills what is left and reaps it.
    func waitForEnd(timeLimit: Int) -> End {
        var isOver = false
        // One that has not had its time yet gets as much again: what is refused is a plugin that hangs, and no start or
        // reload for a machine that has more to do than it can. Ten times are the end.
        for turn in 0..<10 where !isOver {
            if turn > 0, !ProbeProgress(of: process).isKeptWaiting(timeLimit: timeLimit) { break }
            isOver = poll(until: clinux_monotonic_ns() + UInt64(max(timeLimit, 0)) * 1_000_000)
        }
        // Not reaped yet, so that the number still is its own; the group has what a constructor may have started.
        kill(-process, SIGKILL)
        kill(process, SIGKILL)
        // A killed process ends at once unless the kernel itself is stuck in it. Then it stays a zombie-to-be, which is
        // better than a gateway that waits.
        if !isOver, !poll(until: clinux_monotonic_ns() + 1_000_000_000) { return .running }
        var status: Int32 = 0
        var reaped: pid_t
        repeat { reaped = waitpid(process, &status, 0) } while reaped < 0 && clinux_errno() == EINTR
        if !isOver { return .running }
        guard reaped == process else { return .unknown }
        return clinux_exited(status) ? .exit(clinux_exit_code(status)) : .signal(clinux_termination_signal(status))
    }

    /// True when the child ended before `deadline`, in nanoseconds of the monotonic clock.
    private func poll(until deadline: UInt64) -> Bool {
        var watched = [
            pollfd(fd: processDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: answerDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: diagnosticsDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let now = clinux_monotonic_ns()
            guard now < deadline else { return false }
            // A negative descriptor is passed over (poll(2)).
            let asked = processDescriptor < 0
            let left = asked ? 2 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
            if Glibc.poll(&watched, nfds_t(watched.count), left) < 0, clinux_errno() != EINTR { return false }
            let isOver = asked ? clinux_has_ended(process) : watched[0].revents != 0
            // One more byte than an answer may have tells one that is too long.
            if !drain(answerDescriptor, into: &answer, keep: ProbeChannel.maximumAnswer + 1) { watched[1].fd = -1 }
            if !drain(diagnosticsDescriptor, into: &diagnostics, keep: ProbeChannel.maximumDiagnostics) {
                watched[2].fd = -1
            }
            if isOver { return true }
        }
    }

    /// Reads what is there, keeps the first bytes, drops the rest. False at the end of the stream.
    private func drain(_ descriptor: Int32, into bytes: inout [UInt8], keep: Int) -> Bool {
        var piece = [UInt8](repeating: 0, count: 4096)
        // Bounded, so that a child that never stops writing cannot hold this process beyond its time.
        for _ in 0..<64 {
            let got = piece.withUnsafeMutableBytes { buffer in
                descriptor == answerDescriptor
                    ? recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                    : read(descriptor, buffer.baseAddress, buffer.count)
            }
            if got == 0 { return false }
            if got < 0 { return clinux_errno() == EAGAIN || clinux_errno() == EINTR }
            bytes.append(contentsOf: piece.prefix(min(got, keep - bytes.count)))
        }
        return true
    }

    /// The last line that it wrote to its standard error, for a message: where runtimes say why they end.
    var lastWords: String {
        let text = oneLine(
            String(decoding: diagnostics, as: UTF8.self).split(whereSeparator: \.isNewline).last.map { String($0) }
                ?? "",
            limit: 256)
        return text.isEmpty ? "" : ", saying `\(text)`"
    }
}
