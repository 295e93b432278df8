import CLinux

/// Whether a full socket still empties.
///
/// The kernel tells that a socket takes bytes again only when about a third of its buffer is free, which is megabytes
/// after a fast start: a peer that reads slowly, but without a pause, is not heard of for longer than a body may stand
/// still. What it does take shows in the bytes that it has not acknowledged (tcp(7), SIOCOUTQ; unix(7) counts those
/// that were not read), which only become fewer while nothing is written.
struct SocketDrain {
    /// What was left at the last look, in bytes.
    private var queued: Int32 = 0
    /// When it was last seen to be less than before, in milliseconds of the monotonic clock; 0: never.
    private(set) var movedAt: UInt64 = 0

    /// The socket has just taken less than it was offered. [worker]
    mutating func noteFull(_ descriptor: Int32) { noteFull(queued: clinux_unacknowledged(descriptor)) }

    mutating func noteFull(queued: Int32) { self.queued = queued }

    /// Looks at a socket that is full; when it was last seen to move, in milliseconds. [worker]
    mutating func look(_ descriptor: Int32, nowMs: UInt64) -> UInt64 {
        look(queued: clinux_unacknowledged(descriptor), nowMs: nowMs)
    }

    mutating func look(queued: Int32, nowMs: UInt64) -> UInt64 {
        if queued < self.queued {
            self.queued = queued
            movedAt = nowMs
        }
        return movedAt
    }
}
