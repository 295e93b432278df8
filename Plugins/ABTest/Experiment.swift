import SluicePlugin
import SluiceRouting

/// One experiment: of the users of a model a share takes part, and each of those has one variant for good.
struct Experiment {
    struct Variant {
        var name: String
        /// Where its requests go.
        var model: UInt32
        var version: Int?
        var exposures: Counter
        /// `experiment=variant`, as the fields say it.
        var assignment: KeptText
    }

    let name: String
    /// Whose requests it is about.
    let model: UInt32
    let variants: [Variant]
    private let key: [KeySource]
    private let hash: KeyHash
    /// Keys below it take part, of 2⁵³.
    private let share: UInt64
    private let choice: WeightedChoice
    let unkeyed: Counter

    /// How a request stands to the experiment.
    enum Part {
        case variant(Int)
        /// Its key is not of the share.
        case outside
        case withoutKey
    }

    func part(of request: Request, _ exchange: Exchange) -> Part {
        guard let key = key.key(of: request, exchange) else { return .withoutKey }
        let hash = hash.hash(key)
        // Whether one takes part must tell nothing of the variant: the choice below mixes the hash anew.
        guard hash &>> 11 < share else { return .outside }
        return .variant(choice.index(for: hash))
    }
}

extension Experiment {
    init(_ config: Configuration, _ context: Context) throws(PluginError) {
        try config.allow(["name", "model", "share", "key", "variants"])
        let models = context.host.models
        let name = try Self.token(config, "an experiment's name")
        self.name = name
        let asked = try config.required("model")
        model = try models.id(of: asked, at: config["model"])
        let percent = try config.number("share", default: 100, in: 0...100)
        share = UInt64(percent / 100 * 0x1p53)
        if config["key"].isNull { throw config.error("'key' is missing: say by what a user is known again") }
        key = try KeySource.list(config["key"])
        hash = KeyHash("experiment", name)
        unkeyed = try context.metrics.counter(
            "unkeyed_requests", "Requests of an experiment's model without its key, which take no part.",
            labels: [("experiment", name)])
        var variants: [Variant] = []
        var weights: [(name: String, weight: Double)] = []
        for entry in try config["variants"].elements() {
            let variant = try Self.variant(entry, of: name, model, context)
            if weights.contains(where: { $0.name == variant.name }) {
                throw entry.error("the experiment has a variant '\(variant.name)' already")
            }
            weights.append((variant.name, try entry.number("weight", default: 1, in: 0...1_000_000)))
            variants.append(variant)
        }
        if variants.isEmpty { throw config.error("'variants' is missing or empty: there is nothing to compare") }
        guard let choice = WeightedChoice(weights) else {
            throw config["variants"].error(
                "the weights of the variants sum to zero; give at least one of them a `weight` above 0")
        }
        self.choice = choice
        self.variants = variants
    }

    private static func variant(
        _ entry: Configuration, of experiment: String, _ own: UInt32, _ context: Context
    ) throws(PluginError) -> Variant {
        try entry.allow(["name", "weight", "model", "version"])
        let name = try token(entry, "a variant's name")
        let models = context.host.models
        var model = own
        if !entry["model"].isNull {
            model = try models.id(of: entry["model"].text(), at: entry["model"])
        }
        var version: Int?
        if !entry["version"].isNull {
            let asked = try entry["version"].text()
            let target = models.all[Int(model)]
            version = KeptText(asked).withBytes { target.version(askedFor: $0) }
            if version == nil {
                throw entry["version"].error("model '\(String(target.name))' has no version or label '\(asked)'")
            }
        } else if model == own {
            throw entry.error("a variant names a `version`, another `model`, or both")
        }
        let exposures = try context.metrics.counter(
            "exposures", "Requests that were given a variant of an experiment.",
            labels: [("experiment", experiment), ("variant", name)])
        return Variant(
            name: name, model: model, version: version, exposures: exposures,
            assignment: KeptText("\(experiment)=\(name)"))
    }

    private static func token(_ config: Configuration, _ what: String) throws(PluginError) -> String {
        if config["name"].isNull { throw config.error("'name' is missing") }
        return try config["name"].token(what)
    }
}
