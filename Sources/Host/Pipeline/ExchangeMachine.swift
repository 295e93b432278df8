/// The life of one exchange as a pure machine: events in, one action out. It holds no socket, buffer or plugin; the
/// worker performs the action and reports what came of it.
///
/// The order is that of the pipeline: decode → filters → route → filters of the model → dispatch → endpoint → answer.
/// Wherever somebody needs the payload, the machine first has the body gathered and decoded, once, and then goes on
/// with the step that asked.
struct ExchangeMachine: Equatable {
    private(set) var phase = Phase.idle
    private var suspendedIn = Phase.idle
    private var gatheringFor = Phase.idle
    /// The payload was decoded; nobody has to ask again.
    private(set) var hasPayload = false
    private(set) var responseBegan = false
    /// All of the request's body was taken from the client, or it has none.
    private(set) var requestBodyEnded = false
    /// The client may send another request on its connection.
    var clientPersists = true
    /// The request may be sent a second time: its method or its operation is idempotent (RFC 9110 §9.2.2) and its
    /// body is still at hand.
    var repeatable = false
    /// The next failure is followed by another attempt: the policy, the deadline and the budget have room for it.
    private var retryGranted = false
    private var connectionReused = false
    /// How far the other one of two attempts is: `connecting` or `awaitingResponse`; `idle`: there is but one.
    private(set) var rival = Phase.idle
    private var rivalReused = false
    private var wasHedged = false
    /// Each pool of a chain of fallbacks may make a hundred.
    private(set) var attempts: UInt16 = 0
    private var staleRetries: UInt16 = 0
    /// The request's body is sent again, from where it lies: whatever becomes of it now, the client has done its part.
    private(set) var replaysBody = false

    /// A kept-alive connection that turns out to be closed is retried on a fresh one, which cannot be stale.
    private static let staleRetriesAtMost: UInt16 = 1

    /// An event that comes out of its turn changes nothing: of two steps that raced, the later one has lost.
    mutating func handle(_ event: Event) -> Action {
        if phase == .ended { return .none }
        switch event {
        case .headReceived:
            guard phase == .idle else { return .none }
            phase = .decoding
            return .decodeHead
        case .decodedHead(let payloadNeeded):
            guard phase == .decoding else { return .none }
            return payloadNeeded ? gather(for: .filtering) : enter(.filtering)
        case .messageNeeded:
            guard phase == .decoding else { return .none }
            gatheringFor = .decoding
            phase = .gathering
            return .gatherBody
        case .messageGathered:
            guard phase == .gathering, gatheringFor == .decoding else { return .none }
            phase = .decoding
            return .decodeHead
        case .bodyGathered:
            guard phase == .gathering else { return .none }
            requestBodyEnded = true
            if gatheringFor == .decoding {
                phase = .decoding
                return .decodeHead
            }
            return .decodeBody
        case .decodedBody:
            guard phase == .gathering else { return .none }
            hasPayload = true
            return enter(gatheringFor)
        case .filtersPassed:
            guard phase == .filtering else { return .none }
            return enter(.routing)
        case .routed(let payloadNeeded):
            guard phase == .routing else { return .none }
            return payloadNeeded ? gather(for: .filteringModel) : enter(.filteringModel)
        case .payloadNeeded:
            guard isInPipeline else { return .none }
            return gather(for: phase)
        case .modelFiltersPassed(let payloadNeeded):
            // The exchange of a batch begins here: its members went through the steps before.
            guard phase == .filteringModel || phase == .idle else { return .none }
            return payloadNeeded ? gather(for: .dispatching) : enter(.dispatching)
        case .suspended:
            guard isInPipeline else { return .none }
            suspendedIn = phase
            phase = .suspended
            return .none
        case .answerSuspended:
            guard !responseBegan, phase != .suspended, phase != .idle else { return .none }
            suspendedIn = .filteringAnswer
            phase = .suspended
            return .none
        case .headSuspended:
            guard phase == .awaitingResponse else { return .none }
            suspendedIn = phase
            phase = .suspended
            return .none
        case .resumed:
            guard phase == .suspended else { return .none }
            return enter(suspendedIn)
        case .queued:
            guard phase == .dispatching else { return .none }
            phase = .queued
            return .none
        case .connecting:
            guard phase == .dispatching || phase == .queued else { return .none }
            phase = .connecting
            attempts &+= 1
            return .none
        case .connected(let reused):
            guard phase == .connecting || phase == .dispatching || phase == .queued else { return .none }
            if phase != .connecting { attempts &+= 1 }
            connectionReused = reused
            phase = .awaitingResponse
            return .sendRequest
        case .requestBodyEnded:
            requestBodyEnded = true
            return .none
        case .responseHead(let gather):
            guard phase == .awaitingResponse else { return .none }
            // Whoever reported it has ended the other attempt: there is one answer.
            rival = .idle
            if gather {
                phase = .gatheringResponse
                return .gatherResponse
            }
            phase = .responding
            responseBegan = true
            return .forwardHead
        case .responseGathered:
            guard phase == .gatheringResponse else { return .none }
            return .decodeResponse
        case .switched:
            guard phase == .awaitingResponse else { return .none }
            rival = .idle
            phase = .tunnelling
            responseBegan = true
            return .beginTunnel
        case .tunnelEnded:
            guard phase == .tunnelling else { return .none }
            phase = .ended
            return .endTunnel
        case .answering:
            rival = .idle
            phase = .responding
            responseBegan = true
            return .none
        case .responseSent:
            guard phase == .responding else { return .none }
            phase = .ended
            // Bytes of a body that nobody takes would be read as the next request.
            return .finish(keepAlive: clientPersists && requestBodyEnded)
        case .attemptFailed(let failure):
            return fail(failure)
        case .hedgeDue:
            // One that is being answered, or may not be sent twice, has no second.
            guard phase == .awaitingResponse, rival == .idle, repeatable, !wasHedged else { return .none }
            wasHedged = true
            rival = phase
            rivalReused = connectionReused
            phase = .dispatching
            return .acquireHedge
        case .hedgeUnavailable:
            guard phase == .dispatching, rival != .idle else { return .none }
            _ = takeOther()
            return .none
        case .otherAttempt:
            guard rival != .idle, isAttempting || phase == .dispatching else { return .none }
            swap(&phase, &rival)
            swap(&connectionReused, &rivalReused)
            return .none
        case .hedgeSettled:
            rival = .idle
            return .none
        case .retryDue:
            guard phase == .backingOff else { return .none }
            phase = .dispatching
            return .acquireConnection
        case .deadlinePassed:
            return responseBegan ? .none : .failDeadline
        case .bodyTimedOut(let byClient):
            if responseBegan { return cut() }
            return byClient ? .failBodyTimeout : .failUploadTimeout
        case .clientGone:
            phase = .ended
            return .abandon
        }
    }

