import HTTP1
import Resilience
import SluiceABI

/// One request and its response, from first byte to last, on its worker. Plugins hold its address as their
/// `sluice_exchange`; what they allocate for it is in `arena`.
struct Exchange: SlabElement {
    /// First, so that a timer's address is its exchange's.
    var timer = TimerNode()
    var slot: SlabSlot
    var machine = ExchangeMachine()
    var worker: Unmanaged<Worker>?
    /// Nil for the exchange of a batch, which has members instead.
    var client: UnsafeMutablePointer<ClientConnection>?
    var upstream: UnsafeMutablePointer<UpstreamConnection>?
    var generation: UnsafeMutablePointer<WorkerGeneration>?
    var pool: UnsafeMutablePointer<WorkerPool>?
    /// The model that the request was routed to: it is that one's filters which treat the request and whatever answers
    /// it, also where a fallback has led to another model's pool. Nil before, and of an exchange without a client.
    var model: UnsafeMutablePointer<WorkerModel>?
    /// Of the request as received, as the parser left it; in the arena.
    var head: UnsafeMutablePointer<RequestHead>?
    /// The same for plugins; in the arena.
    var message: UnsafeMutablePointer<sluice_message>?
    var request: UnsafeMutablePointer<sluice_request>?
    /// The answer in unified form, when there is one; in the arena.
    var response: UnsafeMutablePointer<sluice_response>?
    /// What goes to the endpoint: method and target to use, or the whole message; in the arena.
    var outgoing: UnsafeMutablePointer<sluice_message>?
    var arena = Arena()
    /// Buffers beside the arena that the exchange gives back: a head taken off its connection, gathered bodies.
    var ownedBuffers = OwnedBuffers()
    /// The beginning of a body that an endpoint has refused unread, which is sent first again: what the call had taken
    /// of it, from the first byte on, and what stood behind that.
    var recovered: (Buffer, Buffer) = (.none, .none)
    var isRecovered: Bool { !recovered.0.isAbsent || !recovered.1.isAbsent }
    var adapter: UnsafeMutablePointer<AdapterLink>?
    /// Which route matched, and its captures; in the arena.
    var match: UnsafeMutablePointer<sluice_match>?
    var decision = sluice_route_decision()
    var edits: UnsafeMutablePointer<FieldEdits>?
    /// How many of them there were before filters were shown an answer: what they have made for it goes with it when
    /// another one, or an error, takes its place. `keepsEdits`: none of them is of such an answer.
    var editsBeforeAnswer: Int8 = Self.keepsEdits
    static let keepsEdits: Int8 = -1
    /// Gathers the request's or the response's body, whichever is being gathered.
    var gathered = Buffer.none
    var toEndpoint = BodyFlow()
    var toClient = BodyFlow()
    /// Of the last attempt: where it stood in its pool when it was picked, and the endpoint itself. The pool may have
    /// another table since then, by whose number that is known.
    var endpointIndex: UInt32 = 0
    var endpointTable: UInt32 = 0
    var endpoint: UnsafeMutablePointer<Endpoint>?
    /// Index for metrics.
    var endpointMetrics: Int32 = 0
    /// Where in a chain the next call goes, for filters and routers.
    var link: UInt8 = 0
    /// How many filters have yet to see the answer that one of them suspended; `allLinks`: it was not suspended.
    var answerLink: Int16 = Self.allLinks
    static let allLinks: Int16 = -1
    /// How many filters the request was shown to, of the gateway and then of the model, where one of them has answered
    /// it; `allLinks`: none did. And whether the one that is shown the answer is not among them.
    var askedLinks: Int16 = Self.allLinks
    var isUnasked = false
    /// Filters are shown the head of an answer that could be gathered yet; and one of them has asked for that.
    var mayGatherAnswer = false
    var gathersAnswer = false
    var minorVersion: UInt8 = 1
    var methodIsHead = false
    /// The endpoint is asked to switch to WebSocket; and it has, so that the exchange is a tunnel.
    var asksUpgrade = false
    var isTunnel = false
    /// The request toward the endpoint is a HEAD: its response has no body, whatever its fields say.
    var askedHead = false
    /// The endpoint answers with server-sent events, between which there may be long pauses.
    var answersEvents = false
    var expectsContinue = false
    var acceptsTrailers = false
    /// The client's request is a call of gRPC: errors go by grpc-status.
    var isGRPC = false
    /// The first message of a call is being gathered, for its head to be understood.
    var gathersFirst = false
    /// That message as received, and what came behind it; sent before the rest of the body.
    var lead = sluice_bytes()
    /// The whole body as received, of a call or of a request that came compressed; plugins see the message in it.
    var framed = sluice_bytes()
    /// The body was gathered, and is in a coding that is unknown here; and nobody but a router asked for it, so that
    /// the adapter has not been shown it.
    var isUnreadable = false
    var isUndecoded = false
    /// What a call's compressed message inflates to.
    var inflated = sluice_bytes()
    /// The client's own deadline, by `grpc-timeout`; nanoseconds of the monotonic clock.
    var callDeadline = UInt64.max
    /// The earliest one that a filter has given it, of the same clock.
    var filterDeadline = UInt64.max
    /// The client's message goes on as it is but for what `outgoing` replaces.
    var passes = false
    /// The present plugin call repeats one that was suspended.
    var isResumed = false
    /// The request's head waits a moment for its body; and its timer was started.
    var holdsHead = false
    var holdTimerRuns = false
    /// The endpoint lets its connection live after the present response.
    var upstreamKeepsAlive = false
    /// Where the request's body lies in the client's input, and its size, as long as it can be sent again.
    var replayStart = 0
    var replaySize: UInt64 = 0
    /// Nothing of the request's body has been taken yet, so that it can stream toward another endpoint.
    var isUntouched = false
    /// Buffers of the host that plugins gave to the exchange; in the arena while there is room.
    var adopted: UnsafeMutablePointer<AdoptedBuffer>?
    /// The instance whose call answered PENDING and has not been resumed, by its context at the host; nil: none.
    var suspendedBy: UnsafeMutableRawPointer?
    /// The plugin of that instance, which is not told when the exchange ends: whatever it was given stays where it is
    /// until it resumes. Negative: it is told by `on_cancel`.
    var borrower: Int32 = -1
    /// The exchange has ended, and its memory stays for `borrower`: the number of the generation it was of; 0: it has
    /// not ended.
    var heldIn: UInt64 = 0
    /// Filters were told that no complete answer will come.
    var filtersCancelled = false
    /// Counted in `Endpoint.inFlight`.
    var attemptOpen = false
    /// Its request was handed to a pool: an error from now on is one of those that a fallback is for.
    var isDispatched = false
    /// Counted as a request under way by the retry budget of its pool; and as one that is tried again.
    var isBudgeted = false
    var holdsRetry = false
    /// Attempts that it had before it came to its pool, which counts its own.
    var attemptsElsewhere: UInt16 = 0
    /// Attempts of which the metrics of retries know.
    var attemptsCounted: UInt16 = 0
    /// What the breakers of its endpoint and of its model are to be told.
    var ticket = CircuitBreakerTicket.none
    var modelTicket = CircuitBreakerTicket.none
    /// It tries for a breaker whether what that guards is well again.
    var isBreakerProbe: Bool { ticket.isProbe || modelTicket.isProbe }
    /// Whose breaker `ticket` is of, wherever its endpoint stands by now. It is there for as long as the attempt.
    var ticketMember: UnsafeMutablePointer<PoolMember>?
    /// The check that this exchange is, without a client; and how it went.
    var probe: UnsafeMutablePointer<Probe>?
    var probeResult = ProbeResult.failed
    /// The copy that this exchange is, without a client; and the one that was made of it.
    var shadow: UnsafeMutablePointer<ShadowPair>?
    var shadowed: UnsafeMutablePointer<ShadowPair>?
    /// The other one of two attempts that are under way; in the arena. What stands here of an attempt is of the one
    /// that something has happened to last.
    var rival: UnsafeMutablePointer<RivalAttempt>?
    /// The attempt that stands here is the second one.
    var isHedge = false
    /// Its pool may make the more hedges for it.
    var raisesHedges = false
    /// A hedge was made; and it counts as under way in its pool.
    var wasHedged = false
    var holdsHedge = false
    /// When one is due, nanoseconds; 0: none.
    var hedgeAt: UInt64 = 0
    /// How many steps of the fallback were tried.
    var fallbackStep: UInt8 = 0
    /// Of the model that the request was routed to.
    var fallback: UnsafePointer<FallbackChain>?
    /// The endpoint whose attempt failed last: the next one goes to another where there is one.
    var avoided: UnsafeMutablePointer<Endpoint>?
    /// This one in 64 has its plugin calls timed.
    var timesCalls = false
    var interimCount: UInt8 = 0
    /// Of the endpoint's answer, or of the one that was made here; of a call of gRPC what its own status maps to.
    var httpStatus: UInt16 = 0
    /// What went to the client, in the same terms; 0: nothing has.
    var sentStatus: UInt16 = 0
    var status: sluice_status = 0
    /// The plugin that has last written in `response`; -1: none has.
    var answeredBy: Int32 = -1
    /// An answer that a plugin made could not be sent, and what stands for it is on its way.
    var isRefused = false
    /// Filters were told that an error is answered.
    var errorTold = false
    var batch: UnsafeMutablePointer<Batch>?
    var batchRows: UInt32 = 0
    /// What waits for it for the answer to a batch; nil: it does not.
    var batchMember: UnsafeMutablePointer<BatchMember>?
    /// The memory of that answer, a `TensorBlock`'s; of a batch that has ended, what its request still has of its first
    /// member.
    var payloadBlock: UnsafeMutableRawPointer?
    /// Where it waits in the queue of its pool; and since when, its earlier waits included, nanoseconds.
    var place: UnsafeMutablePointer<QueuePlace>?
    var waitsSince: UInt64 = 0
    /// One of the requests under way that its pool's gate counts.
    var holdsCredit = false
    /// The response's head as received, when it is gathered; in the arena.
    var responseMessage: UnsafeMutablePointer<sluice_message>?
    // Times in nanoseconds of the monotonic clock.
    var receivedAt: UInt64 = 0
    var attemptAt: UInt64 = 0
    /// Which of the exchange's attempts it is, from 1.
    var attempt: UInt16 = 0
    /// Since when the endpoint owes an answer: since the attempt began, or the client's last byte before an answer,
    /// where that came later. How long a client takes for its body is none of the endpoint's time.
    var awaitedSince: UInt64 = 0
    /// When the next attempt is due.
    var retryAt: UInt64 = 0
    var firstByteAt: UInt64 = 0
    /// Why the attempt that failed last has no answer, or no whole one.
    var answerFault = AnswerFault.connectionLost
    var queuedAt: UInt64 = 0
    var queuedFor: UInt64 = 0
    /// When a byte of a body last moved, in milliseconds.
    var progressAt: UInt64 = 0

