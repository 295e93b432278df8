import Glibc
import Testing

@testable import Host

/// A stop waits about a second for who reads the log, however much is queued.
@Suite struct ObservationLogStop {
    @Test func aReaderThatStandsStillHoldsAStopOnce() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let writer = LogWriter(descriptor: ends[1], capacity: 4 << 20)
        let text = [UInt8](repeating: UInt8(ascii: "x"), count: 200)
        for _ in 0..<15_000 {
            text.withUnsafeBytes { text in
                writer.write(rank: 1, source: UnsafeRawBufferPointer(rebasing: text[..<1]), message: text)
            }
        }
        #expect(writer.dropped == 0)
        #expect(writer.start() == 0)
        let begun = ContinuousClock.now
        writer.stop()
        // Some fifty times what a pipe holds are queued, each of which would have had its own second.
        #expect(ContinuousClock.now - begun < .seconds(20))
    }
}
