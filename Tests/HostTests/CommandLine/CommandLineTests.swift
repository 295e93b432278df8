import Configuration
import Glibc
import Synchronization
import Testing

@testable import Host

@Suite struct CommandLineCommands {
    /// What a command called and printed.
    private final class Transcript: Sendable {
        private let state = Mutex((calls: [String](), output: "", errors: ""))
        var calls: [String] { state.withLock { $0.calls } }
        var output: String { state.withLock { $0.output } }
        var errors: String { state.withLock { $0.errors } }
        func call(_ text: String) { state.withLock { $0.calls.append(text) } }
        func write(_ text: String) -> Int32 {
            state.withLock { $0.output += text }
            return 0
        }
        func writeError(_ text: String) { state.withLock { $0.errors += text } }
    }

    private func run(
        _ arguments: String..., socket: String? = nil, diagnostics: [Diagnostic] = [], accepted: Bool = true
    ) -> (code: Int32, transcript: Transcript) {
        let transcript = Transcript()
        var operations = CommandOperations(
            serve: {
                transcript.call("serve \($0)")
                return 0
            },
            findAdminSocket: { path in
                transcript.call("read \(path)")
                return (socket, diagnostics)
            },
            check: {
                transcript.call("check \($0)")
                return diagnostics
            },
            shippedChain: { "plugins: []\n" },
            inspectPlugin: {
                transcript.call("inspect \($0)")
                return ("what it is\n", accepted)
            })
        operations.output = { transcript.write($0) }
        operations.errorOutput = { transcript.writeError($0) }
        return (SluiceProgram.run(arguments: arguments, operations: operations), transcript)
    }

    private func diagnostic(_ severity: Diagnostic.Severity, _ line: Int) -> Diagnostic {
        Diagnostic(severity, Position(file: "a.yaml", line: line, column: 2), "what is wrong")
    }

    @Test func serveTakesAConfiguration() {
        #expect(run("serve").transcript.calls == ["serve plugins.yaml"])
        #expect(run("serve", "--config", "a.yaml").transcript.calls == ["serve a.yaml"])
        #expect(run("serve", "-c", "a.yaml").code == 0)
    }

    @Test func wrongUsageIsTwoAndHelpIsFine() {
        for arguments in [
            [], ["sreve"], ["serve", "--konfig", "a"], ["serve", "a"], ["plugin"], ["plugin", "inspect"],
        ] {
            let result =
                switch arguments.count {
                case 0: run()
                case 1: run(arguments[0])
                case 2: run(arguments[0], arguments[1])
                default: run(arguments[0], arguments[1], arguments[2])
                }
            #expect(result.code == 2, "\(arguments)")
            #expect(result.transcript.output.isEmpty && !result.transcript.errors.isEmpty, "\(arguments)")
            #expect(result.transcript.calls.isEmpty)
        }
        #expect(run("reload", "--config", "a", "--socket", "b").code == 2)
        let help = run("--help")
        #expect(help.code == 0 && help.transcript.errors.isEmpty)
        #expect(help.transcript.output.contains("SUBCOMMANDS:"), "\(help.transcript.output)")
        let serve = run("help", "serve")
        #expect(serve.code == 0 && serve.transcript.output.contains("--config"))
        #expect(run("--version").transcript.output == "0.1.0\n")
        #expect(!help.transcript.output.contains("__probe"))
    }

    @Test func checkPrintsEveryDiagnosticAndFailsOnAnError() {
        let fine = run("check", "--config", "a.yaml", diagnostics: [diagnostic(.warning, 1)])
        #expect(fine.code == 0)
        #expect(fine.transcript.errors == "a.yaml:1:2: warning: what is wrong\n")
        #expect(fine.transcript.output == "a.yaml: fine, 1 warning\n")
        let broken = run("check", diagnostics: [diagnostic(.error, 1), diagnostic(.warning, 2), diagnostic(.error, 3)])
        #expect(broken.code == 1)
        #expect(
            broken.transcript.errors == """
                a.yaml:1:2: error: what is wrong
                a.yaml:2:2: warning: what is wrong
                a.yaml:3:2: error: what is wrong
                plugins.yaml: 2 errors, 1 warning

                """)
        #expect(broken.transcript.output.isEmpty)
        let chain = run("check", "--print-shipped-chain")
        #expect(chain.code == 0 && chain.transcript.output == "plugins: []\n" && chain.transcript.calls.isEmpty)
    }

    @Test func inspectFailsOnARefusal() {
        let accepted = run("plugin", "inspect", "a.so")
        #expect(accepted.code == 0 && accepted.transcript.output == "what it is\n")
        #expect(accepted.transcript.calls == ["inspect a.so"])
        let refused = run("plugin", "inspect", "a.so", accepted: false)
        #expect(refused.code == 1 && refused.transcript.errors == "what it is\n")
    }

    @Test func reloadAndStatusFindTheGatewayByTheConfiguration() throws {
        let directory = try TestGateway.temporaryDirectory()
        let gateway = try TestGateway(socket: directory + "/s")
        defer {
            gateway.stop()
            rmdir(directory)
        }
        let status = run("status", "--config", "a.yaml", socket: gateway.socket)
        #expect(status.code == 0 && status.transcript.output == StatusReport.example.text)
        #expect(status.transcript.calls == ["read a.yaml"])
        let json = run("status", "--json", "--socket", gateway.socket)
        #expect(json.code == 0 && json.transcript.output == String(decoding: StatusReport.example.json, as: UTF8.self))
        #expect(json.transcript.calls.isEmpty)
        // What else is wrong in the file is for the gateway to say.
        let reload = run("reload", socket: gateway.socket, diagnostics: [diagnostic(.error, 7)])
        #expect(reload.transcript.errors.isEmpty)
        #expect(reload.code == 0 && reload.transcript.output == "reloaded: generation 9 is in force\n")
        gateway.outcome = ReloadOutcome(succeeded: false, generation: 9, diagnostics: ["a.yaml:1:1: error: no"])
        let refused = run("reload", "--socket", gateway.socket)
        #expect(refused.code == 1)
        #expect(refused.transcript.errors == "a.yaml:1:1: error: no\nrefused: generation 9 stays in force\n")
        #expect(gateway.reloads.load(ordering: .relaxed) == 2)
    }

    @Test func reloadWithoutAGatewayFailsAndSaysSo() {
        let gone = run("reload", "--socket", "/nonexistent-sluice/s")
        #expect(gone.code == 1 && gone.transcript.errors.contains("no gateway runs"))
        let broken = run("reload", diagnostics: [diagnostic(.error, 7)])
        #expect(broken.code == 1)
        #expect(broken.transcript.errors.hasPrefix("a.yaml:7:2: error: what is wrong\n"))
        #expect(broken.transcript.errors.contains("give --socket"))
    }
}
