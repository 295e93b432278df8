import SluicePlugin
import SluiceRouting

/// Runs experiments: each gives a share of a model's users one of its variants, the same one for the same user at all
/// times and on all gateways, and counts who was exposed to what.
///
///     config:
///       experiments:
///         - name: larger-model
///           model: iris
///           share: 20
///           key: { header: x-user-id }
///           variants:
///             - { name: control, version: "1" }
///             - { name: larger, model: iris-large, weight: 2 }
///       request_header: x-experiment
///       response_header: x-experiment
struct ABTest: Router {
    static let plugin = PluginDescription(
        name: "ab-test", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Metrics are 64 an instance: one for each experiment and one for each of its variants.
    private static let metricsAtMost = 64

    private var experiments: [Experiment] = []
    /// A field toward the endpoint, and one toward the client; empty: none.
    private let requestHeader: KeptText
    private let responseHeader: KeptText

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["experiments", "request_header", "response_header"])
        requestHeader = KeptText(try Self.field(config["request_header"]))
        // A request has exactly one (RFC 9112 §3.2): what the client says there could not be taken out.
        if requestHeader.equalsIgnoringCase(KeptText("host")) {
            throw config["request_header"].error("a request always has a `host`, the client's: name another header")
        }
        responseHeader = KeptText(try Self.field(config["response_header"]))
        var metrics = 0
        for entry in try config["experiments"].elements() {
            metrics += 1 + entry["variants"].count
            if metrics > Self.metricsAtMost {
                throw entry.error(
                    "experiments and variants are more than \(Self.metricsAtMost) together; "
                        + "end an experiment, or load the plugin a second time")
            }
            let experiment = try Experiment(entry, context)
            if experiments.contains(where: { $0.name == experiment.name }) {
                throw entry["name"].error("there is an experiment '\(experiment.name)' already")
            }
            experiments.append(experiment)
        }
        if experiments.isEmpty { throw config.error("'experiments' is missing or empty") }
    }

    private static func field(_ config: Configuration) throws(PluginError) -> String {
        config.isNull ? "" : try config.fieldName()
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        // What the client itself says of experiments must not reach an endpoint that believes the field. What another
        // entry of this plugin has told it stays.
        if !requestHeader.isEmpty, exchange.header(requestHeader) != nil {
            try requestHeader.withBytes { name throws(PluginError) in try exchange.removeOriginalField(.request, name) }
        }
        // A version that was asked for, or that an earlier router chose, is not ours to change.
        guard let model = decision.model, decision.version == nil, decision.pool == nil, request.version.isEmpty else {
            return .declined
        }
        for index in experiments.indices where experiments[index].model == model {
            switch experiments[index].part(of: request, exchange) {
            case .outside: continue
            case .withoutKey: experiments[index].unkeyed.add()
            case .variant(let place):
                try assign(experiments[index].variants[place], decision, exchange)
                return .decided
            }
        }
        return .declined
    }

    private func assign(
        _ variant: Experiment.Variant, _ decision: RouteDecision, _ exchange: Exchange
    ) throws(PluginError) {
        decision.model = variant.model
        decision.version = variant.version
        try variant.assignment.withBytes { assignment throws(PluginError) in
            if !requestHeader.isEmpty {
                try requestHeader.withBytes { name throws(PluginError) in
                    try exchange.setField(.request, name, assignment)
                }
            }
            if !responseHeader.isEmpty {
                try responseHeader.withBytes { name throws(PluginError) in
                    try exchange.setField(.response, name, assignment)
                }
            }
        }
        variant.exposures.add()
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ABTest.self) }
