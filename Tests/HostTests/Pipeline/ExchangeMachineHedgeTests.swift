import Testing

@testable import Host

/// Two attempts of one exchange: the first answer is taken, whoever gives it, and a failure of one is none of the
/// other.
@Suite struct ExchangeMachineHedgeTests {
    /// The request was sent and waits for its answer.
    private func waiting(repeatable: Bool = true, reused: Bool = false) -> ExchangeMachine {
        var machine = ExchangeMachine()
        _ = machine.handle(.headReceived)
        _ = machine.handle(.requestBodyEnded)
        _ = machine.handle(.decodedHead(payloadNeeded: false))
        _ = machine.handle(.filtersPassed)
        _ = machine.handle(.routed(payloadNeeded: false))
        _ = machine.handle(.modelFiltersPassed(payloadNeeded: false))
        #expect(machine.handle(.connected(reused: reused)) == .sendRequest)
        machine.repeatable = repeatable
        return machine
    }

    private func hedged() -> ExchangeMachine {
        var machine = waiting()
        #expect(machine.handle(.hedgeDue) == .acquireHedge)
        #expect(machine.handle(.connected(reused: false)) == .sendRequest)
        #expect(machine.rival == .awaitingResponse)
        #expect(machine.attempts == 2)
        return machine
    }

    @Test func theSecondAttemptMayAnswer() {
        var machine = hedged()
        #expect(machine.handle(.hedgeSettled) == .none)
        #expect(machine.handle(.responseHead(gather: false)) == .forwardHead)
        #expect(machine.rival == .idle)
    }

    @Test func theFirstAttemptMayStillAnswer() {
        var machine = hedged()
        #expect(machine.handle(.otherAttempt) == .none)
        #expect(machine.phase == .awaitingResponse)
        #expect(machine.handle(.responseHead(gather: true)) == .gatherResponse)
        #expect(machine.rival == .idle)
        // What comes of the other one afterwards is nothing.
        #expect(machine.handle(.otherAttempt) == .none)
        #expect(machine.phase == .gatheringResponse)
    }

    @Test func theFirstMayAnswerWhileTheSecondConnects() {
        var machine = waiting()
        _ = machine.handle(.hedgeDue)
        #expect(machine.handle(.connecting) == .none)
        _ = machine.handle(.otherAttempt)
        #expect(machine.phase == .awaitingResponse && machine.rival == .connecting)
        #expect(machine.handle(.responseHead(gather: false)) == .forwardHead)
        #expect(machine.rival == .idle)
    }

    @Test(arguments: [
        ExchangeMachine.Failure.connectFailed, .closedBeforeResponse, .refused, .badResponse, .tryTimedOut,
        .retryableStatus,
    ])
    func aFailureOfOneLeavesTheOther(failure: ExchangeMachine.Failure) {
        for other in [false, true] {
            var machine = hedged()
            if other { _ = machine.handle(.otherAttempt) }
            #expect(!machine.mayRetry(after: failure))
            #expect(machine.handle(.attemptFailed(failure)) == .readHeadAgain)
            #expect(machine.rival == .idle && machine.phase == .awaitingResponse)
            // Alone it fails as any attempt does, and may be followed by another.
            #expect(machine.mayRetry(after: .badResponse))
            #expect(machine.handle(.attemptFailed(.badResponse)) == .failBadResponse)
        }
    }

    @Test func aSecondThatCannotConnectLeavesTheFirst() {
        var machine = waiting()
        _ = machine.handle(.hedgeDue)
        _ = machine.handle(.connecting)
        #expect(machine.handle(.attemptFailed(.connectFailed)) == .readHeadAgain)
        #expect(machine.phase == .awaitingResponse)
    }

    @Test func aFirstThatFailsLeavesTheSecondConnecting() {
        var machine = waiting()
        _ = machine.handle(.hedgeDue)
        _ = machine.handle(.connecting)
        _ = machine.handle(.otherAttempt)
        #expect(machine.handle(.attemptFailed(.closedBeforeResponse)) == .none)
        #expect(machine.phase == .connecting && machine.rival == .idle)
        #expect(machine.handle(.connected(reused: false)) == .sendRequest)
    }

    @Test func withoutAnEndpointTheFirstGoesOnAlone() {
        var machine = waiting()
        _ = machine.handle(.hedgeDue)
        #expect(machine.handle(.hedgeUnavailable) == .none)
        #expect(machine.phase == .awaitingResponse && machine.rival == .idle)
        #expect(machine.handle(.hedgeDue) == .none)
        #expect(machine.handle(.responseHead(gather: false)) == .forwardHead)
    }

    @Test func whatMayNotBeSentTwiceIsNot() {
        var machine = waiting(repeatable: false)
        #expect(machine.handle(.hedgeDue) == .none)
        #expect(machine.phase == .awaitingResponse && machine.rival == .idle)
    }

    @Test func thereIsOneHedgeAndNoneAfterTheAnswerBegan() {
        var machine = hedged()
        #expect(machine.handle(.hedgeDue) == .none)
        var answered = waiting()
        _ = answered.handle(.responseHead(gather: false))
        #expect(answered.handle(.hedgeDue) == .none)
    }

    /// A kept-alive connection that had been closed is no reason to send a third request.
    @Test func aStaleConnectionIsNotResentBesideAnother() {
        var machine = waiting(reused: true)
        _ = machine.handle(.hedgeDue)
        _ = machine.handle(.connected(reused: true))
        #expect(machine.handle(.attemptFailed(.closedBeforeResponse)) == .readHeadAgain)
        #expect(machine.attempts == 2)
        // The one that is left may be resent as any.
        #expect(machine.handle(.attemptFailed(.closedBeforeResponse)) == .acquireFreshConnection)
    }

    @Test func aDeadlineOrAClientThatLeavesEndsBoth() {
        var late = hedged()
        #expect(late.handle(.deadlinePassed) == .failDeadline)
        var left = hedged()
        #expect(left.handle(.clientGone) == .abandon)
        #expect(left.handle(.otherAttempt) == .none)
        #expect(left.handle(.responseHead(gather: false)) == .none)
    }
}
