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

    @Test func anAttemptFollowsOnlyWhenItIsGranted() {
        var machine = dispatched()
        // Nothing is under way that could fail.
        #expect(!machine.mayRetry(after: .connectFailed))
        _ = machine.handle(.connecting)
        #expect(machine.mayRetry(after: .connectFailed))
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
        // A grant is for one failure.
        let last = machine.handle(.attemptFailed(.connectFailed))
        #expect(last == .failConnect)
    }

    @Test func nothingIsTriedAgainBehindAnAnswerThatHasBegun() {
        var machine = dispatched()
        _ = machine.handle(.connected(reused: false))
        _ = machine.handle(.responseHead(gather: false))
        #expect(!machine.mayRetry(after: .badResponse))
    }

    @Test func aResendOnAFreshConnectionIsNoneThatThePolicyCounts() {
        var machine = dispatched()
        machine.repeatable = true
        _ = machine.handle(.connected(reused: true))
        #expect(!machine.mayRetry(after: .closedBeforeResponse))
        let resend = machine.handle(.attemptFailed(.closedBeforeResponse))
        #expect(resend == .acquireFreshConnection)
        _ = machine.handle(.connected(reused: false))
        #expect(machine.attempts == 2)
        #expect(machine.countedAttempts == 1)
        #expect(machine.mayRetry(after: .closedBeforeResponse))
    }

    @Test func anEndOnALivingConnectionIsNoRace() {
        var machine = dispatched()
        machine.repeatable = true
        _ = machine.handle(.connected(reused: true))
        machine.connectionWasAlive()
        #expect(machine.mayRetry(after: .closedBeforeResponse))
        let failed = machine.handle(.attemptFailed(.closedBeforeResponse))
        #expect(failed == .failUnanswered)
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
