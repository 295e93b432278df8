import CNGHTTP2
import HTTP1
import SluiceABI

/// What a connection to an endpoint that speaks HTTP/2 (RFC 9113) has beside its socket. It carries many requests at
/// once, each of which is an `HTTP2Call`.
struct HTTP2Upstream {
    let session: OpaquePointer
    /// The socket: descriptor, timer, endpoint.
    let socket: UnsafeMutablePointer<UpstreamConnection>
    let worker: Unmanaged<Worker>
    /// Frames that the socket has not taken yet.
    var output = Buffer.none
    /// Bytes of frames that the socket has taken so far.
    var taken: UInt64 = 0
    var firstCall: UnsafeMutablePointer<HTTP2Call>?
    var callCount = 0
    /// Calls whose bytes have all gone, and whose exchange has more.
    var firstDrained: UnsafeMutablePointer<HTTP2Call>?
    /// Its header block is being received; a connection has one at a time (RFC 9113 §6.10).
    var heading: UnsafeMutablePointer<HTTP2Call>?
    /// Data came for it in a frame that is not whole yet.
    var partial: UnsafeMutablePointer<HTTP2Call>?
    var isDirty = false
    var nextDirty: UnsafeMutablePointer<HTTP2Upstream>?
    /// What came broke the protocol for all calls at once: GOAWAY says so to the endpoint.
    var isMalformed = false
    /// To be closed as soon as libnghttp2 is not at work on the session.
    var isCondemned = false
    /// No call begins here any more: GOAWAY came, the session failed, or its stream numbers are used up.
    var isLeaving = false
    /// Whether the endpoint is still there.
    var liveness = HTTP2Liveness()
    /// How many times something has come of it.
    var timesHeard: UInt64 = 0
    var frames = HTTP2FrameBudget()
    /// When DATA with content last went out, of any call, in milliseconds.
    var dataAt: UInt64 = 0
    /// The next connection of the same worker to the same endpoint.
    var next: UnsafeMutablePointer<HTTP2Upstream>?

    /// The endpoint's SETTINGS have come, with which it begins each connection (RFC 9113 §3.4).
    var hasSettings = false

    /// Streams at once on one connection, also of an endpoint that has never said how many it bears: RFC 9113 §6.5.2
    /// recommends that this be no less than 100.
    static let callsAtMost = 100

    /// Whether one more call may begin.
    var hasRoom: Bool {
        guard !isLeaving, !isCondemned, callCount < Self.callsAtMost else { return false }
        return callCount < callsAllowed
    }

    /// The endpoint has said that no call may begin here for now.
    var bearsNoCall: Bool { hasSettings && !isLeaving && !isCondemned && callsAllowed == 0 }

    /// Streams at once that the endpoint bears on the connection. Until it has said so here, as many as it said on the
    /// one before, of whichever worker: a burst that opens connections would be refused on each of them.
    var callsAllowed: Int {
        guard hasSettings else {
            let told = socket.pointee.endpoint.pointee.endpoint.pointee.callsToldEach
            if told == Endpoint.noCalls { return 1 }
            return told > 0 ? told : Self.callsAtMost
        }
        return min(
            Int(nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)),
            Self.callsAtMost)
    }
}

/// One request on a connection that speaks HTTP/2: to its exchange an endpoint's connection of its own.
struct HTTP2Call: SlabElement {
    /// First, so that a call's address is its connection's as the exchange sees it.
    var upstream: UpstreamConnection
    var connection: UnsafeMutablePointer<HTTP2Upstream>
    /// 0 until the request is submitted.
    var id: Int32 = 0
    /// What stood before the request on the connection, as `HTTP2Upstream.taken` counts: until that has grown beyond
    /// it, not a byte of the request has gone out.
    var begin: UInt64 = 0
    /// The text of the request's head, which libnghttp2 reads when it sends it.
    var head = Buffer.none
    /// The connection's `timesHeard` at that moment.
    var heardBefore: UInt64 = 0
    /// What the endpoint has sent and nobody has taken: heads as text of HTTP/1.1, then bytes of the body, at most the
    /// stream's window.
    var pending = Buffer.none
    /// Bytes at the front of `pending` that are of heads, which no window counts.
    var headBytes = 0
    /// The size of the present header block as RFC 9113 §6.5.2 counts it, and how many fields it has so far.
    var listSize = 0
    var fieldCount = 0
    /// The present head is one of an interim response.
    var isInterim = false
    /// The final head is in: fields that follow are trailers.
    var hasHead = false
    /// Bytes of the request's body for which the endpoint has opened no window yet. What was sent of it is kept in
    /// front of them for as long as all of it fits: the endpoint may refuse the request unread.
    var output = Buffer.none
    /// Bytes of the body are no longer all in `output`.
    var hasForgotten = false
    /// Lines of the response's trailer fields.
    var trailers = Buffer.none
    /// Lines of the request's trailer fields, sent when `output` is.
    var requestTrailers = Buffer.none
    /// Nothing follows `output` and `requestTrailers`.
    var requestEnded = false
    /// END_STREAM has gone out.
    var requestSent = false
    /// END_STREAM has come.
    var responseEnded = false
    /// The endpoint has not looked at the request (RFC 9113 §8.7): it may be sent again, whatever it is.
    var isRefused = false
    /// What has ended the stream before its answer was whole, if it was not the connection.
    var fault = AnswerFault.connectionLost
    /// libnghttp2 knows this stream no more.
    var isClosed = false
    /// Of a closed one: something came of the connection after the request went there, which so was not closed before.
    var wasHeard = false
    var isDeferred = false
    var isListedDrained = false
    var nextDrained: UnsafeMutablePointer<HTTP2Call>?
    var next: UnsafeMutablePointer<HTTP2Call>?
    var previous: UnsafeMutablePointer<HTTP2Call>?

    init(slot: SlabSlot) {
        upstream = UpstreamConnection(slot: slot)
        upstream.isStream = true
        upstream.writable = true
        connection = UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
    }

    var slot: SlabSlot {
        get { upstream.slot }
        set { upstream.slot = newValue }
    }

    /// The stream is over before its answer is whole: what was noticed first is why.
    mutating func note(_ fault: AnswerFault) {
        if self.fault == .connectionLost { self.fault = fault }
    }

    /// libnghttp2 has forgotten the stream, or the connection ends. The connection is there for the last time.
    mutating func noteClosed() {
        isClosed = true
        wasHeard = id > 0 && connection.pointee.timesHeard != heardBefore
    }
}

extension UnsafeMutablePointer<HTTP2Call> {
    /// The call as an exchange holds it: its first field.
    var asUpstream: UnsafeMutablePointer<UpstreamConnection> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: UpstreamConnection.self)
    }
}

extension UnsafeMutablePointer<UpstreamConnection> {
    /// Only where `isStream`.
    var asCall: UnsafeMutablePointer<HTTP2Call> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: HTTP2Call.self)
    }
}
