import CLinux
import Glibc
import Configuration
import SluiceABI

/// This process: where it lies and what it was given.
public enum Program {
    /// The path of the executable, as the kernel resolved it.
    static let executable: String = {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = buffer.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : "/proc/self/exe"
    }()

    /// The directory of the executable, where the shipped plugins lie beside it.
    static let directory = executable.lastIndex(of: "/").map { String(executable[..<$0]) } ?? "."

    static var environment: [String: String] {
        var result: [String: String] = [:]
        guard var next = clinux_environment() else { return result }
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let mark = text.firstIndex(of: "=") {
                result[String(text[..<mark])] = String(text[text.index(after: mark)...])
            }
            next += 1
        }
        return result
    }

    /// The operations behind the command line.
    public static let operations = CommandOperations(
        serve: serve, findAdminSocket: findAdminSocket, check: check, shippedChain: { ShippedChain.yaml },
        inspectPlugin: { inspectPlugin(path: $0) })

    private static func read(_ path: String) -> ConfigurationResult {
        ConfigurationReader(environment: environment).read(path: path)
    }

    private static func findAdminSocket(_ path: String) -> (path: String?, [Diagnostic]) {
        let result = read(path)
        return (result.adminSocket, result.diagnostics)
    }

    private static func serve(_ path: String) -> Int32 {
        let result = read(path)
        for diagnostic in result.diagnostics { StandardStream.error.write(diagnostic.description + "\n") }
        guard let settings = result.settings else { return 1 }
        HostLog.reserve(settings.monitoring.logBufferBytes)
        guard let gateway = Gateway(configurationPath: path, settings: settings) else {
            StandardStream.error.write("sluice: error: the system has no memory or descriptors for the workers\n")
            return 1
        }
        return gateway.run()
    }

    /// Builds a generation as a reload would, and throws it away.
    private static func check(_ path: String) -> [Diagnostic] {
        let result = read(path)
        guard let settings = result.settings, let registry = MetricRegistry(workerCount: 1), let inbox = ControlInbox()
        else { return result.diagnostics }
        let environment = HostEnvironment(
            registry: registry, state: StateRegistry(), inbox: inbox, server: settings.server)
        let workshop = GenerationWorkshop(
            images: ImageRegistry(), environment: environment, workerCount: 1, programDirectory: directory)
        let (generation, problems) = workshop.build(settings, number: 1)
        generation?.destroy()
        workshop.stopPlugins()
        return result.diagnostics + problems
    }
}
