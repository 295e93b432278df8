/// What became of an attempt, as far as the decision to retry goes.
public enum AttemptOutcome: UInt8, Sendable, CaseIterable {
    /// An answer that is passed on, whatever its status.
    case answered
    /// No connection came about: refused, unreachable, TLS failed, or no time left for it.
    case connectFailed
    /// The connection broke before an answer's head.
    case connectionLost
    /// The endpoint said that it did not begin: HTTP/2's REFUSED_STREAM, or a GOAWAY below the stream (RFC 9113 §8.7).
    case refusedUnprocessed
    /// The time of one attempt was over.
    case timedOut
    /// An answer whose status is listed as worth another attempt, such as 502, 503, 504 or gRPC UNAVAILABLE.
    case listedStatus
    /// 429 or gRPC RESOURCE_EXHAUSTED.
    case rateLimited
    /// What came was not a message of the protocol.
    case malformedAnswer
}

/// A set of outcomes: what to retry, or what counts as a failure for a breaker.
public struct AttemptOutcomes: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public init(_ outcomes: [AttemptOutcome]) {
        rawValue = outcomes.reduce(0) { $0 | 1 << $1.rawValue }
    }
    @inlinable
    public func contains(_ outcome: AttemptOutcome) -> Bool { rawValue & 1 << UInt16(outcome.rawValue) != 0 }
}

public struct RetrySettings: Sendable, Equatable {
    /// Attempts in all, the first one counted; 1 never retries. Three: when two endpoints in turn fail, mostly the pool
    /// does.
    public var attempts: UInt32 = 3
    /// What is worth another attempt. Not what is rate limited: more load is no answer to that.
    public var outcomes = AttemptOutcomes([
        .connectFailed, .connectionLost, .refusedUnprocessed, .timedOut, .listedStatus,
    ])
    public var backoff = Backoff()
    /// The longest `Retry-After` that is waited for, nanoseconds; one that is longer is the client's to wait.
    public var retryAfterCap: UInt64 = 5_000_000_000
    /// Time that must be left for the attempt itself, nanoseconds: one that cannot succeed is only load.
    public var minimumAttemptTime: UInt64 = 1_000_000

    public init() {}
}

/// What the decision is made from.
public struct FailedAttempt: Sendable {
    /// Which attempt of the request this was, 1 the first.
    public var attempt: UInt32
    public var outcome: AttemptOutcome
    /// The request may be done twice: by its method (RFC 9110 §9.2.2), by its operation, or since the configuration
    /// says so; and what was sent of it is still there to be sent again.
    public var isRepeatable: Bool
    /// No byte of the request has reached an endpoint.
    public var nothingSent: Bool
    /// Something of an answer has been passed on to the client.
    public var answerHasBegun: Bool
    /// Nanoseconds until the request's deadline; `.max` when it has none.
    public var deadlineLeft: UInt64
    /// What the answer's `Retry-After` said, nanoseconds; 0 when there was none.
    public var retryAfter: UInt64

    public init(
        attempt: UInt32, outcome: AttemptOutcome, isRepeatable: Bool, nothingSent: Bool, answerHasBegun: Bool = false,
        deadlineLeft: UInt64 = .max, retryAfter: UInt64 = 0
    ) {
        self.attempt = attempt
        self.outcome = outcome
        self.isRepeatable = isRepeatable
        self.nothingSent = nothingSent
        self.answerHasBegun = answerHasBegun
        self.deadlineLeft = deadlineLeft
        self.retryAfter = retryAfter
    }
}

public enum RetryDecision: Sendable, Equatable {
    /// After so many nanoseconds.
    case retry(after: UInt64)
    case giveUp(Reason)

    /// Why not; what stands first is found first. The budget is asked last, by whoever has it.
    public enum Reason: UInt8, Sendable, CaseIterable {
        case notAFailure, answerHasBegun, outcomeNotListed, notRepeatable, attemptsUsed, retryAfterTooLong,
            deadlineTooClose, budgetEmpty
    }
}

public enum RetryPolicy {
    /// Whether a request gets another attempt, and when. Pure; `random` is 64 random bits. The budget is not asked:
    /// take from it when the answer is `retry`, so that requests which may not be retried anyway cost it nothing.
    public static func decide(
        _ failed: FailedAttempt, _ settings: RetrySettings, random: UInt64
    ) -> RetryDecision {
        if failed.outcome == .answered { return .giveUp(.notAFailure) }
        if failed.answerHasBegun { return .giveUp(.answerHasBegun) }
        guard settings.outcomes.contains(failed.outcome) else { return .giveUp(.outcomeNotListed) }
        let neverBegan = failed.nothingSent || failed.outcome == .refusedUnprocessed
        guard failed.isRepeatable || neverBegan else { return .giveUp(.notRepeatable) }
        guard failed.attempt < settings.attempts else { return .giveUp(.attemptsUsed) }
        guard failed.retryAfter <= settings.retryAfterCap else { return .giveUp(.retryAfterTooLong) }
        let wait = settings.backoff.delay(beforeRetry: max(failed.attempt, 1) - 1, random: random)
        // What the endpoint asks for is the least; with jitter on top, or all that were told the same return at once.
        let delay = failed.retryAfter &+ wait
        let (needed, overflows) = delay.addingReportingOverflow(settings.minimumAttemptTime)
        guard !overflows, needed <= failed.deadlineLeft else { return .giveUp(.deadlineTooClose) }
        return .retry(after: delay)
    }
}
