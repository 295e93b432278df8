import SluiceHashing
import Testing

@testable import Host

extension BatchQueue {
    fileprivate mutating func flush(_ count: UInt32, maxRows: UInt32, maxBytes: UInt64 = .max) -> [Entry] {
        var flushed: [Entry] = []
        flush(count, maxRows: maxRows, maxBytes: maxBytes) { flushed.append($0) }
        return flushed
    }
}

@Suite struct BatchQueueTests {
    private func entry(
        _ member: Int, rows: UInt32, bytes: UInt64 = 10, at enqueued: UInt64 = 0, deadline: UInt64 = .max
    ) -> BatchQueue<Int>.Entry {
        BatchQueue.Entry(member: member, rows: rows, bytes: bytes, enqueued: enqueued, deadline: deadline)
    }

    private func queue(_ rows: [UInt32]) -> BatchQueue<Int> {
        var queue = BatchQueue<Int>()
        for (index, rows) in rows.enumerated() { queue.add(entry(index, rows: rows)) }
        return queue
    }

    @Test func theOldestGoFirst() {
        var queue = queue([1, 1, 1, 1])
        #expect(queue.flush(2, maxRows: 100).map(\.member) == [0, 1])
        queue.add(entry(9, rows: 1))
        #expect(queue.flush(100, maxRows: 100).map(\.member) == [2, 3, 9])
        #expect(queue.isEmpty)
        #expect(queue.flush(1, maxRows: 100).isEmpty)
    }

    @Test func aFlushHasNoMoreRowsThanAllowedAndTakesNobodyOutOfTurn() {
        var queue = queue([3, 3, 3, 1])
        #expect(queue.flush(4, maxRows: 8).map(\.member) == [0, 1])
        // The third would fit with the fourth; exactly the bound is within it.
        #expect(queue.flush(4, maxRows: 4).map(\.member) == [2, 3])
    }

    @Test func aFlushHasNoMoreBytesThanAllowedAndTakesNobodyOutOfTurn() {
        var queue = BatchQueue<Int>()
        let bytes: [UInt64] = [60, 40, 1, 99, 500, 2, .max, .max, 3]
        for (member, bytes) in bytes.enumerated() { queue.add(entry(member, rows: 1, bytes: bytes)) }
        #expect(queue.flush(9, maxRows: 100, maxBytes: 100).map(\.member) == [0, 1])
        #expect(queue.flush(9, maxRows: 100, maxBytes: 100).map(\.member) == [2, 3])
        // One that is larger goes alone, and the next one not with it.
        #expect(queue.flush(9, maxRows: 100, maxBytes: 100).map(\.member) == [4])
        #expect(queue.flush(9, maxRows: 100, maxBytes: 100).map(\.member) == [5])
        #expect(queue.flush(9, maxRows: 100, maxBytes: .max).map(\.member) == [6])
        #expect(queue.flush(9, maxRows: 100, maxBytes: 0).map(\.member) == [7])
        #expect(queue.flush(9, maxRows: 100, maxBytes: 0).map(\.member) == [8])
        #expect(queue.bytes == 0)
    }

    @Test func theFirstGoesInAnyCase() {
        var queue = queue([50, 1, 50])
        #expect(queue.flush(3, maxRows: 8).map(\.member) == [0])
        #expect(queue.flush(3, maxRows: 0).map(\.member) == [1])
        #expect(queue.flush(1, maxRows: 8).map(\.member) == [2])
    }

    @Test func flushingNobodyTakesNobody() {
        var queue = queue([1])
        #expect(queue.flush(0, maxRows: 8).isEmpty)
        #expect(queue.rows == 1)
    }

    /// A client says how many rows it sends, and rows of no bytes ([4294967295, 0]) cost it nothing.
    @Test func rowsThatNoCounterHoldsNeitherTrapNorWrap() {
        var queue = queue([.max, .max, 2])
        #expect(queue.rows == .max)
        #expect(queue.view(now: 0, maxRows: 8, maxDelay: 0, inFlight: 0).rows == .max)
        #expect(queue.flush(3, maxRows: .max).map(\.member) == [0])
        #expect(queue.rows == .max)
        #expect(queue.flush(3, maxRows: .max).map(\.member) == [1])
        #expect(queue.rows == 2)
    }

