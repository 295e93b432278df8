import CNGHTTP2
import HTTP1
import SluiceABI

/// What a client connection that speaks HTTP/2 (RFC 9113) has beside its socket. Framing, header compression and flow
/// control are libnghttp2's; requests and their order are the worker's.
struct HTTP2Connection {
    let session: OpaquePointer
    /// The connection itself: descriptor, timer, peer.
    let client: UnsafeMutablePointer<ClientConnection>
    let worker: Unmanaged<Worker>
    /// The header block that is being received; a connection has one at a time (RFC 9113 §6.10).
    var head: HTTP2Head
    /// When it began, in milliseconds; 0 between two blocks.
    var headSince: UInt64 = 0
    /// Frames that the socket has not taken yet.
    var output = Buffer.none
    /// When the socket last took bytes, or was seen to empty, in milliseconds.
    var progressAt: UInt64 = 0
    /// When DATA with content last went to it, of any stream, in milliseconds.
    var dataAt: UInt64 = 0
    var firstStream: UnsafeMutablePointer<HTTP2Stream>?
    var streamCount = 0
    /// Streams whose bytes have all gone, and whose exchange has more.
    var firstDrained: UnsafeMutablePointer<HTTP2Stream>?
    /// It is in the worker's list of connections that have something to send.
    var isDirty = false
    var nextDirty: UnsafeMutablePointer<HTTP2Connection>?
    /// To be closed as soon as libnghttp2 is not at work on the session.
    var isCondemned = false
    /// Frames can be neither read nor written any more but those that are queued.
    var isBroken = false
    /// The timer looks at the connection soon, which is busy.
    var isWatched = false
    /// GOAWAY was sent: no stream begins any more.
    var isLeaving = false
    var frames = HTTP2FrameBudget()
    /// The highest stream that the client has begun.
    var highestStream: Int32 = 0
    var resets = HTTP2RecentResets()
    var walk = HTTP2FrameWalk()
}

/// Streams that were reset from here a short while ago: what the client sent before it knew is not its fault.
struct HTTP2RecentResets {
    private var ids = SIMD32<Int32>(repeating: 0)
    private var position = 0

    mutating func note(_ id: Int32) {
        ids[position] = id
        position = (position &+ 1) & 31
    }

    func contains(_ id: Int32) -> Bool {
        for index in 0..<32 where ids[index] == id { return true }
        return false
    }
}

/// One stream: to an exchange it is a client connection of its own, which serves one request.
struct HTTP2Stream: SlabElement {
    /// First, so that a stream's address is its connection's as the exchange sees it.
    var client: ClientConnection
    var connection: UnsafeMutablePointer<HTTP2Connection>
    var id: Int32 = 0
    /// Bytes of the request's body that nobody has taken: at most the stream's window.
    var pending = Buffer.none
    /// Bytes of the response's body for which the client has opened no window yet.
    var output = Buffer.none
    /// Lines of trailer fields, sent when `output` is.
    var trailers = Buffer.none
    /// What the request's trailer section has said.
    var requestTrailers = HTTP2RequestTrailers()
    /// The client has sent END_STREAM.
    var requestEnded = false
    /// Nothing follows `output` and `trailers`.
    var responseEnded = false
    /// The response was submitted with a body to follow.
    var hasBody = false
    /// END_STREAM has gone out.
    var responseSent = false
    /// libnghttp2 knows this stream no more.
    var isClosed = false
    /// libnghttp2 waits for more of the body.
    var isDeferred = false
    var isListedDrained = false
    var nextDrained: UnsafeMutablePointer<HTTP2Stream>?
    var next: UnsafeMutablePointer<HTTP2Stream>?
    var previous: UnsafeMutablePointer<HTTP2Stream>?

    init(slot: SlabSlot) {
        client = ClientConnection(slot: slot)
        client.isStream = true
        connection = UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
    }

    var slot: SlabSlot {
        get { client.slot }
        set { client.slot = newValue }
    }
}

extension UnsafeMutablePointer<HTTP2Stream> {
    /// The stream as an exchange holds it: its first field.
    var asClient: UnsafeMutablePointer<ClientConnection> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: ClientConnection.self)
    }
}

extension UnsafeMutablePointer<ClientConnection> {
    /// Only where `isStream`.
    var asStream: UnsafeMutablePointer<HTTP2Stream> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: HTTP2Stream.self)
    }
}

/// How many frames that carry no request a client may send: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty
/// DATA, each of which costs the receiver more than the sender (RFC 9113 §10.5).
///
/// A bucket of tokens. A body of any speed stays within it, since what the peer takes of one refills the bucket: an
/// honest peer opens its window in steps of 4 KiB or more, for a stream and for the connection, or once for each frame
/// it gets. What a narrow window has cut short earns by its size alone: windows of single bytes cost more than they
/// earn. What a peer sends of a body earns nothing: it needs no frames beside it, and could pay for a flood with bytes.
struct HTTP2FrameBudget {
    static let burst = 10_000
    static let perSecond: UInt64 = 2_000
    /// What one frame that went out with content gives back.
    static let refund = 4
    /// How many bytes that were sent give back one: two WINDOW_UPDATE frames for 4 KiB are earned twice.
    static let bytesPerToken = 1_024
    /// What RST_STREAM takes, and a frame that makes us send one: the work that was begun for the stream is lost, at an
    /// endpoint too, and the client may begin the next at once. 500 at once and 100 a second are more than a client has
    /// calls to cancel; beside them every piece of an answer pays for some.
    static let resetCost = 20

    /// Whether RST_STREAM with this code is sent for what the client did: any but those that tell of an end that it has
    /// no part in, or of a stream that nobody has looked at (RFC 9113 §7).
    static func blamesClient(_ code: UInt32) -> Bool {
        switch code {
        case NGHTTP2_NO_ERROR.rawValue, NGHTTP2_INTERNAL_ERROR.rawValue, NGHTTP2_REFUSED_STREAM.rawValue,
            NGHTTP2_CANCEL.rawValue:
            false
        default: true
        }
    }

    private(set) var left = burst
    private var refilledAt: UInt64 = 0

    /// False when the client has sent too many. `nowMs` is the monotonic clock in milliseconds.
    mutating func take(_ cost: Int = 1, nowMs: UInt64) -> Bool {
        if refilledAt == 0 { refilledAt = nowMs }
        let gained = (nowMs &- refilledAt) &* Self.perSecond / 1_000
        if gained > 0 {
            left = min(Self.burst, left &+ Int(min(gained, UInt64(Self.burst))))
            refilledAt = nowMs
        }
        guard left >= cost else { return false }
        left &-= cost
        return true
    }

    /// DATA of `bytes` went out. `isCutShort`: more was there to be sent, and the window or the frame had no room.
    mutating func earn(sent bytes: Int, isCutShort: Bool) {
        guard bytes > 0 else { return }
        left = min(Self.burst, left &+ bytes / Self.bytesPerToken &+ (isCutShort ? 0 : Self.refund))
    }
}
