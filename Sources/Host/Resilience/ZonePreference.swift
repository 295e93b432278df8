/// When requests stay in the gateway's own zone, and how many go elsewhere.
public struct ZonePreferenceSettings: Sendable, Equatable {
    /// Of a zone's endpoints, above 0 to 1: with as many healthy ones they bear all that the zone is to bear.
    public var healthyShare: Double = 0.7
    /// Of the requests, what the own zone takes while enough of its endpoints are healthy: 0 to 1.
    public var share: Double = 1
    /// With fewer healthy ones in the zone none is preferred.
    public var minimumEndpoints: Int = 1

    public init() {}
}

public enum ZonePreference {
    /// One side of a pool: the own zone, or all others together.
    public struct Side: Sendable, Equatable {
        /// Endpoints that may be picked, and their weights together.
        public var endpoints = 0
        public var healthy: Double = 0
        /// Of all its endpoints.
        public var total: Double = 0

        public init() {}

        public mutating func add(weight: Double, isHealthy: Bool) {
            total += weight
            guard isHealthy else { return }
            healthy += weight
            endpoints += 1
        }

        /// What it can bear, 0 to 1.
        func availability(_ settings: ZonePreferenceSettings) -> Double {
            total > 0 ? min(1, healthy / total / settings.healthyShare) : 0
        }
    }

    /// The share of requests that stay in the zone, 0 to 1; nil: none is preferred. As Envoy divides its load among
    /// priorities (its documentation, "Priority levels"): a side bears as much as its health allows, the rest goes to
    /// the other one, and when both together cannot bear all they share it in that proportion.
    public static func localShare(own: Side, others: Side, _ settings: ZonePreferenceSettings) -> Double? {
        guard own.endpoints > 0, own.endpoints >= settings.minimumEndpoints, others.endpoints > 0 else { return nil }
        let local = min(settings.share, own.availability(settings))
        let rest = min(1 - local, others.availability(settings))
        return local + rest > 0 ? local / (local + rest) : nil
    }
}
