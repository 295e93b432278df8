import SluiceHashing
import Synchronization
import TestThreads
import Testing

@testable import Resilience

@Suite("Retry budget")
struct RetryBudgetTests {
    final class Budget: @unchecked Sendable {
        let cell = UnsafeMutablePointer<RetryBudgetCell>.allocate(capacity: 1)
        init() { cell.initialize(to: RetryBudgetCell()) }
        deinit { cell.deallocate() }
        var view: RetryBudget { RetryBudget(cell) }
    }

    @Test(
        "A quiet pool has ten, a busy one a fifth of what is under way",
        arguments: [(0, 10), (50, 10), (55, 11), (1000, 200)])
    func allowed(requests: Int, retries: Int) {
        let budget = Budget()
        for _ in 0..<requests { budget.view.requestBegins() }
        var taken = 0
        while budget.view.takeRetry(RetryBudgetSettings()) { taken += 1 }
        #expect(taken == retries)
        #expect(budget.view.underWay == (requests, retries))
    }

    @Test("A fraction of a percent counts", arguments: [(0.4, 1000, 4), (0.5, 300, 1), (12.5, 80, 10), (29, 100, 29)])
    func fractions(percent: Double, requests: UInt64, retries: UInt64) {
        var settings = RetryBudgetSettings()
        settings.percent = percent
        settings.minimum = 0
        #expect(settings.allowed(requests: requests) == retries)
    }

    @Test("What ends makes room")
    func ends() {
        let budget = Budget()
        var settings = RetryBudgetSettings()
        settings.minimum = 1
        #expect(budget.view.takeRetry(settings))
        #expect(!budget.view.takeRetry(settings))
        budget.view.retryEnds()
        #expect(budget.view.takeRetry(settings))
        budget.view.retryEnds()
        settings.minimum = 0
        #expect(!budget.view.takeRetry(settings))
        for _ in 0..<5 { budget.view.requestBegins() }
        #expect(budget.view.takeRetry(settings))
        for _ in 0..<5 { budget.view.requestEnds() }
        budget.view.retryEnds()
        #expect(budget.view.underWay == (0, 0))
    }

    @Test("Threads together take no more than there is")
    func threads() {
        let budget = Budget()
        final class Most: Sendable {
            let underWay = Atomic<Int>(0)
            let value = Atomic<Int>(0)
        }
        let most = Most()
        onThreads(4) { index in
            var random = SplitMix64(seed: UInt64(index))
            for _ in 0..<5_000 {
                guard budget.view.takeRetry(RetryBudgetSettings()) else { continue }
                let now = most.underWay.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                most.value.max(now, ordering: .relaxed)
                for _ in 0..<random.next() % 64 { _ = random.next() }
                most.underWay.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                budget.view.retryEnds()
            }
        }
        #expect(most.value.load(ordering: .relaxed) <= 10)
        #expect(budget.view.underWay == (0, 0))
    }
}

@Suite("Backoff")
struct BackoffTests {
    @Test("The bound doubles up to the cap")
    func bounds() {
        let backoff = Backoff(base: 10, factor: 2, cap: 100)
        #expect((0..<6).map { backoff.bound(beforeRetry: $0) } == [10, 20, 40, 80, 100, 100])
        #expect(Backoff(base: 10, factor: 1, cap: 100).bound(beforeRetry: .max) == 10)
        #expect(Backoff(base: 0, factor: 2, cap: 100).bound(beforeRetry: .max) == 0)
        #expect(Backoff(base: 200, factor: 2, cap: 100).bound(beforeRetry: 0) == 100)
        #expect(Backoff(base: 1, factor: 1e30, cap: .max).bound(beforeRetry: 9) == .max)
    }

    @Test("The wait is spread evenly over all of the bound")
    func jitter() {
        let backoff = Backoff(base: 1000, factor: 2, cap: 10_000)
        #expect(backoff.delay(beforeRetry: 0, random: 0) == 0)
        #expect(backoff.delay(beforeRetry: 0, random: .max) == 1000)
        var random = SplitMix64(seed: 1)
        var quarters = [0, 0, 0, 0]
        for _ in 0..<4000 {
            let delay = backoff.delay(beforeRetry: 1, random: random.next())
            #expect(delay <= 2000)
            quarters[min(Int(delay / 500), 3)] += 1
        }
        #expect(quarters.allSatisfy { $0 > 850 && $0 < 1150 })
    }
}

@Suite("Decision to retry")
struct RetryPolicyTests {
    static let settings: RetrySettings = {
        var settings = RetrySettings()
        settings.backoff = Backoff(base: 100, factor: 2, cap: 1000)
        settings.minimumAttemptTime = 10
        settings.retryAfterCap = 5000
        return settings
    }()

    /// What is asked here, with `change` made to a failure that would be retried.
    static func decide(_ change: (inout FailedAttempt) -> Void = { _ in }) -> RetryDecision {
        var failed = FailedAttempt(attempt: 1, outcome: .connectionLost, isRepeatable: true, nothingSent: false)
        change(&failed)
        return RetryPolicy.decide(failed, settings, random: .max)
    }

    @Test("A repeatable request goes again, later each time")
    func retried() {
        #expect(Self.decide() == .retry(after: 100))
        #expect(Self.decide { $0.attempt = 2 } == .retry(after: 200))
    }

    @Test("Attempts are counted with the first")
    func attempts() { #expect(Self.decide { $0.attempt = 3 } == .giveUp(.attemptsUsed)) }

    @Test("What may not be repeated goes again only if it never began")
    func repeatable() {
        #expect(Self.decide { $0.isRepeatable = false } == .giveUp(.notRepeatable))
        let unsent = Self.decide {
            $0.isRepeatable = false
            $0.nothingSent = true
        }
        #expect(unsent == .retry(after: 100))
        let refused = Self.decide {
            $0.isRepeatable = false
            $0.outcome = .refusedUnprocessed
        }
        #expect(refused == .retry(after: 100))
    }

    @Test("Nothing is retried once the client has something of an answer")
    func begun() { #expect(Self.decide { $0.answerHasBegun = true } == .giveUp(.answerHasBegun)) }

    @Test("Only listed outcomes are retried", arguments: AttemptOutcome.allCases)
    func outcomes(outcome: AttemptOutcome) {
        let expected: RetryDecision =
            switch outcome {
            case .answered: .giveUp(.notAFailure)
            case .rateLimited, .malformedAnswer: .giveUp(.outcomeNotListed)
            default: .retry(after: 100)
            }
        #expect(Self.decide { $0.outcome = outcome } == expected)
    }

    @Test("Retry-After is the least wait; one that is too long is the client's")
    func retryAfter() {
        #expect(Self.decide { $0.retryAfter = 5000 } == .retry(after: 5100))
        #expect(Self.decide { $0.retryAfter = 5001 } == .giveUp(.retryAfterTooLong))
    }

    @Test("The deadline must leave time for the wait and the attempt")
    func deadline() {
        #expect(Self.decide { $0.deadlineLeft = 110 } == .retry(after: 100))
        #expect(Self.decide { $0.deadlineLeft = 109 } == .giveUp(.deadlineTooClose))
        let later = Self.decide {
            $0.retryAfter = 4000
            $0.deadlineLeft = 4109
        }
        #expect(later == .giveUp(.deadlineTooClose))
    }
}
