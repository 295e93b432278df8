import SluicePlugin
import SluiceRouting

/// Sends a copy of a share of requests to another model or version and counts how its answers differ. The answers are
/// never waited for and reach nobody, so a new version can be tried under the real load before it serves anybody.
///
///     config:
///       shadows:
///         - { name: next, model: iris, version: "1", to: { version: "2" }, percent: 10 }
struct Shadow: Router {
    static let plugin = PluginDescription(name: "shadow", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Metrics are 64 an instance, and each shadow has ten.
    private static let shadowsAtMost = 6

    private let models: Models
    private let targets: [ShadowTarget]
    private let counts: ShadowCounts
    private let shadows: Shadows
    private let header: KeptText
    private let inFlightAtMost: Int

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["shadows", "header", "max_in_flight"])
        models = context.host.models
        header = KeptText(config["header"].isNull ? "x-sluice-shadow" : try config["header"].fieldName())
        // Of one worker. At a deadline of ten seconds and full use that is some three copies a second that never
        // answer, and a few thousand that do; what is beyond them costs the originals nothing.
        inFlightAtMost = Int(try config.integer("max_in_flight", default: 32, in: 1...10_000))
        var targets: [ShadowTarget] = []
        for entry in try config["shadows"].elements() {
            if targets.count == Self.shadowsAtMost {
                throw entry.error("at most \(Self.shadowsAtMost) shadows; load the plugin a second time for more")
            }
            let target = try ShadowTarget(entry, context)
            if targets.contains(where: { $0.name == target.name }) {
                throw entry["name"].error("there is a shadow '\(target.name)' already")
            }
            targets.append(target)
        }
        if targets.isEmpty { throw config.error("'shadows' is missing or empty: there is nothing to copy") }
        self.targets = targets
        let counts = try ShadowCounts(targets.map(\.name), context)
        self.counts = counts
        shadows = Shadows(kinds: targets.count, copyEnded: { _ in counts.copyEnded() }) { counts.ended($0, $1) }
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        guard let model = decision.model else { return .declined }
        let count = targets.count
        for index in 0..<count where targets[index].model == model {
            guard isMeant(targets[index], request, decision), targets[index].takes(request, exchange) else { continue }
            if targets[index].shouldGather(request) { return .needsBody }
            send(index, exchange)
            // A request has one copy: of several shadows the first that is meant.
            break
        }
        return .declined
    }

    private func send(_ index: Int, _ exchange: Exchange) {
        guard counts.inFlight < inFlightAtMost else { return counts.shadows[index].busy.add() }
        let target = targets[index]
        do throws(ShadowRefusal) {
            try shadows.send(
                index, of: exchange, to: target.pool, field: (header, target.mark), timeout: target.timeout,
                comparesBodies: target.comparesBodies)
            counts.sent(index)
        } catch {
            switch error {
            case .body: counts.shadows[index].body.add()
            case .exhausted: counts.shadows[index].busy.add()
            case .unfit, .unknown: counts.shadows[index].unfit.add()
            }
        }
    }

    /// Whether the request goes to the version that is shadowed, and not to where its copy would go.
    private func isMeant(_ target: ShadowTarget, _ request: Request, _ decision: RouteDecision) -> Bool {
        let versions = models.all[Int(target.model)].versions
        var pool = decision.pool
        if pool == nil {
            var version = decision.version
            if version == nil {
                // As the host decides where no router does.
                version =
                    request.version.isEmpty
                    ? (versions.count == 1 ? 0 : nil) : versions.indices.first { versions[$0].name == request.version }
            }
            guard let version, versions.indices.contains(version) else { return false }
            pool = versions[version].pool
        }
        if pool == target.pool { return false }
        return target.version.map { versions[$0].pool == pool } ?? true
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Shadow.self) }
