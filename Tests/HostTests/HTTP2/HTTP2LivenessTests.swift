import Testing

@testable import Host

/// When an endpoint is asked whether it is there, in virtual time.
@Suite struct HTTP2LivenessTests {
    private static let interval: UInt64 = 300_000

    /// A call that is silent for ten hours, toward a server that counts as gRPC's do: a PING less than five minutes
    /// after the one before is one too many.
    @Test func noServerOfGRPCCountsAPINGAgainstIt() {
        var liveness = HTTP2Liveness()
        liveness.hear(nowMs: 1_000)
        var last: UInt64?
        var pings = 0
        for nowMs in stride(from: UInt64(1_000), through: 36_000_000, by: 700) {
            switch liveness.look(nowMs: nowMs, intervalMs: Self.interval) {
            case .wait: break
            case .ping:
                if let last { #expect(nowMs >= last + 300_000) }
                last = nowMs
                pings += 1
                liveness.hear(nowMs: nowMs)
            case .lost: Issue.record("lost at \(nowMs)")
            }
        }
        #expect((100...120).contains(pings), "\(pings)")
    }

    @Test func aPINGThatIsNotAnsweredIsTheEnd() {
        var liveness = HTTP2Liveness()
        liveness.hear(nowMs: 5)
        #expect(liveness.look(nowMs: 300_004, intervalMs: Self.interval) == .wait)
        #expect(liveness.look(nowMs: 300_005, intervalMs: Self.interval) == .ping)
        #expect(liveness.look(nowMs: 310_004, intervalMs: Self.interval) == .wait)
        #expect(liveness.look(nowMs: 310_005, intervalMs: Self.interval) == .lost)
    }

    @Test func whateverComesIsAnAnswer() {
        var liveness = HTTP2Liveness()
        #expect(liveness.look(nowMs: 300_000, intervalMs: Self.interval) == .ping)
        liveness.hear(nowMs: 309_999)
        #expect(liveness.look(nowMs: 310_000, intervalMs: Self.interval) == .wait)
        #expect(liveness.look(nowMs: 609_999, intervalMs: Self.interval) == .ping)
    }
}
