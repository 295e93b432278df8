import SluicePlugin

/// What the operator says beside the limits, checked.
struct Options {
    /// When an answer says what is left.
    enum Fields: String {
        case never, refused, always
    }

    /// What becomes of a request for whose bucket there is no room.
    enum WhenFull: String {
        case pass, refuse
    }

    /// Each is looked up for every request, and has three of an instance's 64 metrics.
    static let limitsAtMost = 16

    let maxBuckets: Int
    let whenFull: WhenFull
    let fields: Fields
    let isShadow: Bool
    /// Nil: limits are this gateway's own.
    let fleet: FleetOptions?
    let limits: [Configuration]

    init(_ config: Configuration) throws(PluginError) {
        try config.allow(["limits", "max_buckets", "when_full", "headers", "dry_run", "redis"])
        // 1 MiB, for that many keys that have asked for something in the time in which their bucket fills up: more than
        // most gateways have clients.
        maxBuckets = Int(try config.integer("max_buckets", default: 64_512, in: 1...1_032_192))
        guard let whenFull = WhenFull(rawValue: try config.text("when_full", default: "pass")) else {
            throw config["when_full"].error("expected pass or refuse")
        }
        guard let fields = Fields(rawValue: try config.text("headers", default: "refused")) else {
            throw config["headers"].error("expected never, refused or always")
        }
        self.whenFull = whenFull
        self.fields = fields
        isShadow = try config.boolean("dry_run", default: false)
        fleet = config["redis"].isNull ? nil : try FleetOptions(config["redis"])
        limits = try config["limits"].elements()
        if limits.isEmpty { throw config.error("'limits' is missing or empty: nothing would be limited") }
        if limits.count > Self.limitsAtMost {
            throw limits[Self.limitsAtMost].error(
                "more than \(Self.limitsAtMost) limits; make a second filter of the rest")
        }
    }
}
