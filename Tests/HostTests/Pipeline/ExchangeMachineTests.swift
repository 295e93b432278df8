import Testing

@testable import Host

/// One event and the action that it must bring.
private struct Step {
    let event: ExchangeMachine.Event
    let action: ExchangeMachine.Action

    init(_ event: ExchangeMachine.Event, _ action: ExchangeMachine.Action = .none) {
        self.event = event
        self.action = action
    }
}

@Suite struct ExchangeMachineTests {
    /// The way of a request whose head is enough, up to the choice of an endpoint.
    private static let toDispatch = [
        Step(.headReceived, .decodeHead), Step(.decodedHead(payloadNeeded: false), .runFilters),
        Step(.filtersPassed, .route), Step(.routed(payloadNeeded: false), .runModelFilters),
        Step(.modelFiltersPassed(payloadNeeded: false), .dispatch),
    ]
    private static let toResponse =
        toDispatch + [Step(.connected(reused: true), .sendRequest), Step(.requestBodyEnded)]
    private static let toForward = toResponse + [Step(.responseHead(gather: false), .forwardHead)]

    @Test func aTunnelEndsOnceAndLeavesNoConnectionToGoOnWith() {
        let tunnel = Self.toResponse + [Step(.switched, .beginTunnel)]
        // The client's connection is the tunnel's, whatever the machine was told of it.
        #expect(follow(tunnel).clientPersists)
        follow(tunnel + [Step(.tunnelEnded, .endTunnel), Step(.tunnelEnded), Step(.responseSent)])
        follow(tunnel + [Step(.responseHead(gather: false)), Step(.responseSent), Step(.switched)])
        follow(tunnel + [Step(.deadlinePassed), Step(.attemptFailed(.badResponse), .cut), Step(.clientGone)])
        follow(tunnel + [Step(.clientGone, .abandon)])
        follow(Self.toDispatch + [Step(.switched), Step(.tunnelEnded)])
    }

