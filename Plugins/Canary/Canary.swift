import SluiceHashing
import SluicePlugin
import SluiceRouting

/// Gives each version of a model the share of its users, or requests, that its `weight` says.
///
/// Who says by a header, a cookie, a session or a tenant who he is, stays with his version: when weights change at a
/// reload, users move to the versions whose weight grew against the others', and none of those moves back. Requests
/// that say nothing are spread one by one.
///
///     config: { sticky_header: x-session-id, sticky_cookie: sid, sticky_tenant: true }
struct Canary: Router {
    static let plugin = PluginDescription(
        name: "canary", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Metrics are 64 an instance; these are left for what has no label, and for the versions beyond.
    private static let countersAtMost = 62

    private struct Choice {
        var hash: KeyHash
        var versions: WeightedChoice
        /// Of its first version in `counters`; nil when there was no room.
        var firstCounter: Int?
    }

    private let models: Models
    private let sticky: [KeySource]
    private var choices: [Choice] = []
    private var counters: [Counter] = []
    private let others: Counter
    private let unkeyed: Counter
    private var draw: SplitMix64

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["sticky_header", "sticky_cookie", "sticky_tenant"])
        models = context.host.models
        var sources: [KeySource] = []
        let (header, cookie) = (config["sticky_header"], config["sticky_cookie"])
        if !header.isNull { sources.append(.header(KeptText(try header.token("a header's name")))) }
        if !cookie.isNull { sources.append(.cookie(KeptText(try cookie.token("a cookie's name")))) }
        // A session that an earlier router found is closer to the user than his tenant.
        sources.append(.session)
        if try config.boolean("sticky_tenant", default: false) { sources.append(.tenant) }
        sticky = sources
        others = try context.metrics.counter(
            "other_requests", "Requests to versions that have no counter of their own.")
        unkeyed = try context.metrics.counter(
            "unkeyed_requests", "Requests that said nothing to stick to and were spread one by one.")
        // Another beginning for each worker and each generation.
        draw = SplitMix64(seed: context.host.clock.monotonic &+ UInt64(context.worker ?? 0) << 32)
        for model in models.all { choices.append(try choice(model, context)) }
    }

    private mutating func choice(_ model: Model, _ context: Context) throws(PluginError) -> Choice {
        let name = String(model.name)
        let weights = model.versions.map { (name: String($0.name), weight: Double($0.weight)) }
        guard let versions = WeightedChoice(weights) else {
            throw context.error(
                .invalidArgument,
                "the weights of the versions of model '\(name)' sum to zero, so that none could be chosen; "
                    + "give at least one of them a `weight` above 0")
        }
        var choice = Choice(hash: KeyHash("canary", name), versions: versions)
        if counters.count + weights.count <= Self.countersAtMost {
            choice.firstCounter = counters.count
            for version in weights {
                counters.append(
                    try context.metrics.counter(
                        "requests", "Requests by the version that they were sent to.",
                        labels: [("model", name), ("version", version.name)]))
            }
        }
        return choice
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        // An unknown model is the host's to refuse, a version that an earlier router chose is not ours to change.
        guard let id = decision.model, decision.version == nil, decision.pool == nil, id < UInt32(choices.count) else {
            return .declined
        }
        let model = Int(id)
        let version: Int
        if !request.version.isEmpty {
            guard let asked = models.all[model].version(askedFor: request.version) else {
                throw exchange.unknownVersion(request.version, of: models.all[model])
            }
            version = asked
        } else if let key = sticky.key(of: request, exchange) {
            version = choices[model].versions.index(for: choices[model].hash.hash(key))
        } else {
            unkeyed.add()
            version = choices[model].versions.index(drawn: draw.next())
        }
        decision.version = version
        if let first = choices[model].firstCounter { counters[first &+ version].add() } else { others.add() }
        return .decided
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Canary.self) }