    init(slot: SlabSlot) { self.slot = slot }
}

/// Up to six buffers, enough for a head, a call's first message, a gathered request, what it inflates to, a response's
/// head and a gathered response.
struct OwnedBuffers {
    var buffers: (Buffer, Buffer, Buffer, Buffer, Buffer, Buffer) = (.none, .none, .none, .none, .none, .none)

    /// False when all places are taken: the caller keeps the buffer.
    mutating func adopt(_ buffer: Buffer) -> Bool {
        if buffers.0.isAbsent {
            buffers.0 = buffer
        } else if buffers.1.isAbsent {
            buffers.1 = buffer
        } else if buffers.2.isAbsent {
            buffers.2 = buffer
        } else if buffers.3.isAbsent {
            buffers.3 = buffer
        } else if buffers.4.isAbsent {
            buffers.4 = buffer
        } else if buffers.5.isAbsent {
            buffers.5 = buffer
        } else {
            return false
        }
        return true
    }

    /// The buffer adopted last, which is the caller's from here on; an absent one when there is none.
    mutating func removeLast() -> Buffer {
        var last = Buffer.none
        if !buffers.5.isAbsent {
            swap(&last, &buffers.5)
        } else if !buffers.4.isAbsent {
            swap(&last, &buffers.4)
        } else if !buffers.3.isAbsent {
            swap(&last, &buffers.3)
        } else if !buffers.2.isAbsent {
            swap(&last, &buffers.2)
        } else if !buffers.1.isAbsent {
            swap(&last, &buffers.1)
        } else {
            swap(&last, &buffers.0)
        }
        return last
    }

