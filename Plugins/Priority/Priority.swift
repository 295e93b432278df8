import SluicePlugin
import SluiceRouting

/// Gives requests their priority, and those of some tenants a pool of their own.
///
/// A tenant is who a filter says that it is; a header is what anybody writes. So a header may claim no better priority
/// than its tenant has, or than `header_limit` says for those who have none of their own.
///
///     config:
///       tenants:
///         acme: { priority: 0, pools: { iris: { version: fast } } }
///         nightly: 9
///       header: x-priority
///       header_values: { interactive: 4, background: { priority: 8 } }
///       header_limit: { unauthenticated: 5, authenticated: 3 }
struct Priority: Router {
    static let plugin = PluginDescription(
        name: "priority", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Rules of tenants, and of values of the header: a table of a few hundred KB, found in 0.1 µs.
    private static let rulesAtMost = 4096

    private var rules: [Rule] = []
    private var tenants = TextTable()
    private var values = TextTable()
    private let header: KeptText
    /// The best priority that a header may claim, where the tenant has none of his own, or there is no tenant.
    private let limits: (authenticated: UInt32, unauthenticated: UInt32)
    private var requests: [Counter] = []
    private let cut: Counter
    private let unknown: Counter
    private let moved: Counter

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["tenants", "header", "header_values", "header_limit"])
        header = KeptText(config["header"].isNull ? "" : try config["header"].token("a header's name"))
        let limit = config["header_limit"]
        try limit.allow(["authenticated", "unauthenticated"])
        // 5 is what a request has without any claim: unless the operator says so, nobody overtakes by a header.
        limits = (
            UInt32(try limit.integer("authenticated", default: 5, in: 0...9)),
            UInt32(try limit.integer("unauthenticated", default: 5, in: 0...9))
        )
        let metrics = context.metrics
        for priority in 0...9 {
            requests.append(
                try metrics.counter(
                    "requests", "Requests by the priority that they were given.", labels: [("priority", "\(priority)")])
            )
        }
        cut = try metrics.counter("cut_claims", "Claims of a better priority than the header may give.")
        unknown = try metrics.counter("unknown_claims", "Values of the header that say nothing.")
        moved = try metrics.counter("moved_requests", "Requests that were given another pool.")
        if header.isEmpty, config["header_values"].count > 0 || limit.count > 0 {
            throw config.error("'header' is missing: say which header claims a priority")
        }
        try Self.read(config["tenants"], into: &tenants, &rules, context)
        try Self.read(config["header_values"], into: &values, &rules, context)
        if header.isEmpty, tenants.count == 0 {
            throw config.error("neither 'tenants' nor 'header' is there: nobody would be given a priority")
        }
    }

    private static func read(
        _ config: Configuration, into table: inout TextTable, _ rules: inout [Rule], _ context: Context
    ) throws(PluginError) {
        for (name, entry) in try config.members() {
            if name.isEmpty { throw entry.error("a name is not empty") }
            if rules.count == rulesAtMost { throw entry.error("more than \(rulesAtMost) rules") }
            if !table.add(name, index: rules.count) { throw entry.error("'\(name)' is there already") }
            rules.append(try Rule(entry, context.host.models))
        }
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        let tenant = request.tenant.isEmpty ? nil : tenants.find(request.tenant)
        var rule = tenant
        var priority = tenant.map { rules[$0].priority }
        if !header.isEmpty, let value = exchange.header(header)?.trimmed, !value.isEmpty {
            let limit = priority ?? (request.tenant.isEmpty ? limits.unauthenticated : limits.authenticated)
            let named = values.find(value)
            if let claimed = named.map({ rules[$0].priority }) ?? Self.digit(value) {
                priority = max(claimed, limit)
                if claimed < limit {
                    // The pool that goes with a priority goes with it alone.
                    cut.add()
                } else if let named, let model = decision.model, rules[named].pool(for: model) != nil {
                    rule = named
                }
            } else {
                unknown.add()
            }
        }
        guard let priority else { return .declined }
        decision.priority = priority
        requests[Int(priority)].add()
        if let rule { move(request, decision, rules[rule]) }
        return .decided
    }

    /// To the pool of the rule, unless the client or an earlier router has chosen.
    private func move(_ request: Request, _ decision: RouteDecision, _ rule: Rule) {
        guard let model = decision.model, decision.version == nil, decision.pool == nil, request.version.isEmpty,
            let index = rule.pool(for: model)
        else { return }
        decision.model = rule.pools[index].model
        decision.version = rule.pools[index].version
        moved.add()
    }

    /// A priority as one digit.
    private static func digit(_ value: Bytes) -> UInt32? {
        guard value.count == 1, value[0] &- 0x30 < 10 else { return nil }
        return UInt32(value[0] &- 0x30)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Priority.self) }