    /// The request's body is at hand again, to be sent a second time: until it has been, it is in the way of the
    /// connection's next request.
    mutating func rewindBody() {
        requestBodyEnded = false
        replaysBody = true
    }

    /// The present attempt's connection carried others before, and had not been closed when the request went there: an
    /// end without an answer is no race with that.
    mutating func connectionWasAlive() { connectionReused = false }

    /// The exchange becomes a member of a batch; nothing but its reply, its deadline or its client moves it on.
    mutating func joinBatch() {
        guard phase == .dispatching else { return }
        phase = .batched
    }

    /// In a step that calls plugins which may ask for the payload or suspend the exchange.
    private var isInPipeline: Bool {
        phase == .filtering || phase == .routing || phase == .filteringModel || phase == .dispatching
    }

    /// The body is gathered for a router alone, which can decide without it.
    var gathersForRouter: Bool { phase == .gathering && gatheringFor == .routing }

    private mutating func enter(_ next: Phase) -> Action {
        phase = next
        switch next {
        case .filtering: return .runFilters
        case .routing: return .route
        case .filteringModel: return .runModelFilters
        case .dispatching: return .dispatch
        case .awaitingResponse: return .readHeadAgain
        case .filteringAnswer: return .filterAnswer
        default: return .none
        }
    }

    private mutating func gather(for step: Phase) -> Action {
        if hasPayload { return enter(step) }
        gatheringFor = step
        phase = .gathering
        return .gatherBody
    }

    /// Whether a failure may be followed by another attempt, as far as the exchange's own state goes: asked before it
    /// is reported. Whether there is to be one is the policy's to say.
    func mayRetry(after failure: Failure) -> Bool {
        // While another attempt is under way none has to follow.
        rival == .idle && isAttempting && !responseBegan && !resendsAtOnce(after: failure)
    }

    /// An attempt is under way that can fail.
    var isAttempting: Bool {
        phase == .connecting || phase == .awaitingResponse || phase == .gatheringResponse
    }

    mutating func grantRetry() { retryGranted = true }

    /// Attempts that the policy of the pool counts.
    var countedAttempts: UInt16 { attempts &- staleRetries }

    /// A kept-alive connection had been closed meanwhile, or the endpoint says that it has not looked at the request:
    /// that is no fault of the endpoint's, nor an attempt that the policy counts.
    private func resendsAtOnce(after failure: Failure) -> Bool {
        guard phase == .awaitingResponse, repeatable, staleRetries < Self.staleRetriesAtMost, rival == .idle else {
            return false
        }
        return failure == .closedBeforeResponse && connectionReused || failure == .refused
    }

    private mutating func fail(_ failure: Failure) -> Action {
        if responseBegan { return cut() }
        if rival != .idle, isAttempting || phase == .dispatching { return takeOther() }
        if resendsAtOnce(after: failure) {
            staleRetries += 1
            phase = .dispatching
            return .acquireFreshConnection
        }
        if retryGranted {
            retryGranted = false
            phase = .backingOff
            return .backOff
        }
        switch failure {
        case .connectFailed: return .failConnect
        case .closedBeforeResponse, .refused: return .failUnanswered
        case .badResponse, .retryableStatus: return .failBadResponse
        case .tryTimedOut: return .failTryTimeout
        }
    }

    /// One of two attempts is over without an answer: the other one goes on as if it were alone.
    private mutating func takeOther() -> Action {
        phase = rival
        connectionReused = rivalReused
        rival = .idle
        return phase == .awaitingResponse ? .readHeadAgain : .none
    }

    /// The exchange goes on with another pool, before a byte of an answer has gone to the client.
    mutating func divert() -> Bool {
        guard !responseBegan, phase != .idle, phase != .ended, phase != .suspended else { return false }
        phase = .filteringModel
        return true
    }

    private mutating func cut() -> Action {
        phase = .ended
        return .cut
    }
}
