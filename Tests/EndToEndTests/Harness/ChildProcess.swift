import Foundation

/// A process that this test started, its output captured. It is killed with its owner.
final class ChildProcess: @unchecked Sendable {
    let pid: pid_t
    private let condition = NSCondition()
    private var output: [UInt8] = []
    private var errors: [UInt8] = []
    private var openPipes = 2
    private var status: Int32?
    /// Its standard input, when that is ours to write.
    private var input: Int32 = -1

    /// Starts `executable` (found in PATH when it has no slash). Standard input is empty, or what `send` is given.
    init(
        _ executable: String, _ arguments: [String], directory: String? = nil, environment: [String: String] = [:],
        input takesInput: Bool = false
    ) throws {
        var inPipe: [Int32] = [-1, -1]
        if takesInput, pipe(&inPipe) != 0 { throw HarnessError("no pipe: errno \(errno)") }
        for descriptor in inPipe where descriptor >= 0 { closeOnExec(descriptor) }
        input = inPipe[1]
        var outPipe: [Int32] = [0, 0]
        var errorPipe: [Int32] = [0, 0]
        guard pipe(&outPipe) == 0, pipe(&errorPipe) == 0 else {
            throw HarnessError("no pipe: errno \(errno)")
        }
        for descriptor in outPipe + errorPipe { closeOnExec(descriptor) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        if takesInput {
            posix_spawn_file_actions_adddup2(&actions, inPipe[0], 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, outPipe[1], 1)
        posix_spawn_file_actions_adddup2(&actions, errorPipe[1], 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        // The test runner's signal mask and dispositions are not the child's business.
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        var child: pid_t = 0
        let merged = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let command = (directory.map { ["env", "-C", $0] } ?? []) + [executable] + arguments
        var argv = command.map { strdup($0) } + [nil]
        var envp = merged.map { strdup("\($0)=\($1)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        let result = posix_spawnp(&child, command[0], &actions, &attributes, &argv, &envp)
        close(outPipe[1])
        close(errorPipe[1])
        if takesInput { close(inPipe[0]) }
        guard result == 0 else {
            close(outPipe[0])
            close(errorPipe[0])
            throw HarnessError("cannot start \(executable): errno \(result)")
        }
        pid = child
        drain(outPipe[0]) { $0.output += $1 }
        drain(errorPipe[0]) { $0.errors += $1 }
    }

    deinit {
        if input >= 0 { close(input) }
        if status == nil {
            kill(pid, SIGKILL)
            var ignored: Int32 = 0
            waitpid(pid, &ignored, 0)
        }
    }

    var standardOutput: String { locked { text(output) } }
    var standardError: String { locked { text(errors) } }

    /// Writes to its standard input.
    func send(_ text: String) {
        let all = Array(text.utf8)
        _ = write(input, all, all.count)
    }

    func signal(_ number: Int32) { kill(pid, number) }

    /// SIGSTOP has come to all of its threads.
    var isStopped: Bool {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return !threads.isEmpty
            && threads.allSatisfy { thread in
                // The name in parentheses may hold anything; the state is behind it (proc(5)).
                let line = (try? String(contentsOfFile: "/proc/\(pid)/task/\(thread)/stat", encoding: .utf8)) ?? ""
                return line.split(separator: ")").last?.hasPrefix(" T") == true
            }
    }

    /// Nil while it runs; the exit code, or minus the signal that ended it.
    func poll() -> Int32? {
        if let status { return status }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
        let ended = raw & 0x7f == 0 ? (raw >> 8) & 0xff : -(raw & 0x7f)
        status = ended
        return ended
    }

    /// Waits for the end of the process and of its output.
    @discardableResult
    func wait(_ deadline: Deadline = .ordinary) throws -> Int32 {
        while true {
            if let status = poll() {
                condition.lock()
                while openPipes > 0, condition.wait(until: Date(timeIntervalSinceNow: 2)) {}
                condition.unlock()
                return status
            }
            if deadline.isPast {
                throw HarnessError("process \(pid) has not ended in time\n\(standardOutput)\n\(standardError)")
            }
            usleep(2_000)
        }
    }

    /// Runs to the end.
    static func run(
        _ executable: String, _ arguments: [String], directory: String? = nil, environment: [String: String] = [:],
        _ deadline: Deadline = .ordinary
    ) throws -> (status: Int32, output: String, errors: String) {
        let process = try ChildProcess(executable, arguments, directory: directory, environment: environment)
        let status = try process.wait(deadline)
        return (status, process.standardOutput, process.standardError)
    }

    /// Resident memory, in bytes.
    /// A sanitizer keeps what is freed, to find late uses, and shadows what is used: its memory is not the gateway's.
    static let memoryIsItsOwn = ProcessInfo.processInfo.environment["SLUICE_TEST_SANITIZER"] == nil

    var residentBytes: Int {
        let line = (try? String(contentsOfFile: "/proc/\(pid)/statm", encoding: .utf8)) ?? ""
        return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
    }

    /// How many of its threads have the name.
    func threads(named name: String) -> Int {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        let names = threads.compactMap { try? String(contentsOfFile: "/proc/\(pid)/task/\($0)/comm", encoding: .utf8) }
        return names.filter { $0 == name + "\n" }.count
    }

    var descriptorCount: Int {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []).count
    }

    private func drain(_ descriptor: Int32, _ add: @escaping @Sendable (ChildProcess, ArraySlice<UInt8>) -> Void) {
        let thread = Thread { [weak self] in
            var buffer = [UInt8](repeating: 0, count: 16_384)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0, let self else { break }
                self.locked { add(self, buffer[..<count]) }
            }
            close(descriptor)
            guard let self else { return }
            self.locked { self.openPipes -= 1 }
        }
        thread.start()
    }

    private func locked<Result>(_ work: () -> Result) -> Result {
        condition.lock()
        defer {
            condition.broadcast()
            condition.unlock()
        }
        return work()
    }
}
