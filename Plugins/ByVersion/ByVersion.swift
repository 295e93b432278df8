import SluicePlugin

/// Chooses the version of a model: the one that the request names, exactly or by a label; without a name that of a
/// configured header; without that the default, which is the latest unless configured.
///
///     config: { default: stable, header: x-model-version }
struct ByVersion: Router {
    static let plugin = PluginDescription(
        name: "by-version", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Asked for once: they are the same as long as this instance lives.
    private let models: List<Model>
    private let header: KeptText
    /// For each model by its id: the version that requests which name none get, and the latest.
    private var defaults: [(unnamed: Int, latest: Int)] = []

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["default", "header"])
        models = context.host.models.all
        let asked = context.config["header"]
        header = KeptText(asked.isNull ? "" : try asked.text())
        guard asked.isNull || header.withBytes({ $0.isToken }) else {
            throw asked.error("`\(String(header))` is no header's name")
        }
        let name = KeptText(try context.config.text("default", default: "latest"))
        for model in models {
            let latest = model.latestVersion
            // A version or label may have the name `latest`, too.
            let found = name.withBytes { model.version(named: $0) }
            if found == nil, !(name == Bytes("latest")) {
                context.host.log.write(
                    .warning,
                    "model '\(String(model.name))' has no version '\(String(name))': latest is its default")
            }
            defaults.append((found ?? latest, latest))
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
        let model = models[Int(id)]
        if let version = model.version(named: wanted) {
            decision.version = version
        } else if wanted == "latest" {
            decision.version = defaults[Int(id)].latest
        } else {
            throw exchange.unknownVersion(wanted, of: model)
        }
        return .decided
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ByVersion.self) }
