import Configuration

/// Reads a text as `plugins.yaml` of the directory `/etc/sluice`.
func read(_ text: String, environment: [String: String] = [:]) -> ConfigurationResult {
    read(Array(text.utf8), environment: environment)
}

func read(_ bytes: [UInt8], environment: [String: String] = [:]) -> ConfigurationResult {
    ConfigurationReader(environment: environment).read(text: bytes, name: "plugins.yaml", directory: "/etc/sluice")
}

/// The diagnostics without the file's name.
func complaints(_ text: String, environment: [String: String] = [:]) -> [String] {
    read(text, environment: environment).diagnostics.map {
        "\($0.position.line):\($0.position.column): \($0.severity.rawValue): \($0.message)"
    }
}
