import HTTP1

/// A connection to an endpoint; one exchange at a time, idle between two.
struct UpstreamConnection: SlabElement {
    /// First, so that a timer's address is its connection's.
    var timer = TimerNode()
    var slot: SlabSlot
    var descriptor: Int32 = -1
    var readable = false
    var writable = false
    var peerFinished = false
    var connecting = false
    /// Of one that connects to a Unix socket whose queue is full: after how many milliseconds it is tried again.
    var knockMs: UInt8 = 0
    var knocks: Bool { knockMs > 0 }
    var isIdle = false
    /// One of many requests on a connection of HTTP/2: no socket of its own, and one exchange.
    var isStream = false
    /// It has served a request before the present one.
    var reused = false
    /// What a connection that speaks HTTP/2 has beside its socket; nil for one that speaks HTTP/1.1.
    var http2: UnsafeMutablePointer<HTTP2Upstream>?
    /// What a connection that speaks TLS has beside its socket.
    var tls: UnsafeMutablePointer<TLSLink>?
    var input = Buffer.none
    var share = TurnShare()
    /// Of the socket, while it is not `writable`.
    var drain = SocketDrain()
    var progress = HeadProgress()
    var exchange: UnsafeMutablePointer<Exchange>?
    var endpoint: UnsafeMutablePointer<WorkerEndpoint>
    /// The pool it was opened for, for metrics; never freed.
    var pool: UnsafeMutablePointer<SharedPool>?
    /// Neighbours in the endpoint's list of idle connections.
    var nextIdle: UnsafeMutablePointer<UpstreamConnection>?
    var previousIdle: UnsafeMutablePointer<UpstreamConnection>?
    /// When it has been connecting, or idle, for too long, in milliseconds.
    var deadline: UInt64 = 0

    init(slot: SlabSlot) {
        self.slot = slot
        endpoint = UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
    }
}

/// One worker's connections to one endpoint. It outlives generations, as the endpoint does.
struct WorkerEndpoint {
    let endpoint: UnsafeMutablePointer<Endpoint>
    /// Open ones, idle and busy and connecting.
    var open: Int = 0
    var idle: Int = 0
    /// The most recently used first: the others may then grow old and be closed.
    var firstIdle: UnsafeMutablePointer<UpstreamConnection>?
    var lastIdle: UnsafeMutablePointer<UpstreamConnection>?
    /// Those that speak HTTP/2, the latest first.
    var firstHTTP2: UnsafeMutablePointer<HTTP2Upstream>?
    /// How often the endpoint has found PING too frequent.
    var pingDoublings: UInt8 = 0
    /// The session that the next connection over TLS resumes, an `SSL_SESSION`, and the `SSL_CTX` it is of: another one
    /// may verify otherwise.
    var session: OpaquePointer?
    var sessionContext: OpaquePointer?

    /// The most recently used one of those that were opened under `context`, an `SSL_CTX`; nil: without TLS. Pools that
    /// name the same endpoint may trust differently, and none may use what another one has verified. The walk is as
    /// long as one pool's idle connections, which its bound limits; mostly the first one fits.
    func idle(under context: OpaquePointer?) -> UnsafeMutablePointer<UpstreamConnection>? {
        var link = firstIdle
        while let connection = link, connection.pointee.tls?.pointee.context != context {
            link = connection.pointee.nextIdle
        }
        return link
    }

    mutating func push(_ connection: UnsafeMutablePointer<UpstreamConnection>) {
        connection.pointee.isIdle = true
        connection.pointee.nextIdle = firstIdle
        connection.pointee.previousIdle = nil
        if let firstIdle { firstIdle.pointee.previousIdle = connection } else { lastIdle = connection }
        firstIdle = connection
        idle &+= 1
    }

    mutating func remove(_ connection: UnsafeMutablePointer<UpstreamConnection>) {
        let next = connection.pointee.nextIdle
        let previous = connection.pointee.previousIdle
        if let next { next.pointee.previousIdle = previous } else { lastIdle = previous }
        if let previous { previous.pointee.nextIdle = next } else { firstIdle = next }
        connection.pointee.nextIdle = nil
        connection.pointee.previousIdle = nil
        connection.pointee.isIdle = false
        idle &-= 1
    }
}
