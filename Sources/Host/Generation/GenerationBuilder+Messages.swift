import Configuration

/// What is said of a configuration that is being made a generation of, without what the environment gave.
extension GenerationBuilder {
    /// - Parameter owner: what the message is of, which stands before it.
    func error(_ position: Position, of owner: String = "", _ message: String) {
        diagnostics.append(Diagnostic(.error, position, names.clean(owner) + shown(message, about: position)))
    }

    /// Says what an instance warns of, once: those of all workers warn of the same.
    func warn(_ plugin: Settings.PluginSettings, _ message: String) {
        let warning = Diagnostic(.warning, plugin.position, names.clean("plugin `\(plugin.name)`: ") + message)
        if !diagnostics.contains(where: { $0.description == warning.description }) { diagnostics.append(warning) }
    }

    /// Names of plugins, files of libraries and their directories that came from the environment: messages about other
    /// places name them.
    private var names: Redaction {
        var names = Redaction()
        for plugin in settings.plugins {
            if settings.secrets[plugin.position] != nil { names.add(plugin.name) }
            if settings.secrets[plugin.libraryPosition] != nil { names.add(plugin.library) }
        }
        for (directory, position) in zip(settings.pluginPath, settings.pluginPathPositions)
        where settings.secrets[position] != nil {
            names.add(directory)
        }
        for function in settings.functions where settings.secrets[function.libraryPosition] != nil {
            names.add(function.library)
        }
        return names
    }

    /// A message without the value that stands there, if the environment gave it, and without parts of it that are
    /// quoted.
    private func shown(_ message: String, about position: Position) -> String {
        guard let secret = settings.secrets[position] else { return names.clean(message) }
        var redaction = names
        redaction.add(secret)
        // A path is told without `.` and doubled slashes.
        redaction.add(secret.split(separator: "/").filter { $0 != "." }.joined(separator: "/"))
        return redaction.clean(message, about: secret)
    }
}
