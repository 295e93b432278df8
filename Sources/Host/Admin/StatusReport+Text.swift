extension StatusReport {
    /// What `sluice status` prints: one table for each kind of thing.
    var text: String {
        var text = "sluice \(version), process \(pid), up \(Self.duration(uptimeSeconds))\n"
        if !configuration.isEmpty { text += "configuration \(configuration)\n" }
        text += "listening on \(listeners.isEmpty ? "nothing" : listeners.joined(separator: ", "))\n"
        text += Self.table(
            ["GENERATION", "STATE", "EXCHANGES"],
            generations.map { [String($0.number), $0.state.rawValue, String($0.exchanges)] })
        text += Self.table(
            ["MODEL", "VERSION", "ENDPOINT", "STATE", "IN FLIGHT", "QUEUED", "REQUESTS", "FAILURES", "FIRST BYTE"],
            models.flatMap { model in model.versions.flatMap { Self.rows(model.name, $0) } })
        text += Self.table(
            ["MODEL", "VERSION", "DISCOVERY", "ENDPOINTS", "UPDATES", "FAILURES", "REFUSED", "LAST TOLD", "STATE"],
            models.flatMap { model in model.versions.flatMap { Self.discovery(model.name, $0) } })
        text += Self.table(
            ["PLUGIN", "LIBRARY", "VERSION", "SHA256", "OFFERS", "STATE"],
            plugins.map {
                [
                    $0.name, $0.library, $0.version, String($0.sha256.prefix(12)),
                    $0.extensions.joined(separator: " "), $0.degraded ? "degraded" : "",
                ]
            })
        text += Self.table(
            ["WORKER", "CONNECTIONS", "EXCHANGES"],
            workers.enumerated().map { index, worker in
                [String(index), String(worker.connections), String(worker.exchanges)]
            })
        let bytes = images.reduce(0) { $0 + $1.bytes }
        text += "\n\(images.count) plugin images, \(bytes / 1_024) KiB\n"
        return text
    }

    private static func discovery(_ model: String, _ version: Version) -> [[String]] {
        guard let discovery = version.discovery else { return [] }
        return [
            [
                model, version.name, discovery.plugin, String(version.endpoints.count), String(discovery.updates),
                String(discovery.failures), String(discovery.refused),
                discovery.stalenessNs.map { duration(Double($0) / 1e9) + " ago" } ?? "never",
                discovery.trouble.isEmpty ? "follows" : "degraded: \(discovery.trouble)",
            ]
        ]
    }

    private static func rows(_ model: String, _ version: Version) -> [[String]] {
        if let backend = version.backend {
            return [[model, version.name, "in process: \(backend)", "", "", String(version.queued), "", "", ""]]
        }
        if version.endpoints.isEmpty {
            return [[model, version.name, "none", "", "", String(version.queued), "", "", ""]]
        }
        return version.endpoints.enumerated().map { index, endpoint in
            var state = endpoint.healthy ? "healthy" : endpoint.ejected ? "ejected" : "unhealthy"
            if let breaker = endpoint.breaker, breaker != "closed" { state += ", breaker \(breaker)" }
            if let breaker = version.breaker, breaker != "closed" { state += ", model's breaker \(breaker)" }
            return [
                model, version.name, endpoint.address, state, String(endpoint.inFlight),
                index == 0 ? String(version.queued) : "", String(endpoint.requests), String(endpoint.failures),
                endpoint.ewmaNs == 0 ? "" : duration(Double(endpoint.ewmaNs) / 1_000_000_000),
            ]
        }
    }

    /// Columns as wide as their widest cell; nothing at all without rows. Control characters are shown as `?`, since
    /// names come from plugins, and a terminal obeys what it is shown.
    private static func table(_ header: [String], _ rows: [[String]]) -> String {
        guard !rows.isEmpty else { return "" }
        let lines = ([header] + rows).map { $0.map(printable) }
        let widths = header.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        var text = "\n"
        for line in lines {
            var cells = ""
            for (column, cell) in line.enumerated() {
                cells += cell + String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            while cells.last == " " { cells.removeLast() }
            text += cells + "\n"
        }
        return text
    }

    private static func printable(_ text: String) -> String {
        let scalars = text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }
        return String(String.UnicodeScalarView(scalars))
    }

    private static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        if seconds < 1 {
            let microseconds = Int((seconds * 1_000_000).rounded())
            if microseconds < 1_000 { return "\(microseconds) µs" }
            return "\(microseconds / 1_000).\(microseconds / 100 % 10) ms"
        }
        let whole = Int(seconds)
        if whole < 60 { return "\(whole) s" }
        if whole < 3_600 { return "\(whole / 60) min \(whole % 60) s" }
        if whole < 86_400 { return "\(whole / 3_600) h \(whole / 60 % 60) min" }
        return "\(whole / 86_400) d \(whole / 3_600 % 24) h"
    }
}
