import ArgumentParser

/// The command line of `sluice`.
public enum SluiceProgram {
    /// Runs the command that `arguments` (without the program's name) spell.
    /// - Returns: 0 fine, 1 refused or failed, 2 wrong usage.
    public static func run(arguments: [String], operations: CommandOperations) -> Int32 {
        StandardStream.openMissing()
        do {
            var parsed = try SluiceCommand.parseAsRoot(arguments)
            if let command = parsed as? any OperatorCommand { return command.perform(operations) }
            if parsed is SluiceCommand || parsed is PluginCommand {
                // Nothing was asked for.
                operations.errorOutput(SluiceCommand.helpMessage(for: type(of: parsed)) + "\n")
                return ProgramExit.wrongUsage
            }
            // A command of the parser's own, such as `help`.
            try parsed.run()
            return ProgramExit.fine
        } catch {
            let message = SluiceCommand.fullMessage(for: error) + "\n"
            guard SluiceCommand.exitCode(for: error).isSuccess else {
                operations.errorOutput(message)
                return ProgramExit.wrongUsage
            }
            return operations.say(message)
        }
    }
}

/// The exit codes of all commands.
enum ProgramExit {
    static let fine: Int32 = 0
    static let refused: Int32 = 1
    static let wrongUsage: Int32 = 2
}

/// A command that does something.
protocol OperatorCommand: ParsableCommand {
    /// Returns the exit code.
    func perform(_ operations: CommandOperations) -> Int32
}

struct SluiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "A gateway in front of model servers, with a plugin for every policy.",
        discussion: "Exit codes: 0 fine, 1 refused or failed, 2 wrong usage.",
        version: SluiceVersion.text,
        subcommands: [
            ServeCommand.self, CheckCommand.self, ReloadCommand.self, StatusCommand.self, PluginCommand.self,
        ])
}

/// The option that most commands share.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.customLong("config"), .customShort("c")], help: "The configuration file.")
    var path = "plugins.yaml"
}

struct ServeCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the gateway.",
        discussion: "SIGHUP reloads the configuration. SIGTERM and SIGINT let exchanges end, then exit.")

    @OptionGroup var configuration: ConfigurationOption

    func perform(_ operations: CommandOperations) -> Int32 {
        operations.serve(configuration.path)
    }
}

struct CheckCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Validate a configuration and its plugins, and exit.",
        discussion: "Prints every error and warning, each with its file, line and column. Exits 1 on an error.")

    @OptionGroup var configuration: ConfigurationOption

    @Flag(help: "Print the chain that a file without `plugins` and `pipeline` gets, and exit.")
    var printShippedChain = false

    func perform(_ operations: CommandOperations) -> Int32 {
        if printShippedChain {
            return operations.say(operations.shippedChain())
        }
        let diagnostics = operations.check(configuration.path)
        for diagnostic in diagnostics { operations.errorOutput(diagnostic.description + "\n") }
        let errors = diagnostics.count(where: { $0.severity == .error })
        let warnings = diagnostics.count - errors
        guard errors == 0 else {
            let counts = "\(counted(errors, "error")), \(counted(warnings, "warning"))"
            operations.errorOutput("\(configuration.path): \(counts)\n")
            return ProgramExit.refused
        }
        return operations.say("\(configuration.path): fine, \(counted(warnings, "warning"))\n")
    }

    private func counted(_ count: Int, _ noun: String) -> String {
        count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
    }
}

struct PluginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plugin", abstract: "Look at plugins.", subcommands: [InspectCommand.self])
}

struct InspectCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Say what a plugin is and offers, or why it would be refused.",
        discussion: "Takes every step of loading, the probe in a process of its own included. Exits 1 on a refusal.")

    @Argument(help: "The plugin's library.", completion: .file(extensions: ["so"]))
    var file: String

    func perform(_ operations: CommandOperations) -> Int32 {
        let (text, accepted) = operations.inspectPlugin(file)
        if accepted { return operations.say(text) }
        operations.errorOutput(text)
        return ProgramExit.refused
    }
}
