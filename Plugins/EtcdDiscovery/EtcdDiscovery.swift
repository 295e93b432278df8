import EtcdDiscoveryCodec
import SluicePlugin

/// Follows the keys under a prefix in etcd: each is an endpoint, for as long as it is there. While no member serves the
/// last set is in force.
///
///     discovery:
///       plugin: etcd
///       config: { endpoints: [ "http://10.0.0.1:2379" ], prefix: /sluice/iris/ }
struct EtcdDiscovery: Discovery {
    static let plugin = PluginDescription(
        name: "etcd-discovery", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let settings: EtcdSettings
    private let counters: EtcdCounters
    private let host: Host
    private var thread: SourceThread?

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        let config = context.modelConfig
        try config.allow([
            "endpoints", "prefix", "username", "password", "tls", "timeout_ms", "check_seconds",
            "retry_at_most_seconds",
        ])
        var settings = EtcdSettings()
        settings.members = try Self.members(config)
        settings.prefix = Array(try config.required("prefix").utf8)
        // Without one, all that anybody keeps in that etcd would be taken for endpoints.
        if settings.prefix.isEmpty { throw config["prefix"].error("the prefix must not be empty") }
        settings.username = try config.text("username", default: "")
        settings.password = try config.text("password", default: "")
        if settings.username.isEmpty != settings.password.isEmpty {
            throw config.error("`username` and `password` go together")
        }
        if settings.members.contains(where: \.isTLS) {
            settings.tls = try EtcdTLS(config["tls"])
        } else if !config["tls"].isNull {
            throw config["tls"].error("no endpoint begins with `https://`")
        }
        settings.timeoutMs = Int(try config.integer("timeout_ms", default: 5_000, in: 50...60_000))
        settings.checkMs = Int(try config.integer("check_seconds", default: 10, in: 1...3_600)) * 1_000
        settings.retryAtMostMs = Int(try config.integer("retry_at_most_seconds", default: 10, in: 1...600)) * 1_000
        self.settings = settings
        let (metrics, labels) = (context.metrics, [("model", context.model), ("version", context.version)])
        counters = EtcdCounters(
            reads: try metrics.counter("reads", "Times all keys were read.", labels: labels),
            events: try metrics.counter("events", "Changes that a watch told.", labels: labels),
            checks: try metrics.counter("checks", "Times a watch was checked.", labels: labels),
            losses: try metrics.counter("losses", "Times a member failed and was left.", labels: labels))
        host = context.host
    }

    private static func members(_ config: Configuration) throws(PluginError) -> [EtcdMember] {
        if config["endpoints"].isNull { throw config.error("'endpoints' is missing") }
        var members: [EtcdMember] = []
        for element in try config["endpoints"].elements() {
            guard let member = EtcdMember(try element.text()) else {
                throw element.error("expected `http://host:port` or `https://host:port`")
            }
            if members.contains(member) { throw element.error("it stands twice") }
            members.append(member)
        }
        // A cluster of etcd has 3 or 5 members, and hardly ever 7.
        guard (1...16).contains(members.count) else { throw config["endpoints"].error("expected 1 to 16 endpoints") }
        return members
    }

    mutating func start(_ sink: EndpointSink) throws(PluginError) {
        let follower = EtcdFollower(settings, counters, host, sink)
        thread = try SourceThread(name: "sluice-etcd") { follower.run($0) }
    }

    mutating func stop() {
        thread?.stop()
        thread = nil
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, EtcdDiscovery.self) }
