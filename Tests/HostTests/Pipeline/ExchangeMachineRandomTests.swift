import SluiceHashing
import Testing

@testable import Host

/// Whatever order events come in, an exchange ends once, and sends its response once.
@Suite struct ExchangeMachineRandomTests {
    private typealias Event = ExchangeMachine.Event
    private typealias Action = ExchangeMachine.Action

    private func anyEvent(_ random: inout SplitMix64) -> Event {
        let flag = Bool.random(using: &random)
        let failures: [ExchangeMachine.Failure] = [.connectFailed, .closedBeforeResponse, .badResponse]
        switch Int.random(in: 0..<66, using: &random) {
        case 0...2: return .headReceived
        case 3...5: return .decodedHead(payloadNeeded: flag)
        case 6...8: return .bodyGathered
        case 9...11: return .decodedBody
        case 12...14: return .filtersPassed
        case 15...17: return .routed(payloadNeeded: flag)
        case 18...19: return .payloadNeeded
        case 20...22: return .modelFiltersPassed(payloadNeeded: flag)
        case 23...24: return .suspended
        case 25...27: return .resumed
        case 28...29: return .queued
        case 30...32: return .connecting
        case 33...37: return .connected(reused: flag)
        case 38...39: return .requestBodyEnded
        case 40...42: return .responseHead(gather: flag)
        case 43...44: return .responseGathered
        case 45: return .answering
        case 46...48: return .responseSent
        case 49...54: return .attemptFailed(failures[Int.random(in: 0..<3, using: &random)])
        case 55...56: return .deadlinePassed
        case 57...58: return .bodyTimedOut(byClient: flag)
        case 59: return flag ? .switched : .retryDue
        case 60: return .tunnelEnded
        case 61: return .answerSuspended
        case 62: return .headSuspended
        case 63: return flag ? .hedgeDue : .otherAttempt
        case 64: return flag ? .hedgeUnavailable : .hedgeSettled
        default: return .clientGone
        }
    }

