import Configuration
import Resilience
import SluiceABI

/// When an exchange of a pool is tried again, in the units of the way of a request.
struct RetryLimits {
    var policy: RetrySettings
    /// 0: an attempt may take as long as the exchange.
    var perTryNs: UInt64
    var budget = RetryBudgetSettings()
    /// The statuses among the failures.
    var failures: FailureClasses

    /// None is tried again; which answers are failures a fallback wants to know all the same.
    init() { self.init(Settings.Retry()) }

    init(_ settings: Settings.Retry) {
        policy = RetrySettings()
        policy.attempts = UInt32(clamping: settings.maxAttempts)
        policy.backoff.base = UInt64(settings.backoffMs) * 1_000_000
        policy.backoff.cap = UInt64(max(settings.maxBackoffMs, settings.backoffMs)) * 1_000_000
        var outcomes: [Resilience.AttemptOutcome] = [.listedStatus]
        if settings.failures.connect { outcomes.append(.connectFailed) }
        if settings.failures.reset { outcomes += [.connectionLost, .refusedUnprocessed, .malformedAnswer] }
        if settings.failures.timeout { outcomes.append(.timedOut) }
        policy.outcomes = AttemptOutcomes(outcomes)
        perTryNs = UInt64(settings.perTryTimeoutMs) * 1_000_000
        budget.percent = settings.budgetPercent
        budget.minimum = UInt32(clamping: settings.budgetMinimum)
        failures = FailureClasses(settings.failures)
    }
}

extension HedgeSettings {
    init(_ settings: Settings.Hedge) {
        self.init()
        delay = settings.delayMs.map { UInt64($0 * 1_000_000) }
        percentile = settings.percentile / 100
        minimumDelay = UInt64(settings.minimumDelayMs * 1_000_000)
        minimumSamples = UInt64(settings.minimumRequests)
        share = settings.percent / 100
        inFlightAtMost = UInt32(clamping: settings.maxInFlight)
    }
}

/// One step of a model's degradation.
struct FallbackStep {
    enum Kind {
        /// Index of the pool in its generation.
        case pool(UInt32)
        /// What a filter has kept of an answer to the same request.
        case kept
        /// Status, content type and body, which the generation keeps.
        case response(UInt16)
    }
    var kind: Kind
    var contentType = sluice_bytes.empty
    var body = sluice_bytes.empty
    /// What the response's field says of it.
    var name = sluice_bytes.empty
}

/// The steps of one model; in its generation's memory.
struct FallbackChain {
    let steps: UnsafePointer<FallbackStep>
    let count: Int
    /// Index in the generation of the pool that could not answer.
    let pool: UInt32
    /// Its index for metrics.
    let metrics: Int32
}
