/// What the machine of an exchange is told and says, and how far it is.
extension ExchangeMachine {
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
        /// The endpoint has not answered for so long that another one is to be asked beside it.
        case hedgeDue
        /// There is none that could be.
        case hedgeUnavailable
        /// What follows is about the other one of two attempts.
        case otherAttempt
        /// The present attempt's answer is taken; the other one is over.
        case hedgeSettled
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
        /// A connection to another endpoint, for a second attempt beside the present one; it does not wait for one.
        case acquireHedge
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
        /// The endpoint has taken nothing of the request's body for too long.
        case failUploadTimeout
        /// The response has begun and cannot be completed: the client must see that it was cut.
        case cut
        case finish(keepAlive: Bool)
        /// The client left: give back everything, tell nobody.
        case abandon
    }
}