    /// Goes through `steps` from the begin; the machine as they leave it.
    @discardableResult
    private func follow(
        _ steps: [Step], from begin: ExchangeMachine = ExchangeMachine(),
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> ExchangeMachine {
        var machine = begin
        for (index, step) in steps.enumerated() {
            let action = machine.handle(step.event)
            #expect(action == step.action, "step \(index): \(step.event)", sourceLocation: sourceLocation)
        }
        return machine
    }

    private func repeatable() -> ExchangeMachine {
        var machine = ExchangeMachine()
        machine.repeatable = true
        return machine
    }

    // MARK: Paths to an answer

    @Test func aRequestPassesThrough() {
        let machine = follow(Self.toForward + [Step(.responseSent, .finish(keepAlive: true))])
        #expect(machine.phase == .ended)
        #expect(machine.attempts == 1)
        #expect(!machine.hasPayload)
    }

    @Test func aResponseThatSomebodyReadsIsGatheredAndDecoded() {
        let machine = follow(
            Self.toResponse + [
                Step(.responseHead(gather: true), .gatherResponse), Step(.responseGathered, .decodeResponse),
            ])
        #expect(!machine.responseBegan)
        follow([Step(.answering), Step(.responseSent, .finish(keepAlive: true))], from: machine)
    }

    @Test func anAnswerMadeInTheGatewayNeedsNoEndpoint() {
        for count in 1...Self.toDispatch.count {
            let machine = follow(Self.toDispatch.prefix(count) + [Step(.requestBodyEnded), Step(.answering)])
            #expect(machine.phase == .responding && machine.responseBegan)
            follow([Step(.responseSent, .finish(keepAlive: true))], from: machine)
        }
    }

    @Test func theConnectionIsKeptOnlyWhenTheClientPersistsAndItsBodyWasTaken() {
        let answered = Self.toDispatch + [Step(.answering)]
        follow(answered + [Step(.responseSent, .finish(keepAlive: false))])
        follow(answered + [Step(.requestBodyEnded), Step(.responseSent, .finish(keepAlive: true))])
        var leaves = ExchangeMachine()
        leaves.clientPersists = false
        follow(answered + [Step(.requestBodyEnded), Step(.responseSent, .finish(keepAlive: false))], from: leaves)
    }

    @Test func theEndOfTheBodyMayBeKnownBeforeTheHeadIsDecoded() {
        let machine = follow([Step(.requestBodyEnded)] + Self.toDispatch)
        #expect(machine.requestBodyEnded)
    }

    @Test func theEndpointMayAnswerBeforeTheBodyWasSent() {
        follow(
            Self.toDispatch + [
                Step(.connected(reused: false), .sendRequest), Step(.responseHead(gather: false), .forwardHead),
                Step(.requestBodyEnded), Step(.responseSent, .finish(keepAlive: true)),
            ])
    }

    // MARK: The payload

    /// Where the payload may be asked for: the steps up to there, the step that goes on, and what it leads to.
    private static let askers: [(before: [Step], asks: ExchangeMachine.Event, then: ExchangeMachine.Action)] = [
        ([toDispatch[0]], .decodedHead(payloadNeeded: true), .runFilters),
        (Array(toDispatch[..<2]), .payloadNeeded, .runFilters),
        (Array(toDispatch[..<3]), .payloadNeeded, .route),
        (Array(toDispatch[..<3]), .routed(payloadNeeded: true), .runModelFilters),
        (Array(toDispatch[..<4]), .payloadNeeded, .runModelFilters),
        (Array(toDispatch[..<4]), .modelFiltersPassed(payloadNeeded: true), .dispatch),
        (toDispatch, .payloadNeeded, .dispatch),
    ]

    @Test(arguments: askers.indices)
    func thePayloadIsGatheredAndDecodedOnceWhoeverAsksFirst(index: Int) {
        let asker = Self.askers[index]
        var machine = follow(
            asker.before + [
                Step(asker.asks, .gatherBody), Step(.bodyGathered, .decodeBody), Step(.decodedBody, asker.then),
            ])
        #expect(machine.hasPayload && machine.requestBodyEnded)
        // Whoever asks later has it at once.
        let rest: [(ExchangeMachine.Phase, ExchangeMachine.Event, ExchangeMachine.Action)] = [
            (.filtering, .filtersPassed, .route), (.routing, .routed(payloadNeeded: true), .runModelFilters),
            (.filteringModel, .modelFiltersPassed(payloadNeeded: true), .dispatch),
        ]
        for (phase, event, action) in rest where machine.phase == phase {
            let again = machine.handle(.payloadNeeded)
            #expect(again == (phase == .filtering ? .runFilters : phase == .routing ? .route : .runModelFilters))
            machine = follow([Step(event, action)], from: machine)
        }
        #expect(machine.phase == .dispatching)
        follow([Step(.payloadNeeded, .dispatch)], from: machine)
    }

    /// A message of raw TCP: all of it is gathered before its adapter looks at it, and nobody waits for it again.
    @Test func aMessageWithoutAHeadIsGatheredAndThenDecoded() {
        let machine = follow([
            Step(.headReceived, .decodeHead), Step(.messageNeeded, .gatherBody), Step(.bodyGathered, .decodeHead),
        ])
        #expect(machine.requestBodyEnded && !machine.hasPayload)
        follow(
            [
                Step(.decodedHead(payloadNeeded: true), .gatherBody), Step(.bodyGathered, .decodeBody),
                Step(.decodedBody, .runFilters),
            ], from: machine)
    }

    @Test func aBodyThatWasNotAskedForIsNotDecoded() {
        follow(
            [Step(.bodyGathered), Step(.decodedBody)] + Self.toDispatch + [Step(.bodyGathered), Step(.decodedBody)])
    }

    // MARK: Suspension

    @Test(
        arguments: [(2, .runFilters), (3, .route), (4, .runModelFilters), (5, .dispatch)]
            as [(Int, ExchangeMachine.Action)])
    func aSuspendedStepIsRepeatedWhenItResumes(count: Int, action: ExchangeMachine.Action) {
        let machine = follow(Self.toDispatch.prefix(count) + [Step(.suspended)])
        #expect(machine.phase == .suspended)
        // One suspension ends once, and a second one in it would have nobody to resume it.
        let resumed = follow([Step(.suspended), Step(.resumed, action), Step(.resumed)], from: machine)
        follow(
            Self.toDispatch.suffix(from: count) + [Step(.answering), Step(.resumed), Step(.suspended)], from: resumed)
    }

    @Test(arguments: 2...5)
    func aSuspendedExchangeMayEndMeanwhile(count: Int) {
        let suspended = follow(Self.toDispatch.prefix(count) + [Step(.suspended)])
        follow([Step(.clientGone, .abandon), Step(.resumed)], from: suspended)
        follow([Step(.deadlinePassed, .failDeadline), Step(.answering), Step(.resumed)], from: suspended)
        follow(
            [Step(.bodyTimedOut(byClient: true), .failBodyTimeout), Step(.answering), Step(.resumed)], from: suspended)
    }

    @Test func aSuspendedHeadIsReadAgain() {
        let suspended = follow(Self.toResponse + [Step(.headSuspended)])
        #expect(suspended.phase == .suspended)
        let again = follow(
            [Step(.headSuspended), Step(.responseHead(gather: false)), Step(.resumed, .readHeadAgain)], from: suspended)
        follow([Step(.headSuspended), Step(.resumed, .readHeadAgain)], from: again)
        follow([Step(.responseHead(gather: false), .forwardHead), Step(.headSuspended), Step(.resumed)], from: again)
        follow([Step(.deadlinePassed, .failDeadline), Step(.answering), Step(.resumed)], from: suspended)
        let broken = Step(.attemptFailed(.badResponse), .failBadResponse)
        follow([broken, Step(.answering), Step(.resumed)], from: suspended)
    }

    /// Filters see an answer wherever it was made.
    @Test(arguments: 3...5)
    func aSuspendedAnswerIsFilteredOn(count: Int) {
        let suspended = follow(Self.toDispatch.prefix(count) + [Step(.answerSuspended)])
        #expect(suspended.phase == .suspended)
        let again = follow([Step(.answerSuspended), Step(.resumed, .filterAnswer), Step(.resumed)], from: suspended)
        follow([Step(.answerSuspended), Step(.resumed, .filterAnswer), Step(.answering)], from: again)
        follow([Step(.answering), Step(.answerSuspended), Step(.resumed)], from: again)
        follow([Step(.clientGone, .abandon), Step(.resumed)], from: suspended)
        follow([Step(.deadlinePassed, .failDeadline), Step(.answering), Step(.resumed)], from: suspended)
    }

    @Test func onlyStepsThatCallPluginsAreSuspended() {
        follow([Step(.suspended), Step(.resumed), Step(.headReceived, .decodeHead), Step(.suspended), Step(.resumed)])
        follow(Self.toResponse + [Step(.suspended), Step(.resumed), Step(.responseHead(gather: false), .forwardHead)])
    }

    // MARK: Connections and attempts

    @Test func aRequestMayWaitForAConnectionAndForItsHandshake() {
        let queued = follow(Self.toDispatch + [Step(.queued)])
        #expect(queued.phase == .queued)
        follow([Step(.connected(reused: true), .sendRequest)], from: queued)
        let connecting = follow([Step(.connecting)], from: queued)
        #expect(connecting.attempts == 1)
        let sent = follow([Step(.connected(reused: false), .sendRequest)], from: connecting)
        #expect(sent.attempts == 1, "a connection that is opened is one attempt with what is sent on it")
    }

    @Test func aStaleConnectionIsRetriedOnceOnAFreshOne() {
        let retried = follow(
            Self.toResponse + [Step(.attemptFailed(.closedBeforeResponse), .acquireFreshConnection)], from: repeatable()
        )
        let again = follow([Step(.connecting), Step(.connected(reused: false), .sendRequest)], from: retried)
        #expect(again.attempts == 2)
        follow([Step(.attemptFailed(.closedBeforeResponse), .failUnanswered)], from: again)
        follow([Step(.responseHead(gather: false), .forwardHead)], from: again)
        // Not even when the second one is said to have served before.
        follow(
            [
                Step(.connected(reused: true), .sendRequest),
                Step(.attemptFailed(.closedBeforeResponse), .failUnanswered),
            ],
            from: retried)
    }

    @Test func theRetryMayWaitForItsConnectionToo() {
        follow(
            Self.toResponse + [
                Step(.attemptFailed(.closedBeforeResponse), .acquireFreshConnection), Step(.queued), Step(.connecting),
                Step(.attemptFailed(.connectFailed), .failConnect),
            ], from: repeatable())
    }

    @Test func whatMayNotBeSentTwiceIsNot() {
        follow(Self.toResponse + [Step(.attemptFailed(.closedBeforeResponse), .failUnanswered)])
    }

    @Test func aFreshConnectionThatClosesIsNotRetried() {
        follow(
            Self.toDispatch + [
                Step(.connected(reused: false), .sendRequest),
                Step(.attemptFailed(.closedBeforeResponse), .failUnanswered),
            ], from: repeatable())
    }

    @Test func onlyAConnectionWithoutAByteOfAResponseIsRetried() {
        follow(Self.toResponse + [Step(.attemptFailed(.badResponse), .failBadResponse)], from: repeatable())
        follow(
            Self.toResponse + [
                Step(.responseHead(gather: true), .gatherResponse),
                Step(.attemptFailed(.closedBeforeResponse), .failUnanswered),
            ], from: repeatable())
    }

    @Test func aFailureBeforeTheResponseIsAnsweredAndOneAfterItCuts() {
        let connecting = Self.toDispatch + [Step(.connecting)]
        follow(connecting + [Step(.attemptFailed(.connectFailed), .failConnect), Step(.answering)])
        for failure in [.connectFailed, .closedBeforeResponse, .badResponse] as [ExchangeMachine.Failure] {
            let machine = follow(Self.toForward + [Step(.attemptFailed(failure), .cut)], from: repeatable())
            #expect(machine.phase == .ended)
        }
    }

    // MARK: Time, and clients that leave

    /// The machine after each prefix of the whole way, with its queue and its handshake.
    private func everyPhase() -> [ExchangeMachine] {
        let ways = [
            Self.toForward,
            Self.toDispatch + [Step(.queued), Step(.connecting), Step(.connected(reused: false), .sendRequest)],
            Self.toResponse + [Step(.responseHead(gather: true), .gatherResponse)],
            [Self.toDispatch[0], Step(.decodedHead(payloadNeeded: true), .gatherBody)],
            Self.toDispatch + [Step(.suspended)], Self.toResponse + [Step(.switched, .beginTunnel)],
            Self.toDispatch + [Step(.answerSuspended), Step(.resumed, .filterAnswer)],
        ]
        var machines = ways.flatMap { way in (0...way.count).map { follow(Array(way.prefix($0))) } }
        var member = follow(Self.toDispatch)
        member.joinBatch()
        machines.append(member)
        var waiting = follow(Self.toDispatch + [Step(.connecting)])
        waiting.grantRetry()
        machines.append(follow([Step(.attemptFailed(.connectFailed), .backOff)], from: waiting))
        return machines
    }

    @Test func everyPhaseButTheEndIsReached() {
        let phases = Set(everyPhase().map(\.phase))
        #expect(phases == Set((0..<ExchangeMachine.Phase.ended.rawValue).compactMap(ExchangeMachine.Phase.init)))
    }

    @Test func aClientThatLeavesEndsTheExchangeInEveryPhaseOnce() {
        for machine in everyPhase() {
            let left = follow([Step(.clientGone, .abandon), Step(.clientGone), Step(.responseSent)], from: machine)
            #expect(left.phase == .ended, "\(machine.phase)")
        }
    }

    @Test func aDeadlineIsAnsweredInEveryPhaseUntilTheResponseBegan() {
        for machine in everyPhase() {
            guard !machine.responseBegan else {
                let end =
                    machine.phase == .tunnelling
                    ? Step(.tunnelEnded, .endTunnel)
                    : Step(.responseSent, .finish(keepAlive: machine.requestBodyEnded))
                follow([Step(.deadlinePassed), end], from: machine)
                continue
            }
            let late = follow(
                [Step(.deadlinePassed, .failDeadline), Step(.answering), Step(.deadlinePassed)], from: machine)
            #expect(late.phase == .responding, "\(machine.phase)")
        }
    }

    @Test func aBodyThatStandsStillIsTheClientsOrTheEndpointsFaultUntilTheResponseBegan() {
        for machine in everyPhase() {
            for byClient in [true, false] {
                let action: ExchangeMachine.Action =
                    machine.responseBegan ? .cut : byClient ? .failBodyTimeout : .failUploadTimeout
                follow([Step(.bodyTimedOut(byClient: byClient), action)], from: machine)
            }
        }
    }

    // MARK: Batches

    @Test func aMemberIsMovedOnByItsReplyItsDeadlineOrItsClientAlone() {
        var member = follow(Self.toDispatch)
        member.joinBatch()
        let others: [ExchangeMachine.Event] = [
            .headReceived, .decodedHead(payloadNeeded: true), .bodyGathered, .decodedBody, .filtersPassed,
            .routed(payloadNeeded: true), .payloadNeeded, .modelFiltersPassed(payloadNeeded: false), .suspended,
            .resumed, .queued, .connecting, .connected(reused: true), .responseHead(gather: false), .responseGathered,
            .responseSent,
        ]
        follow(others.map { Step($0) }, from: member)
        follow(others.map { Step($0) } + [Step(.clientGone, .abandon)], from: member)
        follow([Step(.deadlinePassed, .failDeadline)], from: member)
        follow(
            [Step(.requestBodyEnded), Step(.answering), Step(.responseSent, .finish(keepAlive: true))], from: member)
    }

    @Test func onlyAnExchangeThatIsDispatchedJoinsABatch() {
        var ended = follow([Step(.clientGone, .abandon)])
        ended.joinBatch()
        #expect(ended.phase == .ended)
    }

    /// The exchange of a batch has no client: it begins where its members stand.
    @Test func theExchangeOfABatchBeginsAtDispatch() {
        follow([
            Step(.requestBodyEnded), Step(.modelFiltersPassed(payloadNeeded: false), .dispatch),
            Step(.connected(reused: false), .sendRequest), Step(.responseHead(gather: true), .gatherResponse),
            Step(.responseGathered, .decodeResponse),
        ])
    }
}
