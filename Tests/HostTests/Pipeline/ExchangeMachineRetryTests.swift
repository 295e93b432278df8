import Testing

@testable import Host

/// Attempts that a policy allows, and diversions to another pool.
@Suite struct ExchangeMachineRetryTests {
    private func dispatched() -> ExchangeMachine {
        var machine = ExchangeMachine()
        _ = machine.handle(.headReceived)
        _ = machine.handle(.decodedHead(payloadNeeded: false))
        _ = machine.handle(.filtersPassed)
        _ = machine.handle(.routed(payloadNeeded: false))
        _ = machine.handle(.modelFiltersPassed(payloadNeeded: false))
        return machine
    }

    @Test func aPolicyAllowsSoManyAttemptsAndTheBudgetEachOfThem() {
        var machine = dispatched()
        machine.allowAttempts(2)
        // Nothing is under way that could fail.
        #expect(!machine.wantsRetry(after: .connectFailed))
        _ = machine.handle(.connecting)
        #expect(machine.wantsRetry(after: .connectFailed))
        // What was sent must not be sent twice unless it may be.
        #expect(!machine.wantsRetry(after: .badResponse))
        var refused = machine
        let withoutGrant = refused.handle(.attemptFailed(.connectFailed))
        #expect(withoutGrant == .failConnect)
        machine.grantRetry()
        let granted = machine.handle(.attemptFailed(.connectFailed))
        #expect(granted == .backOff)
        let due = machine.handle(.retryDue)
        #expect(due == .acquireConnection)
        _ = machine.handle(.connecting)
        #expect(machine.countedAttempts == 2)
        #expect(!machine.wantsRetry(after: .connectFailed))
        let last = machine.handle(.attemptFailed(.connectFailed))
        #expect(last == .failConnect)
    }

    @Test func aResendOnAFreshConnectionIsNoneThatThePolicyCounts() {
        var machine = dispatched()
        machine.repeatable = true
        machine.allowAttempts(2)
        _ = machine.handle(.connected(reused: true))
        #expect(!machine.wantsRetry(after: .closedBeforeResponse))
        let resend = machine.handle(.attemptFailed(.closedBeforeResponse))
        #expect(resend == .acquireFreshConnection)
        _ = machine.handle(.connected(reused: false))
        #expect(machine.attempts == 2)
        #expect(machine.countedAttempts == 1)
        #expect(machine.wantsRetry(after: .closedBeforeResponse))
    }

    @Test func aDiversionStartsAgainBehindTheModelsFilters() {
        var machine = dispatched()
        _ = machine.handle(.connecting)
        let diverts = machine.divert()
        #expect(diverts)
        let next = machine.handle(.modelFiltersPassed(payloadNeeded: false))
        #expect(next == .dispatch)
        _ = machine.handle(.connected(reused: false))
        _ = machine.handle(.responseHead(gather: false))
        let divertsLate = machine.divert()
        #expect(!divertsLate)
    }
}
