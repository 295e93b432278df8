import Glibc

/// When an endpoint that says nothing while calls are open is asked whether it is there, by PING (RFC 9113 §6.7), and
/// when it is given up. Pure; times in milliseconds of the worker's clock.
///
/// Rarely, since a vanished host is found by TCP (`findVanishedHost`): what is left to find is a process that stands
/// still behind a kernel that answers for it, and a call has its deadline for that.
struct HTTP2Liveness {
    enum Step {
        case wait
        case ping
        /// It has not answered.
        case lost
    }

    /// How long a PING's answer may take.
    static let answerMs: UInt64 = 10_000
    /// Doublings of the interval of one endpoint: 256 times the five minutes of the default are 21 hours, beyond any
    /// call's life.
    static let doublingsAtMost: UInt8 = 8

    private var heardAt: UInt64 = 0
    private var pingedAt: UInt64?

    /// Something has come, whatever it was.
    mutating func hear(nowMs: UInt64) {
        heardAt = nowMs
        pingedAt = nil
    }

    /// Asked every so often while calls are open. Between two PING lies the interval at least, counted from the
    /// answer of the first: a server that counts from when the first one came to it sees no less (gRPC's answers
    /// GOAWAY to the third that comes too early, gRFC A8).
    mutating func look(nowMs: UInt64, intervalMs: UInt64) -> Step {
        if let pingedAt { return nowMs >= pingedAt &+ Self.answerMs ? .lost : .wait }
        guard nowMs >= heardAt &+ intervalMs else { return .wait }
        pingedAt = nowMs
        return .ping
    }

    /// When to look again: when something is due, or so soon that calls which begin meanwhile are not missed.
    func nextLook(nowMs: UInt64, intervalMs: UInt64) -> UInt64 {
        let due = pingedAt.map { $0 &+ Self.answerMs } ?? heardAt &+ intervalMs
        return min(max(due, nowMs &+ 1), nowMs &+ Self.answerMs)
    }
}

extension Worker {
    /// Has TCP find a host that is gone within 30 s, whatever is on its way: probes begin after 20 s of silence, and
    /// what is sent, or they, may stay without acknowledgement for 30 s (tcp(7), TCP_USER_TIMEOUT; it also counts for a
    /// window that stays shut, and how many probes go unanswered does not count beside it). The kernel answers these,
    /// so that no server counts them as it does PING (gRFC A18).
    func findVanishedHost(_ socket: UnsafeMutablePointer<UpstreamConnection>) {
        let descriptor = socket.pointee.descriptor
        guard socket.pointee.endpoint.pointee.endpoint.pointee.address.family != AF_UNIX else { return }
        set(descriptor, Int32(SOL_SOCKET), SO_KEEPALIVE, 1)
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, 20)
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5)
        set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 30_000)
    }

    private func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}
