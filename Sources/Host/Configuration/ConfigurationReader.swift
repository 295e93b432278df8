import Glibc

/// Reads configuration files. Pure but for ``read(path:)``: no state, any thread.
public struct ConfigurationReader {
    private let environment: [String: String]

    /// - Parameter environment: what `${NAME}` in a file refers to.
    public init(environment: [String: String]) {
        self.environment = environment
    }

    /// Reads and validates a whole file; every diagnostic of the file at once, in order of position.
    public func read(path: String) -> ConfigurationResult {
        switch ConfigurationFile.read(path) {
        case .failure(let refusal): ConfigurationResult(settings: nil, diagnostics: [refusal.diagnostic])
        case .success(let text): read(text: text, name: path, directory: ConfigurationFile.directory(of: path))
        }
    }

    /// Reads and validates a text; it may hold any bytes.
    /// - Parameters:
    ///   - name: the file name in positions.
    ///   - directory: where relative paths begin; relative itself, it begins at the current directory.
    public func read(text: [UInt8], name: String, directory: String) -> ConfigurationResult {
        var tree = YAMLTree(file: name, environment: environment)
        guard let root = tree.read(text) else {
            return ConfigurationResult(settings: nil, diagnostics: Self.ordered(tree.diagnostics))
        }
        let reading = Reading(file: name, directory: ConfigurationFile.absolute(directory), tree: tree)
        var settings = Settings()
        settings.secrets = tree.secrets
        if reading.check(root, .section(SectionShape()), "a configuration") {
            Section.read(withShippedChain(root, &settings), reading) { settings.readRoot($0) }
        }
        settings.checkSockets(reading)
        let hasErrors = reading.diagnostics.contains { $0.severity == .error }
        return ConfigurationResult(
            settings: hasErrors ? nil : settings, diagnostics: Self.ordered(reading.diagnostics),
            adminSocket: settings.admin.isKnown ? settings.admin.socket : nil)
    }

    /// A file that says nothing of plugins or the chain gets both from the shipped one.
    private func withShippedChain(_ root: Node, _ settings: inout Settings) -> Node {
        guard case .mapping(let entries, let position) = root else { return root }
        let chain = ["plugins", "pipeline"]
        guard !entries.contains(where: { chain.contains($0.key) && !$0.value.isNull }) else { return root }
        settings.usesShippedChain = true
        var tree = YAMLTree(file: ShippedChain.name, environment: [:])
        let shipped = tree.read(Array(ShippedChain.yaml.utf8))?.entries ?? []
        return .mapping(entries.filter { !chain.contains($0.key) } + shipped, position)
    }

    /// In the order of the file, what concerns the shipped chain at the end, without repeats (an alias may lead to one
    /// error many times, and so may a plugin with several instances), and bounded: warnings go first, so that no error
    /// hides behind them.
    public static func ordered(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
        var seen: Set<String> = []
        var unique = diagnostics.filter { seen.insert($0.description).inserted }
        if unique.count > Bounds.diagnostics { unique.removeAll { $0.severity == .warning } }
        let sorted = unique.sorted {
            ($0.position.file == ShippedChain.name ? 1 : 0, $0.position.line, $0.position.column)
                < ($1.position.file == ShippedChain.name ? 1 : 0, $1.position.line, $1.position.column)
        }
        guard sorted.count > Bounds.diagnostics, let last = sorted.last else { return sorted }
        let more = Diagnostic(
            .error, last.position,
            "and \(sorted.count - Bounds.diagnostics) more errors up to here; mend the first ones")
        return sorted.prefix(Bounds.diagnostics) + [more]
    }
}

/// What came of reading a configuration.
public struct ConfigurationResult: Sendable {
    /// Nil when any diagnostic is an error.
    public var settings: Settings?
    /// In order of position.
    public var diagnostics: [Diagnostic]
    /// The path of the admin socket, also where something else in the file is wrong: by it whoever has broken the file
    /// still finds the gateway that runs. Nil when it cannot be told.
    public var adminSocket: String?

    public init(settings: Settings?, diagnostics: [Diagnostic], adminSocket: String? = nil) {
        self.settings = settings
        self.diagnostics = diagnostics
        self.adminSocket = adminSocket
    }
}

extension Settings {
    /// The whole file. Plugins come before what refers to them by name, but for the listeners' adapters.
    mutating func readRoot(_ section: Section) {
        let defaultSocket = section.reading.absolute("run/sluice.sock")
        admin.socket = defaultSocket
        admin.isKnown = !section.has("gateway")
        section.section("gateway", "The host itself.") { readGateway($0) }
        if admin.socket == defaultSocket, defaultSocket.utf8.count > Bounds.socketPathBytes {
            section.reading.error(
                section.position,
                "`run/sluice.sock` beside this file is longer than the \(Bounds.socketPathBytes) bytes of a Unix "
                    + "socket's path; set `gateway.admin.socket` to a shorter one")
        }
        if listeners.isEmpty {
            let address = ListenAddress.tcp(host: "0.0.0.0", port: 8080)
            listeners.append(ListenerSettings(address: address, position: section.position))
        }
        readPlugins(section)
        readFunctions(section)
        for name in section.reading.listenerAdapters { _ = section.reading.reference(name) }
        readPipeline(section)
        readModels(section)
        if !usesShippedChain, pipeline.adapters.isEmpty, let position = section.keyPosition("plugins"),
            section.keyPosition("pipeline") == nil
        {
            section.reading.warning(
                position, "`plugins` without `pipeline`: no adapter is in the chain, so no request is understood")
        }
    }

    /// Two sockets on one address would share its clients, or one would remove the other's file.
    func checkSockets(_ reading: Reading) {
        var taken: [(address: ListenAddress, owner: String)] = [(.unix(path: admin.socket), "the admin socket")]
        if let port = monitoring.metricsPort {
            taken.append((.tcp(host: monitoring.metricsAddress, port: port), "the metrics listener"))
        }
        // Quadratic, so bounded: more listeners than this is a mistake, and the kernel has 65,535 ports.
        guard listeners.count <= 1_024 else {
            reading.error(listeners[1_024].position, "more than 1024 listeners; remove some")
            return
        }
        for listener in listeners {
            if let other = taken.first(where: { $0.address.overlaps(listener.address) }) {
                reading.error(listener.position, "the address is that of \(other.owner) too; give one of them another")
            }
            taken.append((listener.address, "the listener on line \(listener.position.line)"))
        }
    }
}
