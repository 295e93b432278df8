import Configuration
import Glibc

/// What the commands do, apart from how they are spelt. The executable hands in the gateway's own; a test hands in
/// what it wants to see called.
public struct CommandOperations: Sendable {
    /// Runs the gateway until it is told to stop. Returns the exit code: 0 after a graceful stop, 1 when it could not
    /// begin.
    public var serve: @Sendable (_ configurationPath: String) -> Int32
    /// Where a configuration file says that the gateway's admin socket is, and what is wrong with the file; nil when it
    /// does not say.
    public var findAdminSocket: @Sendable (_ configurationPath: String) -> (path: String?, [Diagnostic])
    /// Validates all of a configuration, plugins and their instances included, as a reload would. In the order of
    /// the file.
    public var check: @Sendable (_ configurationPath: String) -> [Diagnostic]
    /// The chain that a configuration without `plugins` and `pipeline` gets, as YAML.
    public var shippedChain: @Sendable () -> String
    /// What a plugin file is and offers, or why it would be refused; lines that end in a newline.
    public var inspectPlugin: @Sendable (_ path: String) -> (text: String, accepted: Bool)
    /// Standard output: returns 0, or the error number that tells why some of the text is not written.
    public var output: @Sendable (String) -> Int32 = { StandardStream.output.write($0) }
    /// Standard error.
    public var errorOutput: @Sendable (String) -> Void = { StandardStream.error.write($0) }

    public init(
        serve: @escaping @Sendable (String) -> Int32,
        findAdminSocket: @escaping @Sendable (String) -> (path: String?, [Diagnostic]),
        check: @escaping @Sendable (String) -> [Diagnostic],
        shippedChain: @escaping @Sendable () -> String,
        inspectPlugin: @escaping @Sendable (String) -> (text: String, accepted: Bool)
    ) {
        self.serve = serve
        self.findAdminSocket = findAdminSocket
        self.check = check
        self.shippedChain = shippedChain
        self.inspectPlugin = inspectPlugin
    }

    /// Prints what a command was asked for.
    /// - Returns: its exit code, by which a script learns that it has a part of it only, or nothing.
    func say(_ text: String) -> Int32 {
        let fault = output(text)
        guard fault != 0 else { return ProgramExit.fine }
        errorOutput("sluice: error: cannot write to standard output: \(String(cString: strerror(fault)))\n")
        return ProgramExit.refused
    }
}
