import Configuration
import Resilience
import SluiceABI

/// How one worker judges and picks the endpoints of one pool; nil in a pool where every endpoint may always be picked.
/// Part of the generation's tables.
struct PoolPolicy {
    /// Nil: no breaker.
    var breaker: UnsafePointer<CircuitBreakerSettings>?
    var breaksEndpoints = false
    var breaksModel = false
    var breakerFailures = FailureClasses()
    /// Failures in a row that the detector is told of; nil: no detector.
    var outlierThreshold: UInt32?
    var outlierFailures = FailureClasses()
    /// With fewer healthy endpoints, in percent, all are tried; 0: never.
    var panicPercent = 0.0
    /// In the order of the pool's endpoints.
    var members: UnsafePointer<UnsafeMutablePointer<PoolMember>>
    /// Bit `i`: endpoint `i` may be picked. This worker's own, good while `epoch` is the pool's and until `until`.
    var mask: UnsafeMutablePointer<UInt64>
    var count: UInt32 = 0
    /// Counts the masks that were made.
    var masks: UInt32 = 0
    /// 0: never made.
    var epoch: UInt64 = 0
    var until: UInt64 = 0
    /// Nil: endpoints have their whole share at once.
    var slowStart: SlowStartSettings?
    /// Nil: all zones are alike.
    var zonePreference: ZonePreferenceSettings?
    /// By what `EndpointPreferences` know some of the mask are preferred or held back; made with the mask.
    var prefers = false
    /// What the home worker does; in its tables alone.
    var duties: UnsafeMutablePointer<HealthDuties>?

    /// Whether what became of an attempt is to be looked at.
    @inline(__always)
    var judges: Bool { breaker != nil || outlierThreshold != nil }
}

extension CircuitBreakerSettings {
    /// `probeTimeout`: what a request of the pool may take at most, nanoseconds.
    init(_ settings: Settings.CircuitBreaker, probeTimeout: UInt64) {
        self.init()
        failureThreshold = UInt32(clamping: settings.failureThreshold)
        failurePercent = settings.failureRatePercent
        window = UInt64(settings.windowMs) * 1_000_000
        minimumRequests = UInt32(clamping: settings.minimumRequests)
        resetTimeout = UInt64(settings.resetTimeoutSec * 1e9)
        resetCap = UInt64((settings.maxResetTimeoutSec ?? settings.resetTimeoutSec) * 1e9)
        resetGrowth = 2
        jitter = settings.jitterPercent / 100
        halfOpenProbes = UInt32(clamping: settings.halfOpenProbes)
        successesToClose = UInt32(clamping: settings.successesToClose)
        self.probeTimeout = probeTimeout
    }
}

extension SlowStartSettings {
    init(_ settings: Settings.SlowStart) {
        self.init()
        window = UInt64(settings.windowMs) * 1_000_000
        aggression = settings.aggression
        minimumFactor = settings.minimumPercent / 100
    }
}

extension ZonePreferenceSettings {
    init(_ settings: Settings.ZonePreference) {
        self.init()
        healthyShare = settings.healthyPercent / 100
        share = settings.sharePercent / 100
        minimumEndpoints = settings.minimumEndpoints
    }
}

extension OutlierSettings {
    init(_ settings: Settings.OutlierDetection) {
        self.init()
        consecutiveFailures = UInt32(clamping: settings.consecutiveErrors)
        interval = UInt64(settings.intervalMs) * 1_000_000
        baseEjectionTime = UInt64(settings.baseEjectionMs) * 1_000_000
        maximumEjectionTime = UInt64(settings.maxEjectionMs) * 1_000_000
        maximumEjectedShare = settings.maxEjectedPercent / 100
        minimumHosts = settings.minimumEndpoints
        minimumRequests = UInt64(settings.minimumRequests)
        successRateDeviations = settings.successRateFactor
        latencyFactor = settings.latencyFactor
    }
}

extension HealthSettings {
    init(_ settings: Settings.HealthCheck) {
        self.init()
        interval = UInt64(settings.intervalMs) * 1_000_000
        unhealthyInterval = interval
        unhealthyAfter = UInt32(clamping: settings.unhealthyAfter)
        healthyAfter = UInt32(clamping: settings.healthyAfter)
    }
}

/// The breakers of a pool for status, which is made beside the way of requests. [main]
struct BreakerView {
    let settings: UnsafePointer<CircuitBreakerSettings>
    let ofEndpoints: Bool
    let ofModel: Bool

    /// Nil without a breaker.
    init?(_ breaker: Settings.CircuitBreaker?, _ memory: GenerationMemory) {
        guard let breaker else { return nil }
        // How long a probe may take makes no difference to what is seen.
        settings = UnsafePointer(memory.place([CircuitBreakerSettings(breaker, probeTimeout: .max / 2)]))
        ofEndpoints = breaker.scope != .model
        ofModel = breaker.scope != .endpoint
    }

    static func text(_ state: CircuitBreakerState) -> String {
        switch state {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half_open"
        }
    }
}
