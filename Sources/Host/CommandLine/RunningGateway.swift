import ArgumentParser
import Configuration

/// How `reload` and `status` find the gateway that runs.
struct RunningGatewayOptions: ParsableArguments {
    @Option(name: [.customLong("config"), .customShort("c")], help: "The configuration file that names admin.socket.")
    var path: String?

    @Option(help: "The admin socket, in place of a configuration that names it.")
    var socket: String?

    func validate() throws {
        if path != nil, socket != nil { throw ValidationError("give --config or --socket, not both") }
    }

    /// One request to the gateway. Nil after an error, which was shown.
    func ask(_ method: String, _ target: String, _ operations: CommandOperations) -> (status: Int, body: String)? {
        guard let socket = socket ?? socketOfConfiguration(operations) else { return nil }
        do throws(AdminError) {
            let answer = try AdminClient.request(method, target, socket: socket)
            return (answer.status, String(decoding: answer.body, as: UTF8.self))
        } catch {
            operations.errorOutput("sluice: error: \(error)\n")
            return nil
        }
    }

    private func socketOfConfiguration(_ operations: CommandOperations) -> String? {
        let path = path ?? "plugins.yaml"
        let (socket, diagnostics) = operations.findAdminSocket(path)
        if let socket { return socket }
        for diagnostic in diagnostics { operations.errorOutput(diagnostic.description + "\n") }
        operations.errorOutput(
            "sluice: error: \(path) does not say where the gateway is; the one that runs was not asked. "
                + "Correct the file, or give --socket\n")
        return nil
    }
}

struct ReloadCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Let the running gateway read its configuration again, wait, and print the outcome.",
        discussion: "When anything in it fails, the running configuration stays, and the exit code is 1.")

    @OptionGroup var gateway: RunningGatewayOptions

    func perform(_ operations: CommandOperations) -> Int32 {
        guard let answer = gateway.ask("POST", "/reload?format=text", operations) else { return ProgramExit.refused }
        guard answer.status == 200 else {
            operations.errorOutput(answer.body)
            return ProgramExit.refused
        }
        return operations.say(answer.body)
    }
}

struct StatusCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Print generations, models, endpoints, plugins and workers of the running gateway.")

    @OptionGroup var gateway: RunningGatewayOptions

    @Flag(help: "As JSON, with everything that is known.")
    var json = false

    func perform(_ operations: CommandOperations) -> Int32 {
        guard let answer = gateway.ask("GET", json ? "/status" : "/status?format=text", operations) else {
            return ProgramExit.refused
        }
        guard answer.status == 200 else {
            operations.errorOutput("sluice: error: the gateway answered \(answer.status): \(answer.body)")
            return ProgramExit.refused
        }
        return operations.say(answer.body)
    }
}
