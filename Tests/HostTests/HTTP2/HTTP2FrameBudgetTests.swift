import Testing

@testable import Host

/// What a peer's frames without content cost it, and what a body earns. Time stands still here: nothing refills but
/// what moves.
@Suite struct HTTP2FrameBudgetTests {
    /// A client that opens both windows in steps of 4 KiB, as Go's does, downloads for ever.
    @Test(arguments: [4_096, 16_384]) func aBodyThatIsSentPaysForTheWindowsThatItOpens(_ size: Int) {
        var budget = HTTP2FrameBudget()
        var isWithin = true
        for _ in 0..<100_000 {
            budget.earn(sent: size, isCutShort: true)
            for _ in 0..<2 * size / 4_096 { isWithin = budget.take(nowMs: 1) && isWithin }
        }
        #expect(isWithin)
    }

    /// So does one that opens both windows for each small piece of a body that comes in small pieces.
    @Test func smallPiecesPayForTheirWindowsToo() {
        var budget = HTTP2FrameBudget()
        var isWithin = true
        for _ in 0..<100_000 {
            budget.earn(sent: 10, isCutShort: false)
            for _ in 0..<2 { isWithin = budget.take(nowMs: 1) && isWithin }
        }
        #expect(isWithin)
    }

    /// RFC 9113 §10.5: a window that opens by a byte at a time makes a frame of each.
    @Test func windowsOfSingleBytesAreAFlood() {
        var budget = HTTP2FrameBudget()
        var taken = 0
        while budget.take(nowMs: 1), taken <= HTTP2FrameBudget.burst {
            budget.earn(sent: 1, isCutShort: true)
            taken += 1
        }
        #expect(taken == HTTP2FrameBudget.burst)
    }

    @Test func emptyFramesEarnNothing() {
        var budget = HTTP2FrameBudget()
        _ = budget.take(nowMs: 1)
        budget.earn(sent: 0, isCutShort: false)
        #expect(budget.left == HTTP2FrameBudget.burst - 1)
    }

    @Test func timeRefillsIt() {
        var budget = HTTP2FrameBudget()
        while budget.take(nowMs: 1) {}
        let taken = [(1, 1), (Int(HTTP2FrameBudget.perSecond), 1_001), (1, 1_001)]
            .map { budget.take($0.0, nowMs: UInt64($0.1)) }
        #expect(taken == [false, true, false])
    }
}
