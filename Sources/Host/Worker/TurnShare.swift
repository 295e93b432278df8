/// What one connection has read in the present turn of a worker's loop.
///
/// Sockets are watched by edges: whoever is told that one can be read has to read until it is empty, for nobody tells
/// a second time. A peer that sends as fast as its bytes are taken would so keep the loop to itself. A connection that
/// has had its share is put off instead, and read on in the next turn, behind the events of all others.
struct TurnShare {
    /// Four buffers of `BufferPool.medium`: some 0.2 ms of reading and writing, which is what others may have to wait
    /// for each connection that is busy, and so much that a turn's own cost (`epoll_wait`, 1 µs) is no part of it.
    static let bytes = 262_144

    private var turn: UInt32 = 0
    private var taken: UInt32 = 0

    /// Whether the connection may read on in this turn.
    @inline(__always)
    func isLeft(in turn: UInt32) -> Bool { self.turn != turn || taken < UInt32(Self.bytes) }

    @inline(__always)
    mutating func take(_ count: Int, in turn: UInt32) {
        if self.turn != turn {
            self.turn = turn
            taken = 0
        }
        // What one read may bring is less than 4 GiB; a sum beyond that is as much as enough.
        let (sum, overflow) = taken.addingReportingOverflow(UInt32(clamping: count))
        taken = overflow ? .max : sum
    }
}

/// Connections that have had their share of a turn, and wait for the next one as if an event were to come.
struct PutOff: ~Copyable {
    /// As many as twice the events of a turn, each of which reads from two connections at most. Beyond it a connection
    /// reads on: late others are better than one that is forgotten.
    static let atMost = 1_024

    private let tokens: UnsafeMutablePointer<UInt64>
    private var first = 0
    private(set) var count = 0

    init() { tokens = .allocate(capacity: Self.atMost) }

    deinit { tokens.deallocate() }

    /// False when there is no room.
    mutating func add(_ token: UInt64) -> Bool {
        guard count < Self.atMost else { return false }
        tokens[(first &+ count) % Self.atMost] = token
        count &+= 1
        return true
    }

    /// The one that waits longest; only for as many as `count` said at the turn's begin.
    mutating func next() -> UInt64? {
        guard count > 0 else { return nil }
        let token = tokens[first]
        first = (first &+ 1) % Self.atMost
        count &-= 1
        return token
    }
}

extension Worker {
    /// Whether the connection may read on in this turn. If not it counts as empty, and is read from in the next.
    @inline(__always)
    func mayRead(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        client.pointee.share.isLeft(in: turn) || !putOff(client)
    }

    @inline(__always)
    func mayRead(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Bool {
        upstream.pointee.share.isLeft(in: turn) || !putOff(upstream)
    }

    @inline(never)
    private func putOff(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        guard putOffs.add(Token.make(Token.client, client.pointee.slot)) else { return false }
        client.pointee.readable = false
        return true
    }

    @inline(never)
    private func putOff(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Bool {
        guard putOffs.add(Token.make(Token.upstream, upstream.pointee.slot)) else { return false }
        upstream.pointee.readable = false
        return true
    }
}
