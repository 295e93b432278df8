import Resilience
import SluiceHashing

let millisecond: UInt64 = 1_000_000

/// What a seed decides before anything happens: how many endpoints, which settings, how much load. Times are a tenth or
/// less of what a gateway would have, so that much happens in a few seconds of the virtual clock.
struct Scenario {
    /// How a request finds its endpoint: plain models of what balancers do.
    enum Balancing: CaseIterable { case roundRobin, leastRequest, twoChoices, random }

    struct Tenant {
        var hash: UInt64
        var weight: UInt32
        /// Between two of its requests, on average.
        var gap: UInt64
    }

    var endpoints: Int
    var tenants: [Tenant]
    var balancing: Balancing
    var breaker = CircuitBreakerSettings()
    /// Nil: no second attempts beside slow ones.
    var hedge: HedgeSettings?
    var retry = RetrySettings()
    var budget = RetryBudgetSettings()
    var outlier = OutlierSettings()
    var health = HealthSettings()
    var admission = AdmissionSettings()
    var limit = ConcurrencyLimitSettings()
    var shedder = LoadShedderSettings()
    var slowStart = SlowStartSettings()
    var panicThreshold: UInt32
    /// The longest that one attempt may take.
    var attemptTimeout: UInt64
    /// Trouble ends here: all endpoints are well again.
    var calm: UInt64
    /// By here all must have recovered.
    var recovered: UInt64

    init(_ random: inout SplitMix64) {
        endpoints = 1 + random.below(8)
        let tenantCount = 1 + random.below(4)
        // Sometimes more than the endpoints can take.
        let load = [1, 2, 4, 10][random.below(4)]
        tenants = (0..<tenantCount).map { _ in
            Tenant(
                hash: random.next(), weight: random.oneIn(2) ? 1 : random.of(1...8 as ClosedRange<UInt32>),
                gap: random.of(20 * millisecond...40 * millisecond) * UInt64(tenantCount) / UInt64(load))
        }
        balancing = Balancing.allCases[random.below(4)]
        panicThreshold = random.oneIn(2) ? 0 : random.of(1...60)
        attemptTimeout = random.of(30 * millisecond...120 * millisecond)
        calm = random.of(600 * millisecond...1500 * millisecond)
        recovered = 0
        drawBreaker(&random)
        drawRetries(&random)
        drawHealth(&random)
        drawQueue(&random)
        recovered = calm + longestRecovery
    }

    private mutating func drawBreaker(_ random: inout SplitMix64) {
        breaker.failureThreshold = random.oneIn(4) ? 0 : random.of(1...6)
        breaker.failurePercent = random.oneIn(2) ? 0 : Double(random.of(20...80 as ClosedRange<UInt32>))
        breaker.window = random.of(60 * millisecond...400 * millisecond)
        breaker.minimumRequests = random.of(1...10)
        breaker.resetTimeout = random.of(5 * millisecond...150 * millisecond)
        breaker.resetGrowth = random.oneIn(3) ? 1 : 2
        breaker.resetCap = breaker.resetTimeout * random.of(1...6)
        breaker.jitter = random.oneIn(3) ? 0 : 0.3
        breaker.halfOpenProbes = random.of(1...4)
        breaker.successesToClose = random.of(1...4)
        breaker.probeTimeout = attemptTimeout + random.of(5 * millisecond...50 * millisecond)
    }

    private mutating func drawRetries(_ random: inout SplitMix64) {
        retry.attempts = random.of(1...4)
        retry.backoff = Backoff(
            base: random.of(0...10 * millisecond), factor: 2, cap: random.of(5 * millisecond...50 * millisecond))
        retry.minimumAttemptTime = random.of(0...5 * millisecond)
        retry.retryAfterCap = random.of(0...60 * millisecond)
        budget.percent = Double(random.of(0...50 as ClosedRange<UInt32>))
        budget.minimum = random.of(0...10)
        guard random.oneIn(2) else { return }
        var hedge = HedgeSettings()
        hedge.delay = random.of(millisecond...20 * millisecond)
        hedge.share = Double(random.of(5...100 as ClosedRange<UInt32>)) / 100
        hedge.inFlightAtMost = random.of(1...6)
        self.hedge = hedge
    }

    private mutating func drawHealth(_ random: inout SplitMix64) {
        outlier.consecutiveFailures = random.oneIn(4) ? 0 : random.of(1...5)
        outlier.interval = random.of(50 * millisecond...200 * millisecond)
        outlier.baseEjectionTime = random.of(50 * millisecond...200 * millisecond)
        outlier.maximumEjectionTime = outlier.baseEjectionTime * random.of(1...4)
        outlier.maximumEjectedShare = Double(random.below(11 as UInt64)) / 10
        outlier.minimumHosts = 2 + random.below(4)
        outlier.minimumRequests = random.of(2...10)
        outlier.latencyMargin = 20 * millisecond
        health.interval = random.of(20 * millisecond...100 * millisecond)
        health.unhealthyInterval = random.of(10 * millisecond...health.interval)
        health.unhealthyAfter = random.of(1...4)
        health.healthyAfter = random.of(1...3)
        health.initial = random.oneIn(4) ? .unhealthy : .healthy
        health.flapWindow = random.of(0...500 * millisecond)
        slowStart.window = random.oneIn(2) ? 0 : random.of(20 * millisecond...200 * millisecond)
    }

    private mutating func drawQueue(_ random: inout SplitMix64) {
        admission.capacity = 2 + random.below(40)
        admission.ageing = random.of(2 * millisecond...60 * millisecond)
        admission.fullPolicy = AdmissionSettings.FullPolicy.allCases[random.below(3)]
        admission.tenants = 64
        limit.algorithm = ConcurrencyLimitSettings.Algorithm.allCases[random.below(3)]
        limit.minimum = random.of(1...4)
        limit.initial = random.of(limit.minimum...12)
        limit.maximum = random.of(limit.initial...40)
        limit.window = 20 * millisecond
        shedder.start = random.oneIn(2) ? 1 : 0.6
        shedder.targetWait = random.oneIn(2) ? 0 : 60 * millisecond
    }

    /// How long the slowest way back may take: a probe that was lost, a breaker and then its probes, an ejection,
    /// checks of an endpoint that has flapped. A little for what is under way and for the traffic that brings it about.
    private var longestRecovery: UInt64 {
        let open = max(breaker.resetTimeout, breaker.resetCap)
        let breakers = breaker.probeTimeout + open + open / 3 + 400 * millisecond
        let ejection = outlier.maximumEjectionTime + outlier.maximumEjectionTime / 10 + 2 * outlier.interval
        let checks = UInt64(health.healthyAfter) * 8 * (health.interval + health.interval / 10)
        return attemptTimeout + max(breakers, max(ejection, checks))
    }
}
