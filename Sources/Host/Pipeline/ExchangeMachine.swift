/// The life of one exchange as a pure machine: events in, one action out. It holds no socket, buffer or plugin; the
/// worker performs the action and reports what came of it.
///
/// The order is that of the pipeline: decode → filters → route → filters of the model → dispatch → endpoint → answer.
/// Wherever somebody needs the payload, the machine first has the body gathered and decoded, once, and then goes on
/// with the step that asked.
struct ExchangeMachine: Equatable {
    enum Phase: UInt8 {
        case idle
        case decoding
        case gathering
        case filtering
        case routing
        case filteringModel
        case dispatching
        /// In a plugin that answered PENDING; `suspended` remembers which.
        case suspended
        /// Waits in the queue of its pool for a connection.
        case queued
        /// An attempt failed, and the next one is to wait a moment.
        case backingOff
        /// A member of a batch; the batch's own exchange does the rest.
        case batched
        case connecting
        /// The request is being sent, or was; no response yet.
        case awaitingResponse
        /// An answer in unified form is shown to filters once more, after one of them had suspended it.
        case filteringAnswer
        /// The response is being gathered for somebody who reads it whole.
        case gatheringResponse
        /// The head of the response went to the client; its body follows.
        case responding
        /// The endpoint has switched protocols: bytes go both ways, and nobody reads them.
        case tunnelling
        case ended
    }

    enum Failure: UInt8 {
        case connectFailed
        /// The connection ended before a byte of the response.
        case closedBeforeResponse
        /// The endpoint has not looked at the request (RFC 9113 §8.7).
        case refused
        /// What came is no response, or ended before it was whole.
        case badResponse
        /// The attempt had its own time and has used it up; the request's deadline has not come yet.
        case tryTimedOut
        /// A response whose status says that another attempt may do better. Reported only when there is to be one.
        case retryableStatus
    }

    enum Event: Equatable {
        case headReceived
        /// `decode` at stage HEAD succeeded.
        case decodedHead(payloadNeeded: Bool)
        /// The adapter cannot read the head of a call without its first message; and that is there. A message of raw
        /// TCP has no head of its own: its `bodyGathered` leads back to decoding.
        case messageNeeded
        case messageGathered
        case bodyGathered
        case decodedBody
        case filtersPassed
        case routed(payloadNeeded: Bool)
        /// A router or `encode_request` cannot go on without the payload.
        case payloadNeeded
        case modelFiltersPassed(payloadNeeded: Bool)
        case suspended
        /// A filter suspended an answer in unified form, wherever that came from, or the head of a response.
        case answerSuspended
        case headSuspended
        case resumed
        case queued
        case connecting
        /// `reused`: the connection had served a request before.
        case connected(reused: Bool)
        case requestBodyEnded
        /// The head of the final response is there; `gather`: somebody reads the body whole.
        case responseHead(gather: Bool)
        case responseGathered
        /// The response switches protocols, as the request asked.
        case switched
        /// Both sides of a tunnel have said all that they had to say.
        case tunnelEnded
        /// An answer made in the gateway (an error, a backend's, a batch's) begins to go to the client.
        case answering
        case responseSent
        case attemptFailed(Failure)
        /// The wait before the next attempt is over.
        case retryDue
        case deadlinePassed
        /// A body stood still for longer than its limit. `byClient`: the client's.
        case bodyTimedOut(byClient: Bool)
        case clientGone
    }

    enum Action: Equatable {
        case none
        case decodeHead
        case gatherBody
        case decodeBody
        case runFilters
        case route
        case runModelFilters
        case dispatch
        case acquireConnection
        /// The same as `acquireConnection`, on a connection that is opened for it.
        case acquireFreshConnection
        /// The request from its first byte again, after a wait.
        case backOff
        case sendRequest
        /// The head of the response lies where it was read from.
        case readHeadAgain
        case filterAnswer
        case forwardHead
        case gatherResponse
        case decodeResponse
        case beginTunnel
        case endTunnel
        case failConnect
        case failUnanswered
        case failBadResponse
        case failTryTimeout
        case failDeadline
        case failBodyTimeout
        /// The response has begun and cannot be completed: the client must see that it was cut.
        case cut
        case finish(keepAlive: Bool)
        /// The client left: give back everything, tell nobody.
        case abandon
    }

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
    private(set) var attempts: UInt8 = 0
    private var staleRetries: UInt8 = 0

    /// A kept-alive connection that turns out to be closed is retried on a fresh one, which cannot be stale.
    private static let staleRetriesAtMost: UInt8 = 1

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
            phase = .tunnelling
            responseBegan = true
            return .beginTunnel
        case .tunnelEnded:
            guard phase == .tunnelling else { return .none }
            phase = .ended
            return .endTunnel
        case .answering:
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
        case .retryDue:
            guard phase == .backingOff else { return .none }
            phase = .dispatching
            return .acquireConnection
        case .deadlinePassed:
            return responseBegan ? .none : .failDeadline
        case .bodyTimedOut(let byClient):
            if responseBegan { return cut() }
            return byClient ? .failBodyTimeout : .failDeadline
        case .clientGone:
            phase = .ended
            return .abandon
        }
    }

    /// The request's body is at hand again, to be sent a second time: until it has been, it is in the way of the
    /// connection's next request.
    mutating func rewindBody() { requestBodyEnded = false }

    /// The exchange becomes a member of a batch; nothing but its reply, its deadline or its client moves it on.
    mutating func joinBatch() {
        guard phase == .dispatching else { return }
        phase = .batched
    }

    /// In a step that calls plugins which may ask for the payload or suspend the exchange.
    private var isInPipeline: Bool {
        phase == .filtering || phase == .routing || phase == .filteringModel || phase == .dispatching
    }

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
        isAttempting && !responseBegan && !resendsAtOnce(after: failure)
    }

    /// An attempt is under way that can fail.
    var isAttempting: Bool {
        phase == .connecting || phase == .awaitingResponse || phase == .gatheringResponse
    }

    mutating func grantRetry() { retryGranted = true }

    /// Attempts that the policy of the pool counts.
    var countedAttempts: UInt8 { attempts &- staleRetries }

    /// A kept-alive connection had been closed meanwhile, or the endpoint says that it has not looked at the request:
    /// that is no fault of the endpoint's, nor an attempt that the policy counts.
    private func resendsAtOnce(after failure: Failure) -> Bool {
        guard phase == .awaitingResponse, repeatable, staleRetries < Self.staleRetriesAtMost else { return false }
        return failure == .closedBeforeResponse && connectionReused || failure == .refused
    }

    private mutating func fail(_ failure: Failure) -> Action {
        if responseBegan { return cut() }
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
