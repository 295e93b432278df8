/// Which endpoints of a pool its balancer chooses among, and how soon a new one has its whole share. Each policy that
/// is not configured is off.
extension Settings {
    public struct Selection: Sendable, Equatable {
        public var slowStart: SlowStart?
        public var zonePreference: ZonePreference?
        public var subset: Subset?
        public init() {}

        /// A model's own before the gateway's.
        public func or(_ other: Selection) -> Selection {
            var merged = self
            merged.slowStart = slowStart ?? other.slowStart
            merged.zonePreference = zonePreference ?? other.zonePreference
            merged.subset = subset ?? other.subset
            return merged
        }
    }

    public struct SlowStart: Sendable, Equatable {
        /// 0: at once.
        public var windowMs = 30_000
        public var aggression = 1.0
        public var minimumPercent = 10.0
        public init() {}
    }

    public struct ZonePreference: Sendable, Equatable {
        /// Of the zone's endpoints, by weight; with fewer healthy ones requests spill over.
        public var healthyPercent = 70.0
        public var sharePercent = 100.0
        public var minimumEndpoints = 1
        public init() {}
    }

    public struct Subset: Sendable, Equatable {
        public var size = 0
        public var position: Position
        public init(size: Int, position: Position) {
            self.size = size
            self.position = position
        }
    }
}

extension Settings.Selection {
    /// - Parameters:
    ///   - before, after: what stands around a key's name where it says what holds without it; empty for the gateway's.
    mutating func read(_ section: Section, _ before: String = "", _ after: String = "") {
        func initially(_ key: String) -> String { before.isEmpty ? "off" : before + key + after }
        section.section(
            "slow_start", initially: initially("slow_start"),
            "How an endpoint that is new in its pool, or well again, comes to its whole share of requests."
        ) { slowStart = Settings.SlowStart($0) }
        section.section(
            "zone_preference", initially: initially("zone_preference"),
            "Endpoints of the gateway's own zone serve its requests as long as enough of them are healthy."
        ) { zonePreference = Settings.ZonePreference($0) }
        section.section(
            "subset", initially: initially("subset"),
            "Which part of a large pool's endpoints this gateway of a fleet speaks to, so that not each keeps "
                + "connections to all."
        ) { subset = Settings.Subset($0) }
    }
}

extension Settings.SlowStart {
    init(_ section: Section) {
        self.init()
        section.integer("window_ms", into: &windowMs, 0...86_400_000, "How long it takes; 0 is at once.")
        section.number(
            "aggression", into: &aggression, 0.1...10,
            "1 grows evenly with time; above, fast at first; below, slowly at first.")
        section.number("minimum_percent", into: &minimumPercent, 1...100, "Of its share, what it begins with.")
    }
}

extension Settings.ZonePreference {
    init(_ section: Section) {
        self.init()
        section.number(
            "healthy_percent", into: &healthyPercent, 1...100,
            "Of the zone's endpoints, by weight: with fewer healthy ones requests spill over to other zones, in "
                + "proportion.")
        section.number(
            "share_percent", into: &sharePercent, 0...100,
            "Of the requests, what the zone takes while enough are healthy: less for a zone with fewer endpoints than "
                + "its clients need.")
        section.integer(
            "minimum_endpoints", into: &minimumEndpoints, 1...4_096,
            "With fewer healthy endpoints in the zone none is preferred.")
    }
}

extension Settings.Subset {
    init(_ section: Section) {
        self.init(size: 0, position: section.position)
        // The key is required: there is no size that fits all.
        if let node = section.take(
            "size", .integer(1...4_096), required: true, "Endpoints of a pool that this gateway speaks to.")
        {
            size = node.integer ?? size
        }
    }
}

extension Settings {
    /// A subset is dealt out by the gateways' numbers.
    func checkSelection(_ reading: Reading) {
        guard instance == nil else { return }
        for subset in [selection.subset] + models.map(\.selection.subset) {
            guard let subset else { continue }
            reading.error(
                subset.position,
                "`subset` needs to know which gateway of the fleet this is; give `gateway.instance` a number from 0")
        }
    }
}
