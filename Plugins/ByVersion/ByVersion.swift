import SluicePlugin

/// Chooses the version of a model: the one that the request names, exactly or by a label; without a name that of a
/// configured header; without that the default, which is the latest unless configured.
///
///     config: { default: stable, header: x-model-version }
struct ByVersion: Router {
    static let plugin = PluginDescription(
        name: "by-version", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let models: Models
    private let header: KeptText
    /// For each model by its id: the version that requests which name none get, and the latest.
    private var defaults: [(unnamed: Int, latest: Int)] = []

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["default", "header"])
        models = context.host.models
        header = KeptText(try context.config.text("header", default: ""))
        let name = KeptText(try context.config.text("default", default: "latest"))
        for model in models.all {
            let latest = ByVersion.latest(of: model)
            var unnamed = latest
            if !(name == Bytes("latest")) {
                let found = name.withBytes { ByVersion.version($0, of: model) }
                if found == nil {
                    context.host.log.write(
                        .warning,
                        "model '\(String(model.name))' has no version '\(String(name))': latest is its default")
                }
                unnamed = found ?? latest
            }
            defaults.append((unnamed, latest))
        }
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        // An unknown model is the host's to refuse, a version that an earlier router chose is not ours to change.
        guard let id = decision.model, decision.version == nil, id < UInt32(defaults.count) else { return .declined }
        var wanted = request.version
        if wanted.isEmpty, !header.isEmpty {
            wanted = exchange.header(header) ?? Bytes()
        }
        if wanted.isEmpty {
            decision.version = defaults[Int(id)].unnamed
            return .decided
        }
        let model = models.all[Int(id)]
        if let version = ByVersion.version(wanted, of: model) {
            decision.version = version
        } else if wanted == "latest" {
            decision.version = defaults[Int(id)].latest
        } else {
            throw exchange.error(.notFound) { message in
                message.append("model '")
                message.append(model.name)
                message.append("' has no version or label '")
                message.append(wanted.prefix(128))
                message.append("'")
            }
        }
        return .decided
    }

    /// Index of the version of that name, or of the one that the label of that name stands for.
    static func version(_ name: Bytes, of model: Model) -> Int? {
        let versions = model.versions
        for index in versions.indices where versions[index].name == name { return index }
        for label in model.labels where label.name == name { return label.version }
        return nil
    }

    /// Index of the highest version; the first one when the model has but one.
    static func latest(of model: Model) -> Int {
        let versions = model.versions
        var best = 0
        for index in versions.indices.dropFirst() where precedes(versions[best].name, versions[index].name) {
            best = index
        }
        return best
    }

    /// Whether version `left` is older than `right`: runs of digits compare as numbers, all else byte by byte, so that
    /// 9 comes before 10 and v1.9 before v1.10.
    static func precedes(_ left: Bytes, _ right: Bytes) -> Bool {
        var a = left
        var b = right
        while let x = a.first, let y = b.first {
            if isDigit(x), isDigit(y) {
                let m = number(&a)
                let n = number(&b)
                if m.count != n.count { return m.count < n.count }
                for index in m.indices where m[index] != n[index] { return m[index] < n[index] }
            } else if x != y {
                return x < y
            } else {
                a = a.dropFirst()
                b = b.dropFirst()
            }
        }
        return a.isEmpty && !b.isEmpty
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// Takes the digits off the front, and gives them back without leading zeros.
    private static func number(_ text: inout Bytes) -> Bytes {
        var end = 0
        while let byte = text.at(end), isDigit(byte) { end += 1 }
        var start = 0
        while start + 1 < end, text[start] == 0x30 { start += 1 }
        let digits = text[start..<end]
        text = text.dropFirst(end)
        return digits
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ByVersion.self) }
