import ELF
import SluiceABI

/// What `sluice plugin inspect` prints: what a plugin is and offers, or why it would be refused. Its code runs in a
/// child process only. `text` ends with a newline; `accepted` false asks for exit code 1.
public func inspectPlugin(
    path: String, limits: ImageLimits = ImageLimits(), probe command: ProbeCommand = ProbeCommand()
) -> (text: String, accepted: Bool) {
    var lines: [String] = []
    func line(_ key: String, _ value: String) {
        let space = String(repeating: " ", count: max(1, 12 - key.count))
        lines.append("\(key)\(space)\(value)")
    }
    func closing(_ verdict: String, _ accepted: Bool) -> (text: String, accepted: Bool) {
        line("verdict", verdict)
        return (lines.joined(separator: "\n") + "\n", accepted)
    }
    line("file", oneLine(path))
    do throws(ImageFault) {
        let file = try ImageFile.read(path: path, allowGroupWritable: false, limit: limits.fileBytes)
        line("size", "\(file.bytes.count) bytes")
        line("sha256", hexadecimal(file.digest))
        let summary: ELFSummary
        switch checkELF(file.bytes) {
        case .success(let checked): summary = checked
        case .failure(let fault): throw ImageFault(fault)
        }
        line("needs", summary.neededLibraries.isEmpty ? "no library" : list(summary.neededLibraries))
        line("Swift", swiftRuntime(summary))
        if let runPath = summary.runPath {
            let warning = runPath.contains("$ORIGIN") ? " ($ORIGIN finds nothing: plugins are loaded from memory)" : ""
            line("run path", oneLine(runPath) + warning)
        }
        let plugin = try probe(file, with: command)
        line("name", plugin.name)
        line("version", plugin.version)
        line("vendor", plugin.vendor.isEmpty ? "not said" : plugin.vendor)
        line("licence", plugin.licence.isEmpty ? "not said" : plugin.licence)
        line("build id", plugin.buildID.isEmpty ? "not said" : plugin.buildID)
        line("ABI", abiText(UInt32(SLUICE_ABI_VERSION)))
        for offer in plugin.extensions {
            let note =
                switch offer.instancing {
                case .none: "unknown to this host, left out"
                case .some(UInt32(SLUICE_INSTANCE_SHARED)): "one instance for all workers"
                case .some: "one instance a worker"
                }
            line("offers", "\(offer.id) (\(note))")
        }
        return closing("accepted", true)
    } catch {
        return closing("refused (\(error.reason.rawValue)): \(error.detail)", false)
    }
}

private func list(_ names: [String]) -> String { oneLine(names.joined(separator: ", ")) }

private func swiftRuntime(_ summary: ELFSummary) -> String {
    if summary.sharesSwiftRuntime { return "shares the host's Swift runtime" }
    return summary.hasSwiftSections ? "carries a Swift runtime of its own" : "no Swift code"
}
