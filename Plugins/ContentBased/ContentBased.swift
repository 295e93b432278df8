import NearestName
import SluicePlugin

/// Routes by what a request says: ordered rules of the gateway's rule language, the first one that holds decides.
///
///     config:
///       rules:
///         - when: tensor("image").shape[3] > 1024
///           then: { model: image-large }
///         - name: vip
///           when: tenant in ["acme"]
///           then: { priority: 0 }
///           continue: true
struct ContentBased: Router {
    static let plugin = PluginDescription(
        name: "content-based", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let branches: [Branch]
    private let unmatched: Counter

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["rules"])
        let entries = try config["rules"].elements()
        if entries.isEmpty { throw config.error("'rules' is missing or empty: nothing would be decided") }
        // With the counter of what no rule matched they are the 64 metrics that an instance may declare.
        if entries.count > 63 { throw entries[63].error("more than 63 rules; make a second router of the rest") }
        var branches: [Branch] = []
        var names: Set<String> = []
        for (index, entry) in entries.enumerated() {
            let branch = try Branch(entry, number: index + 1, context)
            if !names.insert(branch.name).inserted {
                // One without a name has its number's, and no place of its own for it.
                throw (entry["name"].isNull ? entry : entry["name"]).error(
                    "two rules are named '\(branch.name)'; rename one")
            }
            branches.append(branch)
        }
        self.branches = branches
        unmatched = try context.metrics.counter(
            "unmatched", "Requests for which no rule of the content-based router held.")
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        // Nothing is counted or decided before all that are needed have said yes or no: the body may be asked for in
        // the middle, and then all begins again.
        var held: UInt64 = 0
        for index in branches.indices {
            switch try branches[index].rule.verdict(on: request, exchange) {
            case .fails: continue
            case .needsBody: return .needsBody
            case .holds: held |= 1 << UInt64(index)
            }
            if !branches[index].goesOn { break }
        }
        guard held != 0 else {
            unmatched.add()
            return .declined
        }
        for index in branches.indices where held & (1 << UInt64(index)) != 0 {
            branches[index].matches.add()
            branches[index].action.apply(to: decision, received: request.received)
        }
        return .decided
    }
}

/// One entry of `rules`.
private struct Branch {
    let name: String
    let rule: Rule
    let action: Action
    /// The rules behind it are looked at, too.
    let goesOn: Bool
    let matches: Counter

    init(_ entry: Configuration, number: Int, _ context: Context) throws(PluginError) {
        try entry.allow(["name", "when", "then", "continue"])
        name = try entry.text("name", default: "\(number)")
        if name.isEmpty || name.utf8.count > 64 { throw entry["name"].error("a rule's name has 1 to 64 bytes") }
        if entry["when"].isNull { throw entry.error("'when' is missing: the rule that must hold") }
        rule = try entry["when"].rule()
        action = try Action(entry, context.host.models)
        goesOn = try entry.boolean("continue", default: false)
        matches = try context.metrics.counter(
            "matches", "Requests for which a rule of the content-based router held.",
            labels: [("rule", name)])
    }
}

/// What a rule decides; what it does not name stays as it stood.
private struct Action {
    private var model: UInt32?
    private var version: Int?
    private var priority: UInt32?
    /// Nanoseconds after the request came.
    private var deadline: UInt64?

    init(_ entry: Configuration, _ models: Models) throws(PluginError) {
        let config = entry["then"]
        try config.allow(["model", "version", "priority", "deadline_ms"])
        if config.count == 0 {
            throw (config.isNull ? entry : config).error(
                "'then' is missing or empty; it takes model, version, priority and deadline_ms")
        }
        if !config["model"].isNull {
            let name = try config["model"].text()
            guard let found = models.all.indices.first(where: { String(models.all[$0].name) == name }) else {
                throw config["model"].error(
                    "no model is named '\(name)'; " + advice(name, among: models.all.map { String($0.name) }))
            }
            model = UInt32(found)
        }
        if !config["version"].isNull {
            guard let model else {
                throw config["version"].error("'version' goes with 'model': versions are a model's own")
            }
            let name = try config["version"].text()
            let chosen = models.all[Int(model)]
            guard let found = ContentBased.version(name, of: chosen) else {
                throw config["version"].error(
                    "model '\(String(chosen.name))' has no version or label '\(name)'; "
                        + advice(
                            name,
                            among: chosen.versions.map { String($0.name) } + chosen.labels.map { String($0.name) }))
            }
            version = found
        }
        if !config["priority"].isNull { priority = UInt32(try config["priority"].integer(in: 0...9)) }
        if !config["deadline_ms"].isNull {
            // A day: what takes longer has no deadline that a client waits for.
            deadline = UInt64(try config["deadline_ms"].integer(in: 1...86_400_000)) * 1_000_000
        }
    }

    func apply(to decision: RouteDecision, received: UInt64) {
        if let model {
            decision.model = model
            // The version of another model says nothing about this one.
            decision.version = version
            decision.pool = nil
        }
        if let priority { decision.priority = priority }
        // Of two rules that go on the tighter one counts.
        if let deadline { decision.deadline = min(decision.deadline, received &+ deadline) }
    }
}

extension ContentBased {
    /// Index of the version of that name, or of the one that the label of that name stands for.
    fileprivate static func version(_ name: String, of model: Model) -> Int? {
        let versions = model.versions
        if let found = versions.indices.first(where: { String(versions[$0].name) == name }) { return found }
        return model.labels.first { String($0.name) == name }.map(\.version)
    }
}

/// What to do about a name that is not known.
private func advice(_ name: String, among known: [String]) -> String {
    if let near = nearestName(to: name, among: known) { return "did you mean '\(near)'?" }
    return "known are \(known.prefix(16).joined(separator: ", "))\(known.count > 16 ? ", …" : "")"
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ContentBased.self) }
