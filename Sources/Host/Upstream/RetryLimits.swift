import Configuration
import Resilience
import SluiceABI

/// When an exchange of a pool is tried again, in the units of the way of a request.
struct RetryLimits {
    /// The first attempt counted; 1: none is tried again.
    var attemptsAtMost: UInt8 = 1
    var backoff = Backoff()
    /// 0: an attempt may take as long as the exchange.
    var perTryNs: UInt64 = 0
    var budget = RetryBudgetSettings()
    var failures = FailureClasses()

    init() {}

    init(_ settings: Settings.Retry) {
        attemptsAtMost = UInt8(clamping: settings.maxAttempts)
        backoff.base = UInt64(settings.backoffMs) * 1_000_000
        backoff.cap = UInt64(max(settings.maxBackoffMs, settings.backoffMs)) * 1_000_000
        perTryNs = UInt64(settings.perTryTimeoutMs) * 1_000_000
        budget.percent = UInt32(settings.budgetPercent.rounded())
        budget.minimum = UInt32(clamping: settings.budgetMinimum)
        failures = FailureClasses(settings.failures)
    }
}

/// One step of a model's degradation.
struct FallbackStep {
    enum Kind {
        /// Index of the pool in its generation.
        case pool(UInt32)
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
    /// Index for metrics, of the pool that could not answer.
    let metrics: Int32
}