    /// The event that the worker reports after it has done what the machine asked for, when all goes well.
    private func usual(after action: Action, _ random: inout SplitMix64) -> Event? {
        let flag = Bool.random(using: &random)
        return switch action {
        case .decodeHead: .decodedHead(payloadNeeded: flag)
        case .gatherBody: .bodyGathered
        case .decodeBody: .decodedBody
        case .runFilters: .filtersPassed
        case .route: .routed(payloadNeeded: flag)
        case .runModelFilters: .modelFiltersPassed(payloadNeeded: flag)
        case .dispatch, .acquireConnection, .acquireFreshConnection: .connected(reused: flag)
        case .acquireHedge: flag ? .connecting : .hedgeUnavailable
        case .backOff: .retryDue
        case .sendRequest:
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3: .attemptFailed(.closedBeforeResponse)
            case 4: .switched
            case 5...6: .hedgeDue
            default: .responseHead(gather: flag)
            }
        case .beginTunnel: .tunnelEnded
        case .readHeadAgain: .responseHead(gather: flag)
        case .filterAnswer: flag ? .answerSuspended : .answering
        case .forwardHead: .responseSent
        case .gatherResponse: .responseGathered
        case .decodeResponse, .failConnect, .failUnanswered, .failBadResponse, .failDeadline, .failTryTimeout,
            .failBodyTimeout, .failUploadTimeout:
            .answering
        case .none, .cut, .finish, .endTunnel, .abandon: nil
        }
    }

    /// `mostlyUsual`: what a worker reports, with other events in between; else events without any sense.
    @Test(arguments: [true, false])
    func randomEventsEndAnExchangeOnceAndNeverSendItsResponseTwice(mostlyUsual: Bool) {
        var endings = 0
        var retries = 0
        var responses = 0
        var hedged = 0
        for seed in 1...1_000 as ClosedRange<UInt64> {
            var random = SplitMix64(seed: seed)
            var machine = ExchangeMachine()
            machine.repeatable = Bool.random(using: &random)
            machine.clientPersists = Bool.random(using: &random)
            var ended = false
            var began = false
            let attempts = UInt8.random(in: 1...4, using: &random)
            var again = 0
            var retried = 0
            var decoded = 0
            var sent = 0
            var hedges = 0
            var last = machine.handle(.headReceived)
            for step in 0..<60 {
                let isUsual = mostlyUsual && UInt8.random(in: 0..<10, using: &random) > 0
                let event = (isUsual ? usual(after: last, &random) : nil) ?? anyEvent(&random)
                // The worker asks before it reports a failure, and the budget mostly allows.
                if case .attemptFailed(let failure) = event, again + 1 < Int(attempts),
                    machine.mayRetry(after: failure),
                    UInt8.random(in: 0..<4, using: &random) > 0
                {
                    machine.grantRetry()
                }
                let before = machine
                last = machine.handle(event)
                let note = "seed \(seed), step \(step): \(event) in \(before.phase) brings \(last)"
                if ended { #expect(last == .none && machine == before, "\(note), after the end") }
                switch last {
                case .finish(let keepAlive):
                    #expect(began && machine.phase == .ended, "\(note)")
                    #expect(!keepAlive || machine.clientPersists && machine.requestBodyEnded, "\(note)")
                    ended = true
                    endings += 1
                case .cut, .endTunnel:
                    #expect(began && machine.phase == .ended, "\(note)")
                    ended = true
                    endings += 1
                case .abandon:
                    #expect(event == .clientGone && machine.phase == .ended, "\(note)")
                    ended = true
                    endings += 1
                case .acquireFreshConnection:
                    retried += 1
                    retries += 1
                    #expect(!began && retried == 1 && machine.repeatable, "\(note)")
                    #expect(before.phase == .awaitingResponse, "\(note): a byte of a response was there")
                case .sendRequest:
                    sent += 1
                    #expect(!began && sent <= 1 + retried + again + hedges, "\(note)")
                case .decodeBody:
                    #expect(!began, "\(note)")
                case .forwardHead, .gatherResponse, .beginTunnel:
                    #expect(!began, "\(note): a second response")
                    #expect(machine.rival == .idle, "\(note): another attempt could still be answered")
                    responses += 1
                case .acquireHedge:
                    hedges += 1
                    hedged += 1
                    #expect(!began && hedges == 1 && machine.repeatable, "\(note)")
                    #expect(before.phase == .awaitingResponse && before.rival == .idle, "\(note)")
                case .backOff:
                    again += 1
                    retries += 1
                    #expect(!began && before.isAttempting, "\(note): nobody had asked for it")
                    #expect(again < Int(attempts), "\(note): more than the policy allows")
                case .failConnect, .failUnanswered, .failBadResponse, .failDeadline, .failTryTimeout, .failBodyTimeout,
                    .failUploadTimeout, .runFilters, .route, .runModelFilters, .dispatch, .gatherBody, .decodeHead,
                    .decodeResponse, .acquireConnection, .readHeadAgain, .filterAnswer:
                    #expect(!began, "\(note): after the response began")
                case .none: break
                }
                if event == .decodedBody, before.hasPayload != machine.hasPayload { decoded += 1 }
                began = machine.responseBegan
                if before.responseBegan { #expect(began, "\(note): a response that began does not un-begin") }
                #expect((machine.phase == .ended) == ended, "\(note)")
                #expect(machine.attempts <= attempts + 2, "\(note)")
                if machine.rival != .idle {
                    #expect(!began && !ended || machine.phase == .ended, "\(note): two attempts and an answer")
                    #expect(
                        machine.rival == .awaitingResponse || machine.rival == .connecting
                            || machine.rival == .dispatching, "\(note)")
                }
            }
            #expect(decoded <= 1, "seed \(seed)")
        }
        // The walks go where the claims are.
        #expect(endings > 500)
        #expect(responses > (mostlyUsual ? 100 : 0))
        if mostlyUsual { #expect(retries > 20 && hedged > 20) }
    }
}
