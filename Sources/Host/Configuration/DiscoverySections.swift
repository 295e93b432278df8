/// `discovery:` of a version: endpoints that come and go without a reload.
extension Settings {
    public struct Discovery: Sendable {
        public enum WhenEmpty: String, Sendable, CaseIterable {
            case keepLast = "keep_last"
            case empty
        }

        public var plugin: PluginReference
        /// The pool's own tree for the plugin; a null scalar when absent.
        public var config: Node
        /// What all endpoints of the pool speak.
        public var scheme = EndpointSettings.Scheme.http
        public var whenEmpty = WhenEmpty.keepLast
        /// How long a start or a reload waits for the first set of a pool that has none, in milliseconds.
        public var firstSetMs = 1_000
        /// How long the last set stays in force while the source is away, in seconds; nil: for as long as it takes.
        public var keepLastSeconds: Int?

        public init(plugin: PluginReference, config: Node) {
            self.plugin = plugin
            self.config = config
        }
    }
}

extension Settings.VersionSettings {
    /// What the endpoints speak; nil when there are none.
    public var scheme: Settings.EndpointSettings.Scheme? { discovery?.scheme ?? endpoints.first?.scheme }

    mutating func readDiscovery(_ section: Section) {
        var found: Settings.Discovery?
        section.section("discovery", "A plugin that finds the endpoints and follows their changes, without a reload.") {
            found = Settings.Discovery($0)
        }
        discovery = found
    }
}

extension Settings.Discovery {
    init?(_ section: Section) {
        let name = section.take("plugin", .text(.pluginName), required: true, "The plugin that finds the endpoints.")
        let config = section.take(
            "config", .anything, initially: "null", "What it is to find, handed to the plugin, unread by the host.")
        self.init(
            plugin: Settings.PluginReference(name: "", position: section.position),
            config: config ?? .scalar("", quoted: false, section.position))
        let schemes = ["http", "https", "grpc", "grpcs", "tcp"]
        let word = section.take(
            "scheme", .choice(schemes), initially: scheme.rawValue,
            "What the endpoints speak, in the words of `endpoints`; an address with another scheme is refused.")
        scheme = word?.text.flatMap(Settings.EndpointSettings.Scheme.init) ?? scheme
        section.choice(
            "when_empty", into: &whenEmpty,
            "What an empty set does: the last one stays in force, or the pool is empty and answers 503.")
        section.integer(
            "first_set_ms", into: &firstSetMs, 0...60_000,
            "How long a start or a reload waits for the first set of a pool that has none.")
        section.integer(
            "keep_last_seconds", into: &keepLastSeconds, 1...2_592_000, initially: "for as long as it takes",
            "How long the last set stays in force while the source is away; after that the pool is empty.")
        guard let reference = name.flatMap(section.reading.reference) else { return nil }
        plugin = reference
    }
}

extension Settings.EndpointSettings {
    /// Why an address that a discovery told is refused. It never holds the address, which may hold a password.
    public struct Refusal: Error, Equatable {
        public let complaint: String
    }

    /// An address that a discovery told: as in `endpoints`, or `host:port` alone, which is of the pool's scheme.
    public static func discovered(_ text: String, scheme: Scheme) -> Result<Self, Refusal> {
        let isWhole = text.hasPrefix("unix:") || text.contains("://")
        switch parse(isWhole ? text : "\(scheme.rawValue)://\(text)") {
        case .failure(let error): return .failure(Refusal(complaint: error.complaint))
        case .success(let endpoint):
            if endpoint.scheme != scheme {
                return .failure(Refusal(complaint: "is not of the pool's scheme `\(scheme.rawValue)`"))
            }
            if case .unix(let path) = endpoint.target, !path.hasPrefix("/") {
                return .failure(Refusal(complaint: "takes an absolute path after `unix:`"))
            }
            if case .unix(let path) = endpoint.target, path.utf8.count > Bounds.socketPathBytes {
                return .failure(Refusal(complaint: "takes a path of at most \(Bounds.socketPathBytes) bytes"))
            }
            return .success(endpoint)
        }
    }

    /// Whether the address is known without asking a resolver.
    public var isNumeric: Bool {
        switch target {
        case .tcp(let host, _): isNumericAddress(host)
        case .unix: true
        }
    }
}
