import Testing

@testable import Host

/// Whether a full socket still empties.
@Suite struct SocketDrainTests {
    @Test func whatLeavesIsProgressAndWhatStaysIsNone() {
        var drain = SocketDrain()
        drain.noteFull(queued: 1_000)
        #expect(drain.look(queued: 1_000, nowMs: 10) == 0)
        #expect(drain.look(queued: 999, nowMs: 20) == 20)
        #expect(drain.look(queued: 999, nowMs: 30) == 20)
        #expect(drain.look(queued: 0, nowMs: 40) == 40)
        #expect(drain.look(queued: 0, nowMs: 50) == 40)
    }

    /// A socket that was filled again holds more than before, and has not moved by that.
    @Test func whatIsWrittenIsNoProgress() {
        var drain = SocketDrain()
        drain.noteFull(queued: 1_000)
        #expect(drain.look(queued: 400, nowMs: 10) == 10)
        drain.noteFull(queued: 1_500)
        #expect(drain.look(queued: 1_500, nowMs: 20) == 10)
        #expect(drain.look(queued: 1_499, nowMs: 30) == 30)
    }

    @Test func whatWasNeverFullHasNotMoved() {
        var drain = SocketDrain()
        #expect(drain.look(queued: 0, nowMs: 10) == 0)
        #expect(drain.look(queued: 5, nowMs: 20) == 0)
    }
}
