import SluicePlugin
import SluiceRouting

/// Finds out whose request it is, and keeps what belongs to one session together.
///
/// The key of the session is handed on: later routers stick to it, and so do balancers that hash. Where `choose` says
/// so, it also decides among the versions of a model, or among models. A client without a session can be given one by a
/// cookie, which holds from its first request on.
///
///     config:
///       key: [ { header: x-session-id }, { tenant: true } ]
///       set_cookie: { name: sid, max_age: 86400, secure: true }
///       choose: { iris: versions, chat: [ chat-a, chat-b ] }
///       load_factor: 1.25
struct Session: Router {
    static let plugin = PluginDescription(
        name: "session", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private var sources: [KeySource] = []
    private let cookie: SessionCookie?
    /// By a model's id.
    private var choices: [RingChoice?]
    private let keyed: Counter
    private let unkeyed: Counter
    private let issued: Counter
    private let chosen: Counter
    private let spilled: Counter

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["key", "set_cookie", "choose", "load_factor"])
        if !config["key"].isNull { sources = try KeySource.list(config["key"]) }
        cookie = config["set_cookie"].isNull ? nil : try SessionCookie(config["set_cookie"])
        if let cookie {
            for case .peer in sources {
                throw config["set_cookie"].error("every client has an address, so that none would get a cookie")
            }
            for case .path in sources {
                throw config["set_cookie"].error("every request has a path, so that none would get a cookie")
            }
            sources.append(.cookie(cookie.name))
        }
        if sources.isEmpty { throw config.error("'key' or 'set_cookie' is missing: say what a session is known by") }
        let metrics = context.metrics
        keyed = try metrics.counter("keyed_requests", "Requests of a known session.")
        unkeyed = try metrics.counter("unkeyed_requests", "Requests of no session.")
        issued = try metrics.counter("issued_cookies", "Clients that were given a session.")
        chosen = try metrics.counter("chosen_requests", "Requests whose version or model the session decided.")
        spilled = try metrics.counter(
            "spilled_requests", "Of those: sent elsewhere, as their own was busy.")
        let models = context.host.models
        choices = Array(repeating: nil, count: models.all.count)
        // A quarter more than its share: affinity counts, and no alternative is ever more than so much busier than the
        // average.
        let factor = try config.number("load_factor", default: 1.25, in: 1...100)
        for (name, entry) in try config["choose"].members() {
            let model = try models.id(of: name, at: entry)
            choices[Int(model)] = try RingChoice(entry, of: model, loadFactor: factor, context)
        }
    }

    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict {
        var key = sources.key(of: request, exchange)
        if key != nil {
            keyed.add()
        } else if let cookie, request.message.transport == .http {
            key = try cookie.issue(exchange)
            issued.add()
        } else {
            unkeyed.add()
        }
        guard let key else { return .declined }
        try exchange.setSession(key)
        // A version that was asked for, or that an earlier router chose, is not ours to change.
        guard let model = decision.model, decision.version == nil, decision.pool == nil, request.version.isEmpty,
            model < UInt32(choices.count), let choice = choices[Int(model)]
        else { return .declined }
        if choice.decide(key, decision, exchange) { spilled.add() }
        chosen.add()
        return .decided
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Session.self) }
