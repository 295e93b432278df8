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
        var nowMs: UInt64 = 1_000
        while nowMs < 36_000_000 {
            // A timer is late by a little.
            nowMs = liveness.nextLook(nowMs: nowMs, intervalMs: Self.interval) + 7
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
        #expect(liveness.nextLook(nowMs: 299_000, intervalMs: Self.interval) == 300_005)
        #expect(liveness.look(nowMs: 300_005, intervalMs: Self.interval) == .ping)
        #expect(liveness.nextLook(nowMs: 300_005, intervalMs: Self.interval) == 310_005)
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