    @Test func whoLeavesIsTakenOutAndTheOthersKeepTheirOrder() {
        var queue = queue([1, 2, 3, 4, 5])
        #expect(queue.remove { $0 % 2 == 1 }.map(\.member) == [1, 3])
        #expect(queue.rows == 9)
        #expect(queue.bytes == 30)
        #expect(queue.remove { $0 == 77 }.isEmpty)
        #expect(queue.flush(9, maxRows: 99).map(\.member) == [0, 2, 4])
    }

    @Test func aBatcherSeesTheSumsTheOldestAndTheNearestDeadline() {
        var queue = BatchQueue<Int>()
        let empty = queue.view(now: 500, maxRows: 8, maxDelay: 70, inFlight: 2)
        #expect(empty.count == 0 && empty.rows == 0 && empty.bytes == 0)
        #expect(empty.oldest_ns == 500 && empty.earliest_deadline_ns == .max)
        queue.add(entry(0, rows: 2, bytes: 20, at: 100, deadline: 900))
        queue.add(entry(1, rows: 3, bytes: 5, at: 200, deadline: 800))
        queue.add(entry(2, rows: 1, bytes: 1, at: 300, deadline: 950))
        let view = queue.view(now: 600, maxRows: 8, maxDelay: 70, inFlight: 2)
        #expect(view.count == 3 && view.rows == 6 && view.bytes == 26)
        #expect(view.oldest_ns == 100 && view.now_ns == 600 && view.earliest_deadline_ns == 800)
        #expect(view.max_rows == 8 && view.max_delay_ns == 70 && view.in_flight == 2)
        _ = queue.flush(1, maxRows: 8)
        #expect(queue.view(now: 600, maxRows: 8, maxDelay: 70, inFlight: 2).oldest_ns == 200)
        _ = queue.remove { $0 == 1 }
        let left = queue.view(now: 600, maxRows: 8, maxDelay: 70, inFlight: 2)
        #expect(left.oldest_ns == 300 && left.earliest_deadline_ns == 950)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func randomStepsLoseNobodyAndKeepTheSums(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var queue = BatchQueue<Int>()
        var model: [BatchQueue<Int>.Entry] = []
        var clock: UInt64 = 1
        for step in 0..<1_500 {
            clock += UInt64.random(in: 0...50, using: &random)
            switch UInt8.random(in: 0..<6, using: &random) {
            case 0...2:
                let entry = entry(
                    step, rows: .random(in: 0...6, using: &random), bytes: .random(in: 0...999, using: &random),
                    at: clock, deadline: clock + .random(in: 0...400, using: &random))
                queue.add(entry)
                model.append(entry)
            case 3:
                let now = clock
                let expired = Set(model.filter { $0.deadline <= now }.map(\.member))
                #expect(queue.remove { expired.contains($0) }.map(\.member) == expired.sorted())
                model.removeAll { expired.contains($0.member) }
            default:
                let count = UInt32.random(in: 0...8, using: &random)
                let maxRows = UInt32.random(in: 0...12, using: &random)
                let flushed = queue.flush(count, maxRows: maxRows)
                #expect(flushed.count <= Int(count))
                #expect(flushed.map(\.member) == model.prefix(flushed.count).map(\.member))
                let rows = flushed.reduce(0) { $0 + $1.rows }
                #expect(rows <= maxRows || flushed.count == 1)
                model.removeFirst(flushed.count)
                // As many as may go do go.
                if flushed.count < Int(count), let next = model.first {
                    #expect(!flushed.isEmpty && rows + next.rows > maxRows)
                }
            }
            let view = queue.view(now: clock, maxRows: 8, maxDelay: 1, inFlight: 0)
            #expect(view.count == UInt32(model.count))
            #expect(view.rows == model.reduce(0) { $0 + $1.rows })
            #expect(view.bytes == model.reduce(0) { $0 + $1.bytes })
            #expect(view.oldest_ns == model.first?.enqueued ?? clock)
            #expect(view.earliest_deadline_ns == model.map(\.deadline).min() ?? .max)
        }
    }
}
