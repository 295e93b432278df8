import CLinux
import Glibc
import HTTP1
import SluiceABI

/// A connection from a client: what lasts from one exchange to the next. Idle, it holds no buffer.
struct ClientConnection: SlabElement {
    /// First, so that a timer's address is its connection's.
    var timer = TimerNode()
    var slot: SlabSlot
    var descriptor: Int32 = -1
    /// The kernel may have bytes for us, or take bytes from us: edges seen and not yet used up.
    var readable = false
    var writable = true
    /// The client has sent its last byte.
    var peerFinished = false
    /// `advance` is on the stack for this connection.
    var advancing = false
    /// The response is out and the socket only drains what the client still sends, so that the kernel does not reset
    /// the connection before the client has read the answer (RFC 9112 §9.6).
    var lingering = false
    /// It is to be reset, as soon as the client has all that it was sent.
    var isCut = false
    /// The last request did not fit a small buffer: begin with a medium one.
    var likesMediumBuffers = false
    /// `deadline` is that of a head: of a new connection's first one from the beginning on, later from its first byte.
    var isHeadTimed = true
    /// Bytes discarded while lingering.
    var discarded = 0
    var listener: UInt16 = 0
    var peerLength: UInt8 = 0
    /// Its first bytes were looked at: it speaks HTTP/1.1, or has `http2`.
    var isJudged = false
    /// A stream of HTTP/2: no socket of its own, and one request.
    var isStream = false
    /// The adapter that frames raw TCP, by its name, which lives for ever; empty for HTTP.
    var adapterName = sluice_bytes()
    /// What a connection that speaks HTTP/2 has beside its socket; nil for one that speaks HTTP/1.1.
    var http2: UnsafeMutablePointer<HTTP2Connection>?
    /// What a connection that speaks TLS has beside its socket.
    var tls: UnsafeMutablePointer<TLSLink>?
    var input = Buffer.none
    var share = TurnShare()
    /// Of the socket, while it is not `writable`.
    var drain = SocketDrain()
    /// Bytes of `input` before this belong to the head that the exchange in progress looks at.
    var floor = 0
    var progress = HeadProgress()
    var exchange: UnsafeMutablePointer<Exchange>?
    /// When the client counts as idle, or as slow with its head, for too long, in milliseconds; the timer may fire
    /// earlier and is moved then.
    var deadline: UInt64 = 0
    /// The peer's sockaddr, as much of it as an IPv6 address needs.
    var peer: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init(slot: SlabSlot) { self.slot = slot }

    /// Its bytes are messages of an adapter's protocol, not HTTP.
    var isRaw: Bool { adapterName.size > 0 }
}

/// A socket that accepts connections for one worker.
struct WorkerListener {
    var id: UInt32
    var descriptor: Int32
    /// A Unix socket is shared by all workers, a TCP one is this worker's.
    var isUnix: Bool
    /// The adapter that frames raw TCP; empty for HTTP.
    var adapter = sluice_bytes()
}
