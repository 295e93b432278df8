import Testing

@testable import Host

/// What one connection may read before others have their turn.
@Suite struct TurnShareTests {
    @Test func aShareIsUsedUpByBytesAndComesBackWithTheNextTurn() {
        var share = TurnShare()
        #expect(share.isLeft(in: 7))
        share.take(TurnShare.bytes - 1, in: 7)
        #expect(share.isLeft(in: 7))
        share.take(1, in: 7)
        #expect(!share.isLeft(in: 7))
        #expect(share.isLeft(in: 8))
        share.take(1, in: 8)
        #expect(share.isLeft(in: 8))
    }

    @Test func noReadIsTooLargeToCount() {
        var share = TurnShare()
        share.take(Int.max, in: 1)
        share.take(Int.max, in: 1)
        #expect(!share.isLeft(in: 1))
        share.take(1, in: 2)
        #expect(share.isLeft(in: 2))
    }

    /// A peer that sends as fast as it is read is put off once a turn, and another one is served in between.
    @Test func anEndlessConnectionTakesTurnsWithOthers() {
        var waiting = PutOff()
        var endless = TurnShare()
        var served: [UInt64] = []
        for turn in UInt32(1)...3 {
            var count = waiting.count
            // The events of the turn: the endless connection was told of once, the other one each time.
            var ready: [UInt64] = turn == 1 ? [1, 2] : [2]
            while count > 0, let token = waiting.next() {
                ready.append(token)
                count -= 1
            }
            for token in ready {
                served.append(token)
                guard token == 1 else { continue }
                var reads = 0
                while endless.isLeft(in: turn) {
                    endless.take(65_536, in: turn)
                    reads += 1
                }
                #expect(reads == TurnShare.bytes / 65_536)
                let isPutOff = waiting.add(1)
                #expect(isPutOff)
            }
        }
        #expect(served == [1, 2, 2, 1, 2, 1])
    }

    @Test func whoIsPutOffFirstIsServedFirstAndNobodyIsForgotten() {
        var waiting = PutOff()
        for round in 0..<3 {
            var taken = 0
            for token in 0..<PutOff.atMost where waiting.add(UInt64(round * 10_000 + token)) { taken += 1 }
            #expect(taken == PutOff.atMost)
            // Beyond the bound the connection is told to read on.
            let isTooMany = !waiting.add(1)
            #expect(isTooMany)
            for token in 0..<PutOff.atMost / 2 {
                let next = waiting.next()
                #expect(next == UInt64(round * 10_000 + token))
            }
            for token in 0..<PutOff.atMost / 2 where !waiting.add(UInt64(token)) { taken -= 1 }
            #expect(taken == PutOff.atMost)
            var left = 0
            while waiting.next() != nil { left += 1 }
            #expect(left == PutOff.atMost)
        }
    }
}