    mutating func release(to pool: inout BufferPool) {
        guard !buffers.0.isAbsent else { return }
        pool.give(buffers.0)
        // They are filled in this order.
        guard !buffers.1.isAbsent else {
            buffers.0 = .none
            return
        }
        pool.give(buffers.1)
        pool.give(buffers.2)
        pool.give(buffers.3)
        pool.give(buffers.4)
        pool.give(buffers.5)
        buffers = (.none, .none, .none, .none, .none, .none)
    }
}

/// Changes of fields that plugins asked for, in the order asked; in the arena.
struct FieldEdits {
    struct Edit {
        var name: sluice_bytes
        /// `data` nil removes.
        var value: sluice_bytes
        var side: UInt32
        /// One more field of that name, beside those that are there; without a value: those that the message has are
        /// removed, and what was set or added stays.
        var adds: Bool

        /// Fields of that name which the message has do not go on.
        var hidesOriginal: Bool { !adds || value.data == nil }
    }
    /// Plenty for filters that add and remove a few fields each; the header promises this number.
    static let bound = 32
    /// The gateway has one field of its own, `x-sluice-fallback`, which must not be missing because plugins have made
    /// all the edits that they may.
    static let room = bound + 1
    var count = 0
    /// Where that one stands; negative: nowhere.
    var own = -1
    /// How many plugins have made.
    var ofPlugins: Int { own < 0 ? count : count - 1 }
    let edits: UnsafeMutablePointer<Edit>
}

/// A counted buffer that lives as long as the exchange, and the one adopted before it.
struct AdoptedBuffer {
    /// This entry is not in the arena.
    var isApart = false
    var buffer: UnsafeMutablePointer<sluice_buffer>
    var previous: UnsafeMutablePointer<AdoptedBuffer>?
}
